//! The payment service.
//!
//! ```text
//!  routes (HTTP) ─▶ participant (pure steps) ─▶ record (what is kept)
//! ```

mod participant;
mod record;
mod routes;

pub use participant::{Command, Payment, Reply};
pub use record::{PaymentKey, PaymentRecord};
pub use routes::{PaymentQueries, router};
