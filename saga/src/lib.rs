//! A choreography engine.

#[cfg(feature = "conformance")]
pub mod conformance;
mod durability;
pub mod store;

pub use durability::{Durability, DurabilityWatch, Missed};
pub use store::{LogName, Partition, Store};
