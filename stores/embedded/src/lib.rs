//! A crash-safe [`saga::Store`] inside the process: one directory, any number of services.
//!
//! A commit changes memory and returns. What it changed waits in the *open group* until somebody wants it durable; then
//! the group is closed, written to the journal as one frame, and flushed, while the next group fills. All services of a
//! database share the groups and the gate ([`saga::Durability`]), so their commits are lost or kept in the order in
//! which they were made, and events may pass between them long before they are on disk.
//!
//! ```text
//!   commit ──▶ partitions in memory ──┐ freeze, every so many bytes
//!                  │ close the group  ▼
//!                  ▼               sorted changes ──▶ base (an LSM tree) ── merges
//!               frame ──▶ journal     │
//!                          ▲          └─ installed: the journal before is superfluous
//!                          └──────────── segments are used again
//! ```
//!
//! # Files
//!
//! ```text
//! data/
//! ├── META                           format, identity, services and their partitions
//! ├── LOCK                           locked while the database is open
//! ├── journal/
//! │   ├── 0000000000000041.journal   segments of frames, numbered
//! │   ├── 0000000000000042.journal
//! │   ├── 0000000000000043.journal   the next one, made ahead
//! │   └── 0000000000000039.spare     no longer needed, to be used again
//! └── base/                          everything up to the last checkpoint
//! ```
//!
//! # Rules
//!
//! 1. A frame holds everything that its group did in all partitions, each record once, with its last value. Frames are
//!    numbered without gaps; the number is the position at the gate.
//! 2. A frame is written after the one before it is on disk. So only the last one can be torn, and a journal that goes
//!    on behind something that is no frame has lost data: it is refused.
//! 3. What a frame says is physical (the new value, not the command), so it may be applied twice. A checkpoint may
//!    therefore hold the first half of the group that was open when it began.
//! 4. Nothing enters the base before the frames that it comes from are on disk.
//! 5. The base says up to which frame it makes the journal superfluous, in the same atomic step in which it takes a
//!    checkpoint over. Only then are segments taken back.
//! 6. A write or flush that fails poisons the database: nothing is acknowledged, written or retried any more. When it is
//!    opened again, the last frame is written once more before anybody may count on it.
//! 7. The base is read where memory has no answer. If a table was frozen in the meantime, the load is repeated, so that
//!    all of its answer is of one moment.
//!
//! # Example
//!
//! ```
//! use saga::{Store, store::{Commit, Write}};
//! use saga_store_embedded::{Embedded, Options};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! # let directory = tempfile::tempdir()?;
//! let embedded = Embedded::open(Options::new(directory.path().join("data")))?;
//! let orders = embedded.service("order", 4)?;
//!
//! let write = Write { key: "order:7".into(), value: Some("paid".into()) };
//! let commit = Commit { expected_head: 0, writes: vec![write], ..Commit::default() };
//! let committed = orders.commit(0, commit).await?;
//! orders.durability().wait(committed.position).await?; // One fdatasync, shared with whoever waits, too.
//!
//! let snapshot = orders.load(0, &["order:7".into()]).await?;
//! assert_eq!(snapshot.records, [Some("paid".into())]);
//! embedded.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).map_err(|error| error.to_string())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arena;
mod base;
mod check;
mod checkpoint;
mod directory;
mod disk;
mod error;
mod flusher;
mod frame;
#[cfg(test)]
mod fuzz;
mod journal;
mod log;
mod look;
mod open;
mod ops;
mod options;
mod partition;
mod place;
#[cfg(test)]
mod power;
mod records;
mod replay;
mod residents;
mod section;
mod segment;
mod shared;
mod space;
mod stats;
mod store;
mod sync;
mod table;

pub use check::{Damage, Report, check};
pub use error::{OpenError, ServiceError};
pub use look::Left;
pub use options::{FaultHook, FaultPoint, Flush, FlushObserver, Options};
pub use stats::Stats;
pub use store::{Embedded, EmbeddedStore};
