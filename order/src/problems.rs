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
    "Stock and payment did not both answer within the time a checkout may take, so it was cancelled. All \
     reservations are released, at the latest when the unreachable service is back. It may be tried again.",
);
/// An operator ended the checkout.
pub static CANCELLED_BY_OPERATOR: Kind = Kind::new(
    "cancelled-by-operator",
    StatusCode::CONFLICT,
    "The checkout was cancelled by an operator",
    "Somebody who operates the shop ended the checkout before it was decided. All reservations are released. It may be tried \
     again.",
);
/// No checkout of the order runs.
pub static NO_CHECKOUT: Kind = Kind::new(
    "no-checkout",
    StatusCode::CONFLICT,
    "No checkout of the order runs",
    "Only a checkout that is not decided can be cancelled: of a paid order it was decided for, and an order that is not paid is \
     not being checked out. Nothing was changed. `detail` says which.",
);
/// All of them.
pub static ALL: &[&Kind] =
    &[&ORDER_IN_CHECKOUT, &ORDER_PAID, &ORDER_EMPTY, &TOO_MANY_LINES, &TIMEOUT, &CANCELLED_BY_OPERATOR, &NO_CHECKOUT];
