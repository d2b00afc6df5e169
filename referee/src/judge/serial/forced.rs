//! Which changes a read certainly includes, and which it certainly does not.

use std::collections::HashSet;

use super::{Nodes, is_open, narrow};
use crate::judge::case::{Claim, Ledger};

/// Sums that are looked at for one read.
const SUMS_MAX: usize = 20_000;
/// Changes that may run at the same time as one read.
const RUNNING_MAX: usize = 256;

#[derive(Debug)]
struct Change {
    node: u32,
    delta: i64,
}

#[derive(Debug)]
struct Read {
    node: u32,
    start: u64,
    end: u64,
    value: i64,
}

/// The changes and reads of one account.
#[derive(Debug)]
pub(super) struct Account {
    initial: i64,
    changes: Vec<Change>,
    /// In order of their beginnings.
    reads: Vec<Read>,
}

/// How many reads were compared.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) decided: u64,
    pub(super) undecided: u64,
}

impl Account {
    pub(super) fn of(ledger: &Ledger, nodes: &mut Nodes) -> Self {
        let changes = ledger
            .changes
            .iter()
            .map(|change| Change { node: nodes.add(change.source, change.start, change.end), delta: change.delta })
            .collect();
        let reads = ledger
            .observations
            .iter()
            .filter_map(|seen| match (seen.claim, seen.operation) {
                (Claim::Equals(value), Some(operation)) => {
                    let source = crate::judge::case::Source::Operation(operation);
                    let node = nodes.add(source, seen.start, seen.end);
                    Some(Read { node, start: seen.start, end: seen.end, value })
                }
                _ => None,
            })
            .collect();
        Self { initial: ledger.initial, changes, reads }
    }

    /// Compares every read with the sums that the changes can make in these spans, appends the edges that follow, and
    /// narrows the spans for the next round.
    pub(super) fn read(&self, spans: &[(u64, u64)], next: &mut [(u64, u64)], edges: &mut Vec<(u32, u32)>) -> Compared {
        let mut compared = Compared::default();
        // Reads come in order of their beginnings; what ended before one is in for all later ones.
        let mut by_end: Vec<(u64, u32)> = (0..)
            .zip(&self.changes)
            .filter_map(|(number, change)| Some((spans.get(change.node as usize)?.1, number)))
            .collect();
        by_end.sort_unstable();
        let mut by_start: Vec<(u64, u32)> = (0..)
            .zip(&self.changes)
            .filter_map(|(number, change)| Some((spans.get(change.node as usize)?.0, number)))
            .collect();
        by_start.sort_unstable();
        let (mut ended, mut begun) = (by_end.iter().peekable(), by_start.iter().peekable());
        let mut base = self.initial;
        let mut running: HashSet<u32> = HashSet::new();
        let mut over: HashSet<u32> = HashSet::new();
        let mut last_end = 0;
        for read in &self.reads {
            last_end = last_end.max(read.end);
            while let Some((_, number)) = begun.next_if(|(start, _)| *start <= last_end) {
                if !over.remove(number) {
                    running.insert(*number);
                }
            }
            while let Some((_, number)) = ended.next_if(|(end, _)| *end < read.start && !is_open(*end)) {
                base += self.changes.get(*number as usize).map_or(0, |change| change.delta);
                if !running.remove(number) {
                    over.insert(*number);
                }
            }
            let mut meanwhile: Vec<&Change> = running
                .iter()
                .filter_map(|number| self.changes.get(*number as usize))
                .filter(|change| spans.get(change.node as usize).is_some_and(|span| span.0 <= read.end))
                .collect();
            meanwhile.sort_unstable_by_key(|change| (change.delta, change.node));
            match forced(&meanwhile, read.value.saturating_sub(base)) {
                None => compared.undecided += 1,
                Some(forced) => {
                    compared.decided += 1;
                    for (change, is_in) in forced {
                        edges.push(if is_in { (change.node, read.node) } else { (read.node, change.node) });
                        narrow(next, change.node, read.start, read.end, is_in);
                    }
                }
            }
        }
        compared
    }
}

/// Of the changes that ran, those that every subset with this sum has, and those that none has. Nothing when there is no
/// such subset: that is for the search of the one account to explain. `None` when there are too many sums.
fn forced<'a>(running: &[&'a Change], sum: i64) -> Option<Vec<(&'a Change, bool)>> {
    if running.len() > RUNNING_MAX {
        return None;
    }
    let classes: Vec<&[&Change]> = running.chunk_by(|left, right| left.delta == right.delta).collect();
    let mut decided = Vec::new();
    for (place, class) in classes.iter().enumerate() {
        let Some(delta) = class.first().map(|change| change.delta) else { continue };
        let others = classes.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, class)| *class);
        let sums = sums(others)?;
        let fits = |count: &usize| {
            let taken = i64::try_from(*count).ok().and_then(|count| delta.checked_mul(count));
            taken.is_some_and(|taken| sums.contains(&(sum - taken)))
        };
        let counts: Vec<usize> = (0..=class.len()).filter(fits).collect();
        let (Some(least), Some(most)) = (counts.first(), counts.last()) else { return Some(Vec::new()) };
        if *least == class.len() {
            decided.extend(class.iter().map(|change| (*change, true)));
        } else if *most == 0 {
            decided.extend(class.iter().map(|change| (*change, false)));
        }
    }
    Some(decided)
}

/// All sums of subsets.
fn sums<'a>(classes: impl Iterator<Item = &'a [&'a Change]>) -> Option<HashSet<i64>> {
    let mut sums: HashSet<i64> = HashSet::from([0]);
    for class in classes {
        let before: Vec<i64> = sums.iter().copied().collect();
        let mut taken = 0_i64;
        for change in class {
            taken = taken.checked_add(change.delta)?;
            sums.extend(before.iter().filter_map(|sum| sum.checked_add(taken)));
            if sums.len() > SUMS_MAX {
                return None;
            }
        }
    }
    Some(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(deltas: &[i64], sum: i64) -> Vec<(u32, bool)> {
        let mut changes: Vec<Change> = (0..).zip(deltas).map(|(node, delta)| Change { node, delta: *delta }).collect();
        changes.sort_unstable_by_key(|change| (change.delta, change.node));
        let running: Vec<&Change> = changes.iter().collect();
        let mut decided: Vec<_> =
            forced(&running, sum).unwrap().into_iter().map(|(change, is_in)| (change.node, is_in)).collect();
        decided.sort_unstable();
        decided
    }

    #[test]
    fn only_what_every_explanation_has_in_common_is_certain() {
        assert_eq!(decide(&[3, -1], 3), [(0, true), (1, false)]);
        assert_eq!(decide(&[3, -1], 2), [(0, true), (1, true)]);
        // 1 and 2, or 3.
        assert_eq!(decide(&[1, 2, 3], 3), []);
        // One of two that cannot be told apart.
        assert_eq!(decide(&[-1, -1, 5], 4), [(2, true)]);
        assert_eq!(decide(&[-1, -1, 5], -2), [(0, true), (1, true), (2, false)]);
    }

    #[test]
    fn what_no_subset_explains_forces_nothing() {
        assert_eq!(decide(&[2, 4], 3), []);
    }

    #[test]
    fn agrees_with_trying_every_subset() {
        let deltas = [1, 1, 2, -1, -3, 2, 5];
        for sum in -5..12 {
            let subsets: Vec<u32> = (0..1_u32 << deltas.len())
                .filter(|subset| {
                    let taken = (0..deltas.len()).filter(|place| subset >> place & 1 == 1);
                    taken.map(|place| deltas[place]).sum::<i64>() == sum
                })
                .collect();
            let expected: Vec<(u32, bool)> = (0..7)
                .filter_map(|place| {
                    let all = !subsets.is_empty() && subsets.iter().all(|subset| subset >> place & 1 == 1);
                    let none = !subsets.is_empty() && subsets.iter().all(|subset| subset >> place & 1 == 0);
                    (all || none).then_some((place, all))
                })
                .collect();
            assert_eq!(decide(&deltas, sum), expected, "sum {sum}");
        }
    }
}
