//! What became of an operation, as far as its client can tell.
//!
//! ```text
//!  2xx ─▶ succeeded          4xx ─▶ refused, by reason          anything else ─▶ unknown, by cause
//! ```
//!
//! Unknown is a class of its own because it may have been either: a client that counts a 5xx or a cut connection as a
//! failure, or as a sale, is wrong some of the time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Distinct reasons that are counted by name; a server that invents more has the rest counted as [`REASON_OTHER`].
const REASON_COUNT_MAX: usize = 64;
const REASON_OTHER: &str = "other";

/// The three ways a checkout can end for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A 2xx: completed.
    Succeeded,
    /// A 4xx: durably cancelled.
    Refused,
    /// No answer that says: completed or not.
    Unknown,
}

impl Outcome {
    /// All of them, in the order in which reports list them.
    pub const ALL: [Self; 3] = [Self::Succeeded, Self::Refused, Self::Unknown];

    /// What an HTTP status means.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Succeeded,
            400..=499 => Self::Refused,
            _ => Self::Unknown,
        }
    }

    /// The outcome's name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// How many checkouts ended in which way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Answered 2xx.
    pub succeeded: u64,
    /// Answered 4xx, by reason: the last segment of the problem's `type` where the body has one, otherwise the status.
    pub refused: BTreeMap<String, u64>,
    /// Neither, by cause: a status, `cut-off`, `timed-out` or `malformed`.
    pub unknown: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts one operation.
    pub fn count(&mut self, outcome: Outcome, reason: Option<&str>) {
        let reason = reason.unwrap_or(REASON_OTHER);
        match outcome {
            Outcome::Succeeded => self.succeeded += 1,
            Outcome::Refused => count_reason(&mut self.refused, reason),
            Outcome::Unknown => count_reason(&mut self.unknown, reason),
        }
    }

    /// How many ended in `outcome`.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Succeeded => self.succeeded,
            Outcome::Refused => self.refused.values().sum(),
            Outcome::Unknown => self.unknown.values().sum(),
        }
    }

    /// The reasons of `outcome` with their counts, most frequent first.
    #[must_use]
    pub fn reasons(&self, outcome: Outcome) -> Vec<(&str, u64)> {
        let reasons = match outcome {
            Outcome::Succeeded => return Vec::new(),
            Outcome::Refused => &self.refused,
            Outcome::Unknown => &self.unknown,
        };
        let mut reasons: Vec<_> = reasons.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons
    }

    /// How many were sent.
    #[must_use]
    pub fn total(&self) -> u64 {
        Outcome::ALL.into_iter().map(|outcome| self.of(outcome)).sum()
    }

    /// Adds another tally to this one.
    pub fn merge(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        for (into, from) in [(&mut self.refused, &other.refused), (&mut self.unknown, &other.unknown)] {
            for (reason, count) in from {
                *into.entry(reason.clone()).or_default() += count;
            }
        }
    }
}

fn count_reason(counts: &mut BTreeMap<String, u64>, reason: &str) {
    let reason = if counts.contains_key(reason) || counts.len() < REASON_COUNT_MAX { reason } else { REASON_OTHER };
    match counts.get_mut(reason) {
        Some(count) => *count += 1,
        None => drop(counts.insert(reason.to_owned(), 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_4xx_is_a_refusal_and_only_2xx_a_success() {
        for status in 100..=999 {
            let expected = match status / 100 {
                2 => Outcome::Succeeded,
                4 => Outcome::Refused,
                _ => Outcome::Unknown,
            };
            assert_eq!(Outcome::of_status(status), expected, "{status}");
        }
    }

    #[test]
    fn a_server_cannot_make_the_tally_grow_without_end() {
        let mut tally = Tally::default();
        for number in 0..10_000 {
            tally.count(Outcome::Refused, Some(&number.to_string()));
        }
        assert_eq!(tally.of(Outcome::Refused), 10_000);
        assert!(tally.refused.len() <= REASON_COUNT_MAX + 1);
        assert_eq!(tally.refused.get(REASON_OTHER), Some(&(10_000 - 64)));
    }

    #[test]
    fn merging_adds_up_and_reasons_are_listed_most_frequent_first() {
        let mut tally = Tally::default();
        for (outcome, reason) in [
            (Outcome::Succeeded, None),
            (Outcome::Unknown, Some("504")),
            (Outcome::Unknown, Some("timed-out")),
            (Outcome::Unknown, Some("timed-out")),
        ] {
            let mut one = Tally::default();
            one.count(outcome, reason);
            tally.merge(&one);
        }
        assert_eq!((tally.succeeded, tally.total()), (1, 4));
        assert_eq!(tally.reasons(Outcome::Unknown), [("timed-out", 2), ("504", 1)]);
    }
}
