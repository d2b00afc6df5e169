//! Choreographies that survive crashes: services that react to each other's events, each with its own database, such
//! that a transaction across all of them happens as a whole or is undone as a whole.
//!
//! You write a [`Participant`] per service: the types of its records, commands, replies and events, whose events it
//! consumes, and one pure function, its *step*. A [`Choreography`] joins the services of one process by that, a
//! [`remote::Node`] a service with those in other processes. The engine does the rest:
//!
//! ```text
//!   commands ──┐    ┌────────────────────────────────────────────┐
//!   events   ──┼──▶ │ sequencer: step, step, step … over records │ ──▶ one commit: records + events + cursors
//!   deadlines ─┘    └────────────────────────────────────────────┘            │
//!                                                                              ├─▶ events to whoever subscribes
//!                                                                              └─▶ replies, once that is durable
//! ```
//!
//! - **Transactional outbox and inbox.** A partition's event log is the outbox, the cursors are the inbox, and both are
//!   in the same commit as the records: an event is delivered at least once and applied once.
//! - **Output commit.** A reply, a read, or an event to a service with another database leaves only when what it
//!   depends on is durable ([`Durability`]).
//! - **Holds** ([`hold`]): tentative claims on quantities, with parking instead of false refusals, reads that wait, and
//!   records that are dropped exactly when nothing can come any more. A participant says what is its own about them
//!   ([`hold::Holder`]).
//! - **Deadlines** ([`Deadline`]), rebuilt from the log after a crash.
//! - **Idempotency keys** ([`IdempotencyKey`]): a repeated request takes effect once and gets the same reply.
//! - **Any store** with four methods ([`store`]): correctness rests on its comparison of heads alone, never on leases,
//!   membership or clocks, so several processes may share a partition. The feature `conformance` has the suite of tests
//!   that a store must pass.
//! - **Testable**: the same step runs in the engine, in [`Solo`] for property tests and model checkers, and faults are
//!   part of the settings ([`DeliveryFault`]).
//!
//! A step may run more than once for one input, so it must be pure: time and choices come in with the input. When it
//! needs a record that is not in memory it gets [`Missing`], hands it on with `?`, and is run again from its start.
//!
//! `examples/trip.rs` books a trip with three services in some hundred lines.

mod backoff;
mod choreography;
pub mod codec;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod durability;
mod engine_records;
mod handle;
mod hashing;
mod health;
pub mod hold;
mod inspection;
mod link;
mod members;
mod metrics;
mod participant;
mod readable;
mod record;
mod recorded;
mod refrain;
pub mod remote;
pub mod repair;
mod request;
mod sequencer;
mod service;
mod settings;
mod solo;
pub mod store;
mod timers;
mod view;
mod watch;
mod wiring;

pub use backoff::Backoff;
pub use choreography::Choreography;
pub use codec::{Codec, CodecError};
pub use durability::{Durability, DurabilityWatch, Missed};
pub use handle::{CallOptions, Handle};
pub use hashing::{fingerprint, partition_of};
pub use health::Health;
pub use inspection::{ConsumerView, Gate, Inspection, PartitionView, Queues, ReplicasView, ServiceView, SourceView};
pub use link::{DeliveryFault, ReadLog, ReadLogFuture};
pub use members::{Member, Members};
pub use metrics::Metrics;
pub use minicbor;
pub use participant::{Deadline, Destinations, Input, Origin, Participant, Repeatability, RequestId, Step, Timestamp};
pub use readable::{Sagas, check_record, count_sagas, load_record, read_event};
pub use record::{Key, Missing, Record, Standing};
pub use refrain::Refrain;
pub use request::{CallError, IdempotencyKey, Replied};
pub use sequencer::Halt;
pub use service::{Running, Service};
pub use settings::{Clock, Settings, SystemClock};
pub use solo::{Outcome, Solo};
pub use store::{LogName, Partition, Store};
pub use view::RecordMut;
pub use wiring::NotConnected;
