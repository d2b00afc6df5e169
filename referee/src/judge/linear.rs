//! Whether one account behaved as if everything that happened to it had happened at one moment each, between its
//! request and its answer: linearizability, decided by a search.
//!
//! The search goes through the beginnings and ends of all operations in order of time, and keeps every *configuration*
//! that is possible so far: the value, and which of the operations that run have taken effect. An operation is made to
//! take effect only when something ends that needs it (just in time). When an operation ends, configurations in which it
//! has not taken effect are dead; when none is left, what has just ended cannot be explained.
//!
//! ```text
//!   time ─────────────────────────────────────────────▶
//!   add 3      ├────────────┤                               ┌ value 5, none in effect
//!   take 1          ├──────────────┤         configurations ┤ value 8, add in effect
//!   find = 7          ├────────┤ ◀─ its end: only those     └ value 7, both in effect, find satisfied
//!                                    that have seen 7 live
//! ```
//!
//! Three things keep the number of configurations small without losing any answer. Configurations that are equal are
//! kept once (Wing and Gong's search with Lowe's memoization). Operations with the same effect are taken in the order of
//! their ends, since whoever ends first needs it first. And a read is satisfied as soon as it can be, since it changes
//! nothing. When nothing runs, one configuration is left: there the search is cut by itself.

mod evidence;
mod explain;
mod search;

pub(super) use explain::{Explanation, From, Wrong};
use search::Search;

use super::case::Ledger;

/// How far to search before giving up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Configurations tried at one moment.
    pub(super) configurations_max: usize,
    /// Configurations tried for one account.
    pub(super) work_max: u64,
    /// Anomalies named for one account; what comes after is as likely a consequence of those.
    pub(super) named_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { configurations_max: 100_000, work_max: 30_000_000, named_max: 8 }
    }
}

/// What the search says of one account.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    /// What cannot be explained.
    pub(super) wrong: Vec<Explanation>,
    /// Operations that were decided.
    pub(super) decided: u64,
    /// Observations that were not, because there were too many possibilities.
    pub(super) undecided: u64,
}

/// Searches one account.
pub(super) fn judge(ledger: &Ledger, limits: Limits) -> Judgement {
    Search::new(ledger, limits).run()
}

#[cfg(test)]
mod tests;
