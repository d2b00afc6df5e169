//! A [`saga::Store`] on Valkey (8 or newer) or Redis (7.0 or newer): one server, one that sentinels watch, or a cluster.
//!
//! ```no_run
//! # async fn open() -> Result<(), Box<dyn std::error::Error>> {
//! use saga_store_redis::{Options, RedisStore};
//!
//! let store = RedisStore::open(Options::new("redis://localhost:6379", "stock", 4)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A load, and a commit, is one round trip: a function on the server that does all of it, or nothing. The
//! `README.md` of the crate says what is kept under which key and what each [`Promise`] is worth.

mod address;
mod connection;
mod error;
mod gate;
mod keys;
mod members;
mod nodes;
mod options;
mod reply;
mod store;

pub use error::OpenError;
pub use options::{Options, Promise};
pub use store::RedisStore;
