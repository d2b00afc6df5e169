//! What a participant's step works on.

use std::fmt;

use super::{Participant, RequestId, Timestamp};
use crate::{
    LogName, Partition,
    record::Missing,
    view::{RecordMut, View},
};

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The log that it is in.
    pub log: &'a LogName,
    /// Its number there.
    pub number: u64,
    /// When it was committed, to the length of a batch, by its producer's clock; 0 where that is not known.
    pub at: Timestamp,
}

/// The guard of a participant's record.
pub(crate) type RecordOf<'view, 'key, P> = RecordMut<'view, 'key, <P as Participant>::Key, <P as Participant>::Record>;

/// What steps did besides changing records.
pub(crate) struct Effects<P: Participant> {
    pub(crate) events: Vec<P::Event>,
    pub(crate) replies: Vec<(RequestId, P::Reply)>,
    pub(crate) notes: Vec<&'static str>,
}

impl<P: Participant> Default for Effects<P> {
    fn default() -> Self {
        Self { events: Vec::new(), replies: Vec::new(), notes: Vec::new() }
    }
}

impl<P: Participant> Effects<P> {
    pub(crate) fn marks(&self) -> [usize; 3] {
        [self.events.len(), self.replies.len(), self.notes.len()]
    }

    pub(crate) fn truncate(&mut self, [events, replies, notes]: [usize; 3]) {
        self.events.truncate(events);
        self.replies.truncate(replies);
        self.notes.truncate(notes);
    }

    pub(crate) fn clear(&mut self) {
        self.truncate([0; 3]);
    }
}

/// One run of a participant's step: its records, its surroundings, and where its effects go.
pub struct Step<'a, P: Participant> {
    pub(crate) records: &'a mut View<P::Key, P::Record>,
    pub(crate) effects: &'a mut Effects<P>,
    pub(crate) now: Timestamp,
    pub(crate) partition: Partition,
    pub(crate) partitions: Partition,
    pub(crate) origin: Option<Origin<'a>>,
}

impl<P: Participant> fmt::Debug for Step<'_, P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Step")
            .field("partition", &self.partition)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl<'a, P: Participant> Step<'a, P> {
    /// When the input came, by the engine's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Which partition this is.
    #[must_use]
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// How many partitions the service has.
    #[must_use]
    pub fn partitions(&self) -> Partition {
        self.partitions
    }

    /// Where the event comes from that this step reacts to; `None` where it reacts to something else, or where there are no
    /// logs.
    #[must_use]
    pub fn origin(&self) -> Option<Origin<'a>> {
        self.origin
    }

    /// The record under `key`, if there is one.
    ///
    /// # Errors
    /// [`Missing`]: hand it on.
    pub fn get(&mut self, key: &P::Key) -> Result<Option<&P::Record>, Missing> {
        self.records.get(key)
    }

    /// The record under `key`, which may be changed: it is stored if it is written to, and not if it is only looked at.
    ///
    /// # Errors
    /// [`Missing`]: hand it on.
    pub fn edit<'key>(&mut self, key: &'key P::Key) -> Result<Option<RecordOf<'_, 'key, P>>, Missing> {
        self.records.edit(key)
    }

    /// Puts a record in place of whatever was there.
    pub fn put(&mut self, key: &P::Key, record: P::Record) {
        self.records.set(key.clone(), Some(record));
    }

    /// Removes the record under `key`.
    pub fn remove(&mut self, key: &P::Key) {
        self.records.set(key.clone(), None);
    }

    /// Appends an event to the partition's log.
    pub fn emit(&mut self, event: P::Event) {
        self.effects.events.push(event);
    }

    /// Replies to a caller, once what this step changed is durable.
    pub fn reply(&mut self, request: RequestId, reply: P::Reply) {
        self.effects.replies.push((request, reply));
    }

    /// Counts that something worth a metric happened.
    pub fn note(&mut self, what: &'static str) {
        self.effects.notes.push(what);
    }
}
