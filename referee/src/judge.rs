//! The referee: is a history, with the state that it ended in, one that a correct shop can have?
//!
//! ```text
//!              ┌ orders      every 200 still true · every 4xx left nothing · lines and reads as answered
//!  History ──▶ │ accounts    each item and user: conserved exactly · linearizable (a search)
//!              └ serial      one order for everything: no cycle between checkouts and reads
//!                   └──▶ Verdict: what was checked and how · what was not decided · findings with their operations
//! ```

mod accounts;
mod case;
mod finding;
mod linear;
mod orders;
mod serial;
mod verdict;

pub use {
    finding::{Finding, Shown},
    verdict::{Check, Table, Verdict},
};

use case::Case;
use linear::Limits;

use crate::history::History;

/// Judges a history.
#[must_use]
pub fn judge(history: &History) -> Verdict {
    let case = Case::new(history);
    let orders = orders::judge(&case);
    let mut accounts = accounts::conserve(&case);
    accounts::search(&case, Limits::default(), &mut accounts);
    let serial = serial::judge(&case);
    Verdict::of(history, &case, orders, accounts, serial)
}

/// Judges only what a history without reads and times can show: answers and conservation.
#[must_use]
pub fn judge_books(history: &History) -> Verdict {
    let case = Case::new(history);
    Verdict::of(history, &case, orders::judge(&case), accounts::conserve(&case), serial::Judgement::default())
}

#[cfg(test)]
mod tests;
