//! What to call it when the search is stuck, and which operations show it.

use super::evidence::{Configuration, Evidence};
use crate::judge::case::Source;

/// So many operations are named besides the one that cannot be explained.
const NAMED_MAX: usize = 4;

/// What is wrong with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum Wrong {
    /// More was taken than there was.
    Overdrawn,
    /// Something was refused for want of what was there all the time.
    RefusedWrongly,
    /// A read missed what had ended before it began.
    StaleRead,
    /// A read showed what was refused.
    DirtyRead,
    /// A read showed a value that there never was.
    PhantomRead,
    /// What was answered with success is missing from then on.
    LostUpdate,
    /// What was asked once shows twice from then on.
    AppliedTwice,
    /// The value is off from then on, and no operation explains by how much.
    Unexplained,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::judge) struct Explanation {
    pub(in crate::judge) wrong: Wrong,
    /// The operation that cannot be explained; `None` for the final state.
    pub(in crate::judge) culprit: Option<Source>,
    /// What was read, where something was.
    pub(in crate::judge) read: Option<i64>,
    /// The smallest and the largest value that there could have been.
    pub(in crate::judge) possible: (i64, i64),
    /// Operations that have to do with it.
    pub(in crate::judge) related: Vec<Source>,
    /// From where the sum can be done again.
    pub(in crate::judge) from: From,
}

/// The last value that was certain, and what changed it since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::judge) struct From {
    pub(in crate::judge) value: i64,
    /// The first changes since, in the order in which they began.
    pub(in crate::judge) changes: Vec<Source>,
    /// How many more there are.
    pub(in crate::judge) unnamed: usize,
}

fn from(evidence: &Evidence<'_>) -> From {
    let changes = evidence.since.iter().filter_map(|number| evidence.change(*number)).map(|change| change.source);
    From { value: evidence.certain, changes: changes.collect(), unnamed: evidence.since_unnamed }
}

/// The value that was possible and is nearest to what was read.
pub(super) fn nearest(tried: &[Configuration], read: i64) -> i64 {
    let values = tried.iter().map(|configuration| configuration.value);
    values.min_by_key(|value| (value.abs_diff(read), *value)).unwrap_or(0)
}

fn range(tried: &[Configuration]) -> (i64, i64) {
    let values = || tried.iter().map(|configuration| configuration.value);
    (values().min().unwrap_or(0), values().max().unwrap_or(0))
}

pub(super) fn overdrawn(evidence: &Evidence<'_>, number: u32, tried: &[Configuration]) -> Explanation {
    Explanation {
        wrong: Wrong::Overdrawn,
        culprit: evidence.change(number).map(|change| change.source),
        read: None,
        possible: range(tried),
        related: ended_with(evidence, |delta| delta < 0),
        from: from(evidence),
    }
}

pub(super) fn refused_wrongly(evidence: &Evidence<'_>, number: u32, tried: &[Configuration]) -> Explanation {
    Explanation {
        wrong: Wrong::RefusedWrongly,
        culprit: observer(evidence, number),
        read: None,
        possible: range(tried),
        related: last_explained(evidence),
        from: from(evidence),
    }
}

/// The account is off from this observation on.
pub(super) fn lasting(evidence: &Evidence<'_>, number: u32, read: i64, nearest: i64) -> Explanation {
    let missing = nearest - read;
    let (lost, twice) =
        (ended_with(evidence, |delta| delta == missing), ended_with(evidence, |delta| delta == -missing));
    let (wrong, mut related) = match (lost.is_empty(), twice.is_empty()) {
        (false, _) => (Wrong::LostUpdate, lost),
        (true, false) => (Wrong::AppliedTwice, twice),
        (true, true) => (Wrong::Unexplained, ended_with(evidence, |_| true)),
    };
    related.extend(last_explained(evidence));
    explanation(evidence, number, wrong, read, nearest, related)
}

/// Only this observation is off.
pub(super) fn passing(evidence: &Evidence<'_>, number: u32, read: i64, nearest: i64) -> Explanation {
    let missing = nearest - read;
    let refused: Vec<Source> = evidence
        .observation(number)
        .map(|seen| {
            let refusals = evidence.ledger.refusals.iter();
            let overlapping = refusals.filter(|refusal| refusal.start <= seen.end && refusal.end >= seen.start);
            let showing = overlapping.filter(|refusal| refusal.delta == -missing);
            showing.map(|refusal| Source::Operation(refusal.operation)).take(NAMED_MAX).collect()
        })
        .unwrap_or_default();
    let missed = ended_with(evidence, |delta| delta == missing);
    let (wrong, related) = if !refused.is_empty() {
        (Wrong::DirtyRead, refused)
    } else if !missed.is_empty() {
        (Wrong::StaleRead, missed)
    } else if evidence.past.contains(&read) {
        let mut newer = last_explained(evidence);
        newer.extend(ended_with(evidence, |_| true));
        (Wrong::StaleRead, newer)
    } else {
        (Wrong::PhantomRead, ended_with(evidence, |_| true))
    };
    explanation(evidence, number, wrong, read, nearest, related)
}

fn explanation(
    evidence: &Evidence<'_>,
    number: u32,
    wrong: Wrong,
    read: i64,
    nearest: i64,
    related: Vec<Source>,
) -> Explanation {
    Explanation {
        wrong,
        culprit: observer(evidence, number),
        read: Some(read),
        possible: (nearest, nearest),
        related,
        from: from(evidence),
    }
}

fn observer(evidence: &Evidence<'_>, number: u32) -> Option<Source> {
    evidence.observation(number).and_then(|observation| observation.operation).map(Source::Operation)
}

fn last_explained(evidence: &Evidence<'_>) -> Vec<Source> {
    evidence.last_explained.and_then(|number| observer(evidence, number)).into_iter().collect()
}

/// The last changes that ended and are of this effect, the newest first.
fn ended_with(evidence: &Evidence<'_>, wanted: impl Fn(i64) -> bool) -> Vec<Source> {
    let ended = evidence.ended.iter().rev().filter_map(|number| evidence.change(*number));
    ended.filter(|change| wanted(change.delta)).map(|change| change.source).take(NAMED_MAX).collect()
}
