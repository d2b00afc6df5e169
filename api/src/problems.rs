//! The failures that several services tell their callers about.

use axum::http::StatusCode;
use web::problem::Kind;

/// A number would be more than can be counted.
pub static AMOUNT_TOO_LARGE: Kind = Kind::new(
    "amount-too-large",
    StatusCode::BAD_REQUEST,
    "The result would be too large",
    "A total or balance may be at most 2^53 - 1 (9007199254740991), so that every JSON reader sees it exactly. Nothing \
     was changed.",
);

/// Others are in the way.
pub static BUSY: Kind = Kind::new(
    "busy",
    StatusCode::CONFLICT,
    "Others are using it right now",
    "Running checkouts hold what the request needs, and did not end while it waited; or too many wait already. Nothing \
     was changed. Try again after `Retry-After` seconds.",
);

/// There are not that many units.
pub static OUT_OF_STOCK: Kind = Kind::new(
    "out-of-stock",
    StatusCode::CONFLICT,
    "Not enough units in stock",
    "The item named by `item_id` has fewer units than asked for, and would have even if everything that running \
     checkouts hold were given back. Nothing was changed. It may succeed once stock was added.",
);

/// There is not that much credit.
pub static NOT_ENOUGH_CREDIT: Kind = Kind::new(
    "not-enough-credit",
    StatusCode::PAYMENT_REQUIRED,
    "Not enough credit",
    "The order's user, or the one named by `user_id`, has less credit than asked for, and would have even if everything \
     that running checkouts hold were given back. Nothing was changed. It may succeed once funds were added.",
);

/// All of them.
pub static ALL: &[&Kind] = &[&AMOUNT_TOO_LARGE, &BUSY, &OUT_OF_STOCK, &NOT_ENOUGH_CREDIT];
