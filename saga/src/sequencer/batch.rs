//! One batch: what is in it, and how its steps are run.

use std::sync::Arc;

use crate::{
    Destinations, Input, LogName, Origin, Participant, Repeatability, RequestId, Store, Timestamp,
    codec::Codec,
    engine_records::EngineRecord,
    engine_records::{EngineKey, store_key, write_domain_key},
    link::{Delivery, Fault, Succession},
    record::Key,
    recorded::Recorded,
    request::{Ask, CallError},
    sequencer::{Env, Halt, Sequencer, idempotency::Known, recent::Comparison},
    store::{
        self, Error,
        position::{epoch_of, sequence_of},
    },
};

/// An observer lets others run after so many events: it has time, and they may have not.
const STEPS_AT_ONCE: usize = 128;

/// Inputs that are run in this order and committed together.
pub(super) struct Batch<P: Participant> {
    pub(super) deliveries: Vec<Delivery<P::Event>>,
    pub(super) deadlines: Vec<P::Key>,
    pub(super) expired: Vec<RequestId>,
    pub(super) requests: Vec<RequestId>,
    /// Also expire old answers and store idle cursors.
    pub(super) housekeeping: bool,
}

impl<P: Participant> Default for Batch<P> {
    fn default() -> Self {
        Self {
            deliveries: Vec::new(),
            deadlines: Vec::new(),
            expired: Vec::new(),
            requests: Vec::new(),
            housekeeping: false,
        }
    }
}

impl<P: Participant> Batch<P> {
    pub(super) fn len(&self) -> usize {
        let events: usize = self.deliveries.iter().map(|delivery| delivery.events.len().max(1)).sum();
        events + self.deadlines.len() + self.expired.len() + self.requests.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0 && !self.housekeeping
    }
}

impl<P: Participant, S: Store> Sequencer<P, S> {
    /// Runs a batch until it is committed, however often another writer or a passing fault gets in between.
    pub(super) async fn process(&mut self, mut batch: Batch<P>) -> Result<(), Halt> {
        self.check_faults(&batch).await?;
        let mut backoff = self.writer.backoff();
        loop {
            match self.compare().await? {
                Comparison::Recent => {}
                Comparison::Anew => batch.requests = self.pending.ask_again(),
                Comparison::Old => return Ok(()),
            }
            if batch.is_empty() {
                return Ok(());
            }
            self.state.now = self.env.settings.clock.now();
            let result = match self.run_steps(&batch).await {
                Ok(()) => self.commit(batch.housekeeping).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => {
                    self.store_healthy();
                    self.tell_heard(&batch);
                    self.state.evict(self.env.settings.records_in_memory_max);
                    return Ok(());
                }
                Err(error @ Error::Poisoned(_)) => return Err(self.env.fatal(&error)),
                Err(error) => {
                    if matches!(error, Error::Failed(_)) {
                        self.pause(&error.to_string(), &mut backoff).await;
                    }
                    self.start_over(&error).await?;
                    // Those who wait in the lost view's records ask again, and so do this batch's. Whose patience was
                    // over is told so anew, after that.
                    batch.requests = self.pending.ask_again();
                    batch.expired.clear();
                }
            }
        }
    }

    /// Tells an observer what was committed.
    fn tell_heard(&self, batch: &Batch<P>) {
        for (delivery, after) in batch.deliveries.iter().zip(&self.state.heard_after) {
            let log = self.neighbours.log(delivery.source);
            for (number, event) in delivery.events.iter().filter(|(number, _)| number > after) {
                self.env.participant.heard(&event.event, Origin { log, number: *number, at: event.at });
            }
        }
    }

    async fn run_steps(&mut self, batch: &Batch<P>) -> store::Result<()> {
        self.state.heard_after.clear();
        if let Err(error) = self.prefetch(batch).await {
            // One record that cannot be read must not keep the others: each step loads what it needs by itself.
            self.excuse(error).await?;
        }
        for delivery in &batch.deliveries {
            self.consume(delivery).await?;
        }
        for key in &batch.deadlines {
            self.run_step(Input::Deadline(key), None).await?;
        }
        for &request in &batch.requests {
            if let Err(error) = self.run_request(request).await {
                self.excuse(error).await?;
                self.state.answers.push((request, Err(self.pending.refusal(request))));
            }
        }
        // After the requests: one whose patience is short may be among them, and cannot be withdrawn before it is made.
        for &request in &batch.expired {
            if let Some(Ask::Command(command)) = self.pending.get(request).map(|pending| pending.ask.clone()) {
                self.run_step(Input::Expired { request, command: &command }, None).await?;
            }
        }
        if batch.housekeeping {
            self.forget_keys().await?;
        }
        Ok(())
    }

    /// Applies the events that were not applied before. A delivery that does not connect is left for the log.
    async fn consume(&mut self, delivery: &Delivery<P::Event>) -> store::Result<()> {
        let cursor = self.neighbours.cursor(delivery.source);
        if P::IS_OBSERVER {
            // Nothing of one that does not connect, or that the log was trimmed before.
            let is_left = delivery.from > cursor || matches!(delivery.fault, Some(Fault::Trimmed(_)));
            self.state.heard_after.push(if is_left { u64::MAX } else { cursor });
        }
        if delivery.from > cursor {
            return Ok(());
        }
        if let Some(Fault::Trimmed(next)) = delivery.fault
            && P::IS_OBSERVER
        {
            return self.miss(delivery, next - 1).await;
        }
        let log = self.neighbours.log(delivery.source).clone();
        for (count, (number, event)) in delivery.events.iter().enumerate() {
            if *number > cursor {
                let origin = Origin { log: &log, number: *number, at: event.at };
                self.run_step(Input::Event(&event.event), Some(origin)).await?;
            }
            if P::IS_OBSERVER && count % STEPS_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        self.neighbours.consumed(delivery);
        Ok(())
    }

    /// Goes on, as an observer, after the event `last` of a log, up to which it is gone.
    async fn miss(&mut self, delivery: &Delivery<P::Event>, last: u64) -> store::Result<()> {
        let cursor = self.neighbours.cursor(delivery.source);
        let missed = sequence_of(last).saturating_sub(sequence_of(cursor));
        if cursor != delivery.from || missed == 0 {
            return Ok(());
        }
        let log = self.neighbours.log(delivery.source).clone();
        tracing::warn!(%log, missed, "events were dropped before they were observed");
        let Env { participant, partitions, .. } = &self.env;
        let (participant, place) = (Arc::clone(participant), (self.env.log.partition, *partitions));
        let origin = Origin { log: &log, number: last, at: Timestamp::default() };
        while !self.state.try_step(place, Some(origin), |step| participant.missed(step, missed)) {
            let missing = self.state.records.take_missing();
            self.load(&missing, &[]).await?;
        }
        self.neighbours.jumped(delivery.source, last);
        Ok(())
    }

    async fn run_request(&mut self, request: RequestId) -> store::Result<()> {
        let Some((ask, key)) = self.pending.get(request).map(|pending| (pending.ask.clone(), pending.key.clone()))
        else {
            return Ok(());
        };
        let known = match &key {
            Some(key) => self.answer_again(request, key).await?,
            None => Known::No,
        };
        if known == Known::Answered {
            return Ok(());
        }
        if ask.repeatability::<P>() != Repeatability::Safe
            && self.pending.is_new(request)
            && self.env.store.room().is_err()
        {
            let answer = match (ask, known) {
                // It is noted already.
                (Ask::Claim, Known::Claimed) => Ok(None),
                _ => Err(CallError::Unavailable),
            };
            self.state.answers.push((request, answer));
            return Ok(());
        }
        match (ask, key) {
            (Ask::Command(command), _) => self.run_step(Input::Command { request, command: &command }, None).await,
            (Ask::Claim, key) => {
                if let Some(key) = &key {
                    self.state.remember(&self.env.settings, key, None, true);
                }
                self.state.answers.push((request, Ok(None)));
                Ok(())
            }
        }
    }

    /// Runs one step, loading what it misses and running it again until it misses nothing.
    async fn run_step(&mut self, input: Input<'_, P>, origin: Option<Origin<'_>>) -> store::Result<()> {
        let events = self.state.effects.events.len();
        let place = (self.env.log.partition, self.env.partitions);
        while !self.state.try_step(place, origin, |step| self.env.participant.step(step, input)) {
            let missing = self.state.records.take_missing();
            self.load(&missing, &[]).await?;
        }
        let has_effect = self.state.records.step_changes() || self.state.effects.events.len() > events;
        self.collect_replies(has_effect);
        Ok(())
    }

    async fn prefetch(&mut self, batch: &Batch<P>) -> store::Result<()> {
        let mut keys = Vec::new();
        let (partition, partitions) = (self.env.log.partition, self.env.partitions);
        for delivery in &batch.deliveries {
            for (_, event) in &delivery.events {
                self.env.participant.prefetch(&Input::Event(&event.event), partition, partitions, &mut keys);
            }
        }
        for &request in &batch.requests {
            if let Some(Ask::Command(command)) = self.pending.get(request).map(|pending| &pending.ask) {
                self.env.participant.prefetch(&Input::Command { request, command }, partition, partitions, &mut keys);
            }
        }
        keys.retain(|key| !self.state.records.holds(key));
        let asked = batch.requests.iter().filter_map(|request| self.pending.get(*request)?.key.as_ref());
        let answers = asked.map(|key| EngineKey::Answer(Arc::clone(&key.key)));
        let mut answers: Vec<_> = answers.filter(|answer| !self.state.own.holds(answer)).collect();
        if keys.is_empty() && answers.is_empty() {
            return Ok(());
        }
        keys.sort_unstable();
        keys.dedup();
        answers.sort_unstable();
        answers.dedup();
        self.load(&keys, &answers).await
    }

    /// After a load that went on failing: `Ok` if it is the records asked for that cannot be read, and not the store that
    /// does not answer. A request that needs them is refused then, and the others are carried out.
    async fn excuse(&mut self, error: Error) -> store::Result<()> {
        let is_load = matches!(error, Error::Failed(_)) && !self.writer.is_in_doubt();
        if !is_load || self.env.store.load(self.env.log.partition, &[]).await?.head != self.state.head {
            return Err(error);
        }
        let Env { log, status, metrics, .. } = &self.env;
        self.store_health.unreadable(log, &error, status, metrics);
        Ok(())
    }

    /// Brings records into the views. If the head is not the one that the views are of, that is a conflict. A load that
    /// fails is made again by itself: to begin the batch anew would lose all that was loaded for it before.
    pub(super) async fn load(&mut self, domain: &[P::Key], own: &[EngineKey]) -> store::Result<()> {
        self.env.metrics.loads(domain.len() + own.len());
        let domain_keys = domain.iter().map(|key| store_key(|out| write_domain_key(key, out)));
        let own_keys = own.iter().map(|key| store_key(|out| key.write_to(out)));
        let keys: Vec<_> = domain_keys.chain(own_keys).collect();
        let mut backoff = self.writer.backoff();
        let snapshot = loop {
            match self.env.store.load(self.env.log.partition, &keys).await {
                Err(error @ Error::Failed(_)) => {
                    if self.store_health.gives_up_loads(&self.env.status) {
                        return Err(error);
                    }
                    self.pause(&error.to_string(), &mut backoff).await;
                }
                loaded => break loaded?,
            }
        };
        if snapshot.head != self.state.head {
            return Err(Error::Conflict);
        }
        let mut values = snapshot.records.into_iter();
        let malformed = |error: crate::CodecError| Error::Poisoned(format!("a record cannot be read: {error}"));
        for (key, value) in domain.iter().zip(values.by_ref()) {
            let length = value.as_ref().map_or(0, bytes::Bytes::len);
            let record = value.map(|value| P::Record::decode_from(&value)).transpose().map_err(malformed)?;
            self.state.records.insert_loaded(key.clone(), record, length);
        }
        for (key, value) in own.iter().zip(values) {
            let length = value.as_ref().map_or(0, bytes::Bytes::len);
            let record = value.map(|value| EngineRecord::decode_from(&value)).transpose().map_err(malformed)?;
            self.state.own.insert_loaded(key.clone(), record, length);
        }
        Ok(())
    }

    /// Selects from events read from a source's log those for this partition, as a delivery of its own.
    pub(super) fn delivery_from_log(
        &mut self,
        index: usize,
        from: u64,
        entries: Vec<store::LogEntry>,
    ) -> Delivery<P::Event> {
        let Env { partitions, log: own, .. } = &self.env;
        let log = self.neighbours.sources.get(index).map_or_else(|| own.clone(), |source| source.log.clone());
        let mut destinations = Destinations::default();
        // Whoever shares a process with its producer sees it stand still.
        select_events(index, from, entries, &log, u64::MAX, |event: &P::Event| {
            destinations.clear();
            P::destinations(event, *partitions, &mut destinations);
            destinations.contains(own.partition)
        })
    }
}

/// Makes a delivery of what was read from a log after `from`: the events that `is_wanted`. What must not be skipped, an
/// event that is missing or that cannot be read, becomes the delivery's fault. What was consumed in epochs before
/// `accepted` may be missing from the log.
pub(crate) fn select_events<E: Codec>(
    source: usize,
    from: u64,
    entries: Vec<store::LogEntry>,
    log: &LogName,
    accepted: u64,
    mut is_wanted: impl FnMut(&E) -> bool,
) -> Delivery<E> {
    let mut delivery = Delivery { source, from, to: from, events: Vec::new(), fault: None };
    for entry in entries {
        let fault = match (Succession::of(delivery.to, entry.position), Recorded::<E>::decode_from(&entry.event)) {
            (Succession::Gap, _) => Fault::Trimmed(entry.position),
            (Succession::AfterLoss, _) if epoch_of(delivery.to) >= accepted => Fault::Lost,
            (_, Err(error)) => {
                Fault::Unreadable(format!("event {} of log {log} cannot be read: {error}", entry.position).into())
            }
            (succession, Ok(event)) => {
                if succession == Succession::AfterLoss {
                    tracing::warn!(%log, after = delivery.to, "going on after events that are lost and were consumed");
                }
                delivery.to = entry.position;
                if is_wanted(&event.event) {
                    delivery.events.push((entry.position, Arc::new(event)));
                }
                continue;
            }
        };
        return Delivery { to: from, events: Vec::new(), fault: Some(fault), ..delivery };
    }
    delivery
}
