//! Services in processes of their own, and several replicas of each.
//!
//! ```text
//!   process of order                      process of stock
//!  ┌───────────────────────┐  Deliver    ┌───────────────────────┐
//!  │ sequencers ─▶ Outward ─┼────────────▶│ Inlet ─▶ sequencers    │
//!  │ Handle ─▶ Router ──────┼────────────▶│ Server ─▶ Handle       │
//!  └──────────┬────────────┘  Call        └──────────┬────────────┘
//!             │ forward                              │
//!  ┌──────────▼────────────┐              ┌──────────▼────────────┐
//!  │ another replica        │              │ another replica        │
//!  └──────────┬────────────┘              └──────────┬────────────┘
//!        order's database                       stock's database
//! ```
//!
//! A [`Node`] is one process's replica of one service. It runs the sequencers of the partitions that are its own by the
//! list of [`Members`]; requests for others are forwarded to who looks after them, and asked again elsewhere when that
//! one dies. Events come over connections, as hints with contents; what a connection lost is read from the producer's
//! log through whichever replica looks after it. **None of it is needed for correctness**: cursors are in the
//! consumers' commits, and the comparison of heads decides between two who believe a partition to be theirs.

mod connection;
mod feed;
mod ownership;
mod peer;
mod router;
mod server;
mod transport;
mod wire;

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{Arc, atomic::AtomicU64},
};

use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
};

pub use self::transport::{BoxStream, Listen, Reaching, Stream, Tcp, Transport};
use self::{
    feed::Feed, feed::Inlet, ownership::Ownership, peer::Peer, router::Router, server::Outward, server::Server,
};
use crate::{
    Halt, Handle, LogName, Member, Members, Participant, Partition, Running, Service, Store,
    codec::Codec,
    link::{Link, LinkedPartition, Outlet, Progress, Source, Subscribers, Tracking, Visibility},
    service::route_to,
};

/// Where a service's replicas are.
#[derive(Clone, Debug)]
pub struct Names {
    /// The service's name.
    pub service: &'static str,
    /// How many partitions it has.
    pub partitions: Partition,
    /// Names with ports, each of which may stand for several addresses.
    pub names: Vec<String>,
}

/// Another service, or one's own in other processes, whose logs are consumed.
struct Consumed<E> {
    peer: Arc<Peer>,
    names: Vec<String>,
    inlets: Vec<Inlet<E>>,
}

/// One replica of a service, before it runs.
pub struct Node<P: Participant, S> {
    service: Service<P, S>,
    transport: Arc<dyn Transport>,
    me: Member,
    outward: BTreeMap<Arc<str>, Outward<P::Event>>,
    consumed: Vec<Consumed<P::Event>>,
}

impl<P: Participant, S> fmt::Debug for Node<P, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Node").field("service", &self.service).field("me", &self.me).finish_non_exhaustive()
    }
}

impl<P: Participant<Command: Codec>, S: Store + Clone> Node<P, S> {
    /// A replica of `service`, which other processes reach as `me` says.
    #[must_use]
    pub fn new(service: Service<P, S>, me: Member, transport: Arc<dyn Transport>) -> Self {
        for seat in &service.seats {
            seat.active.send_replace(false);
        }
        Self { service, transport, me, outward: BTreeMap::new(), consumed: Vec::new() }
    }

    /// Where to send this service's requests, whichever replica looks after them.
    #[must_use]
    pub fn handle(&self) -> Handle<P> {
        self.service.handle()
    }

    /// Consumes every log of another service, whose processes it connects to, and says where to send that one's
    /// requests.
    pub fn consume<Q: Participant<Command: Codec>>(&mut self, producer: Names) -> Handle<Q> {
        let name: Arc<str> = producer.service.into();
        let peer = self.peer(&name, producer.partitions);
        let mut inlets = Vec::new();
        for partition in 0..producer.partitions {
            let log = LogName { service: Arc::clone(&name), partition };
            inlets.extend(self.sources(&log));
        }
        let handle = Handle::new(Vec::new(), producer.partitions);
        handle.set_route(Arc::new(Router { peer: Arc::clone(&peer), ownership: None }));
        self.consumed.push(Consumed { peer, names: producer.names, inlets });
        handle
    }

    /// Lets another service, the one of `participant` with so many partitions, consume this one's logs.
    pub fn feed<Q: Participant<Event = P::Event>>(&mut self, participant: Q, partitions: Partition) {
        let name: Arc<str> = participant.name().into();
        let route = route_to(Arc::new(participant), partitions);
        let mut outward = Outward { partitions, subscribers: Vec::new(), acks: Vec::new() };
        for seat in &mut self.service.seats {
            let (mut consumers, mut subscribers, mut acks) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..partitions {
                let there = Arc::<Subscribers<P::Event>>::default();
                let outlet = Outlet { mailbox: None, subscribers: Some(Arc::clone(&there)) };
                consumers.push(Some(away(outlet)));
                subscribers.push(there);
                acks.push(Some(seat.acks.add()));
            }
            seat.links.push(Link { route: Arc::clone(&route), shares_fate: false, consumers });
            outward.subscribers.push(subscribers);
            outward.acks.push(acks);
        }
        self.outward.insert(name, outward);
    }

    /// Makes each partition consume the logs of this service's other partitions, in whichever process they are.
    pub fn consume_own(&mut self) {
        self.service.consume_own();
        let name = Arc::clone(&self.service.name);
        let partitions = self.handle().partitions();
        let mut outward = Outward { partitions, subscribers: Vec::new(), acks: Vec::new() };
        for seat in &mut self.service.seats {
            let mut subscribers = Vec::new();
            let consumers = seat.links.last_mut().map(|link| &mut link.consumers);
            for consumer in consumers.into_iter().flatten() {
                let there = Arc::<Subscribers<P::Event>>::default();
                if let Some(consumer) = consumer {
                    consumer.outlet.subscribers = Some(Arc::clone(&there));
                }
                subscribers.push(there);
            }
            outward.acks.push(vec![None; subscribers.len()]);
            outward.subscribers.push(subscribers);
        }
        self.own_acks(&mut outward);
        self.outward.insert(name, outward);
    }

    /// How far the own partitions have consumed the own logs: whichever process they are in says so to all.
    fn own_acks(&self, outward: &mut Outward<P::Event>) {
        for (consumer, seat) in self.service.seats.iter().enumerate() {
            for source in seat.sources.iter().filter(|source| source.log.service == self.service.name) {
                let acks = outward.acks.get_mut(usize::from(source.log.partition));
                if let Some(ack) = acks.and_then(|acks| acks.get_mut(consumer)) {
                    *ack = Some(Arc::clone(&source.ack));
                }
            }
        }
    }

    fn peer(&self, service: &Arc<str>, partitions: Partition) -> Arc<Peer> {
        let own = (&*self.service.name, self.handle().partitions());
        Arc::new(Peer::new(Arc::clone(service), partitions, own, Arc::clone(&self.transport)))
    }

    /// Adds a log in another process to the sources of every partition.
    fn sources(&mut self, log: &LogName) -> Vec<Inlet<P::Event>> {
        let route = route_to(Arc::clone(&self.service.participant), self.handle().partitions());
        let seats = (0..).zip(&mut self.service.seats);
        let add = |(consumer, seat): (Partition, &mut crate::service::Seat<P>)| {
            let (progress, tracking) = (Arc::<Progress>::default(), Arc::<Tracking>::default());
            let ack = Arc::<AtomicU64>::default();
            let inlet = Inlet {
                log: log.clone(),
                consumer,
                source: seat.sources.len(),
                mailbox: seat.deliver.clone(),
                progress: Arc::clone(&progress),
                tracking: Arc::clone(&tracking),
                ack: Arc::clone(&ack),
                active: seat.active.subscribe(),
                route: Arc::clone(&route),
            };
            let (log, visibility) = (log.clone(), Visibility::Durable);
            seat.sources.push(Source {
                log,
                reader: None,
                tracking,
                visibility,
                ack,
                progress,
                cursor: 0,
                committed: 0,
                stalled_at: None,
            });
            inlet
        };
        seats.map(add).collect()
    }

    /// What the other replicas deliver of the own logs.
    fn own_inlets(&self) -> Vec<Inlet<P::Event>> {
        let route = route_to(Arc::clone(&self.service.participant), self.handle().partitions());
        let mut inlets = Vec::new();
        for (consumer, seat) in (0..).zip(&self.service.seats) {
            for (index, source) in seat.sources.iter().enumerate() {
                if source.log.service != self.service.name {
                    continue;
                }
                inlets.push(Inlet {
                    log: source.log.clone(),
                    consumer,
                    source: index,
                    mailbox: seat.deliver.clone(),
                    progress: Arc::clone(&source.progress),
                    tracking: Arc::clone(&source.tracking),
                    ack: Arc::clone(&source.ack),
                    active: seat.active.subscribe(),
                    route: Arc::clone(&route),
                });
            }
        }
        inlets
    }

    /// Starts the replica: its sequencers, its connections, and the list of members that it keeps itself on.
    #[must_use]
    pub fn start<M: Members>(mut self, listener: Box<dyn Listen>, members: M) -> RunningNode<M> {
        let handle = self.handle();
        let active: Vec<_> = self.service.seats.iter().map(|seat| seat.active.clone()).collect();
        let statuses = self.service.seats.iter().map(|seat| Arc::clone(&seat.status)).collect();
        let ownership = Arc::new(Ownership::new(self.me.clone(), active));
        let siblings = self.peer(&self.service.name.clone(), handle.partitions());
        let inlets = self.own_inlets();
        self.consumed.push(Consumed { peer: Arc::clone(&siblings), names: Vec::new(), inlets });
        handle.set_route(Arc::new(Router { peer: Arc::clone(&siblings), ownership: Some(Arc::clone(&ownership)) }));

        let mut tasks = Tasks::default();
        let members = Arc::new(members);
        tasks.spawn(Arc::clone(&ownership).run(Arc::clone(&members), siblings));
        for Consumed { peer, names, inlets } in self.consumed {
            let is_own = peer.service == self.service.name;
            let feed = Arc::new(Feed::new(Arc::clone(&peer), inlets));
            let hearing = Arc::clone(&feed);
            let me = self.me.address.clone();
            tasks.spawn(peer.run(
                names,
                me,
                Arc::new(move |connection, message| {
                    // Replicas of one service go by the list of members, not by each other's word.
                    if !(is_own && matches!(message, wire::Message::Places { .. })) {
                        hearing.hear(connection, message);
                    }
                }),
            ));
            if !is_own {
                // The own logs are read by the sequencers themselves, from the store.
                tasks.spawn(Arc::clone(&feed).read());
            }
            tasks.spawn(Arc::clone(&feed).subscribe(ownership.activity.subscribe()));
            tasks.spawn(feed.acknowledge());
        }
        let server = Server {
            service: Arc::clone(&self.service.name),
            handle,
            store: self.service.store.clone(),
            ownership: Arc::clone(&ownership),
            statuses,
            outward: self.outward,
        };
        tasks.spawn(Arc::new(server).run(listener));
        RunningNode { running: self.service.start(), ownership, members, tasks }
    }
}

fn away<E>(outlet: Outlet<E>) -> LinkedPartition<E> {
    LinkedPartition { outlet, source: 0, progress: Arc::default(), sent: 0, pending: Vec::new() }
}

/// Tasks that end when this is dropped.
#[derive(Debug, Default)]
struct Tasks(JoinSet<()>);

impl Tasks {
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.0.spawn(task)
    }
}

/// A replica that runs.
#[derive(Debug)]
pub struct RunningNode<M> {
    running: Running,
    ownership: Arc<Ownership>,
    members: Arc<M>,
    tasks: Tasks,
}

/// Whether a replica can do its work, without asking anybody.
#[derive(Clone, Debug)]
pub struct Reach(Arc<Ownership>);

impl Reach {
    /// Whether the service's own database answered lately.
    #[must_use]
    pub fn has_store(&self) -> bool {
        self.0.is_reached()
    }
}

impl<M: Members> RunningNode<M> {
    /// See [`Running::recovered`]: of the partitions that are this replica's own.
    #[must_use]
    pub fn recovered(&self) -> watch::Receiver<bool> {
        self.running.recovered()
    }

    /// For readiness.
    #[must_use]
    pub fn reach(&self) -> Reach {
        Reach(Arc::clone(&self.ownership))
    }

    /// See [`Running::halted`].
    pub async fn halted(&mut self) -> Halt {
        self.running.halted().await
    }

    /// Hands its partitions over to the other replicas, and ends.
    ///
    /// # Errors
    /// See [`Running::stop`].
    pub async fn stop(self) -> Result<(), Halt> {
        self.ownership.leave(self.members.as_ref()).await;
        let stopped = self.running.stop().await;
        drop(self.tasks);
        stopped
    }
}

/// The list of a replica that is the only one, such as one whose store nobody else can open.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Members for Alone {
    async fn beat(&self, me: &Member, _: std::time::Duration) -> crate::store::Result<Vec<Member>> {
        Ok(vec![me.clone()])
    }

    async fn leave(&self, _: u64) -> crate::store::Result<()> {
        Ok(())
    }
}
