//! The logs that a partition consumes, and those who consume its own.

use std::sync::Arc;

use crate::{
    Destinations, LogName,
    link::{Acks, Delivery, Link, Ready, Source, Visibility},
    recorded::Recorded,
    sequencer::outbox::AcksDue,
    store::{Cursor, Snapshot},
};

/// Cursors may lag behind by this many events before an otherwise idle consumer stores them: each such commit is shared
/// by that many events, and the log that is kept for it stays small.
const CURSOR_LAG_MAX: u64 = 1024;

/// Why there is a source of this number.
const NUMBERED: &str = "deliveries carry the number under which their source was connected";

/// See the module.
pub(crate) struct Neighbours<E> {
    pub(super) sources: Vec<Source>,
    links: Vec<Link<E>>,
    pub(super) acks: Acks,
    scratch: Destinations,
}

impl<E> Neighbours<E> {
    pub(crate) fn new(sources: Vec<Source>, links: Vec<Link<E>>, acks: Acks) -> Self {
        Self { sources, links, acks, scratch: Destinations::default() }
    }

    /// How far a source is consumed.
    pub(super) fn cursor(&self, source: usize) -> u64 {
        self.sources.get(source).expect(NUMBERED).cursor
    }

    /// Which log a source is.
    pub(super) fn log(&self, source: usize) -> &LogName {
        &self.sources.get(source).expect(NUMBERED).log
    }

    /// Goes on after the event `last` of a source, up to which there is nothing to be had, and has what comes next read.
    pub(super) fn jumped(&mut self, source: usize, last: u64) {
        let source = self.sources.get_mut(source).expect(NUMBERED);
        source.cursor = last;
        source.have_read();
    }

    /// Takes note of what a delivery brought, once all of it is consumed.
    pub(super) fn consumed(&mut self, delivery: &Delivery<E>) {
        let source = self.sources.get_mut(delivery.source).expect(NUMBERED);
        source.cursor = source.cursor.max(delivery.to);
    }

    /// Moves cursors past what is for others. Returns whether any is so far ahead of what is stored that it is worth a
    /// commit of its own; `idle`: whether any is ahead at all.
    pub(super) fn are_worth_a_commit(&mut self, idle: bool) -> bool {
        let ahead = if idle { 0 } else { CURSOR_LAG_MAX };
        self.sources.iter_mut().for_each(Source::skip_others);
        self.sources.iter().any(|source| source.cursor > source.committed + ahead)
    }

    /// Cursors that are to be stored with the next commit.
    pub(super) fn moved(&self) -> Vec<Cursor> {
        let moved = self.sources.iter().filter(|source| source.cursor != source.committed);
        moved.map(|source| Cursor { log: source.log.clone(), position: source.cursor }).collect()
    }

    /// The cursors are stored. Those who share this partition's fate may know at once; returns who may only once that is
    /// durable.
    pub(super) fn committed(&mut self) -> AcksDue {
        let mut due = AcksDue::new();
        for source in self.sources.iter_mut().filter(|source| source.cursor != source.committed) {
            source.committed = source.cursor;
            acknowledge(source, &mut due);
        }
        due
    }

    /// Goes on from the cursors that are stored, and has consumers read what may have been written by others. Returns who
    /// may know once what was loaded is durable.
    pub(super) fn adopt(&mut self, snapshot: &Snapshot) -> AcksDue {
        let mut due = AcksDue::new();
        for source in &mut self.sources {
            let cursor = snapshot.cursors.iter().find(|cursor| cursor.log == source.log);
            source.committed = cursor.map_or(0, |cursor| cursor.position);
            source.cursor = source.committed;
            acknowledge(source, &mut due);
            if source.reader.is_none() {
                source.have_read();
            }
        }
        due
    }

    /// Tells consumers that others may have written up to `log_end`.
    pub(super) fn announce(&mut self, log_end: u64) {
        for link in &mut self.links {
            link.restart(log_end);
            link.announce(log_end);
        }
    }

    /// Makes deliveries of new events, numbered from `first` on: those that may leave at once, and those that may only once
    /// they are durable.
    pub(super) fn prepare(&mut self, first: u64, events: &[Arc<Recorded<E>>]) -> (Ready<E>, Ready<E>) {
        let (mut at_once, mut once_durable) = (Ready::new(), Ready::new());
        if !events.is_empty() {
            for link in &mut self.links {
                let ready = if link.shares_fate { &mut at_once } else { &mut once_durable };
                link.prepare(first, events, &mut self.scratch, ready);
            }
        }
        (at_once, once_durable)
    }

    /// Tells consumers that nothing up to `log_end` is for them which they did not get.
    pub(super) fn skips(&mut self, log_end: u64) -> Ready<E> {
        let mut skips = Ready::new();
        for link in &mut self.links {
            link.prepare_skips(log_end, &mut skips);
        }
        skips
    }

    /// Has those sources read that others read, where a delivery seems to be lost, or at every `poll`. Returns whether one
    /// that this partition reads itself is to be read. `idle`: no delivery waits.
    pub(super) fn look(&mut self, idle: bool, poll: bool) -> bool {
        let mut stalled = false;
        for source in &mut self.sources {
            let is_stalled = source.is_stalled(idle);
            match source.reader {
                Some(_) => stalled |= is_stalled,
                None if is_stalled || poll => source.have_read(),
                None => {}
            }
        }
        stalled
    }

    /// How many events wait to be consumed.
    pub(super) fn lag(&self) -> u64 {
        self.sources.iter().map(Source::lag).sum()
    }
}

fn acknowledge(source: &Source, due: &mut AcksDue) {
    match source.visibility {
        Visibility::Committed => source.ack.set(source.committed),
        Visibility::Durable => due.push((Arc::clone(&source.ack), source.committed)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        Timestamp,
        link::{DeliveryFault, LinkedPartition, Progress, Sink, Subscribers, send},
    };

    fn source(partition: u16, visibility: Visibility) -> Source {
        Source::new(LogName { service: "producer".into(), partition }, None, visibility)
    }

    fn two() -> Neighbours<u32> {
        let sources = vec![source(0, Visibility::Committed), source(1, Visibility::Durable)];
        Neighbours::new(sources, Vec::new(), Acks::default())
    }

    fn known(neighbours: &Neighbours<u32>) -> Vec<Option<u64>> {
        neighbours.sources.iter().map(|source| source.ack.known()).collect()
    }

    fn delivered(source: usize, to: u64) -> Delivery<u32> {
        Delivery { source, from: 0, to, events: Vec::new(), fault: None }
    }

    #[test]
    fn a_cursor_is_worth_a_commit_when_idle_or_far_ahead() {
        let mut neighbours = two();
        neighbours.consumed(&delivered(1, CURSOR_LAG_MAX));
        assert!(!neighbours.are_worth_a_commit(false));
        assert!(neighbours.are_worth_a_commit(true));
        neighbours.consumed(&delivered(1, CURSOR_LAG_MAX + 1));
        assert!(neighbours.are_worth_a_commit(false));
        neighbours.consumed(&delivered(1, 1));
        assert_eq!(neighbours.cursor(1), CURSOR_LAG_MAX + 1, "an old delivery");
    }

    #[test]
    fn only_who_shares_the_partitions_fate_knows_at_once_what_is_consumed() {
        let mut neighbours = two();
        neighbours.consumed(&delivered(0, 5));
        neighbours.consumed(&delivered(1, 7));
        let moved: Vec<_> = neighbours.moved().into_iter().map(|cursor| cursor.position).collect();
        assert_eq!(moved, [5, 7]);
        assert_eq!(known(&neighbours), [None, None], "it is not committed");
        let due = neighbours.committed();
        assert_eq!(known(&neighbours), [Some(5), None]);
        due.into_iter().for_each(|(ack, position)| ack.set(position));
        assert_eq!(known(&neighbours), [Some(5), Some(7)]);
        assert_eq!(neighbours.moved(), []);
    }

    #[test]
    fn what_was_not_stored_is_consumed_again() {
        let mut neighbours = two();
        neighbours.consumed(&delivered(0, 5));
        neighbours.consumed(&delivered(1, 7));
        let log = LogName { service: "producer".into(), partition: 1 };
        let snapshot = Snapshot {
            head: 1,
            log_end: 0,
            cursors: vec![Cursor { log, position: 3 }],
            position: 1,
            records: Vec::new(),
        };
        let due: Vec<_> = neighbours.adopt(&snapshot).into_iter().map(|(_, position)| position).collect();
        assert_eq!((neighbours.cursor(0), neighbours.cursor(1)), (0, 3));
        assert_eq!((known(&neighbours), due), (vec![Some(0), None], vec![3]));
    }

    type Heard = Arc<Mutex<Vec<(u64, u64, Vec<u64>)>>>;

    /// One that has a consumer in another process, what that one is told of the log, and what it hears.
    fn with_a_consumer_away() -> (Neighbours<u32>, Arc<Progress>, Heard) {
        let (subscribers, progress, heard) =
            (Arc::<Subscribers<u32>>::default(), Arc::<Progress>::default(), Heard::default());
        let hears = Arc::clone(&heard);
        let hear = move |delivery: &Delivery<u32>| {
            let numbers = delivery.events.iter().map(|(number, _)| *number).collect();
            hears.lock().expect("no panic").push((delivery.from, delivery.to, numbers));
        };
        subscribers.add(1, Box::new(hear));
        let sink = Sink { mailbox: None, subscribers: Some(subscribers) };
        let consumer =
            LinkedPartition { sink, source: 0, progress: Arc::clone(&progress), sent: 0, pending: Vec::new() };
        let link = Link { route: Arc::new(|_, to| to.add(0)), shares_fate: true, consumers: vec![Some(consumer)] };
        (Neighbours::new(Vec::new(), vec![link], Acks::default()), progress, heard)
    }

    #[test]
    fn consumers_hear_how_far_others_may_have_written_and_then_each_event_once() {
        let (mut neighbours, progress, heard) = with_a_consumer_away();
        let add = |neighbours: &mut Neighbours<u32>, first, count| {
            let events: Vec<_> = (0..count).map(|event| Arc::new(Recorded { at: Timestamp(0), event })).collect();
            let (mut ready, _) = neighbours.prepare(first, &events);
            send(&mut ready, DeliveryFault::None);
        };
        add(&mut neighbours, 1, 2);
        assert_eq!(std::mem::take(&mut *heard.lock().expect("no panic")), [(0, 2, vec![1, 2])]);
        neighbours.announce(7);
        assert_eq!(progress.addressed(), 7);
        assert_eq!(std::mem::take(&mut *heard.lock().expect("no panic")), [(7, 7, vec![])]);
        // From where the others got: what they wrote is to be read, not passed over, and nothing comes a second time.
        add(&mut neighbours, 8, 2);
        add(&mut neighbours, 10, 1);
        assert_eq!(*heard.lock().expect("no panic"), [(7, 9, vec![8, 9]), (9, 10, vec![10])]);
    }
}
