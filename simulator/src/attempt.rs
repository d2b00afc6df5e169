//! The names of attempts, which tell whose they are.

use contract::CheckoutId;

/// The name that checkout `operation` brings for its attempt.
pub(crate) fn attempt(operation: usize) -> CheckoutId {
    CheckoutId::from_random((operation as u128 + 1) << 64)
}

/// The checkout that began an attempt: its first, or a later one.
pub(crate) fn operation_of(attempt: CheckoutId) -> usize {
    usize::try_from((u128::from_be_bytes(attempt.to_bytes()) >> 64) - 1).expect("an attempt of the plan")
}
