//! A [`saga::Store`] on Valkey (from 8) or Redis (from 7.0): one server, one that sentinels watch, or a cluster.
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
mod check;
mod connection;
mod connector;
mod error;
mod flusher;
mod gate;
mod health;
mod keys;
mod members;
mod nodes;
mod options;
mod reply;
mod settings;
mod shared;
mod store;

pub use address::check_url;
pub use check::{Examination, State, Verdict};
pub use error::OpenError;
pub use options::{Login, Options, Promise, Secret, TlsFiles};
pub use store::RedisStore;
