//! The failures that the order service tells its callers about.

use axum::http::StatusCode;
use web::problem::Kind;

/// The order is being checked out.
pub static ORDER_IN_CHECKOUT: Kind = Kind::new(
    "order-in-checkout",
    StatusCode::CONFLICT,
    "The order is being checked out",
    "An order cannot be changed while a checkout of it runs. Nothing was changed. Try again after `Retry-After` seconds: \
     the checkout will have ended.",
);
/// The order is paid.
pub static ORDER_PAID: Kind = Kind::new(
    "order-paid",
    StatusCode::CONFLICT,
    "The order is paid",
    "A paid order cannot be changed. Nothing was changed. Create a new order.",
);
/// There is nothing in the order.
pub static ORDER_EMPTY: Kind = Kind::new(
    "order-empty",
    StatusCode::CONFLICT,
    "The order is empty",
    "An order without lines cannot be checked out. Add an item first.",
);
/// The order is full.
pub static TOO_MANY_LINES: Kind = Kind::new(
    "too-many-lines",
    StatusCode::CONFLICT,
    "The order has too many lines",
    "An order has at most 100 lines. Nothing was changed. Create another order for the rest.",
);
/// The checkout took too long.
pub static TIMEOUT: Kind = Kind::new(
    "timeout",
    StatusCode::CONFLICT,
    "The checkout took too long",
    "Stock and payment did not both answer within the time a checkout may take, so it was cancelled. Whatever was held \
     for it is given back, if need be once the service that is down is up again. Nothing was kept. It may be tried again.",
);
/// The checkout was cancelled because stock could not serve it.
pub static OUT_OF_STOCK: Kind = Kind::new(
    "out-of-stock",
    StatusCode::CONFLICT,
    "Not enough units in stock",
    "The item named by `item_id` has fewer units than asked for, and would have even if everything that running \
     checkouts hold were given back. Nothing was changed. It may succeed once stock was added.",
);
/// The checkout was cancelled because the user has too little credit.
pub static NOT_ENOUGH_CREDIT: Kind = Kind::new(
    "not-enough-credit",
    StatusCode::PAYMENT_REQUIRED,
    "Not enough credit",
    "The order's user, or the one named by `user_id`, has less credit than asked for, and would have even if everything \
     that running checkouts hold were given back. Nothing was changed. It may succeed once funds were added.",
);

/// All of them.
pub static ALL: &[&Kind] =
    &[&ORDER_IN_CHECKOUT, &ORDER_PAID, &ORDER_EMPTY, &TOO_MANY_LINES, &TIMEOUT, &OUT_OF_STOCK, &NOT_ENOUGH_CREDIT];
