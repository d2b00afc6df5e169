//! One task per partition that takes what is queued, runs the steps in order over the in-memory view, and commits the
//! whole batch at once.
//!
//! ```text
//!   deliveries ─┐                                        ┌─▶ deliveries to consumers
//!   deadlines ──┼─▶ batch ─▶ steps over the view ─▶ commit ┤     (at once in a shared durability domain)
//!   requests ───┘     ▲            │ Missing: load         └─▶ outgoing: replies, acks … once durable
//!                     └── run again ◀─┴── Conflict: drop the view, load the new head
//! ```

mod batch;
mod commit;
mod idempotency;
mod recover;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior},
};

use crate::{
    Destinations, DurabilityWatch, LogName, Participant, Partition, RequestId, Settings, Store, Timestamp,
    engine_records::{EngineKey, EngineRecord},
    link::{self, Acks, Delivery, Link, Ready, Source},
    metrics::PartitionMetrics,
    request::{Answer, CallError, Desk, Reply, Request},
    store::{self, position::sequence_of},
    timers::Timers,
    view::{Effects, View},
    watch,
};
use batch::Batch;
pub(crate) use batch::sort_out;
pub(crate) use recover::READ_LIMIT;

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
}

/// What may leave once a position is durable.
struct Outgoing<P: Participant> {
    position: u64,
    replies: Vec<Reply<P>>,
    deliveries: Ready<P::Event>,
    acks: Vec<(Arc<AtomicU64>, u64)>,
}

/// Everything a sequencer is built from.
pub(crate) struct Parts<P: Participant, S: Store> {
    pub(crate) participant: Arc<P>,
    pub(crate) store: S,
    pub(crate) settings: Settings,
    pub(crate) log: LogName,
    pub(crate) partitions: Partition,
    pub(crate) mailbox: mpsc::Receiver<Delivery<P::Event>>,
    pub(crate) requests: mpsc::Receiver<Request<P>>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) active: watch::Receiver<bool>,
    pub(crate) status: Arc<Status>,
    pub(crate) sources: Vec<Source>,
    pub(crate) links: Vec<Link<P::Event>>,
    pub(crate) acks: Acks,
    pub(crate) metrics: PartitionMetrics,
}

/// What a sequencer lets the rest of its process know.
#[derive(Debug, Default)]
pub(crate) struct Status {
    /// The store has not answered for a while: what comes now would only wait.
    pub(crate) failing: AtomicBool,
    /// The end of the partition's log as far as it was sent on its way; 0 before the partition was loaded.
    pub(crate) log_end: AtomicU64,
}

/// How serving a partition ended.
enum Ended {
    Stopped,
    Deactivated,
}

/// The single writer of one partition in this process.
pub(crate) struct Sequencer<P: Participant, S: Store> {
    participant: Arc<P>,
    store: S,
    settings: Settings,
    log: LogName,
    partitions: Partition,
    mailbox: mpsc::Receiver<Delivery<P::Event>>,
    requests: mpsc::Receiver<Request<P>>,
    stop: watch::Receiver<bool>,
    /// Whether this process is the one to look after the partition, as far as it knows. A hint: two that think so only
    /// get into each other's way.
    active: watch::Receiver<bool>,
    status: Arc<Status>,
    sources: Vec<Source>,
    links: Vec<Link<P::Event>>,
    acks: Acks,
    metrics: PartitionMetrics,

    head: u64,
    log_end: u64,
    /// The position that everything in the view depends on.
    position: u64,
    now: Timestamp,
    records: View<P::Key, P::Record>,
    own: View<EngineKey, EngineRecord>,
    effects: Effects<P>,
    answers: Vec<(RequestId, Answer<P::Reply>)>,
    timers: Timers<P::Key>,
    desk: Desk<P>,
    outgoing: VecDeque<Outgoing<P>>,
    doubts: recover::Doubts<P::Reply>,
    durability: DurabilityWatch,
    writer: recover::Writer,
    failing_since: Option<Instant>,
    tick: Interval,
    looked_at: Instant,
    poll_at: Instant,
    destinations: Destinations,
    scratch: Vec<u8>,
}

impl<P: Participant, S: Store> Sequencer<P, S> {
    pub(crate) fn new(parts: Parts<P, S>) -> Self {
        let mut tick = tokio::time::interval(parts.settings.tick);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            durability: parts.store.durability().watch(),
            participant: parts.participant,
            store: parts.store,
            log: parts.log,
            partitions: parts.partitions,
            mailbox: parts.mailbox,
            requests: parts.requests,
            stop: parts.stop,
            active: parts.active,
            status: parts.status,
            sources: parts.sources,
            links: parts.links,
            acks: parts.acks,
            metrics: parts.metrics,
            head: 0,
            log_end: 0,
            position: 0,
            now: Timestamp::default(),
            records: View::new(false),
            own: View::new(false),
            effects: Effects::default(),
            answers: Vec::new(),
            timers: Timers::new(),
            desk: Desk::new(),
            outgoing: VecDeque::new(),
            doubts: recover::Doubts::default(),
            writer: recover::Writer::new(parts.settings.writer_id),
            failing_since: None,
            tick,
            looked_at: Instant::now(),
            poll_at: Instant::now() + parts.settings.poll,
            settings: parts.settings,
            destinations: Destinations::default(),
            scratch: Vec::new(),
        }
    }

    /// Looks after the partition whenever it is this process's to look after. `ready` is told once its state is loaded
    /// and what its sources have for it is consumed, or that it is not.
    pub(crate) async fn run(mut self, ready: mpsc::Sender<Partition>) -> Result<(), Halt> {
        let mut ready = Some(ready);
        loop {
            if *self.active.borrow() && !*self.stop.borrow() {
                self.recover().await?;
                self.catch_up().await?;
                tell(&mut ready, self.log.partition).await;
                match self.serve().await? {
                    Ended::Stopped => return Ok(()),
                    Ended::Deactivated => self.hand_over().await?,
                }
            }
            tell(&mut ready, self.log.partition).await;
            if !self.rest().await {
                return Ok(());
            }
        }
    }

    async fn serve(&mut self) -> Result<Ended, Halt> {
        loop {
            if !*self.active.borrow() {
                return Ok(Ended::Deactivated);
            }
            let mut batch = Batch::default();
            // Before anything is taken from the queues: a batch of its own that runs in here may have to ask all
            // requests again, which must not include those of a batch that is still to run.
            if self.looked_at.elapsed() >= self.settings.tick {
                self.look_around(&mut batch).await?;
            }
            // Looked at here too, for under load there is never a wait.
            let stopping = *self.stop.borrow();
            if stopping || (!self.gather(&mut batch) && !self.wait(&mut batch).await?) {
                self.process(batch).await?;
                if !*self.active.borrow() {
                    return Ok(Ended::Deactivated);
                }
                self.finish().await?;
                return Ok(Ended::Stopped);
            }
            self.process(batch).await?;
            self.release();
        }
    }

    /// Lets out what was decided here, and sends everybody else to whoever looks after the partition now: what only this
    /// process's memory knew of them, that they wait, is nothing yet.
    async fn hand_over(&mut self) -> Result<(), Halt> {
        tracing::info!(log = %self.log, "another replica looks after the partition now");
        let position = self.position;
        self.store.durability().wait(position).await.map_err(|missed| Halt::Poisoned(missed.to_string()))?;
        self.release();
        for request in self.desk.ask_again() {
            if let Some(reply) = self.desk.close(request, Err(CallError::Moved)) {
                reply.send();
            }
        }
        self.desk = Desk::new();
        self.timers = Timers::new();
        self.records = View::new(false);
        self.own = View::new(false);
        self.status.log_end.store(0, Ordering::Release);
        self.metrics.report([0; 6]);
        Ok(())
    }

    /// Waits until the partition is this process's. `false`: it is time to stop.
    async fn rest(&mut self) -> bool {
        loop {
            tokio::select! {
                biased;
                _ = self.stop.wait_for(|stop| *stop) => break,
                changed = self.active.wait_for(|active| *active) => return changed.is_ok(),
                Some(request) = self.requests.recv() => request.refuse(CallError::Moved),
                // The cursor has not moved: whoever looks after the partition consumes it.
                Some(_) = self.mailbox.recv() => {}
            }
        }
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            request.refuse(CallError::Moved);
        }
        false
    }

    /// Takes what is queued without waiting. Deliveries come first, for they may free what requests wait for.
    fn gather(&mut self, batch: &mut Batch<P>) -> bool {
        while batch.len() < self.settings.batch_inputs_max {
            let Ok(delivery) = self.mailbox.try_recv() else { break };
            batch.deliveries.push(delivery);
        }
        while batch.len() < self.settings.batch_inputs_max {
            let Ok(request) = self.requests.try_recv() else { break };
            batch.requests.extend(self.desk.admit(request));
        }
        !batch.is_empty()
    }

    /// Waits for something to do and adds it to `batch`. `false`: it is time to stop.
    async fn wait(&mut self, batch: &mut Batch<P>) -> Result<bool, Halt> {
        let gate = self.outgoing.front().map(|outgoing| outgoing.position);
        tokio::select! {
            biased;
            Some(delivery) = self.mailbox.recv() => batch.deliveries.push(delivery),
            Some(request) = self.requests.recv() => batch.requests.extend(self.desk.admit(request)),
            passed = self.durability.reached(gate.unwrap_or(u64::MAX)), if gate.is_some() => {
                passed.map_err(|missed| Halt::Poisoned(missed.to_string()))?;
            }
            _ = self.tick.tick() => {}
            _ = self.stop.wait_for(|stop| *stop) => return Ok(false),
            Ok(_) = self.active.wait_for(|active| !*active) => return Ok(true),
        }
        // Whoever is ready runs first: what it sends joins the batch, and shares a commit that would else have had one
        // input, for a runtime likes to run the task that was woken last at once.
        tokio::task::yield_now().await;
        self.gather(batch);
        Ok(true)
    }

    /// What is done now and then: deadlines, patience, lost deliveries, idle cursors, expired answers.
    async fn look_around(&mut self, batch: &mut Batch<P>) -> Result<(), Halt> {
        let now = Instant::now();
        self.looked_at = now;
        let (idle, poll) = (self.mailbox.is_empty(), now >= self.poll_at);
        let mut stalled = false;
        for source in &mut self.sources {
            let is_stalled = source.is_stalled(idle);
            match source.reader {
                Some(_) => stalled |= is_stalled,
                None if is_stalled || poll => source.have_read(),
                None => {}
            }
        }
        if poll {
            self.poll_at = now + self.settings.poll;
            self.follow_other_writers().await?;
            self.catch_up().await?;
            batch.housekeeping = true;
            let mut skips = Ready::new();
            if self.outgoing.is_empty() {
                for link in &mut self.links {
                    link.prepare_skips(self.log_end, &mut skips);
                }
            }
            link::send(&mut skips, self.settings.delivery_fault);
        } else if stalled {
            self.catch_up().await?;
        }
        // Last, for what was read from the logs may have decided a saga or answered a request.
        let limit = self.settings.batch_inputs_max;
        batch.deadlines = self.timers.due(now, self.settings.poll, limit);
        batch.expired = self.desk.expired(now, limit);
        self.report();
        Ok(())
    }

    /// Lets out what has become durable.
    fn release(&mut self) {
        let durable = self.store.durability().durable();
        while self.outgoing.front().is_some_and(|outgoing| outgoing.position <= durable) {
            if let Some(mut outgoing) = self.outgoing.pop_front() {
                for (ack, cursor) in outgoing.acks {
                    ack.store(cursor, Ordering::Release);
                }
                link::send(&mut outgoing.deliveries, self.settings.delivery_fault);
                outgoing.replies.into_iter().for_each(Reply::send);
            }
        }
    }

    /// Makes everything durable, lets it out, and drops those who still wait: they learn that the outcome is unknown.
    async fn finish(&mut self) -> Result<(), Halt> {
        // Who comes from now on is told that the service has stopped, and what peers send is in their logs.
        self.requests.close();
        self.mailbox.close();
        let mut batch = Batch::default();
        while self.gather(&mut batch) {
            self.process(std::mem::take(&mut batch)).await?;
        }
        let position = self.position;
        self.store.durability().wait(position).await.map_err(|missed| Halt::Poisoned(missed.to_string()))?;
        self.release();
        Ok(())
    }

    fn report(&self) {
        let retained = sequence_of(self.log_end).saturating_sub(sequence_of(self.trim_floor()));
        let behind: u64 = self.sources.iter().map(Source::lag).sum();
        let records = self.records.len() + self.own.len();
        let [open, stuck, waiting, records] =
            [self.timers.len(), self.timers.overdue(), self.desk.len(), records].map(|count| count as u64);
        self.metrics.report([open, stuck, waiting, retained, behind, records]);
    }

    /// Stops at a log that cannot be consumed any further, unless another writer did consume it.
    async fn check_faults(&mut self, batch: &Batch<P>) -> Result<(), Halt> {
        for delivery in &batch.deliveries {
            let Some(fault) = &delivery.fault else { continue };
            let here = self.sources.get(delivery.source).is_some_and(|source| source.cursor == delivery.from);
            if here && self.head_in_store().await? == Some(self.head) {
                return Err(self.halted(fault.as_ref()));
            }
        }
        Ok(())
    }

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

/// Says once that a partition is ready; nobody may be waiting for it any more.
async fn tell(ready: &mut Option<mpsc::Sender<Partition>>, partition: Partition) {
    if let Some(ready) = ready.take() {
        let _ = ready.send(partition).await;
    }
}
