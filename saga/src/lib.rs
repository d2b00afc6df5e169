//! A choreography engine.

pub mod codec;
#[cfg(feature = "conformance")]
pub mod conformance;
mod durability;
mod engine_records;
pub mod hold;
mod link;
mod metrics;
mod participant;
mod request;
mod sequencer;
mod service;
mod settings;
mod solo;
pub mod store;
mod timers;
mod view;

pub use codec::{Codec, CodecError};
pub use durability::{Durability, DurabilityWatch, Missed};
pub use link::{DeliveryFault, ReadLog, ReadLogFuture};
pub use metrics::Metrics;
pub use minicbor;
pub use participant::{Deadline, Destinations, Input, Key, Missing, Participant, Record, RequestId, Timestamp};
pub use request::{CallError, IdempotencyKey};
pub use sequencer::Halt;
pub use service::{CallOptions, Handle, Running, Service, fingerprint, partition_of};
pub use settings::{Clock, Settings, SystemClock};
pub use solo::{Outcome, Solo};
pub use store::{LogName, Partition, Store};
pub use view::Step;
