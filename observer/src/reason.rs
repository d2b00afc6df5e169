//! Why checkouts are cancelled, by name.

use contract::Reason;

/// The names of all reasons.
pub(crate) const REASONS: [&str; 7] =
    ["out-of-stock", "unknown-item", "not-enough-credit", "unknown-user", "busy", "timeout", "cancelled-by-operator"];

/// The name of a reason, as in the address of its problem.
#[must_use]
pub fn name_of(reason: &Reason) -> &'static str {
    match reason {
        Reason::OutOfStock { .. } => "out-of-stock",
        Reason::UnknownItem { .. } => "unknown-item",
        Reason::NotEnoughCredit => "not-enough-credit",
        Reason::UnknownUser => "unknown-user",
        Reason::Busy => "busy",
        Reason::Timeout => "timeout",
        Reason::CancelledByOperator { .. } => "cancelled-by-operator",
    }
}
