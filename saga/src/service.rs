//! Putting services together: build each over its store, connect them, start them.

use std::{fmt, hash::Hasher, sync::Arc};

use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    Destinations, Handle, LogName, Participant, Partition, Settings, Store,
    handle::Desk,
    link::{Acks, Delivery, Link, LinkedPartition, Outlet, Progress, ReadLog, Source, Tracking, Visibility},
    metrics::Metrics,
    request::Request,
    sequencer::{Halt, Parts, Sequencer, Status},
    watch,
};

/// The partition that a name belongs to, the same on every machine and in every version: CRC-32C of its bytes modulo the
/// number of partitions.
#[must_use]
pub fn partition_of(name: &[u8], partitions: Partition) -> Partition {
    let partitions = u32::from(partitions.max(1));
    Partition::try_from(crc32c::crc32c(name) % partitions).unwrap_or_default()
}

/// A stable 64-bit fingerprint of what a request asks, for [`IdempotencyKey`](crate::IdempotencyKey): FNV-1a, then a finishing mix.
#[must_use]
pub fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    for part in parts {
        hash.write(&(part.len() as u64).to_le_bytes());
        hash.write(part);
    }
    hash.finish()
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }
}

/// A partition before it starts.
pub(crate) struct Seat<P: Participant> {
    pub(crate) deliver: mpsc::Sender<Delivery<P::Event>>,
    mailbox: mpsc::Receiver<Delivery<P::Event>>,
    requests: mpsc::Receiver<Request<P>>,
    pub(crate) active: watch::Sender<bool>,
    pub(crate) status: Arc<Status>,
    pub(crate) sources: Vec<Source>,
    pub(crate) links: Vec<Link<P::Event>>,
    pub(crate) acks: Acks,
}

/// A service that is built and may be connected to others, but does not run yet.
pub struct Service<P: Participant, S> {
    pub(crate) participant: Arc<P>,
    pub(crate) store: S,
    pub(crate) settings: Settings,
    metrics: Metrics,
    pub(crate) name: Arc<str>,
    pub(crate) seats: Vec<Seat<P>>,
    handle: Handle<P>,
    stop: watch::Sender<bool>,
}

impl<P: Participant, S> fmt::Debug for Service<P, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Service").field("name", &self.name).field("partitions", &self.seats.len()).finish()
    }
}

impl<P: Participant, S: Store + Clone> Service<P, S> {
    /// A service of `partitions` partitions over `store`. The number must be the one that the data was created with.
    #[must_use]
    pub fn new(participant: P, store: S, partitions: Partition, settings: Settings, metrics: Metrics) -> Self {
        let mut desks = Vec::new();
        let mut seats = Vec::new();
        for _ in 0..partitions {
            let (deliver, mailbox) = mpsc::channel(settings.deliveries_waiting_max);
            let (ask, requests) = mpsc::channel(settings.requests_waiting_max);
            let (active, status) = (watch::Sender::new(true), Arc::<Status>::default());
            desks.push(Desk { requests: ask, status: Arc::clone(&status) });
            let (sources, links, acks) = (Vec::new(), Vec::new(), Acks::default());
            seats.push(Seat { deliver, mailbox, requests, active, status, sources, links, acks });
        }
        let name = participant.name().into();
        let handle = Handle::new(desks, partitions);
        let stop = watch::Sender::new(false);
        Self { participant: Arc::new(participant), store, settings, metrics, name, seats, handle, stop }
    }

    /// Where to send this service's requests.
    #[must_use]
    pub fn handle(&self) -> Handle<P> {
        self.handle.clone()
    }

    /// Makes `self` consume every log of `producer`, which may not be itself (see [`Self::consume_own`]).
    pub fn consume<Q, T>(&mut self, producer: &mut Service<Q, T>)
    where
        Q: Participant<Event = P::Event>,
        T: Store + Clone,
    {
        let shares_fate = self.store.durability().same_domain(producer.store.durability());
        let reader: Arc<dyn ReadLog> = Arc::new(producer.store.clone());
        for (partition, seat) in (0..).zip(&mut producer.seats) {
            let log = LogName { service: Arc::clone(&producer.name), partition };
            seat.links.push(self.add_source(&log, &reader, shares_fate, &mut seat.acks, None));
        }
    }

    /// Makes each partition consume the logs of this service's other partitions.
    pub fn consume_own(&mut self) {
        let shares_fate = self.store.partitions_share_fate();
        let reader: Arc<dyn ReadLog> = Arc::new(self.store.clone());
        for index in 0..self.seats.len() {
            let partition = Partition::try_from(index).unwrap_or_default();
            let log = LogName { service: Arc::clone(&self.name), partition };
            let mut acks = self.seats.get_mut(index).map(|seat| std::mem::take(&mut seat.acks)).unwrap_or_default();
            let link = self.add_source(&log, &reader, shares_fate, &mut acks, Some(partition));
            if let Some(seat) = self.seats.get_mut(index) {
                seat.acks = acks;
                seat.links.push(link);
            }
        }
    }

    /// Adds `log` to the sources of every partition but `owner`, and says how its owner reaches them.
    fn add_source(
        &mut self,
        log: &LogName,
        reader: &Arc<dyn ReadLog>,
        shares_fate: bool,
        acks: &mut Acks,
        owner: Option<Partition>,
    ) -> Link<P::Event> {
        let visibility = if shares_fate { Visibility::Committed } else { Visibility::Durable };
        let mut consumers = Vec::new();
        for (partition, seat) in (0..).zip(&mut self.seats) {
            if owner == Some(partition) {
                consumers.push(None);
                continue;
            }
            let progress = Arc::<Progress>::default();
            let consumer = LinkedPartition {
                outlet: Outlet::to_mailbox(seat.deliver.clone()),
                source: seat.sources.len(),
                progress: Arc::clone(&progress),
                sent: 0,
                pending: Vec::new(),
            };
            consumers.push(Some(consumer));
            let (log, reader, ack) = (log.clone(), Some(Arc::clone(reader)), acks.add());
            let tracking = Arc::<Tracking>::default();
            let (cursor, committed, stalled_at) = (0, 0, None);
            seat.sources.push(Source {
                log,
                reader,
                tracking,
                visibility,
                ack,
                progress,
                cursor,
                committed,
                stalled_at,
            });
        }
        let route = route_to(Arc::clone(&self.participant), self.handle.partitions());
        Link { route, shares_fate, consumers }
    }

    /// Starts one task per partition on the current `tokio` runtime.
    #[must_use]
    pub fn start(self) -> Running {
        let (ready, mut became_ready) = mpsc::channel(self.seats.len().max(1));
        let mut tasks = JoinSet::new();
        let partitions = self.handle.partitions();
        let service = self.participant.name();
        for (partition, seat) in (0..).zip(self.seats) {
            let parts = Parts {
                participant: Arc::clone(&self.participant),
                store: self.store.clone(),
                settings: self.settings.clone(),
                log: LogName { service: Arc::clone(&self.name), partition },
                partitions,
                mailbox: seat.mailbox,
                requests: seat.requests,
                stop: self.stop.subscribe(),
                active: seat.active.subscribe(),
                status: seat.status,
                sources: seat.sources,
                links: seat.links,
                acks: seat.acks,
                metrics: self.metrics.partition(service, partition),
            };
            tasks.spawn(Sequencer::new(parts).run(ready.clone()));
        }
        drop(ready);
        let (recovered, is_recovered) = tokio::sync::watch::channel(false);
        tasks.spawn(async move {
            for _ in 0..partitions {
                if became_ready.recv().await.is_none() {
                    return Ok(());
                }
            }
            recovered.send_replace(true);
            Ok(())
        });
        Running { tasks, stop: self.stop, recovered: is_recovered }
    }
}

/// Chooses `participant`'s partitions for an event.
pub(crate) fn route_to<P: Participant>(participant: Arc<P>, partitions: Partition) -> crate::link::Route<P::Event> {
    Arc::new(move |event: &P::Event, to: &mut Destinations| participant.destinations(event, partitions, to))
}

/// A service that runs.
#[derive(Debug)]
pub struct Running {
    tasks: JoinSet<Result<(), Halt>>,
    stop: watch::Sender<bool>,
    recovered: tokio::sync::watch::Receiver<bool>,
}

impl Running {
    /// Turns true once every partition has loaded its state and consumed what its sources had for it.
    #[must_use]
    pub fn recovered(&self) -> tokio::sync::watch::Receiver<bool> {
        self.recovered.clone()
    }

    /// Waits until a partition stops by itself, which it does only when it must not go on.
    pub async fn halted(&mut self) -> Halt {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Err(halt))) => return halt,
                Some(Err(panic)) if panic.is_panic() => {
                    return Halt::Poisoned(format!("a partition panicked: {panic}"));
                }
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Carries out what is queued, makes it durable, answers, and ends all tasks.
    ///
    /// # Errors
    /// The first reason for which a partition could not.
    pub async fn stop(mut self) -> Result<(), Halt> {
        self.stop.send_replace(true);
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            let ended = ended.unwrap_or_else(|error| Err(Halt::Poisoned(format!("a partition panicked: {error}"))));
            outcome = outcome.and(ended);
        }
        outcome
    }
}
