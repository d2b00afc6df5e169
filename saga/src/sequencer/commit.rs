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
        let scratch = &mut self.scratch;
        let mut writes = Vec::new();
        self.records
            .drain_dirty(|key, record| writes.push(encode_write(scratch, |out| write_domain_key(key, out), record)));
        self.own
            .drain_dirty(|key: &EngineKey, record| writes.push(encode_write(scratch, |out| key.write_to(out), record)));
        let events = self.effects.events.iter().map(|event| encode(scratch, |out| event.encode_to(out))).collect();
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

fn encode(scratch: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    scratch.clear();
    write(scratch);
    // A buffer of its own for each value: stores keep values for as long as they like.
    Bytes::copy_from_slice(scratch)
}

fn encode_write(scratch: &mut Vec<u8>, key: impl FnOnce(&mut Vec<u8>), record: Option<&impl Codec>) -> Write {
    let key = encode(scratch, key);
    let value = record.map(|record| encode(scratch, |out| record.encode_to(out)));
    Write { key, value }
}
