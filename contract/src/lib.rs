//! What order, stock and payment exchange: identifiers, amounts, events and queries. No I/O.
//!
//! Encoded forms are numbered CBOR fields: fields and variants are only ever added, and a variant that a reader does
//! not know stops the reader instead of being skipped.

mod amount;
mod event;
mod id;
mod operator;
mod query;
mod request;
mod service;
mod sum;
mod trace;

pub use amount::{Amount, AmountError, Quantity};
pub use event::{Change, Checkout, CheckoutData, Event, Line, Reason, Shortage, Station, Turn, Wait};
pub use id::{CheckoutId, ID_BYTES_MAX, Id, IdError, ItemId, OrderId, UserId};
pub use operator::{REMARK_BYTES_MAX, Remark, RemarkError};
pub use query::{Answer, Books, Counted, Queries, QueryError};
pub use request::RequestName;
pub use service::Service;
pub use sum::Sum;
pub use trace::{CallerSpan, SpanId, TraceId};

/// The most lines an order may have: keeps every event and record far below what a store must accept.
pub const LINES_MAX: usize = 100;
