//! What the partitions of a process know of themselves, for those who operate it: a snapshot of what they count and publish
//! anyway. Taking one reads memory, blocks nobody and asks no store.

use std::{fmt, sync::Arc};

use tokio::sync::mpsc;

use crate::{
    Durability, LogName, Member, Partition,
    health::Status,
    link::{Acks, Consumption, Progress, Source},
    store::position::sequence_of,
    watch,
};

/// What one service of a process is like.
#[derive(Clone, Debug)]
pub struct ServiceView {
    /// Its name.
    pub service: &'static str,
    /// In their order.
    pub partitions: Vec<PartitionView>,
    /// Where several replicas share the service.
    pub replicas: Option<ReplicasView>,
}

/// The replicas of a service, as one of them sees them.
#[derive(Clone, Debug, Default)]
pub struct ReplicasView {
    /// Where the others reach the replica that says this.
    pub address: String,
    /// The membership list, as it was read last.
    pub members: Vec<Member>,
    /// Whether the list could be read lately.
    pub is_reached: bool,
    /// What the replica lacks, so that it is not fit.
    pub lacks: Vec<String>,
    /// By partition, the owner's address; empty where it is not known.
    pub owners: Vec<String>,
}

/// What one partition is like. Numbers are those of its last tick, some milliseconds ago, but for logs and queues, which are
/// of this moment.
#[derive(Clone, Debug)]
pub struct PartitionView {
    /// Its own log, which names it.
    pub log: LogName,
    /// Where the owner is reached, as far as is known, where several replicas share the service.
    pub owner: Option<String>,
    /// Whether this process is the owner. What is below says something in its process alone.
    pub is_owned: bool,
    /// Whether its state is in memory.
    pub is_loaded: bool,
    /// How many commits it had.
    pub head: u64,
    /// The number of the last event of its log.
    pub log_end: u64,
    /// Events that are kept for a consumer or an open saga.
    pub retained: u64,
    /// Where its own consumption of others' logs is.
    pub sources: Vec<SourceView>,
    /// Who consumes its log.
    pub consumers: Vec<ConsumerView>,
    /// What waits where.
    pub queues: Queues,
    /// What waits until it is durable.
    pub gate: Gate,
    /// Sagas begun and not decided.
    pub in_flight: u64,
    /// Of those, sagas past their deadline.
    pub stuck: u64,
    /// Sagas for which something is held.
    pub held: u64,
    /// For how many seconds the longest of them has been held.
    pub held_seconds_max: u64,
    /// Sagas that wait for what others hold.
    pub parked: u64,
    /// Whether nothing is answered, for want of the right data.
    pub stands_still: bool,
    /// Why it does not do all of its work; nothing while it does.
    pub reasons: Vec<String>,
}

/// A log that is consumed.
#[derive(Clone, Debug)]
pub struct SourceView {
    /// Which.
    pub log: LogName,
    /// The number of the last event that is consumed for good; nothing before the partition was loaded.
    pub consumed: Option<u64>,
    /// How many events its producer is known to be ahead.
    pub lag: u64,
}

/// A partition that consumes this one's log.
#[derive(Clone, Debug)]
pub struct ConsumerView {
    /// Its own log, which names it.
    pub log: LogName,
    /// The number of the last event that it has consumed, as far as it said.
    pub consumed: Option<u64>,
    /// How many events this one is ahead of that.
    pub lag: u64,
    /// Whether nobody waits for it.
    pub is_observer: bool,
}

/// How much waits in which of a partition's queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queues {
    /// Deliveries of others' events.
    pub deliveries: usize,
    /// Requests that were not looked at.
    pub requests: usize,
    /// Requests that were taken and not answered.
    pub waiting: u64,
}

/// The durability gate, as one partition sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// The position of the last commit.
    pub committed: u64,
    /// Up to which position all is durable; nothing where every commit is when it returns.
    pub durable: Option<u64>,
    /// Commits, answers and deliveries that wait.
    pub waiting: u64,
    /// Why nothing will pass any more.
    pub poisoned: Option<String>,
}

/// What is looked at of one partition.
pub(crate) struct Probe {
    log: LogName,
    status: Arc<Status>,
    active: watch::Receiver<bool>,
    acks: Acks,
    sources: Vec<(LogName, Arc<Consumption>, Arc<Progress>)>,
    durability: Durability,
    queued: Box<dyn Fn() -> [usize; 2] + Send + Sync>,
}

impl Probe {
    /// `queued` counts deliveries and requests.
    pub(crate) fn new(
        log: LogName,
        status: Arc<Status>,
        active: watch::Receiver<bool>,
        (sources, acks): (&[Source], &Acks),
        durability: Durability,
        queued: impl Fn() -> [usize; 2] + Send + Sync + 'static,
    ) -> Self {
        let source = |source: &Source| (source.log.clone(), Arc::clone(&source.ack), Arc::clone(&source.progress));
        Self {
            log,
            status,
            active,
            acks: acks.clone(),
            sources: sources.iter().map(source).collect(),
            durability,
            queued: Box::new(queued),
        }
    }

    fn view(&self, owner: Option<String>) -> PartitionView {
        let (is_owned, is_loaded) = (*self.active.borrow(), self.status.is_loaded());
        let (report, head, committed) = self.status.ticked();
        let log_end = sequence_of(self.status.log_end());
        let [deliveries, requests] = (self.queued)();
        let durable = Some(self.durability.durable()).filter(|durable| *durable < u64::MAX);
        let poisoned = self.durability.poisoned().map(|reason| reason.as_ref().to_owned());
        PartitionView {
            log: self.log.clone(),
            owner,
            is_owned,
            is_loaded,
            head,
            log_end,
            retained: report.retained,
            sources: if is_owned { self.sources() } else { Vec::new() },
            consumers: if is_owned { self.consumers(log_end) } else { Vec::new() },
            queues: Queues { deliveries, requests, waiting: report.waiting },
            gate: Gate { committed, durable, waiting: report.undurable, poisoned },
            in_flight: report.in_flight,
            stuck: report.stuck,
            held: report.held,
            held_seconds_max: report.held_seconds_max,
            parked: report.parked,
            stands_still: self.status.stands_still(),
            reasons: self.status.reasons(),
        }
    }

    fn sources(&self) -> Vec<SourceView> {
        let view = |(log, ack, progress): &(LogName, Arc<Consumption>, Arc<Progress>)| {
            let consumed = ack.known().map(sequence_of);
            let lag = sequence_of(progress.addressed()).saturating_sub(consumed.unwrap_or(0));
            SourceView { log: log.clone(), consumed, lag }
        };
        self.sources.iter().map(view).collect()
    }

    fn consumers(&self, log_end: u64) -> Vec<ConsumerView> {
        let view = |is_observer| {
            move |(log, consumed): (&LogName, Option<u64>)| {
                let consumed = consumed.map(sequence_of);
                let lag = log_end.saturating_sub(consumed.unwrap_or(0));
                ConsumerView { log: log.clone(), consumed, lag, is_observer }
            }
        };
        self.acks.known().map(view(false)).chain(self.acks.observed().map(view(true))).collect()
    }
}

/// Counts what is in a queue.
pub(crate) fn queued<T>(queue: &mpsc::Sender<T>) -> usize {
    queue.max_capacity().saturating_sub(queue.capacity())
}

/// Says what a replica knows of the replicas of its service.
pub(crate) type SeeReplicas = Arc<dyn Fn() -> ReplicasView + Send + Sync>;

/// What is looked at of one service.
#[derive(Clone)]
pub(crate) struct Inspected {
    service: &'static str,
    probes: Arc<[Probe]>,
    replicas: Option<SeeReplicas>,
}

impl fmt::Debug for Inspected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Inspected").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Inspected {
    pub(crate) fn new(service: &'static str, probes: Vec<Probe>) -> Self {
        Self { service, probes: probes.into(), replicas: None }
    }

    fn view(&self) -> ServiceView {
        let replicas = self.replicas.as_ref().map(|replicas| replicas());
        let owner = |index: usize| {
            let owner = replicas.as_ref()?.owners.get(index)?;
            (!owner.is_empty()).then(|| owner.clone())
        };
        let partitions = self.probes.iter().enumerate().map(|(index, probe)| probe.view(owner(index))).collect();
        ServiceView { service: self.service, partitions, replicas }
    }
}

/// Lets the services of a process be looked at; clones share it.
#[derive(Clone, Debug)]
pub struct Inspection {
    services: Vec<Inspected>,
}

impl FromIterator<Inspected> for Inspection {
    fn from_iter<I: IntoIterator<Item = Inspected>>(services: I) -> Self {
        Self { services: services.into_iter().collect() }
    }
}

impl Inspection {
    /// The same, of services that several replicas share.
    pub(crate) fn with_replicas(mut self, replicas: &SeeReplicas) -> Self {
        for service in &mut self.services {
            service.replicas = Some(Arc::clone(replicas));
        }
        self
    }

    /// What each service is like now.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceView> {
        self.services.iter().map(Inspected::view).collect()
    }

    /// What one partition is like now, if there is one of this name.
    #[must_use]
    pub fn partition(&self, service: &str, partition: Partition) -> Option<PartitionView> {
        let service = self.services.iter().find(|inspected| inspected.service == service)?;
        service.view().partitions.into_iter().nth(partition.into())
    }

    /// Has a partition read the logs that it consumes, from its cursors on, at its next tick: what a lost delivery may have
    /// left. What it has consumed already is not applied again, for cursors decide. Nothing happens where this process
    /// is not its owner.
    pub fn redeliver(&self, service: &str, partition: Partition) {
        let service = self.services.iter().find(|inspected| inspected.service == service);
        if let Some(probe) = service.and_then(|service| service.probes.get(usize::from(partition))) {
            probe.status.ask_for_redelivery();
        }
    }
}
