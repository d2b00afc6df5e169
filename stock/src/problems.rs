//! The failures that stock tells its callers about.

use axum::http::StatusCode;
use web::problem::Kind;

/// There are not that many units.
pub static OUT_OF_STOCK: Kind = Kind::new(
    "out-of-stock",
    StatusCode::CONFLICT,
    "Not enough units in stock",
    "The item named by `item_id` has fewer units than asked for, and would have even if everything that running \
     checkouts hold were given back. Nothing was changed. It may succeed once stock was added.",
);
/// All of them.
pub static ALL: &[&Kind] = &[&OUT_OF_STOCK];
