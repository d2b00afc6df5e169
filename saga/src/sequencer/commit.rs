//! From the state's changes to a commit, and from the commit to the world.

use std::sync::{Arc, atomic::Ordering};

use tokio::time::Instant;

use crate::{
    Participant, Store,
    link::Ready,
    sequencer::{Sequencer, outbox::AcksDue},
    store::{self, Commit, Committed},
};

impl<P: Participant, S: Store> Sequencer<P, S> {
    /// Commits what the steps changed, if anything, and sends out what may go. `idle`: store lagging cursors too.
    pub(super) async fn commit(&mut self, idle: bool) -> store::Result<()> {
        let Some(commit) = self.stage(idle) else {
            self.confirm().await?;
            self.send_out(Ready::new(), AcksDue::new());
            return Ok(());
        };
        let events = commit.events.len();
        let started = Instant::now();
        let committed = match self.env.store.commit(self.env.log.partition, commit).await {
            Err(error @ store::Error::Failed(_)) => {
                self.writer.hold_in_doubt(&mut self.state.answers);
                return Err(error);
            }
            committed => committed?,
        };
        self.env.metrics.committed(started.elapsed(), events);
        self.publish(committed);
        Ok(())
    }

    /// A batch that changed nothing compared no head: before its answers go out, makes sure that what they show is the
    /// partition as it is, and not as it was before another writer took over from one that slept.
    async fn confirm(&self) -> store::Result<()> {
        if self.state.answers.is_empty() || self.env.store.is_exclusive() {
            return Ok(());
        }
        let snapshot = self.env.store.load(self.env.log.partition, &[]).await?;
        if snapshot.head == self.state.head { Ok(()) } else { Err(store::Error::Conflict) }
    }

    fn stage(&mut self, idle: bool) -> Option<Commit> {
        let are_cursors_worth_it = self.neighbours.are_worth_a_commit(idle);
        if !self.state.is_changed() && !are_cursors_worth_it {
            return None;
        }
        self.writer.stamp(&mut self.state.own);
        let (writes, events) = self.state.stage();
        let cursors = self.neighbours.moved();
        Some(Commit { expected_head: self.state.head, writes, events, cursors, trim: self.trim_floor() })
    }

    /// Events up to this number are needed neither by a consumer nor to rebuild a deadline.
    pub(super) fn trim_floor(&self) -> u64 {
        let (end, lag_max) = (self.state.log_end, self.env.settings.observer_lag_max);
        self.neighbours.acks.minimum(end, lag_max).min(self.state.timers.floor() - 1).min(end)
    }

    fn publish(&mut self, committed: Committed) {
        self.writer.settle();
        let (first, events) = self.state.committed(committed);
        self.env.status.log_end.store(self.state.log_end, Ordering::Release);
        let (now, participant) = ((self.state.now, Instant::now()), Arc::clone(&self.env.participant));
        for (number, event) in (first..).zip(&events) {
            participant.committed(event, self.state.now);
            self.state.note_deadline(&participant, (number, event), now);
        }
        self.state.timers.is_complete(self.state.log_end, now.1);
        let (at_once, once_durable) = self.neighbours.prepare(first, &events);
        self.outbox.send_now(at_once);
        let acks = self.neighbours.committed();
        self.send_out(once_durable, acks);
    }

    /// Tells consumers that none of the last events is for them, once those are durable: one that counted events as
    /// consumed which a crash takes back would find the log to be older than it was.
    pub(super) fn send_skips(&mut self) {
        // While something waits, more may follow, and one skip does for all of it.
        if !self.outbox.is_empty() {
            return;
        }
        let skips = self.neighbours.skips(self.state.log_end);
        self.outbox.push(self.state.position, Vec::new(), skips, AcksDue::new());
        self.outbox.release();
    }

    /// Queues replies, deliveries and acks behind the durability of what they depend on.
    pub(super) fn send_out(&mut self, deliveries: Ready<P::Event>, acks: AcksDue) {
        self.env.metrics.notes(&self.state.effects.notes);
        self.state.effects.clear();
        let pending = &mut self.pending;
        let replies = self.state.answers.drain(..).filter_map(|(id, answer)| pending.close(id, answer)).collect();
        self.outbox.push(self.state.position, replies, deliveries, acks);
    }
}
