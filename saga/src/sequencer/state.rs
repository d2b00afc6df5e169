//! What a process knows of a partition: the view of its records and all that follows from them, valid for exactly one head.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    Missing, Origin, Participant, Partition, Step, Timestamp,
    codec::Codec,
    engine_records::{EngineKey, EngineRecord, write_domain_key},
    participant::Effects,
    record::Key,
    recorded::{self, Recorded},
    sequencer::{calendar::Calendar, writer::Answers},
    store::{Committed, Residents, Snapshot, Write},
    timers::Timers,
    view::View,
};

/// A record of the engine's own as it was loaded, with the length of what it is stored as.
pub(super) type Loaded = (EngineKey, Option<EngineRecord>, usize);

/// See the module.
pub(super) struct State<P: Participant> {
    pub(super) head: u64,
    /// The number of the last event.
    pub(super) log_end: u64,
    /// The position that everything in the view depends on.
    pub(super) position: u64,
    /// When the batch began that is being run.
    pub(super) now: Timestamp,
    pub(super) records: View<P::Key, P::Record>,
    pub(super) own: View<EngineKey, EngineRecord>,
    /// Of the batch that is being run, as are `answers`.
    pub(super) effects: Effects<P>,
    pub(super) answers: Answers<P::Reply>,
    /// Of an observer: after which number the events of each delivery of the batch are new.
    pub(super) heard_after: Vec<u64>,
    pub(super) timers: Timers<P::Key>,
    pub(super) calendar: Calendar,
    /// The time, in whole seconds since the process looks after partitions.
    seconds: u32,
    scratch: Vec<u8>,
    hash_seed: u64,
}

impl<P: Participant> State<P> {
    pub(super) fn new(hash_seed: u64) -> Self {
        Self {
            head: 0,
            log_end: 0,
            position: 0,
            now: Timestamp::default(),
            records: View::new(false, hash_seed),
            own: View::new(false, hash_seed),
            effects: Effects::default(),
            answers: Vec::new(),
            heard_after: Vec::new(),
            timers: Timers::new(hash_seed),
            calendar: Calendar::default(),
            seconds: 0,
            scratch: Vec::new(),
            hash_seed,
        }
    }

    /// Forgets all but where the partition is: another process is its owner.
    pub(super) fn forget(&mut self) {
        self.timers = Timers::new(self.hash_seed);
        self.forget_records();
    }

    /// Begins anew with the partition as it is now, of which nothing else is loaded yet.
    pub(super) fn adopt(&mut self, snapshot: &Snapshot) {
        (self.head, self.log_end, self.position) = (snapshot.head, snapshot.log_end, snapshot.position);
        self.forget_records();
        self.effects.clear();
        self.answers.clear();
    }

    fn forget_records(&mut self) {
        self.records = View::new(false, self.hash_seed);
        self.records.set_seconds(self.seconds);
        self.own = View::new(false, self.hash_seed);
        self.calendar = Calendar::default();
    }

    /// Tells the time, for how long something is held.
    pub(super) fn set_seconds(&mut self, seconds: u32) {
        self.seconds = seconds;
        self.records.set_seconds(seconds);
    }

    /// Adds what was loaded of the engine's records.
    pub(super) fn insert_own(&mut self, own: Vec<Loaded>) {
        for (key, record, length) in own {
            if let EngineKey::DueCount(time) = key {
                self.calendar.insert(time, record.as_ref());
            }
            self.own.insert_loaded(key, record, length);
        }
    }

    /// Adds all resident records.
    ///
    /// # Errors
    /// What cannot be read.
    pub(super) fn insert_residents(&mut self, residents: Residents) -> Result<(), String> {
        for (key, value) in residents.records {
            let key = key.get(1..).and_then(P::Key::read_resident);
            let record = P::Record::decode_from(&value).map_err(|error| error.to_string())?;
            match key {
                Some(key) => self.records.insert_loaded(key, Some(record), value.len()),
                None => return Err("a resident record has a key that cannot be read".to_owned()),
            }
        }
        Ok(())
    }

    /// Runs one step. `false`: it misses records, and nothing of it happened.
    pub(super) fn try_step(
        &mut self,
        (partition, partitions): (Partition, Partition),
        origin: Option<Origin<'_>>,
        run: impl FnOnce(&mut Step<'_, P>) -> Result<(), Missing>,
    ) -> bool {
        self.records.begin_step();
        let marks = self.effects.marks();
        let (records, effects) = (&mut self.records, &mut self.effects);
        let mut step = Step { records, effects, now: self.now, partition, partitions, origin };
        let done = run(&mut step).is_ok();
        if !done {
            self.records.undo_step();
            self.effects.truncate(marks);
        }
        done
    }

    /// Whether there is anything to commit.
    pub(super) fn is_changed(&self) -> bool {
        self.records.is_dirty() || self.own.is_dirty() || !self.effects.events.is_empty()
    }

    /// The records and events that are to be committed, encoded. The records count as clean from now on.
    pub(super) fn stage(&mut self) -> (Vec<Write>, Vec<Bytes>) {
        let mut writes = Encodings::new(&mut self.scratch);
        self.records.drain_dirty(|key, record| writes.write(|out| write_domain_key(key, out), record));
        self.own.drain_dirty(|key: &EngineKey, record| writes.write(|out| key.write_to(out), record));
        let writes = writes.into_writes();
        let mut events = Encodings::new(&mut self.scratch);
        let now = self.now;
        self.effects.events.iter().for_each(|event| events.push(|out| recorded::encode(now, event, out)));
        (writes, events.into_values().collect())
    }

    /// What was staged is committed. Returns the events, and the number of the first.
    pub(super) fn committed(&mut self, committed: Committed) -> (u64, Vec<Arc<Recorded<P::Event>>>) {
        let first = self.log_end + 1;
        (self.head, self.position) = (committed.head, committed.position);
        let events: Vec<_> =
            self.effects.events.drain(..).map(|event| Arc::new(Recorded { at: self.now, event })).collect();
        self.log_end += events.len() as u64;
        (first, events)
    }

    /// Takes note of the deadline that an event of the log sets or clears, if it does.
    pub(super) fn note_deadline(
        &mut self,
        participant: &P,
        (number, event): (u64, &P::Event),
        (now, instant): (Timestamp, Instant),
    ) {
        if let Some(deadline) = participant.deadline(event) {
            self.timers.apply(number, deadline, now, instant);
        }
    }

    /// Drops records that were not used for a while.
    pub(super) fn evict(&mut self, records_max: usize) {
        self.records.evict(records_max);
        self.own.evict(records_max);
    }
}

/// Keys and values, encoded one after the other into one buffer: one of its own for each would cost the allocator more
/// time than the encoding takes.
struct Encodings<'a> {
    scratch: &'a mut Vec<u8>,
    /// Where each one ends; `None` for a value that is to be removed.
    ends: Vec<Option<usize>>,
}

impl<'a> Encodings<'a> {
    fn new(scratch: &'a mut Vec<u8>) -> Self {
        scratch.clear();
        Self { scratch, ends: Vec::new() }
    }

    fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        encode(self.scratch);
        self.ends.push(Some(self.scratch.len()));
    }

    /// Adds both, and says how long the value is.
    fn write(&mut self, key: impl FnOnce(&mut Vec<u8>), record: Option<&impl Codec>) -> usize {
        self.push(key);
        let start = self.scratch.len();
        match record {
            Some(record) => self.push(|out| record.encode_to(out)),
            None => self.ends.push(None),
        }
        self.scratch.len() - start
    }

    fn into_values(self) -> impl Iterator<Item = Bytes> {
        self.into_slices().flatten()
    }

    fn into_writes(self) -> Vec<Write> {
        let mut writes = Vec::with_capacity(self.ends.len() / 2);
        let mut slices = self.into_slices();
        while let Some((key, value)) = slices.next().flatten().zip(slices.next()) {
            writes.push(Write { key, value });
        }
        writes
    }

    fn into_slices(self) -> impl Iterator<Item = Option<Bytes>> {
        let whole = Bytes::copy_from_slice(self.scratch);
        let mut start = 0;
        self.ends.into_iter().map(move |end| end.map(|end| whole.slice(std::mem::replace(&mut start, end)..end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        RequestId,
        request::CallError,
        sequencer::testing::{Nothing, Silent},
    };

    fn at(head: u64, log_end: u64) -> Snapshot {
        Snapshot { head, log_end, cursors: Vec::new(), position: head, records: Vec::new() }
    }

    /// After steps that put a record and say two things.
    fn changed() -> State<Silent> {
        let mut state = State::new(1);
        state.adopt(&at(7, 4));
        assert!(!state.is_changed());
        state.records.begin_step();
        state.records.set(Nothing, Some("record".to_owned()));
        state.effects.events.extend([8, 9]);
        state.answers.push((RequestId(1), Err(CallError::Unknown)));
        state
    }

    #[test]
    fn what_changed_is_staged_and_what_is_committed_gets_the_next_numbers() {
        let mut state = changed();
        assert!(state.is_changed());
        let (writes, events) = state.stage();
        assert_eq!((writes.len(), events.len()), (1, 2));
        let (first, events) = state.committed(Committed { head: 8, position: 70 });
        let events: Vec<_> = events.iter().map(|event| event.event).collect();
        assert_eq!((first, events), (5, vec![8, 9]));
        assert_eq!((state.head, state.log_end, state.position), (8, 6, 70));
        assert!(!state.is_changed());
        assert!(state.records.holds(&Nothing));
    }

    #[test]
    fn on_another_writers_head_nothing_is_left_of_what_ran_on_the_one_before() {
        let mut state = changed();
        state.adopt(&at(9, 5));
        assert_eq!((state.head, state.log_end, state.position), (9, 5, 9));
        assert!(!state.is_changed());
        assert!(!state.records.holds(&Nothing));
        assert_eq!(state.answers, []);
    }

    #[test]
    fn a_resident_record_that_cannot_be_named_is_not_skipped() {
        let mut state = State::<Silent>::new(1);
        let mut value = Vec::new();
        "record".to_owned().encode_to(&mut value);
        let records = vec![(Bytes::from_static(b"d"), value.into())];
        assert!(state.insert_residents(Residents { head: 1, records }).is_err());
    }

    #[test]
    fn keys_that_another_writer_dropped_are_not_counted_after_an_adoption() {
        let mut state = changed();
        let count = EngineRecord::DueCount { first: 3, next: 5, bytes: 200 };
        state.insert_own(vec![(EngineKey::DueCount(60), Some(count), 9)]);
        assert_eq!(state.calendar.sums(), (2, 200));
        state.adopt(&at(9, 6));
        assert_eq!(state.calendar.sums(), (0, 0));
    }

    #[test]
    fn what_is_encoded_in_one_buffer_is_found_in_its_parts() {
        let mut scratch = b"left over".to_vec();
        let mut encodings = Encodings::new(&mut scratch);
        encodings.write(|out| out.extend_from_slice(b"one"), Some(&7_u64));
        encodings.write(|out| out.extend_from_slice(b"two"), None::<&u64>);
        encodings.write(|_| {}, Some(&8_u64));
        let value = |number: u64| {
            let mut bytes = Vec::new();
            number.encode_to(&mut bytes);
            Some(Bytes::from(bytes))
        };
        let expected = [("one", value(7)), ("two", None), ("", value(8))];
        let expected = expected.map(|(key, value)| Write { key: key.into(), value });
        assert_eq!(encodings.into_writes(), expected);
    }

    #[test]
    fn nothing_makes_no_write() {
        let mut scratch = Vec::new();
        assert_eq!(Encodings::new(&mut scratch).into_writes(), []);
        assert_eq!(Encodings::new(&mut scratch).into_values().count(), 0);
    }
}
