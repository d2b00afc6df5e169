//! The payment service.
//!
//! ```text
//!  routes (HTTP) ─▶ participant (pure steps) ─▶ saga::hold (what is kept)
//! ```

mod participant;
mod routes;

pub use participant::{Command, Payment, PaymentKey, PaymentRecord, Reply};
pub use routes::{PaymentQueries, bulk_router, router};
