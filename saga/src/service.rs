//! Putting services together: build each over its store, connect them, start them.

use std::{fmt, hash::Hasher, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use crate::{
    Destinations, LogName, Participant, Partition, Settings, Store,
    link::{Acks, Delivery, Link, LinkedPartition, Progress, ReadLog, Source, Visibility},
    metrics::Metrics,
    request::{Answer, Ask, CallError, IdempotencyKey, Request},
    sequencer::{Halt, Parts, Sequencer},
};

/// The partition that a name belongs to, the same on every machine and in every version: CRC-32C of its bytes modulo the
/// number of partitions.
#[must_use]
pub fn partition_of(name: &[u8], partitions: Partition) -> Partition {
    let partitions = u32::from(partitions.max(1));
    Partition::try_from(crc32c::crc32c(name) % partitions).unwrap_or_default()
}

/// A stable 64-bit fingerprint of what a request asks, for [`IdempotencyKey`]: FNV-1a, then a finishing mix.
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
struct Seat<P: Participant> {
    deliver: mpsc::Sender<Delivery<P::Event>>,
    mailbox: mpsc::Receiver<Delivery<P::Event>>,
    requests: mpsc::Receiver<Request<P>>,
    sources: Vec<Source>,
    links: Vec<Link<P::Event>>,
    acks: Acks,
}

/// A service that is built and may be connected to others, but does not run yet.
pub struct Service<P: Participant, S> {
    participant: Arc<P>,
    store: S,
    settings: Settings,
    metrics: Metrics,
    name: Arc<str>,
    seats: Vec<Seat<P>>,
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
        let mut senders = Vec::new();
        let mut seats = Vec::new();
        for _ in 0..partitions {
            let (deliver, mailbox) = mpsc::channel(settings.deliveries_waiting_max);
            let (ask, requests) = mpsc::channel(settings.requests_waiting_max);
            senders.push(ask);
            let (sources, links, acks) = (Vec::new(), Vec::new(), Acks::default());
            seats.push(Seat { deliver, mailbox, requests, sources, links, acks });
        }
        let name = participant.name().into();
        let handle = Handle { requests: senders.into() };
        let (stop, _) = watch::channel(false);
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
        let reader: Arc<dyn ReadLog> = Arc::new(self.store.clone());
        for index in 0..self.seats.len() {
            let partition = Partition::try_from(index).unwrap_or_default();
            let log = LogName { service: Arc::clone(&self.name), partition };
            let mut acks = self.seats.get_mut(index).map(|seat| std::mem::take(&mut seat.acks)).unwrap_or_default();
            let link = self.add_source(&log, &reader, true, &mut acks, Some(partition));
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
                mailbox: seat.deliver.clone(),
                source: seat.sources.len(),
                progress: Arc::clone(&progress),
                sent: 0,
                pending: Vec::new(),
            };
            consumers.push(Some(consumer));
            let (log, reader, ack) = (log.clone(), Arc::clone(reader), acks.add());
            seat.sources.push(Source { log, reader, visibility, ack, progress, cursor: 0, committed: 0 });
        }
        let participant = Arc::clone(&self.participant);
        let partitions = self.handle.partitions();
        let route =
            Arc::new(move |event: &P::Event, to: &mut Destinations| participant.destinations(event, partitions, to));
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
                sources: seat.sources,
                links: seat.links,
                acks: seat.acks,
                metrics: self.metrics.partition(service, partition),
            };
            tasks.spawn(Sequencer::new(parts).run(ready.clone()));
        }
        drop(ready);
        let (recovered, is_recovered) = watch::channel(false);
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

/// A service that runs.
#[derive(Debug)]
pub struct Running {
    tasks: JoinSet<Result<(), Halt>>,
    stop: watch::Sender<bool>,
    recovered: watch::Receiver<bool>,
}

impl Running {
    /// Turns true once every partition has loaded its state and consumed what its sources had for it.
    #[must_use]
    pub fn recovered(&self) -> watch::Receiver<bool> {
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

/// How a request is to be treated.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// Makes repetitions of the request apply once.
    pub key: Option<IdempotencyKey>,
    /// How long the request may wait for a reply before the participant is told that it has
    /// [`Expired`](crate::Input::Expired). `None`: for as long as it takes.
    pub patience: Option<Duration>,
}

/// Sends requests to the partitions of one service.
pub struct Handle<P: Participant> {
    requests: Arc<[mpsc::Sender<Request<P>>]>,
}

impl<P: Participant> Clone for Handle<P> {
    fn clone(&self) -> Self {
        Self { requests: Arc::clone(&self.requests) }
    }
}

impl<P: Participant> fmt::Debug for Handle<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Handle").field("partitions", &self.requests.len()).finish()
    }
}

impl<P: Participant> Handle<P> {
    /// How many partitions there are.
    #[must_use]
    pub fn partitions(&self) -> Partition {
        Partition::try_from(self.requests.len()).unwrap_or(Partition::MAX)
    }

    /// The partition that `name` belongs to.
    #[must_use]
    pub fn partition_of(&self, name: &[u8]) -> Partition {
        partition_of(name, self.partitions())
    }

    /// Asks a partition to carry out `command`, and waits for the reply.
    ///
    /// With an idempotency key the same request is applied once, however often it is made, and gets the same reply. To
    /// notice that a key is used again for a request elsewhere, the key is first noted in the partition it belongs to.
    ///
    /// # Errors
    /// Where the participant gave no reply; see [`CallError`].
    pub async fn call(
        &self,
        partition: Partition,
        command: P::Command,
        options: CallOptions,
    ) -> Result<P::Reply, CallError> {
        if let Some(key) = &options.key {
            let home = self.partition_of(key.key.as_bytes());
            if home != partition {
                self.claim(key.clone()).await?;
            }
        }
        let reply = self.ask(partition, Ask::Command(Arc::new(command)), options).await?;
        reply.ok_or(CallError::Unknown)
    }

    /// Notes a key in the partition it belongs to, for a request that is carried out in parts. Returns the reply if the
    /// request was carried out before.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn claim(&self, key: IdempotencyKey) -> Result<Option<P::Reply>, CallError> {
        let home = self.partition_of(key.key.as_bytes());
        self.ask(home, Ask::Claim, CallOptions { key: Some(key), patience: None }).await
    }

    async fn ask(&self, partition: Partition, ask: Ask<P::Command>, options: CallOptions) -> Answer<P::Reply> {
        let (reply_to, reply) = oneshot::channel();
        let requests = self.requests.get(usize::from(partition)).ok_or(CallError::Stopped)?;
        let CallOptions { key, patience } = options;
        requests.try_send(Request { ask, key, patience, reply_to }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CallError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => CallError::Stopped,
        })?;
        reply.await.unwrap_or(Err(CallError::Unknown))
    }
}
