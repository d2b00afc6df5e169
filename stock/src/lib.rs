//! The stock service.
//!
//! ```text
//!  routes (HTTP) ─▶ participant (pure steps) ─▶ record (what is kept)
//! ```

mod participant;
mod record;
mod routes;

pub use participant::{Command, Reply, Stock, StockKey, StockRecord};
pub use record::Item;
pub use routes::{StockQueries, bulk_router, router};
