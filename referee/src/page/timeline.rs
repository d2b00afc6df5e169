//! A history by time: how much, how fast, and when something was done to the server.

use std::collections::BTreeMap;

use crate::{
    history::{Action, FaultKind, History},
    outcome::{Outcome, Tally},
};

/// At most this many points are drawn.
const BUCKETS_MAX: u64 = 120;
/// Widths that people can read, in milliseconds.
const WIDTHS_MS: [u64; 16] =
    [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000];
const NANOSECONDS_PER_MS: u64 = 1_000_000;

/// What happened in one stretch of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Bucket {
    /// Answers per second, in the order of [`Outcome::ALL`].
    pub(super) rates: [f64; 3],
    /// Milliseconds at the middle, at 99 % and at most, of answers that succeeded or were refused; `None` without any.
    pub(super) latencies_ms: Option<[f64; 3]>,
}

/// When the server was down, or was told so.
#[derive(Clone, Debug)]
pub(super) struct Outage {
    pub(super) from_seconds: f64,
    pub(super) to_seconds: Option<f64>,
    pub(super) text: String,
}

/// What one kind of operation came to.
#[derive(Clone, Debug, Default)]
pub(super) struct OfKind {
    pub(super) tally: Tally,
    pub(super) latencies_ms: Option<[f64; 3]>,
}

/// A history by time.
#[derive(Debug)]
pub(super) struct Timeline {
    pub(super) bucket_seconds: f64,
    pub(super) seconds: f64,
    pub(super) buckets: Vec<Bucket>,
    pub(super) outages: Vec<Outage>,
    pub(super) kinds: BTreeMap<&'static str, OfKind>,
    pub(super) tally: Tally,
}

impl Timeline {
    pub(super) fn of(history: &History) -> Self {
        let total_ms = (history.end() / NANOSECONDS_PER_MS).max(1);
        let fits = |width: &&u64| total_ms.div_ceil(**width) <= BUCKETS_MAX;
        let width_ms = WIDTHS_MS.iter().find(fits).copied().unwrap_or(total_ms.div_ceil(BUCKETS_MAX));
        let count = usize::try_from(total_ms.div_ceil(width_ms)).expect("some hundreds");
        let mut counts = vec![[0_u64; 3]; count];
        let mut latencies: Vec<Vec<u64>> = vec![Vec::new(); count];
        let mut of_kinds: BTreeMap<&'static str, (Tally, Vec<u64>)> = BTreeMap::new();
        let mut tally = Tally::default();
        for operation in &history.operations {
            let place =
                usize::try_from(operation.end / NANOSECONDS_PER_MS / width_ms).expect("some hundreds").min(count - 1);
            let outcome = Outcome::ALL.iter().position(|outcome| *outcome == operation.outcome).expect("one of all");
            if let Some(counted) = counts.get_mut(place).and_then(|counts| counts.get_mut(outcome)) {
                *counted += 1;
            }
            let (of_kind, of_kind_latencies) = of_kinds.entry(kind(&operation.action)).or_default();
            let reason = operation.reason.as_deref();
            of_kind.count(operation.outcome, reason);
            tally.count(operation.outcome, reason);
            if operation.outcome != Outcome::Unknown {
                let latency = operation.end - operation.start;
                latencies.get_mut(place).into_iter().for_each(|latencies| latencies.push(latency));
                of_kind_latencies.push(latency);
            }
        }
        let seconds_per_bucket = width_ms as f64 / 1e3;
        let last_seconds = (total_ms - width_ms * (count as u64 - 1)) as f64 / 1e3;
        let buckets = counts.iter().zip(&mut latencies).enumerate();
        let buckets = buckets.map(|(place, (counts, latencies))| {
            let seconds = if place + 1 == count { last_seconds.max(1e-3) } else { seconds_per_bucket };
            Bucket { rates: counts.map(|count| count as f64 / seconds), latencies_ms: percentiles(latencies) }
        });
        Self {
            bucket_seconds: seconds_per_bucket,
            seconds: total_ms as f64 / 1e3,
            buckets: buckets.collect(),
            outages: outages(history),
            kinds: of_kinds
                .into_iter()
                .map(|(kind, (tally, mut latencies))| {
                    (kind, OfKind { tally, latencies_ms: percentiles(&mut latencies) })
                })
                .collect(),
            tally,
        }
    }
}

fn percentiles(latencies: &mut [u64]) -> Option<[f64; 3]> {
    latencies.sort_unstable();
    let last = latencies.len().checked_sub(1)?;
    let at = |share: f64| {
        // The smallest value that this share does not exceed.
        let place = ((share * latencies.len() as f64).ceil() as usize).saturating_sub(1).min(last);
        latencies.get(place).copied().unwrap_or(0) as f64 / NANOSECONDS_PER_MS as f64
    };
    Some([at(0.5), at(0.99), at(1.0)])
}

fn kind(action: &Action) -> &'static str {
    use crate::history::Account;
    match action {
        Action::Change(Account::Item(_), 0..) => "Add stock",
        Action::Change(Account::Item(_), _) => "Subtract stock",
        Action::Change(Account::User(_), 0..) => "Add funds",
        Action::Change(Account::User(_), _) => "Pay",
        Action::Find(Account::Item(_), _) => "Find item",
        Action::Find(Account::User(_), _) => "Find user",
        Action::Create { .. } => "Create order",
        Action::AddItem { .. } => "Add item to order",
        Action::Checkout { .. } => "Check out",
        Action::FindOrder { .. } => "Find order",
    }
}

fn outages(history: &History) -> Vec<Outage> {
    let mut outages: Vec<Outage> = Vec::new();
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    for fault in &history.faults {
        let at = fault.at as f64 / 1e9;
        match fault.fault {
            FaultKind::Killed => {
                open.insert(&fault.target, outages.len());
                let text = format!("{} to {}", fault.detail, fault.target);
                outages.push(Outage { from_seconds: at, to_seconds: None, text });
            }
            FaultKind::Restarted => {
                let killed = open.remove(fault.target.as_str()).and_then(|place| outages.get_mut(place));
                if let Some(outage) = killed {
                    outage.to_seconds = Some(at);
                    outage.text.push_str(&format!(", then {}", fault.detail));
                }
            }
            FaultKind::Failed => {
                let text = format!("{}: failed: {}", fault.target, fault.detail);
                outages.push(Outage { from_seconds: at, to_seconds: Some(at), text });
            }
        }
    }
    outages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut latencies: Vec<u64> = (1..=1_000).map(|ms| ms * NANOSECONDS_PER_MS).collect();
        assert_eq!(percentiles(&mut latencies), Some([500.0, 990.0, 1_000.0]));
        assert_eq!(percentiles(&mut [7 * NANOSECONDS_PER_MS]), Some([7.0, 7.0, 7.0]));
        assert_eq!(percentiles(&mut []), None);
    }
}
