//! The order service: the pivot of a checkout.
//!
//! ```text
//!  routes (HTTP) ─▶ participant (pure steps) ─▶ record (what is kept)
//! ```

mod log;
mod metrics;
mod participant;
pub mod problems;
mod record;
mod routes;

pub use log::Log;
pub use metrics::{Metrics, Sampling};
pub use participant::{Command, NewOrder, Orders, Reply};
pub use record::{Order, OrderKey, Stage};
pub use routes::{bulk_router, operator::router as operator_router, router};
