//! The stock service.
//!
//! ```text
//!  routes (HTTP) ─▶ participant (pure steps) ─▶ record (what is kept)
//! ```

mod participant;
mod record;
mod routes;

pub use participant::{Command, Reply, Stock};
pub use record::{Item, StockKey, StockRecord};
pub use routes::{StockQueries, router};
