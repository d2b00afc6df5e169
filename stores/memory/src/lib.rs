//! A [`saga::Store`] in memory: for simulators and unit tests, with every fault that a store can have, and for
//! services that may forget everything when they stop.
//!
//! A [`MemoryDatabase`] is one durability domain. Each service that keeps its data in it opens a [`MemoryStore`]; what
//! is lost in a crash is lost by all of them together, from the end.
//!
//! ```text
//!  order ── MemoryStore ──┐                      commits:  1 2 3 4 5 6 7 8 9
//!  stock ── MemoryStore ──┼── MemoryDatabase               └───────┘ └─────┘
//!  stock ── MemoryStore ──┘   (second handle)              persisted   tail: how to take each one back
//! ```
//!
//! When commits are persisted, [`Persistence`] says; which calls fail or are slow, a [`Fault`] plan; and
//! [`MemoryDatabase::crash_keeping`] decides how much of the tail is lost. Nothing here starts a thread or a task, and
//! no result depends on a clock or on chance, so a simulation that uses it repeats itself exactly.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), saga::store::Error> {
//! use saga::{Store, store::Commit};
//! use saga_store_memory::{Fault, Kind, MemoryDatabase, Persistence, Settings};
//!
//! let database = MemoryDatabase::new(Settings { persistence: Persistence::Manual, ..Settings::default() });
//! let stock = database.open("stock");
//! stock.commit(0, Commit { expected_head: 0, events: vec!["one".into()], ..Commit::default() }).await?;
//! database.persist_all();
//! stock.commit(0, Commit { expected_head: 1, events: vec!["two".into()], ..Commit::default() }).await?;
//!
//! database.inject_next(Kind::Load, 1, Fault::fail_before("no route"));
//! assert!(stock.load(0, &[]).await.is_err());
//! assert_eq!(stock.load(0, &[]).await?.head, 2);
//!
//! assert_eq!(database.crash(), 1);
//! assert!(stock.load(0, &[]).await.is_err(), "a handle from before the crash");
//! assert_eq!(database.open("stock").load(0, &[]).await?.head, 1);
//! # Ok(())
//! # }
//! ```

mod database;
mod fault;
mod handle;
mod members;
mod partition;
mod tail;

pub use database::{MemoryDatabase, Persistence, Settings};
pub use fault::{Call, Effect, Fault, Kind, Operation};
pub use handle::MemoryStore;
