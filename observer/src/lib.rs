//! The observer: consumes the events of all services and keeps a bounded history of them, so that every checkout, item and
//! user can tell its story. Nobody waits for it, and nothing depends on what it knows.
//!
//! ```text
//!   order, stock, payment ── events ──▶ Tail ── full ──▶ Page(n) + Index(n)      oldest dropped by time and by size
//!                                        │                  │
//!                                        └── Undecided ◀────┘ checkouts that began and were not decided yet
//! ```
//!
//! A *page* is some events, sorted to the checkouts that they are of; it never changes. What may be in it is told by its
//! *index*, which is kept in memory for all pages. A checkout whose events are on two pages has a piece on each.

mod console;
mod explain;
mod filter;
mod history;
mod index;
mod ledger;
mod page;
mod participant;
mod proof;
mod query;
mod reason;
mod record;
mod routes;
mod search;
mod shown;
mod statement;
mod undecided;
mod wanted;

pub use explain::explain;
pub use filter::{Filter, State};
pub use history::History;
pub use index::Index;
pub use ledger::{From, Ledger, Sums};
pub use page::{Accounts, Act, Gap, Happening, Movement, Noted, Page, Story, What};
pub use participant::{Observer, Retention, Witness};
pub use proof::{Proof, Prover, Verdict};
pub use query::{Account, Changes, Command, Counts, Cursor, Entry, Found, Placed, Reply, Row, Span};
pub use reason::name_of;
pub use record::{HistoryKey, HistoryRecord};
pub use routes::router;
pub use shown::{ShownAct, ShownCheckout, ShownEvent, ShownLine, ShownRow, moment};
pub use statement::Running;
