//! The search against trying every order, on small random histories; and its bounds.

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::*;
use crate::judge::case::{Change, Claim, OPEN, Observation, Source};

fn change(number: u32, start: u64, end: u64, delta: i64) -> Change {
    Change { source: Source::Operation(number), start, end, delta }
}

fn read(number: u32, start: u64, end: u64, value: i64) -> Observation {
    Observation { operation: Some(number), start, end, claim: Claim::Equals(value) }
}

/// Whether there is an order, found by trying all of them.
fn has_order(ledger: &Ledger) -> bool {
    fn search(ledger: &Ledger, done: u32, value: i64) -> bool {
        let changes = ledger.changes.len();
        let span = |place: usize| match ledger.changes.get(place) {
            Some(change) => (change.start, change.end),
            None => (ledger.observations[place - changes].start, ledger.observations[place - changes].end),
        };
        let total = changes + ledger.observations.len();
        let left: Vec<usize> = (0..total).filter(|place| done >> place & 1 == 0).collect();
        if left.iter().all(|place| span(*place).1 == OPEN) {
            return true;
        }
        left.iter().any(|place| {
            // Nothing that is left may have ended before it began.
            let first = left.iter().all(|other| span(*other).1 >= span(*place).0);
            let next = match ledger.changes.get(*place) {
                Some(change) => Some(value + change.delta).filter(|value| *value >= 0 || change.delta >= 0),
                None => Some(value).filter(|value| ledger.observations[place - changes].claim.holds(*value)),
            };
            first && next.is_some_and(|next| search(ledger, done | 1 << place, next))
        })
    }
    search(ledger, 0, ledger.initial)
}

fn random_ledger(random: &mut SmallRng) -> Ledger {
    let span = |random: &mut SmallRng| {
        let start = random.random_range(0..30);
        (start, start + random.random_range(1..12))
    };
    let changes = (0..random.random_range(1..=5)).map(|number| {
        let (start, end) = span(random);
        let end = if random.random_range(0..6) == 0 { OPEN } else { end };
        change(number, start, end, *[-2, -1, 1, 2].get(random.random_range(0..4_usize)).unwrap())
    });
    let mut changes: Vec<Change> = changes.collect();
    changes.sort_unstable_by_key(|change| change.start);
    let observations = (10..10 + random.random_range(1..=4)).map(|number| {
        let (start, end) = span(random);
        let value = random.random_range(0..6);
        let claim = if random.random_range(0..4) == 0 { Claim::Below(value) } else { Claim::Equals(value) };
        Observation { operation: Some(number), start, end, claim }
    });
    let mut observations: Vec<Observation> = observations.collect();
    observations.sort_unstable_by_key(|observation| observation.start);
    Ledger { initial: 2, changes, observations, ..Ledger::default() }
}

#[test]
fn the_search_agrees_with_trying_every_order() {
    let mut random = SmallRng::seed_from_u64(7);
    let mut explained = 0;
    for number in 0..5_000 {
        let ledger = random_ledger(&mut random);
        let expected = has_order(&ledger);
        let judged = judge(&ledger, Limits::default());
        assert_eq!(judged.wrong.is_empty(), expected, "history {number}: {ledger:?}, {:?}", judged.wrong);
        assert_eq!(judged.undecided, 0);
        explained += u32::from(expected);
    }
    // Both answers were asked for often.
    assert!((300..4_700).contains(&explained), "{explained}");
}

#[test]
fn a_long_history_of_one_hot_account_is_decided() {
    let mut random = SmallRng::seed_from_u64(8);
    let mut ledger = Ledger { initial: 1_000_000, ..Ledger::default() };
    // Sixteen at a time, each effect in the middle of its span.
    let mut value = ledger.initial;
    let mut number = 0;
    for round in 0..4_000_u64 {
        for place in 0..16_u64 {
            let middle = 1_000 * round + 40 * place + 300;
            let (start, end) = (middle - random.random_range(1..300), middle + random.random_range(1..300));
            if place % 4 == 0 {
                ledger.observations.push(read(number, start, end, value));
            } else {
                let delta = random.random_range(1..4) * if place % 4 == 1 { 1 } else { -1 };
                value += delta;
                ledger.changes.push(change(number, start, end, delta));
            }
            number += 1;
        }
    }
    let judged = judge(&ledger, Limits::default());
    assert!(judged.wrong.is_empty(), "{:?}", judged.wrong);
    assert_eq!((judged.undecided, judged.decided), (0, 64_000));
}

#[test]
fn too_many_possibilities_are_said_not_to_be_decided_and_the_search_goes_on_after_them() {
    let mut ledger = Ledger { initial: 1_000, ..Ledger::default() };
    // All at once, each with an effect of its own, and a read that nothing can explain but by trying.
    for number in 0..40 {
        ledger.changes.push(change(number, 0, 100, -i64::from(number) - 1));
    }
    ledger.observations.push(read(100, 1, 99, 1_001));
    // Nothing runs any more: 1000 − (1 + … + 40).
    ledger.changes.push(change(41, 200, 210, 5));
    ledger.observations.push(read(101, 300, 310, 185));
    let limits = Limits { configurations_max: 1_000, ..Limits::default() };
    let judged = judge(&ledger, limits);
    assert!(judged.wrong.is_empty(), "{:?}", judged.wrong);
    assert_eq!(judged.undecided, 1);
    ledger.observations.last_mut().unwrap().claim = Claim::Equals(184);
    assert_eq!(judge(&ledger, limits).wrong.len(), 1);
}

#[test]
fn more_at_once_than_there_are_places_is_not_decided_until_they_have_ended() {
    let mut ledger = Ledger { initial: 0, ..Ledger::default() };
    for number in 0..200 {
        ledger.changes.push(change(number, 0, 100, 1));
    }
    ledger.observations.push(read(200, 50, 60, 7));
    ledger.observations.push(read(201, 300, 310, 200));
    ledger.changes.push(change(202, 110, 120, 0));
    let judged = judge(&ledger, Limits::default());
    assert!(judged.wrong.is_empty(), "{:?}", judged.wrong);
    assert_eq!(judged.undecided, 1);
}

#[test]
fn an_account_that_is_wrong_all_the_time_is_named_a_few_times() {
    let mut ledger = Ledger { initial: 0, ..Ledger::default() };
    for number in 0..100_u32 {
        let at = u64::from(number) * 10;
        ledger.observations.push(read(number, at, at + 5, i64::from(number) * 7 % 11 + 1));
    }
    let judged = judge(&ledger, Limits::default());
    assert_eq!(judged.wrong.len(), Limits::default().named_max);
    assert!(judged.undecided > 0);
}
