//! One batch: what is in it, and how its steps are run.

use std::sync::Arc;

use crate::{
    Input, Participant, RequestId, Step, Store,
    codec::Codec,
    engine_records::EngineRecord,
    engine_records::{EngineKey, store_key, write_domain_key},
    link::{Delivery, Succession},
    participant::Key,
    request::Ask,
    sequencer::{Halt, Sequencer, recover::BACKOFF},
    store::{self, Error},
};

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
        if batch.is_empty() {
            return Ok(());
        }
        self.check_faults(&batch).await?;
        let mut delay = BACKOFF.0;
        loop {
            self.now = self.settings.clock.now();
            let result = match self.run_steps(&batch).await {
                Ok(()) => self.commit(batch.housekeeping).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => {
                    self.well();
                    self.records.evict(self.settings.records_in_memory_max);
                    self.own.evict(self.settings.records_in_memory_max);
                    return Ok(());
                }
                Err(error @ Error::Poisoned(_)) => return Err(self.fatal(&error)),
                Err(error) => {
                    if matches!(error, Error::Failed(_)) {
                        self.pause(&mut delay).await;
                    }
                    self.start_over(&error).await?;
                    // Those who wait in the lost view's records ask again, and so do this batch's. Whose patience was
                    // over is told so anew, after that.
                    batch.requests = self.desk.ask_again();
                    batch.expired.clear();
                }
            }
        }
    }

    async fn run_steps(&mut self, batch: &Batch<P>) -> store::Result<()> {
        self.prefetch(batch).await?;
        for delivery in &batch.deliveries {
            self.consume(delivery).await?;
        }
        for key in &batch.deadlines {
            self.run_step(Input::Deadline(key)).await?;
        }
        for &request in &batch.requests {
            self.run_request(request).await?;
        }
        // After the requests: one whose patience is short may be among them, and cannot be withdrawn before it is made.
        for &request in &batch.expired {
            if let Some(Ask::Command(command)) = self.desk.get(request).map(|pending| pending.ask.clone()) {
                self.run_step(Input::Expired { request, command: &command }).await?;
            }
        }
        if batch.housekeeping {
            self.expire_answers().await?;
        }
        Ok(())
    }

    /// Applies the events that were not applied before. A delivery that does not connect is left for the log.
    async fn consume(&mut self, delivery: &Delivery<P::Event>) -> store::Result<()> {
        let cursor = self.sources.get(delivery.source).map_or(u64::MAX, |source| source.cursor);
        if delivery.from > cursor {
            return Ok(());
        }
        for (position, event) in &delivery.events {
            if *position > cursor {
                self.run_step(Input::Event(event.as_ref())).await?;
            }
        }
        if let Some(source) = self.sources.get_mut(delivery.source) {
            source.cursor = source.cursor.max(delivery.to);
        }
        Ok(())
    }

    async fn run_request(&mut self, request: RequestId) -> store::Result<()> {
        let Some((ask, key)) = self.desk.get(request).map(|pending| (pending.ask.clone(), pending.key.clone())) else {
            return Ok(());
        };
        if let Some(key) = &key
            && self.answer_again(request, key).await?
        {
            return Ok(());
        }
        match (ask, key) {
            (Ask::Command(command), _) => self.run_step(Input::Command { request, command: &command }).await,
            (Ask::Claim, key) => {
                if let Some(key) = &key {
                    self.remember(key, None);
                }
                self.answers.push((request, Ok(None)));
                Ok(())
            }
        }
    }

    /// Runs one step, loading what it misses and running it again until it misses nothing.
    async fn run_step(&mut self, input: Input<'_, P>) -> store::Result<()> {
        while !self.try_step(input) {
            let missing = self.records.take_missing();
            self.load(&missing, &[]).await?;
        }
        self.collect_replies();
        Ok(())
    }

    fn try_step(&mut self, input: Input<'_, P>) -> bool {
        self.records.begin_step();
        let marks = self.effects.marks();
        let mut step = Step {
            records: &mut self.records,
            effects: &mut self.effects,
            now: self.now,
            partition: self.log.partition,
            partitions: self.partitions,
        };
        let done = self.participant.step(&mut step, input).is_ok();
        if !done {
            self.records.undo_step();
            self.effects.truncate(marks);
        }
        done
    }

    async fn prefetch(&mut self, batch: &Batch<P>) -> store::Result<()> {
        let mut keys = Vec::new();
        let (partition, partitions) = (self.log.partition, self.partitions);
        for delivery in &batch.deliveries {
            for (_, event) in &delivery.events {
                self.participant.prefetch(&Input::Event(event.as_ref()), partition, partitions, &mut keys);
            }
        }
        for &request in &batch.requests {
            if let Some(Ask::Command(command)) = self.desk.get(request).map(|pending| &pending.ask) {
                self.participant.prefetch(&Input::Command { request, command }, partition, partitions, &mut keys);
            }
        }
        keys.retain(|key| !self.records.holds(key));
        let asked = batch.requests.iter().filter_map(|request| self.desk.get(*request)?.key.as_ref());
        let answers = asked.map(|key| EngineKey::Answer(Arc::clone(&key.key)));
        let mut answers: Vec<_> = answers.filter(|answer| !self.own.holds(answer)).collect();
        if keys.is_empty() && answers.is_empty() {
            return Ok(());
        }
        keys.sort_unstable();
        keys.dedup();
        answers.sort_unstable();
        answers.dedup();
        self.load(&keys, &answers).await
    }

    /// Brings records into the views. If the head is not the one that the views are of, that is a conflict. A load that
    /// fails is made again by itself: to begin the batch anew would lose all that was loaded for it before.
    pub(super) async fn load(&mut self, domain: &[P::Key], own: &[EngineKey]) -> store::Result<()> {
        self.metrics.loads(domain.len() + own.len());
        let domain_keys = domain.iter().map(|key| store_key(|out| write_domain_key(key, out)));
        let own_keys = own.iter().map(|key| store_key(|out| key.write_to(out)));
        let keys: Vec<_> = domain_keys.chain(own_keys).collect();
        let mut delay = BACKOFF.0;
        let snapshot = loop {
            match self.store.load(self.log.partition, &keys).await {
                Err(error @ Error::Failed(_)) => {
                    self.metrics.failure();
                    tracing::warn!(log = %self.log, %error, "the store failed, trying again");
                    self.pause(&mut delay).await;
                }
                loaded => break loaded?,
            }
        };
        if snapshot.head != self.head {
            return Err(Error::Conflict);
        }
        let mut values = snapshot.records.into_iter();
        let malformed = |error: crate::CodecError| Error::Poisoned(format!("a record cannot be read: {error}"));
        for (key, value) in domain.iter().zip(values.by_ref()) {
            let record = value.map(|value| P::Record::decode_from(&value)).transpose().map_err(malformed)?;
            self.records.insert_loaded(key.clone(), record);
        }
        for (key, value) in own.iter().zip(values) {
            let record = value.map(|value| EngineRecord::decode_from(&value)).transpose().map_err(malformed)?;
            self.own.insert_loaded(key.clone(), record);
        }
        Ok(())
    }

    /// Sorts out events read from a source's log, as a delivery of its own.
    pub(super) fn delivery_from_log(
        &mut self,
        index: usize,
        from: u64,
        entries: Vec<store::LogEntry>,
    ) -> Result<Delivery<P::Event>, Halt> {
        let destinations = &mut self.destinations;
        let log = self.sources.get(index).map(|source| source.log.to_string()).unwrap_or_default();
        let (participant, partitions, own) = (&self.participant, self.partitions, self.log.partition);
        let delivery = sort_out(index, from, entries, &log, |event: &P::Event| {
            destinations.clear();
            participant.destinations(event, partitions, destinations);
            destinations.contains(own)
        });
        match &delivery.fault {
            Some(fault) => Err(self.halted(fault.as_ref())),
            None => Ok(delivery),
        }
    }
}

/// Makes a delivery of what was read from a log after `from`: the events that `is_wanted`. What must not be skipped, an
/// event that is missing or that cannot be read, becomes the delivery's fault.
pub(crate) fn sort_out<E: Codec>(
    source: usize,
    from: u64,
    entries: Vec<store::LogEntry>,
    log: &str,
    mut is_wanted: impl FnMut(&E) -> bool,
) -> Delivery<E> {
    let mut delivery = Delivery { source, from, to: from, events: Vec::new(), fault: None };
    for entry in entries {
        let fault = match (Succession::of(delivery.to, entry.position), E::decode_from(&entry.event)) {
            (Succession::Gap, _) => format!("log {log} lost its events after number {}", delivery.to),
            (_, Err(error)) => format!("event {} of log {log} cannot be read: {error}", entry.position),
            (succession, Ok(event)) => {
                if succession == Succession::AfterLoss {
                    tracing::error!(log, after = delivery.to, "a log's store lost events that were consumed from it");
                }
                delivery.to = entry.position;
                if is_wanted(&event) {
                    delivery.events.push((entry.position, Arc::new(event)));
                }
                continue;
            }
        };
        return Delivery { to: from, events: Vec::new(), fault: Some(fault.into()), ..delivery };
    }
    delivery
}
