//! The open deadlines of one partition, rebuilt from its log at start.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    hash::Hash,
    time::Duration,
};

use foldhash::fast::FixedState;
use tokio::time::Instant;

use crate::{Deadline, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    /// The number of the event that set the deadline; unique in the partition.
    event: u64,
}

/// Deadlines by key, by time, and by the event that set them.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    open: HashMap<K, Due, FixedState>,
    by_time: BTreeMap<Due, K>,
    /// The events that set a deadline, in order; those of cleared ones are dropped when they come to the front.
    by_event: VecDeque<(u64, K)>,
    /// Those that came due and were not cleared yet, by the event that set them.
    overdue: BTreeSet<u64>,
}

impl<K: Clone + Eq + Hash> Timers<K> {
    pub(crate) fn new() -> Self {
        Self {
            open: HashMap::with_hasher(FixedState::default()),
            by_time: BTreeMap::new(),
            by_event: VecDeque::new(),
            overdue: BTreeSet::new(),
        }
    }

    /// Takes note of what event number `event` said.
    pub(crate) fn apply(&mut self, event: u64, deadline: Deadline<K>, now: Timestamp, instant: Instant) {
        match deadline {
            Deadline::Set { key, at, length } => {
                let remaining: Duration = at.since(now).min(length);
                let due = Due { at: instant + remaining, event };
                self.clear(&key);
                self.open.insert(key.clone(), due);
                self.by_time.insert(due, key.clone());
                self.by_event.push_back((event, key));
            }
            Deadline::Clear { key } => self.clear(&key),
        }
    }

    fn clear(&mut self, key: &K) {
        if let Some(due) = self.open.remove(key) {
            self.by_time.remove(&due);
            self.overdue.remove(&due.event);
        }
        while let Some((event, key)) = self.by_event.front() {
            if self.open.get(key).is_some_and(|due| due.event == *event) {
                break;
            }
            self.by_event.pop_front();
        }
    }

    /// The keys whose deadline is not after `instant`. They stay open until an event clears them, but are not due again
    /// before `again`.
    pub(crate) fn due(&mut self, instant: Instant, again: Duration, limit: usize) -> Vec<K> {
        let mut keys = Vec::new();
        while keys.len() < limit {
            let Some((due, _)) = self.by_time.first_key_value() else {
                break;
            };
            if due.at > instant {
                break;
            }
            let Some((due, key)) = self.by_time.pop_first() else {
                break;
            };
            let later = Due { at: instant + again, event: due.event };
            self.open.insert(key.clone(), later);
            self.by_time.insert(later, key.clone());
            self.overdue.insert(due.event);
            keys.push(key);
        }
        keys
    }

    /// The number of the first event that is still needed to rebuild this; `u64::MAX` when none is.
    pub(crate) fn floor(&self) -> u64 {
        self.by_event.front().map_or(u64::MAX, |(event, _)| *event)
    }

    /// How many deadlines have come due and are still open.
    pub(crate) fn overdue(&self) -> usize {
        self.overdue.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &'static str, at: u64) -> Deadline<&'static str> {
        Deadline::Set { key, at: Timestamp(at), length: Duration::from_millis(1000) }
    }

    #[tokio::test(start_paused = true)]
    async fn deadlines_come_in_time_order_and_keep_their_events() {
        let start = Instant::now();
        let mut timers = Timers::new();
        timers.apply(1, set("late", 900), Timestamp(0), start);
        timers.apply(2, set("early", 100), Timestamp(0), start);
        assert_eq!(timers.floor(), 1);
        let again = Duration::from_secs(1);
        assert_eq!(timers.due(start + Duration::from_millis(99), again, 9), Vec::<&str>::new());
        assert_eq!(timers.due(start + Duration::from_millis(100), again, 9), ["early"]);
        assert_eq!(timers.due(start + Duration::from_millis(900), again, 9), ["late"]);
        timers.apply(3, Deadline::Clear { key: "late" }, Timestamp(0), start);
        assert_eq!(timers.floor(), 2);
        timers.apply(4, Deadline::Clear { key: "early" }, Timestamp(0), start);
        assert_eq!((timers.floor(), timers.len()), (u64::MAX, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumped_back_cannot_push_a_deadline_past_its_length() {
        let start = Instant::now();
        let mut timers = Timers::new();
        timers.apply(1, set("one", 1_000_000), Timestamp(0), start);
        assert_eq!(timers.due(start + Duration::from_millis(1000), Duration::from_secs(1), 9), ["one"]);
    }
}
