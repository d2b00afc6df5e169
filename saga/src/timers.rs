//! The open deadlines of one partition, rebuilt from its log at start and after another writer.
//!
//! The clock of whoever set a deadline and the one here may be apart. So it counts for events only that may be of any age: of one
//! that was not in the log when it was last looked at, it is known without a clock that it is no older than that look.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    hash::Hash,
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    Deadline, Timestamp,
    hashing::{Hashing, seeded},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    /// The number of the event that set the deadline; unique in the partition.
    event: u64,
}

/// Deadlines by key, by time, and by the event that set them.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    open: HashMap<K, Due, Hashing>,
    by_time: BTreeMap<Due, K>,
    /// The events that set a deadline, in order; those of cleared ones are dropped when they come to the front.
    by_event: VecDeque<(u64, K)>,
    /// Those that came due and were not cleared yet, by the event that set them.
    overdue: BTreeSet<u64>,
    /// While these are rebuilt: what was open before.
    known: HashMap<K, Due, Hashing>,
    /// The end of the log when it was last looked at, and when that was.
    end: Option<(u64, Instant)>,
}

impl<K: Clone + Eq + Hash> Timers<K> {
    pub(crate) fn new(hash_seed: u64) -> Self {
        Self {
            open: HashMap::with_hasher(seeded(hash_seed)),
            by_time: BTreeMap::new(),
            by_event: VecDeque::new(),
            overdue: BTreeSet::new(),
            known: HashMap::with_hasher(seeded(hash_seed)),
            end: None,
        }
    }

    /// Begins anew with the first event of the log. What is still open by the same event comes due when it would have.
    pub(crate) fn restart(&mut self) {
        std::mem::swap(&mut self.known, &mut self.open);
        self.open.clear();
        self.by_time.clear();
        self.by_event.clear();
        self.overdue.clear();
    }

    /// All events up to `end` were applied, and at `instant` there were no others.
    pub(crate) fn is_complete(&mut self, end: u64, instant: Instant) {
        self.end = Some((end, instant));
        self.known.clear();
    }

    /// Takes note of what event number `event` said.
    pub(crate) fn apply(&mut self, event: u64, deadline: Deadline<K>, now: Timestamp, instant: Instant) {
        match deadline {
            Deadline::Set { key, at, length } => {
                let by_clock = instant + at.since(now).min(length);
                // Left there, for an earlier event of the log may have set another deadline under the same key.
                let known = self.known.get(&key).copied().filter(|due| due.event == event);
                let due = known.unwrap_or_else(|| {
                    let soonest = self.end.filter(|(end, _)| event > *end).map(|(_, looked)| looked + length);
                    Due { at: soonest.map_or(by_clock, |soonest| by_clock.max(soonest)), event }
                });
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
        let mut timers = Timers::new(0);
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
    async fn an_event_that_was_not_there_at_the_last_look_is_no_older_than_that_look() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let (mut timers, ahead) = (Timers::new(0), Timestamp(1_000_000));
        timers.apply(1, set("of any age", 100), ahead, start);
        timers.is_complete(1, start);
        assert_eq!(timers.due(start, ms(5000), 9), ["of any age"], "only the clock can tell");
        timers.apply(2, set("new", 100), ahead, start + ms(200));
        assert_eq!(timers.due(start + ms(999), ms(5000), 9), Vec::<&str>::new());
        assert_eq!(timers.due(start + ms(1000), ms(5000), 9), ["new"]);
        timers.apply(3, set("by a clock that agrees", 1200), Timestamp(200), start + ms(200));
        assert_eq!(timers.due(start + ms(1199), ms(5000), 9), Vec::<&str>::new(), "it may be younger");
        assert_eq!(timers.due(start + ms(1200), ms(5000), 9), ["by a clock that agrees"]);
        timers.is_complete(9, start + ms(1200));
        timers.apply(5, set("overlooked", 100), ahead, start + ms(1201));
        assert_eq!(
            timers.due(start + ms(1201), ms(5000), 9),
            ["overlooked"],
            "it was there, and may be of any age, too"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_set_anew_comes_due_when_it_would_have_though_the_log_still_has_the_first_time() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut timers = Timers::new(0);
        let log =
            [(1, set("tried twice", 100)), (2, Deadline::Clear { key: "tried twice" }), (3, set("tried twice", 700))];
        for now in [(Timestamp(0), start), (Timestamp(1_000_000), start + ms(300))] {
            timers.restart();
            for (event, deadline) in log.clone() {
                timers.apply(event, deadline, now.0, now.1);
            }
            timers.is_complete(3, now.1);
        }
        assert_eq!(timers.due(start + ms(699), ms(5000), 9), Vec::<&str>::new());
        assert_eq!(timers.due(start + ms(700), ms(5000), 9), ["tried twice"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_still_open_by_the_same_event_comes_due_when_it_would_have() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut timers = Timers::new(0);
        timers.apply(1, set("same", 700), Timestamp(0), start);
        timers.apply(2, set("set anew", 700), Timestamp(0), start);
        timers.is_complete(2, start);
        timers.restart();
        assert_eq!((timers.len(), timers.floor()), (0, u64::MAX));
        let ahead = Timestamp(1_000_000);
        timers.apply(1, set("same", 700), ahead, start + ms(300));
        timers.apply(3, set("set anew", 900), ahead, start + ms(300));
        timers.is_complete(3, start + ms(300));
        assert_eq!(timers.due(start + ms(699), ms(5000), 9), Vec::<&str>::new());
        assert_eq!(timers.due(start + ms(700), ms(5000), 9), ["same"]);
        assert_eq!(timers.due(start + ms(1000), ms(5000), 9), ["set anew"]);
        assert_eq!((timers.len(), timers.floor(), timers.overdue()), (2, 1, 2));
        timers.restart();
        timers.is_complete(5, start + ms(1001));
        assert_eq!((timers.len(), timers.overdue()), (0, 0), "another writer ended them");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumped_back_cannot_push_a_deadline_past_its_length() {
        let start = Instant::now();
        let mut timers = Timers::new(0);
        timers.apply(1, set("one", 1_000_000), Timestamp(0), start);
        assert_eq!(timers.due(start + Duration::from_millis(1000), Duration::from_secs(1), 9), ["one"]);
    }
}
