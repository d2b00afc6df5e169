//! The two parts of kube that derived types name.
pub use kube_core::*;
pub use kube_core as core;
pub use kube_derive::CustomResource;
