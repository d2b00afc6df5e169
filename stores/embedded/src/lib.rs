//! Being written.

mod base;
mod checkpoint;
mod directory;
mod error;
mod files;
mod flusher;
mod frame;
mod journal;
mod log;
mod open;
mod ops;
mod options;
mod partition;
mod records;
mod replay;
mod section;
mod segment;
mod shared;
mod stats;
mod store;

pub use error::{OpenError, ServiceError};
pub use options::{FaultHook, FaultPoint, Flush, FlushObserver, Options};
pub use stats::Stats;
pub use store::{Embedded, EmbeddedStore};
