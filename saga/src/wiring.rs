//! The partitions of one service in this process, and how they are connected to producers and consumers.
//!
//! ```text
//!   producer's partition: Link ── one Way to each consuming partition ──▶ Subscription ──▶ consumer's partition: Source
//!                         Acks ◀───────────── how far it has consumed ◀────────────────────────────┘
//! ```
//!
//! A way ends at a subscription in this process, at whoever subscribed from another one, or at both.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::mpsc;

use crate::{
    Durability, LogName, Participant, Partition, Settings, Store,
    health::Status,
    link::{
        Acks, Consumption, Delivery, Link, LinkedPartition, Progress, ReadLog, Route, Sink, Source, Tracking,
        Visibility,
    },
    watch,
};

/// A service consumes the logs of one that nobody provides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{consumer} consumes the events of {producer}, and nobody says where that is")]
pub struct NotConnected {
    /// Who consumes.
    pub consumer: &'static str,
    /// Whose logs.
    pub producer: &'static str,
}

/// A partition before it starts: what does not depend on its participant.
pub(crate) struct Seat<E> {
    pub(crate) deliver: mpsc::Sender<Delivery<E>>,
    pub(crate) mailbox: mpsc::Receiver<Delivery<E>>,
    pub(crate) active: watch::Sender<bool>,
    pub(crate) status: Arc<Status>,
    pub(crate) sources: Vec<Source>,
    pub(crate) links: Vec<Link<E>>,
    pub(crate) acks: Acks,
}

impl<E> Seat<E> {
    fn new(deliveries_waiting_max: usize) -> Self {
        let (deliver, mailbox) = mpsc::channel(deliveries_waiting_max);
        let (active, status) = (watch::Sender::new(true), Arc::default());
        Self { deliver, mailbox, active, status, sources: Vec::new(), links: Vec::new(), acks: Acks::default() }
    }
}

/// A service as its consumers see it.
#[derive(Clone)]
pub(crate) struct Logs {
    pub(crate) service: &'static str,
    pub(crate) partitions: Partition,
    /// `None`: they are in another process, and a task of its own reads them there.
    pub(crate) reader: Option<Arc<dyn ReadLog>>,
    pub(crate) visibility: Visibility,
}

/// A service as its producers see it.
pub(crate) struct Audience<E> {
    pub(crate) service: &'static str,
    pub(crate) partitions: Partition,
    pub(crate) is_observer: bool,
    pub(crate) route: Route<E>,
}

impl<E> Clone for Audience<E> {
    fn clone(&self) -> Self {
        Self { route: Arc::clone(&self.route), ..*self }
    }
}

impl<E> Audience<E> {
    pub(crate) fn of<P: Participant<Event = E>>(partitions: Partition) -> Self {
        let route: Route<E> = Arc::new(move |event, to| P::destinations(event, partitions, to));
        Self { service: P::NAME, partitions, is_observer: P::IS_OBSERVER, route }
    }
}

/// One log as one consuming partition in this process gets it.
pub(crate) struct Subscription<E> {
    pub(crate) log: LogName,
    pub(crate) consumer: Partition,
    /// Which of the consumer's sources the log is.
    pub(crate) source: usize,
    pub(crate) mailbox: mpsc::Sender<Delivery<E>>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) tracking: Arc<Tracking>,
    pub(crate) ack: Arc<Consumption>,
    /// Whether this process owns the consumer.
    pub(crate) active: watch::Receiver<bool>,
    pub(crate) is_observer: bool,
    /// Which of the consuming service's partitions an event is for.
    pub(crate) route: Route<E>,
}

/// By producing and consuming partition. A partition is no consumer of its own log.
pub(crate) type ByPair<T> = BTreeMap<(Partition, Partition), T>;

/// From a log to one consuming partition.
pub(crate) struct Way<E> {
    pub(crate) sink: Sink<E>,
    /// Which of the consumer's sources the log is.
    source: usize,
    progress: Arc<Progress>,
    ack: Arc<Consumption>,
    is_away: bool,
}

impl<E> Way<E> {
    /// To a partition that is in other processes alone.
    pub(crate) fn away(sink: Sink<E>, ack: Arc<Consumption>) -> Self {
        Self { sink, source: 0, progress: Arc::default(), ack, is_away: true }
    }
}

impl<E> From<&Subscription<E>> for Way<E> {
    fn from(subscription: &Subscription<E>) -> Self {
        Self {
            sink: Sink::to_mailbox(subscription.mailbox.clone()),
            source: subscription.source,
            progress: Arc::clone(&subscription.progress),
            ack: Arc::clone(&subscription.ack),
            is_away: false,
        }
    }
}

/// See the module.
pub(crate) struct Wiring<E> {
    pub(crate) audience: Audience<E>,
    pub(crate) consumes: &'static [&'static str],
    reader: Arc<dyn ReadLog>,
    durability: Durability,
    partitions_share_fate: bool,
    pub(crate) seats: Vec<Seat<E>>,
}

impl<E> Wiring<E> {
    pub(crate) fn new<P, S>(store: &S, partitions: Partition, settings: &Settings) -> Self
    where
        P: Participant<Event = E>,
        S: Store + Clone,
    {
        Self {
            audience: Audience::of::<P>(partitions),
            consumes: P::CONSUMES,
            reader: Arc::new(store.clone()),
            durability: store.durability().clone(),
            partitions_share_fate: store.partitions_share_fate(),
            seats: (0..partitions).map(|_| Seat::new(settings.deliveries_waiting_max)).collect(),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.audience.service
    }

    /// Whether there is a service of every name that this one consumes.
    pub(crate) fn check(&self, is_there: impl Fn(&str) -> bool) -> Result<(), NotConnected> {
        match self.consumes.iter().find(|producer| !is_there(producer)) {
            Some(producer) => Err(NotConnected { consumer: self.name(), producer }),
            None => Ok(()),
        }
    }

    /// Its logs, as `consumer` in this process finds them: itself, or another one.
    pub(crate) fn logs_for(&self, consumer: &Self) -> Logs {
        let shares_fate = if self.name() == consumer.name() {
            self.partitions_share_fate
        } else {
            self.durability.same_domain(&consumer.durability)
        };
        let visibility = if shares_fate { Visibility::Committed } else { Visibility::Durable };
        let reader = Some(Arc::clone(&self.reader));
        Logs { service: self.name(), partitions: self.audience.partitions, reader, visibility }
    }

    /// Adds every log of a producer to the sources of every partition.
    pub(crate) fn subscribe(&mut self, logs: &Logs) -> ByPair<Subscription<E>> {
        let mut subscriptions = BTreeMap::new();
        for producer in 0..logs.partitions {
            for (consumer, seat) in (0..).zip(&mut self.seats) {
                if logs.service == self.audience.service && producer == consumer {
                    continue;
                }
                let log = LogName { service: logs.service.into(), partition: producer };
                let source = Source::new(log.clone(), logs.reader.clone(), logs.visibility);
                let subscription = Subscription {
                    log,
                    consumer,
                    source: seat.sources.len(),
                    mailbox: seat.deliver.clone(),
                    progress: Arc::clone(&source.progress),
                    tracking: Arc::clone(&source.tracking),
                    ack: Arc::clone(&source.ack),
                    active: seat.active.subscribe(),
                    is_observer: self.audience.is_observer,
                    route: Arc::clone(&self.audience.route),
                };
                seat.sources.push(source);
                subscriptions.insert((producer, consumer), subscription);
            }
        }
        subscriptions
    }

    /// Sends the events of every partition to those of a consumer.
    pub(crate) fn feed(&mut self, audience: &Audience<E>, visibility: Visibility, mut ways: ByPair<Way<E>>) {
        let shares_fate = visibility == Visibility::Committed;
        for (producer, seat) in (0..).zip(&mut self.seats) {
            let mut consumers = Vec::new();
            for consumer in 0..audience.partitions {
                let way = ways.remove(&(producer, consumer));
                consumers.push(way.map(|Way { sink, source, progress, ack, is_away }| {
                    let name = LogName { service: audience.service.into(), partition: consumer };
                    if audience.is_observer {
                        seat.acks.observe(name, ack);
                    } else {
                        seat.acks.add(name, ack, is_away);
                    }
                    LinkedPartition { sink, source, progress, sent: 0, pending: Vec::new() }
                }));
            }
            seat.links.push(Link { route: Arc::clone(&audience.route), shares_fate, consumers });
        }
    }
}
