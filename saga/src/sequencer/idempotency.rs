//! Replies remembered under idempotency keys, in the same commit as the effect, and forgotten after their time.

use std::{sync::Arc, time::Duration};

use crate::{
    IdempotencyKey, Participant, RequestId, Store,
    codec::Codec,
    engine_records::{EngineKey, EngineRecord, Queue},
    request::CallError,
    sequencer::Sequencer,
    store,
};

/// Expired answers removed at one time: a bounded share of a batch. Removal keeps pace with arrival because a batch
/// that finds more removes them in its next turn.
const EXPIRED_MAX: u64 = 512;

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl<P: Participant, S: Store> Sequencer<P, S> {
    /// Answers a request whose key is known. `false`: it is not, or only claimed; the request is to be run.
    pub(super) async fn answer_again(&mut self, request: RequestId, key: &IdempotencyKey) -> store::Result<bool> {
        let name = EngineKey::Answer(Arc::clone(&key.key));
        self.ensure_own(std::slice::from_ref(&name)).await?;
        let usual = milliseconds(self.settings.idempotency_retention);
        let Ok(Some(EngineRecord::Answer { fingerprint, recorded_at, reply, retention })) = self.own.get(&name) else {
            return Ok(false);
        };
        if recorded_at.saturating_add(retention.unwrap_or(usual)) <= self.now.0 {
            return Ok(false);
        }
        if *fingerprint != key.fingerprint {
            self.answers.push((request, Err(CallError::KeyReused)));
            return Ok(true);
        }
        let Some(reply) = reply else { return Ok(false) };
        let reply = P::Reply::decode_from(reply)
            .map_err(|error| store::Error::Poisoned(format!("a remembered reply cannot be read: {error}")))?;
        self.answers.push((request, Ok(Some(reply))));
        Ok(true)
    }

    /// Takes the replies of the last step and remembers those that have a key.
    pub(super) fn collect_replies(&mut self) {
        let mut replies = std::mem::take(&mut self.effects.replies);
        for (request, reply) in replies.drain(..) {
            if let Some(key) = self.desk.get(request).and_then(|pending| pending.key.clone())
                && self.participant.is_final(&reply)
            {
                self.remember(&key, Some(&reply));
            }
            self.answers.push((request, Ok(Some(reply))));
        }
        self.effects.replies = replies;
    }

    /// Records an answer, and queues it for expiry.
    pub(super) fn remember(&mut self, key: &IdempotencyKey, reply: Option<&P::Reply>) {
        self.own.begin_step();
        let reply = reply.map(|reply| {
            let mut bytes = Vec::new();
            reply.encode_to(&mut bytes);
            bytes
        });
        let recorded_at = self.now.0;
        // No longer than the settings say.
        let retention = key.retention.filter(|own| *own < self.settings.idempotency_retention).map(milliseconds);
        let queue = if retention.is_some() { Queue::Brief } else { Queue::Usual };
        let answer = EngineRecord::Answer { fingerprint: key.fingerprint, recorded_at, reply, retention };
        self.own.set(EngineKey::Answer(Arc::clone(&key.key)), Some(answer));
        let (first, next) = self.queue_bounds(queue);
        let queued = EngineRecord::Queued { key: key.key.to_string(), recorded_at, retention };
        self.own.set(EngineKey::Queued(queue, next), Some(queued));
        self.own.set(EngineKey::QueueBounds(queue), Some(EngineRecord::Bounds { first, next: next + 1 }));
    }

    fn queue_bounds(&mut self, queue: Queue) -> (u64, u64) {
        match self.own.get(&EngineKey::QueueBounds(queue)) {
            Ok(Some(EngineRecord::Bounds { first, next })) => (*first, *next),
            _ => (0, 0),
        }
    }

    /// Removes answers whose time is over, oldest first.
    pub(super) async fn expire_answers(&mut self) -> store::Result<()> {
        for queue in [Queue::Brief, Queue::Usual] {
            let (first, next) = self.queue_bounds(queue);
            let limit = next.min(first + EXPIRED_MAX);
            let kept = self.expire_in(queue, first, limit).await?;
            if kept > first {
                self.own.begin_step();
                self.own.set(EngineKey::QueueBounds(queue), Some(EngineRecord::Bounds { first: kept, next }));
            }
            if kept == first + EXPIRED_MAX {
                self.poll_at = tokio::time::Instant::now();
            }
        }
        Ok(())
    }

    /// Removes entries of a queue from `first` on, and says which one is kept.
    async fn expire_in(&mut self, queue: Queue, first: u64, limit: u64) -> store::Result<u64> {
        let usual = milliseconds(self.settings.idempotency_retention);
        let mut kept = first;
        while kept < limit {
            // The first alone tells whether any is due; those after it are loaded together.
            let ahead = if kept == first { first + 1 } else { limit };
            let entries: Vec<_> = (kept..ahead).map(|number| EngineKey::Queued(queue, number)).collect();
            self.ensure_own(&entries).await?;
            let mut due = Vec::new();
            for entry in &entries {
                match self.own.get(entry) {
                    Ok(Some(EngineRecord::Queued { key, recorded_at, retention })) => {
                        if recorded_at.saturating_add(retention.unwrap_or(usual)) > self.now.0 {
                            break;
                        }
                        due.push(Some((EngineKey::Answer(key.as_str().into()), *recorded_at)));
                    }
                    _ => due.push(None),
                }
            }
            let answers: Vec<_> = due.iter().flatten().map(|(answer, _)| answer.clone()).collect();
            self.ensure_own(&answers).await?;
            kept += due.len() as u64;
            for (entry, due) in entries.iter().zip(&due) {
                if let Some((answer, recorded_at)) = due {
                    self.forget(answer, *recorded_at);
                }
                self.own.begin_step();
                self.own.set(entry.clone(), None);
            }
            if due.len() < entries.len() {
                break;
            }
        }
        Ok(kept)
    }

    /// Removes an answer, unless it was recorded anew since.
    fn forget(&mut self, answer: &EngineKey, recorded_at: u64) {
        let same = matches!(self.own.get(answer), Ok(Some(EngineRecord::Answer { recorded_at: at, .. })) if *at == recorded_at);
        if same {
            self.own.begin_step();
            self.own.set(answer.clone(), None);
        }
    }

    async fn ensure_own(&mut self, keys: &[EngineKey]) -> store::Result<()> {
        let missing: Vec<_> = keys.iter().filter(|key| !self.own.holds(key)).cloned().collect();
        if missing.is_empty() { Ok(()) } else { self.load(&[], &missing).await }
    }
}
