//! Replies remembered under idempotency keys, in the same commit as the effect, and forgotten after their time.

use std::sync::Arc;

use crate::{
    IdempotencyKey, Participant, RequestId, Store,
    codec::Codec,
    engine_records::{EngineKey, EngineRecord},
    request::CallError,
    sequencer::Sequencer,
    store,
};

/// Expired answers removed at one time: a bounded share of a batch. Removal keeps pace with arrival because a batch
/// that finds more removes them in its next turn.
const EXPIRED_MAX: u64 = 512;

impl<P: Participant, S: Store> Sequencer<P, S> {
    /// Answers a request whose key is known. `false`: it is not, or only claimed; the request is to be run.
    pub(super) async fn answer_again(&mut self, request: RequestId, key: &IdempotencyKey) -> store::Result<bool> {
        let name = EngineKey::Answer(Arc::clone(&key.key));
        self.ensure_own(&name).await?;
        let retention = u64::try_from(self.settings.idempotency_retention.as_millis()).unwrap_or(u64::MAX);
        let Ok(Some(EngineRecord::Answer { fingerprint, recorded_at, reply })) = self.own.get(&name) else {
            return Ok(false);
        };
        if recorded_at.saturating_add(retention) <= self.now.0 {
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
        let answer = EngineRecord::Answer { fingerprint: key.fingerprint, recorded_at, reply };
        self.own.set(EngineKey::Answer(Arc::clone(&key.key)), Some(answer));
        let (first, next) = self.queue_bounds();
        let queued = EngineRecord::Queued { key: key.key.to_string(), recorded_at };
        self.own.set(EngineKey::Queued(next), Some(queued));
        self.own.set(EngineKey::QueueBounds, Some(EngineRecord::Bounds { first, next: next + 1 }));
    }

    fn queue_bounds(&mut self) -> (u64, u64) {
        match self.own.get(&EngineKey::QueueBounds) {
            Ok(Some(EngineRecord::Bounds { first, next })) => (*first, *next),
            _ => (0, 0),
        }
    }

    /// Removes answers whose time is over, oldest first.
    pub(super) async fn expire_answers(&mut self) -> store::Result<()> {
        let retention = u64::try_from(self.settings.idempotency_retention.as_millis()).unwrap_or(u64::MAX);
        let (first, next) = self.queue_bounds();
        let mut kept = first;
        while kept < next.min(first + EXPIRED_MAX) {
            let entry = EngineKey::Queued(kept);
            self.ensure_own(&entry).await?;
            let queued = match self.own.get(&entry) {
                Ok(Some(EngineRecord::Queued { key, recorded_at })) => {
                    Some((EngineKey::Answer(key.as_str().into()), *recorded_at))
                }
                _ => None,
            };
            if let Some((answer, recorded_at)) = queued {
                if recorded_at.saturating_add(retention) > self.now.0 {
                    break;
                }
                self.forget(answer, recorded_at).await?;
            }
            self.own.begin_step();
            self.own.set(entry, None);
            kept += 1;
        }
        if kept > first {
            self.own.begin_step();
            self.own.set(EngineKey::QueueBounds, Some(EngineRecord::Bounds { first: kept, next }));
        }
        if kept == first + EXPIRED_MAX {
            self.poll_at = tokio::time::Instant::now();
        }
        Ok(())
    }

    /// Removes an answer, unless it was recorded anew since.
    async fn forget(&mut self, answer: EngineKey, recorded_at: u64) -> store::Result<()> {
        self.ensure_own(&answer).await?;
        let same = matches!(self.own.get(&answer), Ok(Some(EngineRecord::Answer { recorded_at: at, .. })) if *at == recorded_at);
        if same {
            self.own.begin_step();
            self.own.set(answer, None);
        }
        Ok(())
    }

    async fn ensure_own(&mut self, key: &EngineKey) -> store::Result<()> {
        if self.own.holds(key) { Ok(()) } else { self.load(&[], std::slice::from_ref(key)).await }
    }
}
