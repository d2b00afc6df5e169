//! The judgement of each item and each user: conservation and linearizability.

use std::collections::HashSet;

use super::{
    case::{Case, Change, Claim, Ledger, OPEN, Observation, Source},
    finding::{Finding, account_name},
    linear::{self, Explanation, Limits, Wrong},
};
use crate::{AnomalyKind, history::Account};

/// Sums that unknown outcomes may add up to; with more, only the smallest and the largest count.
const SUMS_MAX: usize = 200_000;
/// Changes that are named when a balance is off.
const NAMED_MAX: usize = 6;

/// What was found out.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    pub(super) conservation: Vec<Finding>,
    pub(super) conserved: u64,
    /// Whose last value was not there to be compared.
    pub(super) unread: u64,
    pub(super) linear: Vec<Finding>,
    pub(super) linear_decided: u64,
    pub(super) linear_undecided: u64,
}

/// Judges the final value of every account.
pub(super) fn conserve(case: &Case<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    for (account, ledger) in &case.ledgers {
        let wrong = |kind, detail: String| Finding::new(case, kind, account_name(case.history, *account), detail, []);
        match ledger.last {
            None => judgement.unread += 1,
            Some(None) => {
                let detail = "the server does not know it any more".to_owned();
                judgement.conservation.push(wrong(AnomalyKind::Missing, detail));
            }
            Some(Some(found)) => {
                judgement.conserved += 1;
                judgement.conservation.extend(Balance::of(ledger).compare(case, *account, ledger, found));
            }
        }
        let preface = &case.history.preface;
        if let Account::Item(item) = account
            && let Some(price) = case.history.state.price.get(item)
            && *item < preface.items
            && u64::try_from(*price) != Ok(preface.price)
        {
            let detail = format!("its price is {price}, not {}", preface.price);
            judgement.conservation.push(wrong(AnomalyKind::PriceChanged, detail));
        }
    }
    judgement
}

/// Judges what was seen of every account meanwhile.
pub(super) fn search(case: &Case<'_>, limits: Limits, judgement: &mut Judgement) {
    for (account, ledger) in &case.ledgers {
        let conserved = matches!(ledger.last, Some(Some(found)) if Balance::of(ledger).is_right(found));
        search_one(case, *account, ledger, conserved, limits, judgement);
    }
}

/// What the final value of an account has to be.
struct Balance {
    initial: i128,
    added: i128,
    taken: i128,
    /// What may have happened or not.
    open: Vec<i64>,
}

impl Balance {
    fn of(ledger: &Ledger) -> Self {
        let certain =
            || ledger.changes.iter().filter(|change| change.end != OPEN).map(|change| i128::from(change.delta));
        Self {
            initial: ledger.initial.into(),
            added: certain().filter(|delta| *delta > 0).sum(),
            taken: -certain().filter(|delta| *delta < 0).sum::<i128>(),
            open: ledger.changes.iter().filter(|change| change.end == OPEN).map(|change| change.delta).collect(),
        }
    }

    fn explains(&self, found: i64) -> bool {
        let missing = i128::from(found) - (self.initial + self.added - self.taken);
        let mut sums: HashSet<i128> = HashSet::from([0]);
        for delta in &self.open {
            let more: Vec<i128> = sums.iter().map(|sum| sum + i128::from(*delta)).collect();
            sums.extend(more);
            if sums.len() > SUMS_MAX {
                let (least, most) = self.bounds();
                return (least..=most).contains(&missing);
            }
        }
        sums.contains(&missing)
    }

    /// The least and the most that the open changes add.
    fn bounds(&self) -> (i128, i128) {
        let sum = |wanted: fn(&&i64) -> bool| self.open.iter().filter(wanted).map(|delta| i128::from(*delta)).sum();
        (sum(|delta| **delta < 0), sum(|delta| **delta > 0))
    }

    /// Whether even the largest value that is possible is none that could be taken from.
    fn is_overdrawn(&self, found: i64) -> bool {
        let (_, most) = self.bounds();
        self.initial + self.added - self.taken + most < 0 || found < 0
    }

    fn is_right(&self, found: i64) -> bool {
        !self.is_overdrawn(found) && self.explains(found)
    }

    fn compare(&self, case: &Case<'_>, account: Account, ledger: &Ledger, found: i64) -> Option<Finding> {
        let (least, most) = self.bounds();
        let explained = self.initial + self.added - self.taken;
        if self.is_right(found) {
            return None;
        }
        let overdrawn = self.is_overdrawn(found);
        let of_item = matches!(account, Account::Item(_));
        let kind = match (overdrawn, i128::from(found) > explained, of_item) {
            (true, _, true) => AnomalyKind::Oversold,
            (true, _, false) => AnomalyKind::Overspent,
            (false, true, true) => AnomalyKind::StockInvented,
            (false, true, false) => AnomalyKind::CreditInvented,
            (false, false, true) => AnomalyKind::StockLost,
            (false, false, false) => AnomalyKind::CreditLost,
        };
        let Self { initial, added, taken, .. } = self;
        let mut detail =
            format!("{initial} at first, {added} added, {taken} taken leaves {explained}, but {found} is there");
        if !self.open.is_empty() {
            detail.push_str(&format!(
                "; {} changes of unknown outcome make it between {} and {}",
                self.open.len(),
                explained + least,
                explained + most
            ));
        }
        let off = explained - i128::from(found);
        let subject = account_name(case.history, account);
        Some(Finding::new(case, kind, subject, detail, suspects(ledger, off)))
    }
}

/// Changes of just the amount by which a balance is off, or else the first ones that overlap another.
fn suspects(ledger: &Ledger, off: i128) -> Vec<Source> {
    let sources = |wanted: &dyn Fn(usize, &Change) -> bool| -> Vec<Source> {
        let wanted = ledger.changes.iter().enumerate().filter(|(place, change)| wanted(*place, change));
        wanted.map(|(_, change)| change.source).take(NAMED_MAX).collect()
    };
    let overlaps = |place: usize, change: &Change| {
        let next = ledger.changes.get(place + 1).is_some_and(|next| next.start <= change.end);
        let before = place.checked_sub(1).and_then(|before| ledger.changes.get(before));
        next || before.is_some_and(|before| before.end >= change.start)
    };
    let exact = sources(&|place, change| i128::from(change.delta) == off && overlaps(place, change));
    if exact.is_empty() { sources(&|place, change| overlaps(place, change)) } else { exact }
}

fn search_one(
    case: &Case<'_>,
    account: Account,
    ledger: &Ledger,
    conserved: bool,
    limits: Limits,
    judgement: &mut Judgement,
) {
    if ledger.observations.is_empty() && ledger.changes.iter().all(|change| change.delta >= 0) {
        return;
    }
    let mut watched = ledger.clone();
    if let (true, Some(Some(found))) = (conserved, ledger.last) {
        // The final state was read after everything else: it pins what is open.
        let (start, end) = (case.horizon + 1, case.horizon + 2);
        watched.observations.push(Observation { operation: None, start, end, claim: Claim::Equals(found) });
    }
    let found = linear::judge(&watched, limits);
    judgement.linear_decided += found.decided;
    judgement.linear_undecided += found.undecided;
    for explanation in found.wrong {
        // The final state was judged above; that it fits is all that it is here for.
        judgement.linear.push(finding(case, account, &explanation));
    }
}

fn finding(case: &Case<'_>, account: Account, explanation: &Explanation) -> Finding {
    let of_item = matches!(account, Account::Item(_));
    let (least, most) = explanation.possible;
    let possible = if least == most { least.to_string() } else { format!("{least} to {most}") };
    let read = explanation.read.map_or_else(String::new, |read| read.to_string());
    let at_the_end = if explanation.culprit.is_none() { " at the end" } else { "" };
    let (kind, detail) = match explanation.wrong {
        Wrong::Overdrawn if of_item => {
            (AnomalyKind::Oversold, format!("more was taken than there was: only {possible} was left"))
        }
        Wrong::Overdrawn => {
            (AnomalyKind::Overspent, format!("more was taken than there was: only {possible} was left"))
        }
        Wrong::RefusedWrongly => {
            (AnomalyKind::RefusedWrongly, format!("refused for want of what was there all the time: {possible}"))
        }
        Wrong::StaleRead => (
            AnomalyKind::StaleRead,
            format!("read as {read}{at_the_end}, which misses what had been answered before: {possible} was due"),
        ),
        Wrong::DirtyRead => (
            AnomalyKind::DirtyRead,
            format!("read as {read}{at_the_end}, which shows what was refused: {possible} was due"),
        ),
        Wrong::PhantomRead => {
            (AnomalyKind::PhantomRead, format!("read as {read}{at_the_end}, which it never was: {possible} was due"))
        }
        Wrong::LostUpdate => (
            AnomalyKind::LostUpdate,
            format!("{read} from here on{at_the_end} instead of {possible}: what was answered 2xx is missing"),
        ),
        Wrong::AppliedTwice => (
            AnomalyKind::AppliedTwice,
            format!("{read} from here on{at_the_end} instead of {possible}: something shows twice"),
        ),
        Wrong::Unexplained => (
            AnomalyKind::UnexplainedValue,
            format!("{read} from here on{at_the_end} instead of {possible}: no operation explains it"),
        ),
    };
    let linear::From { value, changes, unnamed } = &explanation.from;
    let since = match (changes.len(), unnamed) {
        (0, _) => format!("{detail}; it was {value} until then"),
        (_, 0) => format!("{detail}; it was {value} before the changes below"),
        (_, unnamed) => format!("{detail}; it was {value} before the changes below and {unnamed} more"),
    };
    let sources = changes.iter().chain(&explanation.related).copied().chain(explanation.culprit);
    Finding::new(case, kind, account_name(case.history, account), since, sources)
}
