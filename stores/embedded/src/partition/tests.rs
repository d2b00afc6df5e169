//! Random histories of one partition, with flushes, checkpoints and crashes wherever they may fall.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};
use saga::{LogName, store::LogEntry};

use super::*;
use crate::{log::Found, section};

const PLACE: Place = Place { service: 0, partition: 0 };
const KEYS: u8 = 8;

#[derive(Clone, Debug)]
enum Step {
    /// Keys with the lengths of their new values, events, events to keep, and the position of a cursor.
    Commit {
        writes: Vec<(u8, Option<u8>)>,
        events: u8,
        keep: u8,
        cursor: Option<u8>,
    },
    Load {
        key: u8,
    },
    Flush,
    Freeze,
    Install,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let write = (0..KEYS, proptest::option::weighted(0.7, 0..3_u8));
    let commit = (vec(write, 0..4), 0..3_u8, 0..6_u8, proptest::option::of(0..4_u8));
    prop_oneof![
        6 => commit.prop_map(|(writes, events, keep, cursor)| Step::Commit { writes, events, keep, cursor }),
        4 => (0..KEYS).prop_map(|key| Step::Load { key }),
        3 => Just(Step::Flush),
        2 => Just(Step::Freeze),
        2 => Just(Step::Install),
        1 => Just(Step::Crash),
    ]
}

/// What a partition should look like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    head: u64,
    log_end: u64,
    trim: u64,
    events: BTreeMap<u64, Bytes>,
    records: BTreeMap<Bytes, Bytes>,
    cursors: Vec<Cursor>,
}

impl State {
    fn apply(&mut self, commit: &Commit) {
        self.head += 1;
        for Write { key, value } in &commit.writes {
            match value {
                Some(value) => self.records.insert(key.clone(), value.clone()),
                None => self.records.remove(key),
            };
        }
        for event in &commit.events {
            self.log_end += 1;
            self.events.insert(self.log_end, event.clone());
        }
        for cursor in &commit.cursors {
            self.cursors.retain(|known| known.log != cursor.log);
            self.cursors.push(cursor.clone());
        }
        self.trim = self.trim.max(commit.trim.min(self.log_end));
        self.events.retain(|number, _| *number > self.trim);
    }
}

/// The base, in memory.
#[derive(Debug, Default)]
struct Base {
    marker: u64,
    meta: Option<PartitionMeta>,
    events: BTreeMap<u64, Bytes>,
    records: BTreeMap<Bytes, Bytes>,
    residents: BTreeMap<Bytes, Bytes>,
}

impl Base {
    fn install(&mut self, marker: u64, frozen: FrozenPartition) {
        self.marker = marker;
        for number in frozen.log.remove {
            let removed = self.events.remove(&number);
            assert!(removed.is_some(), "event {number} is removed from a base that does not hold it");
        }
        self.events.extend(frozen.log.put);
        let named: BTreeSet<_> = frozen.records.sorted().map(|row| Bytes::copy_from_slice(row.key)).collect();
        for absent in frozen.records.iter().map(|row| row.key).filter(|key| !named.contains(*key)) {
            assert!(!self.records.contains_key(absent), "{absent:?} is said to be absent");
        }
        for (records, rows) in [(&mut self.records, &frozen.records), (&mut self.residents, &frozen.residents)] {
            for row in rows.sorted() {
                let key = row.key;
                match row.value {
                    Some(value) => drop(records.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))),
                    None => drop(records.remove(key)),
                }
            }
        }
        self.meta = Some(frozen.meta);
    }
}

/// The partition under test, what it should look like, and everything around it.
#[derive(Debug, Default)]
struct World {
    partition: Partition,
    expected: State,
    /// What a crash leaves: the last flush.
    durable: State,
    group: u64,
    is_group_open: bool,
    journal: Vec<(u64, Vec<u8>)>,
    base: Base,
    /// The marker, the group that must be durable first, and what is to be installed.
    checkpoint: Option<(u64, u64, FrozenPartition)>,
    serial: u8,
}

impl World {
    fn new() -> Self {
        Self { group: 1, ..Self::default() }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Commit { writes, events, keep, cursor } => self.commit(writes, events, keep, cursor),
            Step::Load { key } => drop(self.load(&name(key))),
            Step::Flush => self.flush(),
            Step::Freeze => self.freeze(),
            Step::Install => self.install(),
            Step::Crash => self.crash(),
        }
    }

    fn commit(&mut self, writes: Vec<(u8, Option<u8>)>, events: u8, keep: u8, cursor: Option<u8>) {
        let mut distinct = BTreeMap::new();
        for (key, length) in writes {
            let value = length.map(|length| Bytes::from(vec![self.next_serial(); length.into()]));
            distinct.insert(name(key), value);
        }
        let events: Vec<_> = (0..events).map(|_| Bytes::from(vec![self.next_serial()])).collect();
        let log = LogName { service: "other".into(), partition: 3 };
        let commit = Commit {
            expected_head: self.expected.head,
            writes: distinct.into_iter().map(|(key, value)| Write { key, value }).collect(),
            trim: (self.expected.log_end + events.len() as u64).saturating_sub(keep.into()),
            events,
            cursors: cursor.map(|position| Cursor { log, position: position.into() }).into_iter().collect(),
        };
        self.expected.apply(&commit);
        self.partition.apply(self.group, commit).unwrap();
        self.is_group_open = true;
    }

    fn next_serial(&mut self) -> u8 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }

    /// As the store does it: memory first, then the base, and what neither knows is remembered as absent.
    fn load(&mut self, key: &Bytes) -> Option<Bytes> {
        let (snapshot, unknown) = self.partition.load(std::slice::from_ref(key));
        if unknown.is_empty() {
            return snapshot.records[0].clone();
        }
        let record = self.base.records.get(key).cloned();
        if record.is_none() {
            self.partition.records.note_absent(key);
        }
        record
    }

    fn flush(&mut self) {
        if std::mem::take(&mut self.is_group_open) {
            let section = self.partition.cut(PLACE, self.group, &mut Vec::new()).expect("it committed something");
            let mut payload = Vec::new();
            section.write_to(&mut payload);
            self.journal.push((self.group, payload));
            self.group += 1;
            self.durable = self.expected.clone();
        }
    }

    fn freeze(&mut self) {
        if self.checkpoint.is_none()
            && let Some(frozen) = self.partition.freeze(PLACE)
        {
            let needed = self.group - u64::from(!self.is_group_open);
            self.checkpoint = Some((self.group - 1, needed, frozen));
        }
    }

    fn install(&mut self) {
        if let Some((marker, needed, frozen)) = self.checkpoint.take() {
            if needed >= self.group {
                self.flush();
            }
            self.base.install(marker, frozen);
            self.journal.retain(|(group, _)| *group > marker);
            let table = self.partition.thaw().and_then(Arc::into_inner);
            if let Some(mut table) = table {
                table.clear();
                self.partition.records.reuse(table);
            }
        }
    }

    fn crash(&mut self) {
        let meta = self.base.meta.as_ref().map(|meta| PartitionMeta {
            cursors: meta.cursors.clone(),
            residents: meta.residents.clone(),
            ..*meta
        });
        self.partition = meta.map(Partition::restored).unwrap_or_default();
        for (key, value) in &self.base.residents {
            self.partition.records.residents.settle(key, Some(value));
        }
        for (group, payload) in &self.journal {
            for section in section::read(payload) {
                assert!(self.partition.replay(*group, &section.unwrap()), "frame {group} fits");
            }
        }
        self.expected = self.durable.clone();
        self.checkpoint = None;
        self.is_group_open = false;
    }

    fn check(&mut self) {
        let (snapshot, _) = self.partition.load(&[]);
        let mut cursors = snapshot.cursors;
        cursors.sort_by(|left, right| left.log.cmp(&right.log));
        let events = self.log().into_iter().map(|entry| (entry.position, entry.event)).collect();
        let records = (0..KEYS).map(name).filter_map(|key| {
            // Looked up without remembering absence: the steps decide about that.
            let (snapshot, unknown) = self.partition.load(std::slice::from_ref(&key));
            let from_base = || self.base.records.get(&key).cloned();
            let value = if unknown.is_empty() { snapshot.records[0].clone() } else { from_base() };
            Some((key, value?))
        });
        let found = State {
            head: snapshot.head,
            log_end: snapshot.log_end,
            trim: self.partition.log.trim,
            events,
            records: records.collect(),
            cursors,
        };
        assert_eq!(found, self.expected);
    }

    fn log(&self) -> Vec<LogEntry> {
        let mut entries = Vec::new();
        loop {
            let after = entries.last().map_or(0, |entry: &LogEntry| entry.position);
            let more = match self.partition.log.read(after, 2, u64::MAX) {
                Found::Here(more) => more,
                Found::InBase(numbers) => {
                    let in_base = self.base.events.range(numbers);
                    in_base.map(|(&position, event)| LogEntry { position, event: event.clone() }).take(2).collect()
                }
            };
            if more.is_empty() {
                return entries;
            }
            entries.extend(more);
        }
    }
}

/// The last two are of resident records.
fn name(key: u8) -> Bytes {
    Bytes::from(vec![if key < KEYS - 2 { b'k' } else { saga::store::RESIDENT }, key])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn histories_survive_flushes_checkpoints_and_crashes(steps in vec(step(), 1..60)) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
            world.check();
        }
        world.crash();
        world.check();
    }
}

#[test]
fn what_comes_and_goes_within_a_group_leaves_no_trace() {
    let mut world = World::new();
    assert_eq!(world.load(&name(1)), None);
    world.commit(vec![(1, Some(2))], 2, 2, None);
    world.commit(vec![(1, Some(1))], 0, 2, None);
    world.commit(vec![(1, None)], 0, 0, None);
    world.flush();
    let (_, payload) = &world.journal[0];
    let sections: Vec<_> = section::read(payload).collect();
    let ops: Vec<_> = sections[0].as_ref().unwrap().ops().collect();
    assert_eq!(ops, [], "no record and no event");
    world.freeze();
    assert_eq!(world.checkpoint.as_ref().unwrap().2.records.len(), 0, "nor is there anything for the base");
}

#[test]
fn a_record_written_again_and_again_is_in_a_frame_once() {
    let mut world = World::new();
    for length in [1, 1, 2, 2, 0, 2] {
        world.commit(vec![(1, Some(length))], 0, 0, Some(length));
    }
    world.flush();
    let (_, payload) = &world.journal[0];
    let sections: Vec<_> = section::read(payload).collect();
    assert_eq!(sections[0].as_ref().unwrap().ops().count(), 2, "one record and one cursor");
}

#[test]
fn what_no_journal_could_hold_is_refused_before_anything_changes() {
    let long = |length| Bytes::from(vec![0; length]);
    let write = |key, value| Commit { writes: vec![Write { key, value: Some(value) }], ..Commit::default() };
    assert!(check(&write(long(KEY_BYTES_MAX), long(VALUE_BYTES_MAX))).is_ok());
    assert!(check(&write(long(KEY_BYTES_MAX + 1), long(1))).is_err());
    assert!(check(&write(long(1), long(VALUE_BYTES_MAX + 1))).is_err());
    let event = |length| Commit { events: vec![long(length)], ..Commit::default() };
    assert!(check(&event(VALUE_BYTES_MAX)).is_ok());
    assert!(check(&event(VALUE_BYTES_MAX + 1)).is_err());
}

#[test]
fn resident_records_that_a_base_of_the_format_before_has_in_one_place_are_written_one_by_one() {
    let meta = || PartitionMeta {
        head: 3,
        log_end: 0,
        trim: 0,
        cursors: Vec::new(),
        residents: vec![(name(KEYS - 2), "kept".into()), (name(KEYS - 1), "removed".into())],
    };
    let mut partition = Partition::restored(meta());
    assert_eq!(partition.residents().records, meta().residents);
    let removal =
        Commit { expected_head: 3, writes: vec![Write { key: name(KEYS - 1), value: None }], ..Commit::default() };
    partition.apply(1, removal).unwrap();
    let mut payload = Vec::new();
    partition.cut(PLACE, 1, &mut Vec::new()).unwrap().write_to(&mut payload);
    let frozen = partition.freeze(PLACE).unwrap();
    let rows: Vec<_> = frozen.residents.sorted().map(|row| (row.key.to_vec(), row.value.map(<[u8]>::to_vec))).collect();
    assert_eq!(rows, [(name(KEYS - 2).to_vec(), Some(b"kept".to_vec()))]);
    assert_eq!(frozen.meta.residents, []);
    // Killed before the checkpoint was installed, the base still has both.
    let mut again = Partition::restored(meta());
    for section in section::read(&payload) {
        assert!(again.replay(1, &section.unwrap()));
    }
    assert_eq!(again.residents().records, [(name(KEYS - 2), Bytes::from("kept"))]);
}
