//! Getting hold of a partition: at start, after another writer won, and after a commit whose fate is unknown.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    Participant, RequestId, Store,
    codec::Codec,
    engine_records::{EngineKey, EngineRecord, Queue, store_key},
    link::{Ready, Succession, Visibility},
    participant::Key,
    request::Answer,
    sequencer::{Batch, Halt, Sequencer},
    store::{Error, LogEntry, Snapshot, position::sequence_of},
    timers::Timers,
    view::View,
};

/// Events read from a log in one go.
pub(crate) const READ_LIMIT: usize = 1024;

/// The wait between tries of a store that fails doubles from the first to the second.
pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A store that fails for longer than this is not just slow: who asks now is told at once rather than kept waiting.
const FAILING_AFTER: Duration = Duration::from_secs(1);

/// This sequencer as a writer among possible others.
#[derive(Debug)]
pub(super) struct Writer {
    id: u64,
    commits: u64,
    /// A state for jitter, which needs no better randomness.
    jitter: u64,
}

impl Writer {
    pub(super) fn new(id: Option<u64>) -> Self {
        let random = || {
            let mut bytes = [0; 8];
            // Without randomness the id is one that others may share: then a doubtful commit may be taken for another's.
            if getrandom::fill(&mut bytes).is_ok() { u64::from_le_bytes(bytes) } else { std::process::id().into() }
        };
        let id = id.unwrap_or_else(random);
        Self { id, commits: 0, jitter: id | 1 }
    }

    fn spread(&mut self, delay: Duration) -> Duration {
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        let percent = 50 + u32::try_from(self.jitter % 51).unwrap_or_default();
        delay * percent / 100
    }
}

/// Failed commits that are remembered in case one of them was applied after all. They wait for each other with
/// [`BACKOFF`], so the oldest of so many was sent half a minute ago.
const DOUBTS_MAX: usize = 32;

/// Commits on the present head that failed and may have been applied, or may yet be: which of the writer's commits each
/// was, and its answers.
pub(super) type Doubts<R> = VecDeque<(u64, Vec<(RequestId, Answer<R>)>)>;

impl<P: Participant, S: Store> Sequencer<P, S> {
    /// Counts a commit on the partition's record of writers, so that its fate can be found out.
    pub(super) fn mark_writer(&mut self) {
        if self.store.is_certain() {
            return;
        }
        self.writer.commits += 1;
        let before = match self.own.get(&EngineKey::Writers) {
            Ok(Some(record)) => record.clone(),
            _ => EngineRecord::Writers { commits: Vec::new() },
        };
        self.own.begin_step();
        self.own.set(EngineKey::Writers, Some(before.with_commits(self.writer.id, self.writer.commits)));
    }

    /// Remembers a commit that failed, with its answers, until it is known whether it was applied.
    pub(super) fn doubt(&mut self) {
        if self.store.is_certain() {
            return;
        }
        if self.doubts.len() == DOUBTS_MAX {
            self.doubts.pop_front();
        }
        self.doubts.push_back((self.writer.commits, std::mem::take(&mut self.answers)));
    }

    /// After a failed batch: everything in memory is of a head that may be gone. If a doubtful commit was applied all
    /// the same, its replies are let out; else the batch is to be run again.
    pub(super) async fn start_over(&mut self, error: &Error) -> Result<(), Halt> {
        match error {
            Error::Conflict => self.metrics.conflict(),
            other => {
                self.metrics.failure();
                tracing::warn!(log = %self.log, error = %other, "the store failed, trying again");
            }
        }
        let head = self.head;
        self.recover().await?;
        if self.head == head {
            // Doubtful commits may still be under way: only a new head shuts them out.
            return Ok(());
        }
        let known = match self.own.get(&EngineKey::Writers) {
            Ok(Some(record)) => record.commits_of(self.writer.id),
            _ => 0,
        };
        if let Some((_, answers)) = std::mem::take(&mut self.doubts).into_iter().find(|(commit, _)| *commit == known) {
            self.answers = answers;
            self.send_out(Ready::new(), Vec::new());
        }
        Ok(())
    }

    /// Waits before the next try of a store that failed, longer each time.
    pub(super) async fn pause(&mut self, delay: &mut Duration) {
        let since = self.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= FAILING_AFTER {
            self.status.failing.store(true, Ordering::Release);
        }
        tokio::time::sleep(self.writer.spread(*delay)).await;
        *delay = (*delay * 2).min(BACKOFF.1);
    }

    /// Forgets what is in memory and loads the partition as it is now.
    pub(super) async fn recover(&mut self) -> Result<(), Halt> {
        let keys = [EngineKey::QueueBounds(Queue::Usual), EngineKey::QueueBounds(Queue::Brief), EngineKey::Writers];
        let names: Vec<_> = keys.iter().map(|key| store_key(|out| key.write_to(out))).collect();
        let mut delay = BACKOFF.0;
        let (snapshot, residents, log) = loop {
            let loaded = self.store.load(self.log.partition, &names).await;
            let Some(snapshot) = self.tried(loaded, &mut delay).await? else {
                continue;
            };
            let residents = self.store.residents(self.log.partition).await;
            let Some(residents) = self.tried(residents, &mut delay).await? else {
                continue;
            };
            let log = self.read_own_log().await?;
            // All must be of one head: another writer may have come in between.
            let same_head = residents.head == snapshot.head;
            if same_head && log.last().is_none_or(|last| sequence_of(last.position) == sequence_of(snapshot.log_end)) {
                break (snapshot, residents, log);
            }
        };
        self.adopt(&snapshot);
        for (key, value) in keys.into_iter().zip(snapshot.records) {
            let record = value.map(|value| EngineRecord::decode_from(&value)).transpose();
            let record = record.map_err(|error| self.halted(error.to_string()))?;
            self.own.insert_loaded(key, record);
        }
        for (key, value) in residents.records {
            let key = key.get(1..).and_then(P::Key::read_resident);
            let record = P::Record::decode_from(&value).map_err(|error| self.halted(error.to_string()))?;
            match key {
                Some(key) => self.records.insert_loaded(key, Some(record)),
                None => return Err(self.halted("a resident record has a key that cannot be read")),
            }
        }
        self.rebuild_timers(log)?;
        self.well();
        Ok(())
    }

    /// The store answers.
    pub(super) fn well(&mut self) {
        if self.failing_since.take().is_some() {
            self.status.failing.store(false, Ordering::Release);
        }
    }

    fn adopt(&mut self, snapshot: &Snapshot) {
        self.head = snapshot.head;
        self.log_end = snapshot.log_end;
        self.status.log_end.store(self.log_end, Ordering::Release);
        self.position = snapshot.position;
        self.records = View::new(false);
        self.own = View::new(false);
        self.effects.clear();
        self.answers.clear();
        let mut acks = Vec::new();
        for source in &mut self.sources {
            let cursor = snapshot.cursors.iter().find(|cursor| cursor.log == source.log);
            source.committed = cursor.map_or(0, |cursor| cursor.position);
            source.cursor = source.committed;
            if source.visibility == Visibility::Committed {
                source.ack.store(source.committed, Ordering::Release);
            } else {
                acks.push((Arc::clone(&source.ack), source.committed));
            }
            if source.reader.is_none() {
                source.have_read();
            }
        }
        self.send_out(Ready::new(), acks);
        for link in &mut self.links {
            link.restart(self.log_end);
            link.announce(self.log_end);
        }
    }

    async fn read_own_log(&mut self) -> Result<Vec<LogEntry>, Halt> {
        let mut log: Vec<LogEntry> = Vec::new();
        let mut delay = BACKOFF.0;
        loop {
            let after = log.last().map_or(0, |last| last.position);
            let read = self.store.read_log(self.log.partition, after, READ_LIMIT, Visibility::Committed).await;
            let Some(more) = self.tried(read, &mut delay).await? else {
                continue;
            };
            if more.is_empty() {
                return Ok(log);
            }
            log.extend(more);
        }
    }

    fn rebuild_timers(&mut self, log: Vec<LogEntry>) -> Result<(), Halt> {
        self.timers = Timers::new();
        let (now, instant) = (self.settings.clock.now(), Instant::now());
        for entry in log {
            let event = P::Event::decode_from(&entry.event)
                .map_err(|error| self.halted(format!("own event {} cannot be read: {error}", entry.position)))?;
            if let Some(deadline) = self.participant.deadline(&event) {
                self.timers.apply(entry.position, deadline, now, instant);
            }
        }
        Ok(())
    }

    /// Reads the sources' logs from the cursors on and consumes what is there.
    pub(super) async fn catch_up(&mut self) -> Result<(), Halt> {
        for index in 0..self.sources.len() {
            while let Some(batch) = self.read_source(index).await? {
                self.process(batch).await?;
                self.release();
            }
        }
        Ok(())
    }

    async fn read_source(&mut self, index: usize) -> Result<Option<Batch<P>>, Halt> {
        let Some(source) = self.sources.get(index) else {
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
                Ok(Some(Batch { requests: self.desk.ask_again(), ..Batch::default() }))
            }
            Ok(entries) => {
                let delivery = self.delivery_from_log(index, from, entries)?;
                Ok(Some(Batch { deliveries: vec![delivery], ..Batch::default() }))
            }
            Err(error @ Error::Poisoned(_)) => Err(self.fatal(&error)),
            Err(error) => {
                // A peer that is down is no fault of this partition: it is asked again at the next look.
                tracing::debug!(log = %self.log, %error, "a source's log cannot be read now");
                Ok(None)
            }
        }
    }

    /// Takes notice of another writer, which a partition that has nothing to commit would not meet: callers may wait
    /// for what that one did, and its deadlines are this one's should it be gone.
    pub(super) async fn follow_other_writers(&mut self) -> Result<(), Halt> {
        if self.head_in_store().await?.is_none_or(|head| head == self.head) {
            return Ok(());
        }
        self.start_over(&Error::Conflict).await?;
        let requests = self.desk.ask_again();
        self.process(Batch { requests, ..Batch::default() }).await
    }

    /// Whether a gap in a log is there because another writer of this partition consumed what is missing, so that it
    /// was trimmed; or may be, for all that a store that does not answer lets one know.
    async fn is_outrun_by(&self, entries: &[LogEntry], cursor: u64) -> Result<bool, Halt> {
        let gap = entries.first().is_some_and(|entry| Succession::of(cursor, entry.position) == Succession::Gap);
        Ok(gap && self.head_in_store().await? != Some(self.head))
    }

    /// `None` where the store does not answer. One that is poisoned must not be waited for, by whoever has nothing to
    /// commit either.
    pub(super) async fn head_in_store(&self) -> Result<Option<u64>, Halt> {
        match self.store.load(self.log.partition, &[]).await {
            Ok(snapshot) => Ok(Some(snapshot.head)),
            Err(error @ Error::Poisoned(_)) => Err(self.fatal(&error)),
            Err(_) => Ok(None),
        }
    }

    /// The answer of a call to the store, or `None` after a pause when the call is worth another try.
    async fn tried<T>(&mut self, result: Result<T, Error>, delay: &mut Duration) -> Result<Option<T>, Halt> {
        match result {
            Ok(answer) => Ok(Some(answer)),
            Err(error @ Error::Poisoned(_)) => Err(self.fatal(&error)),
            Err(error) => {
                tracing::warn!(log = %self.log, %error, "the store failed, trying again");
                self.pause(delay).await;
                Ok(None)
            }
        }
    }
}
