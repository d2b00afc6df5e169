//! What the tests of the deployment files share: the real kubectl and helm, the objects they render, and what the binary says of itself.
//!
//! No cluster is asked. kubectl and helm render here exactly what they would send to one; `cargo xtask check deployment` brings them.
//!
//! ```text
//!   k8s/, charts/ ──▶ kubectl kustomize, helm template ──▶ objects ──▶ schemas of Kubernetes and the Gateway API
//!                                                             │
//!   sagamart --help, /openapi.json ──▶ options, variables, paths ──▶ tied to each other
//! ```

pub mod binary;
pub mod chart;
pub mod container;
pub mod object;
pub mod rendered;
pub mod tools;

pub use container::Container;
pub use object::Object;
