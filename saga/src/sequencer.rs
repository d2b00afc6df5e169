//! One task per partition that takes what is queued, runs the steps in order over the in-memory view, and commits the
//! whole batch at once.
//!
//! ```text
//!   inbox: deliveries ─┐                                        ┌─▶ deliveries to consumers
//!          requests ───┼─▶ batch ─▶ steps over the state ─▶ commit ┤     (at once in a shared durability domain)
//!   deadlines ─────────┘     ▲            │ Missing: load          └─▶ outbox: replies, acks … once durable
//!                            └── run again ◀─┴── Conflict: drop the state, load the new head
//! ```

mod batch;
mod calendar;
mod commit;
mod idempotency;
mod inbox;
mod neighbours;
mod outbox;
mod pending;
mod recent;
mod recover;
mod state;
mod store_health;
#[cfg(test)]
mod testing;
mod writer;

use std::sync::{Arc, atomic::Ordering};

use tokio::{sync::mpsc, time::Instant};

use crate::{
    LogName, Participant, Partition, Settings, Store,
    durability::Missed,
    health::Status,
    link::Fault,
    metrics::{PartitionMetrics, Report},
    request::CallError,
    store::{self, position::sequence_of},
    watch,
};
use batch::Batch;
pub(crate) use batch::select_events;
pub(crate) use inbox::Inbox;
use inbox::Woken;
pub(crate) use neighbours::Neighbours;
use outbox::Outbox;
use pending::Pending;
pub(crate) use recover::READ_LIMIT;
use state::State;
use store_health::StoreHealth;
use writer::Writer;

/// Why a partition stopped by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The store must not be written to any more: the process should end.
    #[error("the store is poisoned: {0}")]
    Poisoned(String),
    /// The partition met something that it must not skip, such as an event of an unknown version or a gap in a log.
    #[error("partition {log} is halted: {reason}")]
    Halted {
        /// The partition's own log.
        log: LogName,
        /// What it met.
        reason: String,
    },
    /// A task that all partitions need has ended.
    #[error("a task that has to run for as long as the process does has ended: {0}")]
    Broken(String),
}

impl From<Missed> for Halt {
    fn from(missed: Missed) -> Self {
        Self::Poisoned(missed.to_string())
    }
}

/// What a partition is given once and for all.
pub(crate) struct Env<P, S> {
    pub(crate) participant: Arc<P>,
    pub(crate) store: S,
    pub(crate) settings: Settings,
    /// The partition's own log, which names it.
    pub(crate) log: LogName,
    /// How many partitions the service has.
    pub(crate) partitions: Partition,
    /// What it lets the rest of the process know.
    pub(crate) status: Arc<Status>,
    pub(crate) metrics: PartitionMetrics,
}

impl<P, S> Env<P, S> {
    fn halted(&self, reason: impl Into<String>) -> Halt {
        Halt::Halted { log: self.log.clone(), reason: reason.into() }
    }

    /// A fault that is not worth another try.
    fn fatal(&self, error: &store::Error) -> Halt {
        match error {
            store::Error::Poisoned(reason) => Halt::Poisoned(reason.clone()),
            other => self.halted(other.to_string()),
        }
    }
}

/// How serving a partition ended.
enum Ended {
    Stopped,
    Deactivated,
}

/// The single writer of one partition in this process.
///
/// It joins rooms of which each can be understood alone. Whatever crosses from one to another is in a method of the
/// sequencer: of a batch in `batch.rs`, of what becomes of it in `commit.rs`, of getting hold of the partition in `recover.rs`.
pub(crate) struct Sequencer<P: Participant, S: Store> {
    /// What was given at the start and does not change.
    env: Env<P, S>,
    /// What comes in: deliveries, requests, the word to stop, and whether the partition is this process's.
    inbox: Inbox<P>,
    /// The logs that are consumed and how far, and those who consume this one's.
    neighbours: Neighbours<P::Event>,
    /// What is known of the partition at one head. Dropped whole when another writer has moved it.
    state: State<P>,
    /// Requests that were taken in and not answered. Outlives the state: they are asked again on the next one.
    pending: Pending<P>,
    /// What waits for the disk before it may leave.
    outbox: Outbox<P>,
    /// This process among other writers, and commits of which it does not know whether they were applied.
    writer: Writer<P::Reply>,
    /// Whether the data are as recent as others know them to be.
    recent: recent::Recent,
    /// Whether the store does what it is asked for.
    store_health: StoreHealth,
    began: Instant,
    /// When it was last looked what is due.
    last_tick: Instant,
    /// When the logs are looked into next, whether anything seems to be missing or not.
    poll_at: Instant,
}

impl<P: Participant, S: Store> Sequencer<P, S> {
    pub(crate) fn new(env: Env<P, S>, inbox: Inbox<P>, neighbours: Neighbours<P::Event>) -> Self {
        let now = Instant::now();
        Self {
            state: State::new(env.settings.hash_seed),
            pending: Pending::new(),
            outbox: Outbox::new(env.store.durability(), env.settings.delivery_fault),
            writer: Writer::new(&env.settings, env.store.is_certain()),
            recent: recent::Recent::default(),
            store_health: StoreHealth::default(),
            began: now,
            last_tick: now,
            poll_at: now + env.settings.poll,
            env,
            inbox,
            neighbours,
        }
    }

    /// Runs the partition whenever this process is its owner. `ready` is told once its state is loaded
    /// and what its sources have for it is consumed, or that it is not.
    ///
    /// When it is told to stop, whatever it waits for, a store that does not answer included, it waits for no longer than
    /// [`Settings::stop_grace`]: what is not committed by then is as it is after a crash.
    pub(crate) async fn run(self, ready: mpsc::Sender<Partition>) -> Result<(), Halt> {
        let Env { status, settings, log, .. } = &self.env;
        let given_up = given_up(self.inbox.stop(), Arc::clone(status), settings.clone());
        let log = log.clone();
        tokio::select! {
            biased;
            ended = Box::pin(self.work(ready)) => ended,
            () = given_up => {
                tracing::warn!(%log, "stopped without waiting for the store: requests that ran have an unknown outcome");
                Ok(())
            }
        }
    }

    async fn work(mut self, ready: mpsc::Sender<Partition>) -> Result<(), Halt> {
        let mut ready = Some(ready);
        loop {
            if self.inbox.is_active() && !self.inbox.is_stopping() {
                self.tell_time(Instant::now());
                self.recover().await?;
                self.store_healthy();
                self.catch_up().await?;
                signal_ready(&mut ready, self.env.log.partition).await;
                match self.serve().await? {
                    Ended::Stopped => return Ok(()),
                    Ended::Deactivated => self.hand_over().await?,
                }
            }
            signal_ready(&mut ready, self.env.log.partition).await;
            if !self.inbox.rest().await {
                return Ok(());
            }
        }
    }

    async fn serve(&mut self) -> Result<Ended, Halt> {
        loop {
            if !self.inbox.is_active() {
                return Ok(Ended::Deactivated);
            }
            let mut batch = Batch::default();
            // Before anything is taken from the queues: a batch of its own that runs in here may have to ask all
            // requests again, which must not include those of a batch that is still to run.
            if self.last_tick.elapsed() >= self.env.settings.tick {
                self.on_tick(&mut batch).await?;
            }
            // Looked at here too, for under load there is never a wait.
            let is_stopped = self.inbox.is_stopping() || self.fill(&mut batch).await? == Woken::Stopped;
            self.process(batch).await?;
            if !is_stopped {
                self.outbox.release();
                continue;
            }
            if !self.inbox.is_active() {
                return Ok(Ended::Deactivated);
            }
            self.finish().await?;
            return Ok(Ended::Stopped);
        }
    }

    /// Adds to a batch what there is to do, or else waits for something.
    async fn fill(&mut self, batch: &mut Batch<P>) -> Result<Woken, Missed> {
        let mut woken = Woken::Work;
        if !self.inbox.gather(batch, &mut self.pending) {
            woken = self.inbox.wait(batch, &mut self.pending, self.outbox.releasable()).await?;
        }
        if P::IS_OBSERVER && woken == Woken::Work && !batch.deliveries.is_empty() && batch.requests.is_empty() {
            self.inbox.linger(batch, &mut self.pending, self.env.settings.observer_linger).await;
        }
        Ok(woken)
    }

    /// Releases the replies of committed work, then fails pending requests with `Moved`, so that whoever routes them asks
    /// the new owner. That they waited was known in memory only: nothing is lost.
    async fn hand_over(&mut self) -> Result<(), Halt> {
        tracing::info!(log = %self.env.log, "another replica owns the partition now");
        self.outbox.drain(self.state.position).await?;
        self.pending.refuse_all(&CallError::Moved);
        self.pending = Pending::new();
        self.state.forget();
        let Env { status, metrics, .. } = &self.env;
        status.log_end.store(0, Ordering::Release);
        status.loaded.store(false, Ordering::Release);
        status.stand_still(None);
        self.store_health.let_go(status, metrics);
        metrics.report(Report::default());
        status.tick(Report::default(), 0, 0);
        Ok(())
    }

    /// What is done now and then: deadlines, patience, lost deliveries, idle cursors, expired answers.
    async fn on_tick(&mut self, batch: &mut Batch<P>) -> Result<(), Halt> {
        let now = Instant::now();
        self.last_tick = now;
        self.tell_time(now);
        self.store_health.on_tick(now, &self.env.status);
        // An observer that lingers is behind, and has what it lacks in its mailbox.
        let is_due = now >= self.poll_at && (!P::IS_OBSERVER || self.inbox.is_idle());
        let poll = self.env.status.take_redelivery() || is_due;
        let stalled = self.neighbours.look(self.inbox.is_idle(), poll);
        if poll {
            self.poll_at = now + self.env.settings.poll;
            self.follow_other_writers().await?;
            self.catch_up().await?;
            batch.housekeeping = true;
            self.send_skips();
        } else if stalled {
            self.catch_up().await?;
        }
        // Last, for what was read from the logs may have decided a saga or answered a request.
        let limit = self.env.settings.batch_inputs_max;
        batch.deadlines = self.state.timers.due(now, self.env.settings.poll, limit);
        batch.expired = self.pending.expired(now, limit);
        self.report();
        Ok(())
    }

    /// Makes everything durable, lets it out, and drops those who still wait: they learn that the outcome is unknown.
    async fn finish(&mut self) -> Result<(), Halt> {
        self.inbox.close();
        let mut batch = Batch::default();
        while self.inbox.gather(&mut batch, &mut self.pending) {
            self.process(std::mem::take(&mut batch)).await?;
        }
        Ok(self.outbox.drain(self.state.position).await?)
    }

    fn tell_time(&mut self, now: Instant) {
        let seconds = now.duration_since(self.began).as_secs();
        self.state.set_seconds(u32::try_from(seconds).expect("no process lives for 136 years"));
    }

    fn report(&self) {
        let state = &self.state;
        let (idempotency_keys, idempotency_bytes) = state.calendar.sums();
        let report = Report {
            owned: 1,
            in_flight: state.timers.len() as u64,
            stuck: state.timers.overdue() as u64,
            held: state.records.held() as u64,
            held_seconds_max: state.records.held_seconds_max().into(),
            parked: state.records.parked() as u64,
            waiting: self.pending.len() as u64,
            undurable: self.outbox.len() as u64,
            retained: sequence_of(state.log_end).saturating_sub(sequence_of(self.trim_floor())),
            lag: self.neighbours.lag(),
            records: (state.records.len() + state.own.len()) as u64,
            idempotency_keys,
            idempotency_bytes,
        };
        self.env.metrics.report(report);
        self.env.status.tick(report, state.head, state.position);
    }

    /// Stops at an event that makes no sense, and takes note of what is missing from a log, unless another writer did
    /// consume it.
    async fn check_faults(&mut self, batch: &Batch<P>) -> Result<(), Halt> {
        for delivery in &batch.deliveries {
            let Some(fault) = &delivery.fault else { continue };
            let here = self.neighbours.cursor(delivery.source) == delivery.from;
            if !here
                || P::IS_OBSERVER && !matches!(fault, Fault::Unreadable(_))
                || self.head_in_store().await? != Some(self.state.head)
            {
                continue;
            }
            match fault {
                Fault::Unreadable(reason) => return Err(self.env.halted(reason.as_ref())),
                Fault::Trimmed(next) => self.recent.gap = Some((delivery.source, *next)),
                // Its owner stands still, and says so.
                Fault::Lost => {
                    tracing::debug!(log = %self.env.log, source = delivery.source, "a source lost its events")
                }
            }
        }
        Ok(())
    }
}

/// Waits until a partition that was told to stop has nothing to lose by it, its store fails it, or its time is over.
async fn given_up(mut stop: watch::Receiver<bool>, status: Arc<Status>, settings: Settings) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody is left to tell it to stop.
        return std::future::pending().await;
    }
    let deadline = Instant::now() + settings.stop_grace;
    // First, so that a partition which can end by itself does.
    tokio::time::sleep(settings.tick).await;
    let is_hopeless = || !status.loaded.load(Ordering::Acquire) || status.failing.load(Ordering::Acquire);
    while Instant::now() < deadline && !is_hopeless() {
        tokio::time::sleep(settings.tick).await;
    }
}

/// Says once that a partition is ready; nobody may be waiting for it any more.
async fn signal_ready(ready: &mut Option<mpsc::Sender<Partition>>, partition: Partition) {
    if let Some(ready) = ready.take() {
        let _ = ready.send(partition).await;
    }
}
