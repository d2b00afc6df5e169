//! The referee: is a recorded history of a shop with the order/stock/payment API, with the state that it ended in, one that
//! a correct shop can have?
//!
//! ```text
//!  FILE ──▶ history::read() ──▶ judge() ──▶ Verdict ──▶ Table (text), page (HTML), JSON
//! ```
//!
//! It knows nothing but requests and answers, so it judges any server; `docs/referee.md` describes the file, so any program
//! may write one.

mod anomaly;
mod audit;
mod error;
pub mod history;
mod judge;
mod machine;
mod outcome;
pub mod page;
mod text;

pub use {
    anomaly::AnomalyKind,
    audit::AuditOptions,
    error::{Error, Result},
    judge::{Check, Finding, Shown, Table, Verdict, judge, judge_books},
    machine::Machine,
    outcome::{Outcome, Tally},
    text::quote,
};
