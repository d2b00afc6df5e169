//! Replies remembered under idempotency keys, in the same commit as the effect, and forgotten after their time.

use std::{sync::Arc, time::Duration};

use crate::{
    IdempotencyKey, Participant, RequestId, Store,
    codec::Codec,
    engine_records::{EngineKey, EngineRecord, due},
    request::{CallError, Replied},
    sequencer::{Sequencer, calendar::Count, state::State},
    settings::Settings,
    store,
};

/// Keys forgotten at one time: a bounded share of a batch. Removal keeps pace with arrival because a batch that finds
/// more removes them in its next turn.
const FORGOTTEN_MAX: u64 = 512;

/// What a key is counted as beside its own length, twice, and that of its reply: numbers, names of records, and what a
/// store adds to each of two records.
const KEY_BYTES: usize = 120;

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What the partition remembers under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    No,
    /// The same request was noted, and no reply.
    Claimed,
    /// A reply, or another request, or nothing and there is no room for more: the request is answered.
    Answered,
}

impl<P: Participant> State<P> {
    /// Records an answer, and when it is to be forgotten.
    pub(super) fn remember(
        &mut self,
        settings: &Settings,
        key: &IdempotencyKey,
        reply: Option<&P::Reply>,
        has_effect: bool,
    ) {
        self.own.begin_step();
        let reply = reply.map(|reply| {
            let mut bytes = Vec::new();
            reply.encode_to(&mut bytes);
            bytes
        });
        let recorded_at = self.now.0;
        // No longer than the settings say.
        let usual = settings.idempotency_retention;
        let own = key.retention.unwrap_or(usual).min(usual);
        let own = if has_effect { own } else { own.min(settings.unchanged_retention) };
        let retention = (own < usual).then(|| milliseconds(own));
        let bytes = (KEY_BYTES + 2 * key.key.len() + reply.as_ref().map_or(0, Vec::len)) as u64;
        let answer = EngineRecord::Answer { fingerprint: key.fingerprint, recorded_at, reply, retention };
        self.own.set(EngineKey::Answer(Arc::clone(&key.key)), Some(answer));

        let time = due(recorded_at, milliseconds(own));
        let before = self.calendar.at(time);
        let count = before.unwrap_or_default();
        let entry = EngineRecord::Due { key: key.key.to_string(), recorded_at, bytes };
        self.own.set(EngineKey::Due(time, count.next), Some(entry));
        self.count(time, Count { next: count.next + 1, bytes: count.bytes + bytes, ..count });
        if before.is_none() {
            self.own.set(EngineKey::Calendar, Some(self.calendar.record()));
        }
    }

    fn count(&mut self, time: u64, count: Count) {
        let Count { first, next, bytes } = count;
        self.calendar.set(time, count);
        self.own.set(EngineKey::DueCount(time), Some(EngineRecord::DueCount { first, next, bytes }));
    }

    /// Removes an answer, unless it was recorded anew since.
    fn forget_answer(&mut self, answer: EngineKey, recorded_at: u64) {
        let same = matches!(self.own.get(&answer), Ok(Some(EngineRecord::Answer { recorded_at: at, .. })) if *at == recorded_at);
        if same {
            self.own.set(answer, None);
        }
    }

    /// No key is due at this time any more.
    fn forget_time(&mut self, time: u64) {
        self.calendar.remove(time);
        self.own.set(EngineKey::DueCount(time), None);
        self.own.set(EngineKey::Calendar, Some(self.calendar.record()));
    }
}

impl<P: Participant, S: Store> Sequencer<P, S> {
    /// Answers a request whose key is known, or for whose key there is no room. Any other is to be run.
    pub(super) async fn answer_again(&mut self, request: RequestId, key: &IdempotencyKey) -> store::Result<Known> {
        let name = EngineKey::Answer(Arc::clone(&key.key));
        self.ensure_own(std::slice::from_ref(&name)).await?;
        let usual = milliseconds(self.env.settings.idempotency_retention);
        let known = match self.state.own.get(&name) {
            Ok(Some(EngineRecord::Answer { fingerprint, recorded_at, reply, retention }))
                if recorded_at.saturating_add(retention.unwrap_or(usual)) > self.state.now.0 =>
            {
                Some((*fingerprint, reply))
            }
            _ => None,
        };
        let answer = match known {
            Some((fingerprint, _)) if fingerprint != key.fingerprint => Err(CallError::KeyReused),
            Some((_, Some(reply))) => {
                let reply = P::Reply::decode_from(reply)
                    .map_err(|error| store::Error::Poisoned(format!("a remembered reply cannot be read: {error}")))?;
                Ok(Some(Replied { reply, is_replayed: true }))
            }
            Some((_, None)) => return Ok(Known::Claimed),
            None if self.state.calendar.bytes() >= self.env.settings.idempotency_bytes_max => {
                Err(CallError::Overloaded)
            }
            None => return Ok(Known::No),
        };
        self.state.answers.push((request, answer));
        Ok(Known::Answered)
    }

    /// Takes the replies of the last step and remembers those that have a key.
    pub(super) fn collect_replies(&mut self, has_effect: bool) {
        let mut replies = std::mem::take(&mut self.state.effects.replies);
        for (request, reply) in replies.drain(..) {
            if let Some(key) = self.pending.get(request).and_then(|pending| pending.key.clone())
                && self.env.participant.is_final(&reply)
            {
                self.state.remember(&self.env.settings, &key, Some(&reply), has_effect);
            }
            self.state.answers.push((request, Ok(Some(Replied::first(reply)))));
        }
        self.state.effects.replies = replies;
    }

    /// Forgets keys whose time is over.
    pub(super) async fn forget_keys(&mut self) -> store::Result<()> {
        let mut left = FORGOTTEN_MAX;
        while left > 0
            && let Some((time, count)) = self.state.calendar.first()
            && time <= self.state.now.0
        {
            let next = count.next.min(count.first + left);
            left -= next - count.first;
            self.forget_due(time, Count { next, ..count }, next == count.next).await?;
        }
        if left == 0 {
            self.poll_at = tokio::time::Instant::now();
        }
        Ok(())
    }

    /// Forgets the keys of one time that `part` counts; `is_all`: there are no others.
    async fn forget_due(&mut self, time: u64, part: Count, is_all: bool) -> store::Result<()> {
        let entries: Vec<_> = (part.first..part.next).map(|number| EngineKey::Due(time, number)).collect();
        self.ensure_own(&entries).await?;
        let mut due = Vec::new();
        let mut bytes_left = part.bytes;
        for entry in &entries {
            if let Ok(Some(EngineRecord::Due { key, recorded_at, bytes })) = self.state.own.get(entry) {
                due.push((EngineKey::Answer(key.as_str().into()), *recorded_at));
                bytes_left = bytes_left.saturating_sub(*bytes);
            }
        }
        let answers: Vec<_> = due.iter().map(|(answer, _)| answer.clone()).collect();
        self.ensure_own(&answers).await?;
        self.state.own.begin_step();
        for (answer, recorded_at) in due {
            self.state.forget_answer(answer, recorded_at);
        }
        entries.into_iter().for_each(|entry| self.state.own.set(entry, None));
        if is_all {
            self.state.forget_time(time);
        } else {
            let next = self.state.calendar.at(time).map_or(part.next, |count| count.next);
            self.state.count(time, Count { first: part.next, next, bytes: bytes_left });
        }
        Ok(())
    }

    async fn ensure_own(&mut self, keys: &[EngineKey]) -> store::Result<()> {
        let missing: Vec<_> = keys.iter().filter(|key| !self.state.own.holds(key)).cloned().collect();
        if missing.is_empty() { Ok(()) } else { self.load(&[], &missing).await }
    }
}
