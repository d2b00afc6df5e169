//! The failures that payment tells its callers about.

use axum::http::StatusCode;
use web::problem::Kind;

/// There is not that much credit.
pub static NOT_ENOUGH_CREDIT: Kind = Kind::new(
    "not-enough-credit",
    StatusCode::PAYMENT_REQUIRED,
    "Not enough credit",
    "The user named by `user_id` has less credit than asked for, and would have even if everything that running \
     checkouts hold were given back. Nothing was changed. It may succeed once funds were added.",
);
/// All of them.
pub static ALL: &[&Kind] = &[&NOT_ENOUGH_CREDIT];
