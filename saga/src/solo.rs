//! One partition without a runtime: the pure steps over complete records, for tests and model checkers.

use std::fmt;

use crate::{
    Input, LogName, Missing, Origin, Participant, Partition, RequestId, Step, Timestamp, participant::Effects,
    view::View,
};

/// What one step did besides changing records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<E, R> {
    /// Events, in order.
    pub events: Vec<E>,
    /// Replies, in order.
    pub replies: Vec<(RequestId, R)>,
    /// What was noted.
    pub notes: Vec<&'static str>,
    /// How many records the engine would have stored. With no event either there is nothing to commit.
    pub written: usize,
}

/// All records of one partition in memory, and the participant's step over them.
pub struct Solo<P: Participant> {
    participant: P,
    records: View<P::Key, P::Record>,
    partition: Partition,
    partitions: Partition,
}

impl<P: Participant> fmt::Debug for Solo<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.records()).finish()
    }
}

impl<P: Participant + Clone> Clone for Solo<P> {
    fn clone(&self) -> Self {
        Self { participant: self.participant.clone(), records: self.records.clone(), ..*self }
    }
}

impl<P: Participant> Solo<P> {
    /// Partition number `partition` of `partitions`, without records.
    pub fn new(participant: P, partition: Partition, partitions: Partition) -> Self {
        Self { participant, records: View::new(true, 0), partition, partitions }
    }

    /// The same partition with `records` in place of its own: those that a store kept, say, or of an earlier moment.
    #[must_use]
    pub fn with_records(mut self, records: impl IntoIterator<Item = (P::Key, P::Record)>) -> Self {
        self.records = View::new(true, 0);
        for (key, record) in records {
            self.records.insert_loaded(key, Some(record), 0);
        }
        self
    }

    /// The participant.
    pub fn participant(&self) -> &P {
        &self.participant
    }

    /// Runs one step.
    pub fn step(&mut self, input: Input<'_, P>, now: Timestamp) -> Outcome<P::Event, P::Reply> {
        self.run(now, None, |participant, step| participant.step(step, input))
    }

    /// Tells an observer that it missed so many events of a log.
    pub fn missed(&mut self, log: &LogName, events: u64, now: Timestamp) -> Outcome<P::Event, P::Reply> {
        let origin = Origin { log, number: events, at: Timestamp(0) };
        self.run(now, Some(origin), |participant, step| participant.missed(step, events))
    }

    fn run(
        &mut self,
        now: Timestamp,
        origin: Option<Origin<'_>>,
        react: impl FnOnce(&P, &mut Step<'_, P>) -> Result<(), Missing>,
    ) -> Outcome<P::Event, P::Reply> {
        let mut effects = Effects::default();
        self.records.begin_step();
        let mut step = Step {
            records: &mut self.records,
            effects: &mut effects,
            now,
            partition: self.partition,
            partitions: self.partitions,
            origin,
        };
        let result = react(&self.participant, &mut step);
        assert!(result.is_ok(), "a step claims to miss a record although all are in memory");
        let mut written = 0;
        self.records.drain_dirty(|_, _| {
            written += 1;
            0
        });
        let Effects { events, replies, notes } = effects;
        Outcome { events, replies, notes, written }
    }

    /// All records, in the order of their keys.
    #[must_use]
    pub fn records(&self) -> Vec<(&P::Key, &P::Record)> {
        let mut records: Vec<_> = self.records.records().collect();
        records.sort_unstable_by_key(|(key, _)| *key);
        records
    }

    /// All records, in the order of their keys.
    #[must_use]
    pub fn into_records(self) -> Vec<(P::Key, P::Record)> {
        let mut records: Vec<_> = self.records.into_records().collect();
        records.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        records
    }
}
