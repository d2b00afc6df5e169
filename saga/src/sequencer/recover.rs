//! Getting hold of a partition: at start, after another writer won, and after a commit whose fate is unknown.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use crate::{
    Backoff, CallError, Participant, Repeatability, RequestId, Store,
    codec::Codec,
    engine_records::{EngineKey, EngineRecord, store_key},
    link::{Ready, Succession, Visibility},
    record::Key,
    recorded::Recorded,
    request::Answer,
    sequencer::{Batch, Env, Halt, Sequencer, outbox::AcksDue, state::Loaded},
    store::{Error, LogEntry, Residents, Snapshot, position::sequence_of},
};

/// Events read from a log in one go.
pub(crate) const READ_LIMIT: usize = 1024;

impl<P: Participant, S: Store> Sequencer<P, S> {
    /// After a failed batch: everything in memory is of a head that may be gone. If a commit in doubt was applied all
    /// the same, its replies are let out; else the batch is to be run again.
    pub(super) async fn start_over(&mut self, error: &Error) -> Result<(), Halt> {
        let head = self.state.head;
        self.recover().await?;
        if matches!(error, Error::Conflict) {
            self.env.metrics.conflict();
            self.store_healthy();
        }
        if self.state.head == head {
            // Commits in doubt may still be under way: only a new head shuts them out.
            return Ok(());
        }
        if let Some(mut answers) = self.writer.resolve(&mut self.state.own, self.state.head.saturating_sub(head)) {
            // Who is told that the outcome is unknown is whoever cannot find out by being carried out again.
            let is_unknown = |answer: &Answer<P::Reply>| matches!(answer, Err(CallError::Unknown));
            answers.retain(|(request, answer)| !is_unknown(answer) || !self.may_repeat(*request));
            self.state.answers = answers;
            self.send_out(Ready::new(), AcksDue::new());
        }
        Ok(())
    }

    /// Whether carrying a request out again leaves what once does.
    fn may_repeat(&self, request: RequestId) -> bool {
        self.pending
            .get(request)
            .is_some_and(|pending| pending.key.is_some() || pending.ask.repeatability::<P>() != Repeatability::Once)
    }

    /// Counts a failure of the store, says so if it is news, and waits before the next try, longer each time.
    pub(super) async fn pause(&mut self, reason: &str, backoff: &mut Backoff) {
        let Env { log, status, metrics, .. } = &self.env;
        if self.store_health.failed(log, reason, status, metrics) {
            // They were not looked at: nothing was done, and their callers may be told so now.
            self.inbox.refuse(&CallError::Unavailable);
        }
        tokio::time::sleep(backoff.wait()).await;
    }

    /// The store did what it was asked for.
    pub(super) fn store_healthy(&mut self) {
        let Env { log, status, metrics, .. } = &self.env;
        self.store_health.worked(log, status, metrics);
    }

    /// Forgets what is in memory and loads the partition as it is now.
    pub(super) async fn recover(&mut self) -> Result<(), Halt> {
        let keys = [EngineKey::Calendar, EngineKey::Writers, EngineKey::Accepted];
        let mut backoff = self.writer.backoff();
        let mut last_head = None;
        let (snapshot, own, residents, log) = loop {
            let loaded = self.load_own(&keys).await;
            let Some((snapshot, mut own)) = self.retry_or_halt(loaded, &mut backoff).await? else {
                continue;
            };
            let counts = match own.first() {
                Some((_, Some(EngineRecord::Calendar { times }), _)) => times.as_slice(),
                _ => &[],
            };
            let counts: Vec<_> = counts.iter().copied().map(EngineKey::DueCount).collect();
            let loaded = self.load_own(&counts).await;
            let Some((counted, counts)) = self.retry_or_halt(loaded, &mut backoff).await? else {
                continue;
            };
            own.extend(counts);
            let residents = self.env.store.residents(self.env.log.partition).await;
            let Some(residents) = self.retry_or_halt(residents, &mut backoff).await? else {
                continue;
            };
            let log = self.read_own_log().await?;
            // All must be of one head: another writer may have come in between.
            let Some(contradiction) = contradiction(&snapshot, &counted, &residents, &log) else {
                break (snapshot, own, residents, log);
            };
            // If one did, the head has moved since, and what is there now may be of one piece.
            if last_head.replace(snapshot.head) == Some(snapshot.head) {
                self.pause(&contradiction, &mut backoff).await;
            }
        };
        self.adopt(&snapshot);
        self.state.insert_own(own);
        self.state.insert_residents(residents).map_err(|reason| self.env.halted(reason))?;
        self.compare_with_log(&log);
        self.rebuild_timers(log)
    }

    /// Loads records of the engine's own, each with the length of what it is stored as.
    async fn load_own(&self, keys: &[EngineKey]) -> Result<(Snapshot, Vec<Loaded>), Error> {
        let names: Vec<_> = keys.iter().map(|key| store_key(|out| key.write_to(out))).collect();
        let mut snapshot = self.env.store.load(self.env.log.partition, &names).await?;
        let values = std::mem::take(&mut snapshot.records);
        let read = |(key, value): (&EngineKey, Option<bytes::Bytes>)| {
            let length = value.as_ref().map_or(0, bytes::Bytes::len);
            let record = value.map(|value| EngineRecord::decode_from(&value)).transpose();
            let record = record.map_err(|error| Error::Poisoned(format!("a record cannot be read: {error}")))?;
            Ok((key.clone(), record, length))
        };
        Ok((snapshot, keys.iter().zip(values).map(read).collect::<Result<_, Error>>()?))
    }

    fn adopt(&mut self, snapshot: &Snapshot) {
        self.state.adopt(snapshot);
        self.env.status.log_end.store(self.state.log_end, Ordering::Release);
        self.env.status.loaded.store(true, Ordering::Release);
        let acks = self.neighbours.adopt(snapshot);
        self.outbox.push(self.state.position, Vec::new(), Ready::new(), acks);
        self.neighbours.announce(self.state.log_end);
    }

    async fn read_own_log(&mut self) -> Result<Vec<LogEntry>, Halt> {
        let mut log: Vec<LogEntry> = Vec::new();
        let mut backoff = self.writer.backoff();
        loop {
            let after = log.last().map_or(0, |last| last.position);
            let read = self.env.store.read_log(self.env.log.partition, after, READ_LIMIT, Visibility::Committed).await;
            let Some(more) = self.retry_or_halt(read, &mut backoff).await? else {
                continue;
            };
            if more.is_empty() {
                return Ok(log);
            }
            log.extend(more);
        }
    }

    fn rebuild_timers(&mut self, log: Vec<LogEntry>) -> Result<(), Halt> {
        self.state.timers.restart();
        let now = (self.env.settings.clock.now(), Instant::now());
        for entry in log {
            let event = Recorded::<P::Event>::decode_from(&entry.event)
                .map_err(|error| self.env.halted(format!("own event {} cannot be read: {error}", entry.position)))?;
            self.state.note_deadline(&self.env.participant, (entry.position, &event.event), now);
        }
        self.state.timers.is_complete(self.state.log_end, now.1);
        Ok(())
    }

    /// Reads the sources' logs from the cursors on and consumes what is there.
    pub(super) async fn catch_up(&mut self) -> Result<(), Halt> {
        for index in 0..self.neighbours.sources.len() {
            while let Some(batch) = self.read_source(index).await? {
                self.process(batch).await?;
                self.outbox.release();
                if self.env.status.stands_still() || self.inbox.is_stopping() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn read_source(&mut self, index: usize) -> Result<Option<Batch<P>>, Halt> {
        let Some(source) = self.neighbours.sources.get(index) else {
            return Ok(None);
        };
        let Some(reader) = &source.reader else {
            return Ok(None);
        };
        let (partition, from, visibility) = (source.log.partition, source.cursor, source.visibility);
        match reader.read_log(partition, from, READ_LIMIT, visibility).await {
            Ok(entries) if entries.is_empty() => Ok(None),
            Ok(entries) if self.is_outrun_by(&entries, from).await? => {
                self.start_over(&Error::Conflict).await?;
                Ok(Some(Batch { requests: self.pending.ask_again(), ..Batch::default() }))
            }
            Ok(entries) => {
                let delivery = self.delivery_from_log(index, from, entries);
                Ok(Some(Batch { deliveries: vec![delivery], ..Batch::default() }))
            }
            Err(error @ Error::Poisoned(_)) => Err(self.env.fatal(&error)),
            Err(error) => {
                // A peer that is down is no fault of this partition: it is asked again at the next look.
                tracing::debug!(log = %self.env.log, %error, "a source's log cannot be read now");
                Ok(None)
            }
        }
    }

    /// Takes notice of another writer, which a partition that has nothing to commit would not meet: callers may wait
    /// for what that one did, and its deadlines are this one's should it be gone.
    pub(super) async fn follow_other_writers(&mut self) -> Result<(), Halt> {
        let Some(head) = self.head_in_store().await? else {
            return Ok(());
        };
        if head == self.state.head {
            self.state.timers.is_complete(self.state.log_end, Instant::now());
            return Ok(());
        }
        self.start_over(&Error::Conflict).await?;
        let requests = self.pending.ask_again();
        self.process(Batch { requests, ..Batch::default() }).await
    }

    /// Whether a gap in a log is there because another writer of this partition consumed what is missing, so that it
    /// was trimmed; or may be, for all that a store that does not answer lets one know.
    async fn is_outrun_by(&self, entries: &[LogEntry], cursor: u64) -> Result<bool, Halt> {
        let gap = entries.first().is_some_and(|entry| Succession::of(cursor, entry.position) == Succession::Gap);
        Ok(gap && self.head_in_store().await? != Some(self.state.head))
    }

    /// `None` where the store does not answer. One that is poisoned must not be waited for, by whoever has nothing to
    /// commit either.
    pub(super) async fn head_in_store(&self) -> Result<Option<u64>, Halt> {
        match self.env.store.load(self.env.log.partition, &[]).await {
            Ok(snapshot) => Ok(Some(snapshot.head)),
            Err(error @ Error::Poisoned(_)) => Err(self.env.fatal(&error)),
            Err(_) => Ok(None),
        }
    }

    /// The answer of a call to the store, or `None` after a pause when the call is worth another try.
    async fn retry_or_halt<T>(&mut self, result: Result<T, Error>, backoff: &mut Backoff) -> Result<Option<T>, Halt> {
        match result {
            Ok(answer) => Ok(Some(answer)),
            Err(error @ Error::Poisoned(_)) => Err(self.env.fatal(&error)),
            Err(error) => {
                self.pause(&error.to_string(), backoff).await;
                Ok(None)
            }
        }
    }
}

/// What is wrong with the answers of a store, if they are not of one moment: a head that moves is another writer's work,
/// one that stays is a store that contradicts itself.
fn contradiction(snapshot: &Snapshot, counted: &Snapshot, residents: &Residents, log: &[LogEntry]) -> Option<String> {
    if counted.head != snapshot.head || residents.head != snapshot.head {
        let head = snapshot.head;
        let (other, of) = if counted.head == head { (residents.head, "open sagas") } else { (counted.head, "keys") };
        return Some(format!(
            "the store contradicts itself: its head is {head} by its records and {other} by those of {of}"
        ));
    }
    let (end, last) = (sequence_of(snapshot.log_end), sequence_of(log.last()?.position));
    (last != end).then(|| {
        format!("the store contradicts itself: its log ends at {end} by its head, and at {last} by its events")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(head: u64, log_end: u64) -> Snapshot {
        Snapshot { head, log_end, cursors: Vec::new(), position: head, records: Vec::new() }
    }

    fn residents(head: u64) -> Residents {
        Residents { head, records: Vec::new() }
    }

    fn log(last: u64) -> Vec<LogEntry> {
        (1..=last).map(|position| LogEntry { position, event: bytes::Bytes::new() }).collect()
    }

    #[test]
    fn each_answer_has_to_be_of_the_same_moment() {
        let whole = |counted, resident, last| {
            contradiction(&snapshot(7, 4), &snapshot(counted, 4), &residents(resident), &log(last))
        };
        assert_eq!(whole(7, 7, 4), None);
        let of_counts = whole(8, 7, 4).expect("counts of a later head");
        assert!(of_counts.contains("7 by its records and 8 by those of keys"), "{of_counts}");
        let of_residents = whole(7, 8, 4).expect("records of a later head");
        assert!(of_residents.contains("7 by its records and 8 by those of open sagas"), "{of_residents}");
        let of_the_log = whole(7, 7, 5).expect("a log that has grown");
        assert!(of_the_log.contains("ends at 4 by its head, and at 5 by its events"), "{of_the_log}");
        assert_eq!(contradiction(&snapshot(7, 4), &snapshot(7, 4), &residents(7), &[]), None, "all of it was trimmed");
    }
}
