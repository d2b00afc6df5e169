//! What became of a checkout, as far as its client can tell.
//!
//! ```text
//!  2xx ─▶ succeeded          4xx ─▶ refused, by reason          anything else ─▶ unknown, by cause
//! ```
//!
//! Unknown is a class of its own because it may have been either: a client that counts a 5xx or a cut connection as a
//! failure, or as a sale, is wrong some of the time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::client::{Answer, Failure};

/// Distinct reasons that are counted by name; a server that invents more has the rest counted as [`REASON_OTHER`].
const REASON_COUNT_MAX: usize = 64;
const REASON_OTHER: &str = "other";
const REASON_BYTES_MAX: usize = 64;

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
    /// Counts the end of one exchange and says what it means.
    pub fn count(&mut self, end: &Result<Answer<'_>, Failure>) -> Outcome {
        let (outcome, reason) = classify(end);
        self.count_classified(outcome, reason.as_deref());
        outcome
    }

    /// Counts what [`classify`] said of an exchange.
    pub fn count_classified(&mut self, outcome: Outcome, reason: Option<&str>) {
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

/// What the end of one exchange means and, unless it succeeded, the reason.
#[must_use]
pub fn classify(end: &Result<Answer<'_>, Failure>) -> (Outcome, Option<SmolStr>) {
    match end {
        Ok(answer) => {
            let outcome = Outcome::of_status(answer.status);
            let reason = match outcome {
                Outcome::Succeeded => None,
                Outcome::Refused => Some(refusal_reason(answer)),
                Outcome::Unknown => Some(SmolStr::new(itoa::Buffer::new().format(answer.status))),
            };
            (outcome, reason)
        }
        Err(failure) => {
            let cause = match failure {
                Failure::CutOff(_) => "cut-off",
                Failure::TimedOut => "timed-out",
                Failure::Malformed(_) => "malformed",
            };
            (Outcome::Unknown, Some(SmolStr::new_static(cause)))
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

/// The member of RFC 9457 problem details that says which problem it is.
#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    type_uri: String,
}

/// Reasons go to a terminal, so only plain slugs are taken from the server.
fn refusal_reason(answer: &Answer<'_>) -> SmolStr {
    serde_json::from_slice::<Problem>(answer.body)
        .ok()
        .and_then(|problem| problem.type_uri.rsplit(['/', '#', ':']).next().map(SmolStr::new))
        .filter(|reason| is_slug(reason) && reason != "blank")
        .unwrap_or_else(|| SmolStr::new(itoa::Buffer::new().format(answer.status)))
}

fn is_slug(text: &str) -> bool {
    (1..=REASON_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn answered(status: u16, body: &str) -> Tally {
        let mut tally = Tally::default();
        tally.count(&Ok(Answer { status, body: body.as_bytes() }));
        tally
    }

    fn refused(status: u16, body: &str) -> String {
        let tally = answered(status, body);
        assert_eq!((tally.total(), tally.of(Outcome::Refused)), (1, 1));
        tally.refused.into_keys().next().unwrap()
    }

    #[test]
    fn only_4xx_is_a_refusal_and_only_2xx_a_success() {
        for status in 100..=999 {
            let expected = match status / 100 {
                2 => Outcome::Succeeded,
                4 => Outcome::Refused,
                _ => Outcome::Unknown,
            };
            assert_eq!(Outcome::of_status(status), expected, "{status}");
            assert_eq!(answered(status, "").of(expected), 1, "{status}");
        }
    }

    #[test]
    fn a_refusal_is_named_by_the_last_segment_of_its_problem_type() {
        for problem_type in [
            "https://shop.example/problems/out-of-stock",
            "/problems/out-of-stock",
            "urn:problem:out-of-stock",
            "out-of-stock",
        ] {
            let body = format!(r#"{{"type":"{problem_type}","title":"Out of stock","status":409,"item_id":"7"}}"#);
            assert_eq!(refused(409, &body), "out-of-stock", "{problem_type}");
        }
    }

    #[test]
    fn a_refusal_without_a_usable_problem_type_is_named_by_its_status() {
        let long = format!(r#"{{"type":"/{}"}}"#, "a".repeat(65));
        for body in [
            "",
            "no stock",
            "{}",
            r#"{"type":7}"#,
            r#"{"type":"about:blank"}"#,
            r#"{"type":"/a/"}"#,
            r#"{"type":"/\u001b[2J"}"#,
            &long,
        ] {
            assert_eq!(refused(402, body), "402", "{body}");
        }
    }

    #[test]
    fn failures_are_unknown_by_cause() {
        let mut tally = Tally::default();
        for failure in [Failure::TimedOut, Failure::CutOff(io::ErrorKind::ConnectionReset.into()), Failure::TimedOut] {
            assert_eq!(tally.count(&Err(failure)), Outcome::Unknown);
        }
        tally.count(&Ok(Answer { status: 504, body: b"" }));
        assert_eq!(tally.reasons(Outcome::Unknown), [("timed-out", 2), ("504", 1), ("cut-off", 1)]);
        assert_eq!(tally.total(), 4);
    }

    #[test]
    fn a_server_cannot_make_the_tally_grow_without_end() {
        let mut tally = Tally::default();
        for number in 0..10_000 {
            let body = format!(r#"{{"type":"/{number}"}}"#);
            tally.count(&Ok(Answer { status: 400, body: body.as_bytes() }));
        }
        assert_eq!(tally.of(Outcome::Refused), 10_000);
        assert!(tally.refused.len() <= REASON_COUNT_MAX + 1);
        assert_eq!(tally.refused.get(REASON_OTHER), Some(&(10_000 - 64)));
    }

    #[test]
    fn merging_adds_up() {
        let mut tally = answered(200, "");
        tally.merge(&answered(200, ""));
        tally.merge(&answered(409, r#"{"type":"/busy"}"#));
        tally.merge(&answered(500, ""));
        assert_eq!(tally.succeeded, 2);
        assert_eq!(tally.reasons(Outcome::Refused), [("busy", 1)]);
        assert_eq!(tally.reasons(Outcome::Unknown), [("500", 1)]);
    }
}
