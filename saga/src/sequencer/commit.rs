//! From the views' changes to a commit, and from the commit to the world.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    Participant, Store,
    codec::Codec,
    engine_records::{EngineKey, write_domain_key},
    link::{self, Ready, Source, Visibility},
    participant::Key,
    sequencer::{Outgoing, Sequencer},
    store::{self, Commit, Committed, Cursor, Write},
};

/// Cursors may lag behind by this many events before an otherwise idle consumer stores them: each such commit is shared
/// by that many events, and the log that is kept for it stays small.
const CURSOR_LAG_MAX: u64 = 1024;

impl<P: Participant, S: Store> Sequencer<P, S> {
    /// Commits what the steps changed, if anything, and sends out what may go. `idle`: store lagging cursors too.
    pub(super) async fn commit(&mut self, idle: bool) -> store::Result<()> {
        let Some(commit) = self.stage(idle) else {
            self.confirm().await?;
            self.send_out(Ready::new(), Vec::new());
            return Ok(());
        };
        let events = commit.events.len();
        let started = Instant::now();
        let committed = match self.store.commit(self.log.partition, commit).await {
            Err(error @ store::Error::Failed(_)) => {
                self.doubt();
                return Err(error);
            }
            committed => committed?,
        };
        self.metrics.committed(started.elapsed(), events);
        self.publish(committed);
        Ok(())
    }

    /// A batch that changed nothing compared no head: before its answers go out, makes sure that what they show is the
    /// partition as it is, and not as it was before another writer took over from one that slept.
    async fn confirm(&self) -> store::Result<()> {
        if self.answers.is_empty() || self.store.is_exclusive() {
            return Ok(());
        }
        let snapshot = self.store.load(self.log.partition, &[]).await?;
        if snapshot.head == self.head { Ok(()) } else { Err(store::Error::Conflict) }
    }

    fn stage(&mut self, idle: bool) -> Option<Commit> {
        let lag = |cursor: u64, committed: u64| {
            if idle { cursor > committed } else { cursor > committed + CURSOR_LAG_MAX }
        };
        self.sources.iter_mut().for_each(Source::skip_others);
        let changed = self.records.is_dirty() || self.own.is_dirty() || !self.effects.events.is_empty();
        if !changed && !self.sources.iter().any(|source| lag(source.cursor, source.committed)) {
            return None;
        }
        self.mark_writer();
        let mut writes = Encodings::new(&mut self.scratch);
        self.records.drain_dirty(|key, record| writes.write(|out| write_domain_key(key, out), record));
        self.own.drain_dirty(|key: &EngineKey, record| writes.write(|out| key.write_to(out), record));
        let writes = writes.into_writes();
        let mut events = Encodings::new(&mut self.scratch);
        self.effects.events.iter().for_each(|event| events.push(|out| event.encode_to(out)));
        let events = events.into_values().collect();
        let moved = self.sources.iter().filter(|source| source.cursor != source.committed);
        let cursors = moved.map(|source| Cursor { log: source.log.clone(), position: source.cursor }).collect();
        Some(Commit { expected_head: self.head, writes, events, cursors, trim: self.trim_floor() })
    }

    /// Events up to this number are needed neither by a consumer nor to rebuild a deadline.
    pub(super) fn trim_floor(&self) -> u64 {
        self.acks.minimum().min(self.timers.floor() - 1).min(self.log_end)
    }

    fn publish(&mut self, committed: Committed) {
        let first = self.log_end + 1;
        self.doubts.clear();
        self.head = committed.head;
        self.position = committed.position;
        let events: Vec<_> = self.effects.events.drain(..).map(Arc::new).collect();
        self.log_end += events.len() as u64;
        self.status.log_end.store(self.log_end, Ordering::Release);
        let instant = Instant::now();
        for (number, event) in (first..).zip(&events) {
            self.participant.committed(event, self.now);
            if let Some(deadline) = self.participant.deadline(event) {
                self.timers.apply(number, deadline, self.now, instant);
            }
        }
        let mut deliveries = Ready::new();
        if !events.is_empty() {
            let mut at_once = Ready::new();
            for link in &mut self.links {
                let ready = if link.shares_fate { &mut at_once } else { &mut deliveries };
                link.prepare(first, &events, &mut self.destinations, ready);
            }
            link::send(&mut at_once, self.settings.delivery_fault);
        }
        let mut acks = Vec::new();
        for source in self.sources.iter_mut().filter(|source| source.cursor != source.committed) {
            source.committed = source.cursor;
            match source.visibility {
                Visibility::Committed => source.ack.store(source.cursor, Ordering::Release),
                Visibility::Durable => acks.push((Arc::clone(&source.ack), source.cursor)),
            }
        }
        self.send_out(deliveries, acks);
    }

    /// Queues replies, deliveries and acks behind the durability of what they depend on.
    pub(super) fn send_out(&mut self, deliveries: Ready<P::Event>, acks: Vec<(Arc<AtomicU64>, u64)>) {
        self.metrics.notes(&self.effects.notes);
        self.effects.clear();
        let desk = &mut self.desk;
        let replies: Vec<_> = self.answers.drain(..).filter_map(|(id, answer)| desk.close(id, answer)).collect();
        if replies.is_empty() && deliveries.is_empty() && acks.is_empty() {
            return;
        }
        let outgoing = Outgoing { position: self.position, replies, deliveries, acks };
        self.store.durability().request(outgoing.position);
        self.outgoing.push_back(outgoing);
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

    fn write(&mut self, key: impl FnOnce(&mut Vec<u8>), record: Option<&impl Codec>) {
        self.push(key);
        match record {
            Some(record) => self.push(|out| record.encode_to(out)),
            None => self.ends.push(None),
        }
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
