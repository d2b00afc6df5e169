//! What to call it when the search is stuck, and which operations show it.

use super::search::{Configuration, Search};
use crate::referee::case::Source;

/// So many operations are named besides the one that cannot be explained.
const NAMED_MAX: usize = 4;

/// What is wrong with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::referee) enum Wrong {
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
pub(in crate::referee) struct Explanation {
    pub(in crate::referee) wrong: Wrong,
    /// The operation that cannot be explained; `None` for the final state.
    pub(in crate::referee) culprit: Option<Source>,
    /// What was read, where something was.
    pub(in crate::referee) read: Option<i64>,
    /// The smallest and the largest value that there could have been.
    pub(in crate::referee) possible: (i64, i64),
    /// Operations that have to do with it.
    pub(in crate::referee) related: Vec<Source>,
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

pub(super) fn overdrawn(search: &Search<'_>, number: u32, tried: &[Configuration]) -> Explanation {
    Explanation {
        wrong: Wrong::Overdrawn,
        culprit: search.change(number).map(|change| change.source),
        read: None,
        possible: range(tried),
        related: ended_with(search, |delta| delta < 0),
    }
}

pub(super) fn refused_wrongly(search: &Search<'_>, number: u32, tried: &[Configuration]) -> Explanation {
    Explanation {
        wrong: Wrong::RefusedWrongly,
        culprit: observer(search, number),
        read: None,
        possible: range(tried),
        related: last_explained(search),
    }
}

/// The account is off from this observation on.
pub(super) fn lasting(search: &Search<'_>, number: u32, read: i64, nearest: i64) -> Explanation {
    let missing = nearest - read;
    let (lost, twice) = (ended_with(search, |delta| delta == missing), ended_with(search, |delta| delta == -missing));
    let (wrong, mut related) = match (lost.is_empty(), twice.is_empty()) {
        (false, _) => (Wrong::LostUpdate, lost),
        (true, false) => (Wrong::AppliedTwice, twice),
        (true, true) => (Wrong::Unexplained, ended_with(search, |_| true)),
    };
    related.extend(last_explained(search));
    explanation(search, number, wrong, read, nearest, related)
}

/// Only this observation is off.
pub(super) fn passing(search: &Search<'_>, number: u32, read: i64, nearest: i64) -> Explanation {
    let missing = nearest - read;
    let refused: Vec<Source> = search
        .observation(number)
        .map(|seen| {
            let refusals = search.ledger.refusals.iter();
            let overlapping = refusals.filter(|refusal| refusal.start <= seen.end && refusal.end >= seen.start);
            let showing = overlapping.filter(|refusal| refusal.delta == -missing);
            showing.map(|refusal| Source::Operation(refusal.operation)).take(NAMED_MAX).collect()
        })
        .unwrap_or_default();
    let missed = ended_with(search, |delta| delta == missing);
    let (wrong, related) = if !refused.is_empty() {
        (Wrong::DirtyRead, refused)
    } else if !missed.is_empty() {
        (Wrong::StaleRead, missed)
    } else if search.past.contains(&read) {
        let mut newer = last_explained(search);
        newer.extend(ended_with(search, |_| true));
        (Wrong::StaleRead, newer)
    } else {
        (Wrong::PhantomRead, ended_with(search, |_| true))
    };
    explanation(search, number, wrong, read, nearest, related)
}

fn explanation(
    search: &Search<'_>,
    number: u32,
    wrong: Wrong,
    read: i64,
    nearest: i64,
    related: Vec<Source>,
) -> Explanation {
    Explanation { wrong, culprit: observer(search, number), read: Some(read), possible: (nearest, nearest), related }
}

fn observer(search: &Search<'_>, number: u32) -> Option<Source> {
    search.observation(number).and_then(|observation| observation.operation).map(Source::Operation)
}

fn last_explained(search: &Search<'_>) -> Vec<Source> {
    search.explained.and_then(|number| observer(search, number)).into_iter().collect()
}

/// The last changes that ended and are of this effect, the newest first.
fn ended_with(search: &Search<'_>, wanted: impl Fn(i64) -> bool) -> Vec<Source> {
    let ended = search.ended.iter().rev().filter_map(|number| search.change(*number));
    ended.filter(|change| wanted(change.delta)).map(|change| change.source).take(NAMED_MAX).collect()
}
