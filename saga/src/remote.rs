//! Services in processes of their own, and several replicas of each.
//!
//! ```text
//!   process of order                      process of stock
//!  ┌───────────────────────┐  Deliver    ┌───────────────────────┐
//!  │ sequencers ─▶ Exports ─┼────────────▶│ Consumer ─▶ sequencers │
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
//! list of [`Members`]; requests for others are forwarded to their owners, and asked again elsewhere when one
//! dies. Events come over connections, as hints with contents; what a connection lost is read from the producer's
//! log through its owner. **None of it is needed for correctness**: cursors are in the
//! consumers' commits, and the comparison of heads decides between two who believe a partition to be theirs.

mod bonds;
mod connection;
mod feed;
mod fitness;
mod ownership;
mod peer;
mod router;
mod secret;
mod server;
mod transport;
mod wire;

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::{JoinError, JoinSet};

pub use self::secret::Secrets;
pub use self::transport::{BoxStream, Listen, Reaching, Stream, Tcp, Transport};
use self::{
    bonds::Bonds,
    feed::Consumer,
    fitness::Fitness,
    ownership::Ownership,
    peer::{Caller, Peer},
    router::Router,
    server::{Export, Exports, Server},
};
use crate::{
    Halt, Handle, Health, Inspection, Member, Members, NotConnected, Participant, Partition, Refrain, ReplicasView,
    Running, Service, Store,
    codec::Codec,
    inspection::SeeReplicas,
    link::{Consumption, Sink, Subscribers, Visibility},
    store,
    wiring::{Audience, ByPair, Logs, Subscription, Way},
};

/// By the name of the consuming service.
type AllExports<E> = BTreeMap<Arc<str>, Exports<E>>;

/// Another service: in processes of its own, or as this process's siblings are.
struct Declared<E> {
    hosts: Vec<String>,
    partitions: Partition,
    /// Where this service consumes its logs.
    peer: Option<Arc<Peer>>,
    /// Where it consumes this one's.
    audience: Option<Audience<E>>,
}

/// A service whose logs are consumed from other processes, and connected to.
struct Consumed<E> {
    peer: Arc<Peer>,
    hosts: Vec<String>,
    subscriptions: ByPair<Subscription<E>>,
}

/// What a replica is connected to.
struct Connected<E> {
    siblings: Arc<Peer>,
    /// The siblings last.
    consumed: Vec<Consumed<E>>,
    exports: AllExports<E>,
}

/// One replica of a service, before it runs.
pub struct Node<P: Participant, S> {
    service: Service<P, S>,
    transport: Arc<dyn Transport>,
    me: Member,
    bonds: Arc<Bonds>,
    /// What peers have to know, if anything.
    secrets: Option<Secrets>,
    /// In the order in which they were said.
    peers: Vec<(&'static str, Declared<P::Event>)>,
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
        for seat in &service.wiring.seats {
            seat.active.send_replace(false);
        }
        let strangers = service.metrics.strangers(P::NAME);
        let bonds = Arc::new(Bonds::new(P::NAME.into(), &service.store, strangers));
        Self { service, transport, me, bonds, secrets: None, peers: Vec::new() }
    }

    /// Lets in and believes only processes that show that they know the secret, which this one shows them as well. To be said
    /// before the peers are.
    ///
    /// # Panics
    /// When a peer was said before.
    #[must_use]
    pub fn guarded_by(mut self, secrets: Secrets) -> Self {
        assert!(self.peers.is_empty(), "a peer that was said before would not be asked for the secret");
        self.secrets = Some(secrets);
        self
    }

    /// Where to send this service's requests, whichever replica owns their partitions.
    #[must_use]
    pub fn handle(&self) -> Handle<P> {
        self.service.handle()
    }

    /// Says where another service is: `hosts` are names with ports, each of which may stand for several addresses. Which of
    /// the two consumes the other's logs follows from what both say in [`Participant::CONSUMES`]. One that is consumed is
    /// connected to, and answers what is asked by the handle; any other is only let in, and its handle answers nothing but
    /// [`CallError::Stopped`](crate::CallError::Stopped).
    pub fn peer<Q>(&mut self, hosts: Vec<String>, partitions: Partition) -> Handle<Q>
    where
        Q: Participant<Event = P::Event, Command: Codec>,
    {
        let handle = Handle::new(Vec::new(), partitions);
        let peer = P::CONSUMES.contains(&Q::NAME).then(|| self.new_peer(Q::NAME, partitions));
        if let Some(peer) = &peer {
            handle.set_route(Arc::new(Router { peer: Arc::clone(peer), ownership: None }));
        }
        self.service.metrics.strangers(P::NAME).expect(Q::NAME);
        let audience = Q::CONSUMES.contains(&P::NAME).then(|| Audience::of::<Q>(partitions));
        self.peers.push((Q::NAME, Declared { hosts, partitions, peer, audience }));
        handle
    }

    fn new_peer(&self, service: &str, partitions: Partition) -> Arc<Peer> {
        let own = Caller {
            service: P::NAME.into(),
            partitions: self.handle().partitions(),
            address: self.me.address.clone(),
            secrets: self.secrets.clone(),
        };
        let (transport, bonds) = (Arc::clone(&self.transport), Arc::clone(&self.bonds));
        Arc::new(Peer::new(service.into(), partitions, own, transport, bonds))
    }

    /// Lets this service consume what it says it does: its own logs in whichever process they are, and those of others.
    fn consume(&mut self, siblings: &Arc<Peer>, exports: &mut AllExports<P::Event>) -> Vec<Consumed<P::Event>> {
        let (mut consumed, mut own) = (Vec::new(), BTreeMap::new());
        for producer in P::CONSUMES {
            if *producer == P::NAME {
                own = self.consume_own(exports);
            }
            let declared = self.peers.iter_mut().find(|(name, _)| name == producer).map(|(_, declared)| declared);
            let Some(Declared { hosts, partitions, peer: Some(peer), .. }) = declared else { continue };
            let logs =
                Logs { service: producer, partitions: *partitions, reader: None, visibility: Visibility::Durable };
            let (peer, hosts) = (Arc::clone(peer), std::mem::take(hosts));
            consumed.push(Consumed { peer, hosts, subscriptions: self.service.wiring.subscribe(&logs) });
        }
        consumed.push(Consumed { peer: Arc::clone(siblings), hosts: Vec::new(), subscriptions: own });
        consumed
    }

    /// Makes each partition consume the logs of this service's other partitions. The sequencers read them from the store;
    /// siblings deliver what they add to them.
    fn consume_own(&mut self, exports: &mut AllExports<P::Event>) -> ByPair<Subscription<P::Event>> {
        let wiring = &mut self.service.wiring;
        let logs = wiring.logs_for(wiring);
        let subscriptions = wiring.subscribe(&logs);
        let (mut own, mut ways) = (BTreeMap::new(), BTreeMap::new());
        for (pair, subscription) in &subscriptions {
            let subscribers = Arc::<Subscribers<P::Event>>::default();
            let mut way = Way::from(subscription);
            way.sink.subscribers = Some(Arc::clone(&subscribers));
            ways.insert(*pair, way);
            own.insert(*pair, Export { subscribers, ack: Arc::clone(&subscription.ack) });
        }
        let audience = wiring.audience.clone();
        wiring.feed(&audience, logs.visibility, ways);
        let (partitions, is_observer) = (audience.partitions, audience.is_observer);
        exports.insert(P::NAME.into(), Exports { partitions, is_observer, ways: own });
        subscriptions
    }

    /// Lets another service, in other processes, consume this one's logs.
    fn export(&mut self, audience: &Audience<P::Event>, exports: &mut AllExports<P::Event>) {
        let (mut to, mut ways) = (BTreeMap::new(), BTreeMap::new());
        for producer in 0..self.handle().partitions() {
            for consumer in 0..audience.partitions {
                let (subscribers, ack) = (Arc::<Subscribers<P::Event>>::default(), Arc::<Consumption>::default());
                let sink = Sink { mailbox: None, subscribers: Some(Arc::clone(&subscribers)) };
                ways.insert((producer, consumer), Way::away(sink, Arc::clone(&ack)));
                to.insert((producer, consumer), Export { subscribers, ack });
            }
        }
        self.service.wiring.feed(audience, Visibility::Durable, ways);
        let (partitions, is_observer) = (audience.partitions, audience.is_observer);
        exports.insert(audience.service.into(), Exports { partitions, is_observer, ways: to });
    }

    /// Starts the replica: its sequencers, its connections, and the list of members that it keeps itself on.
    ///
    /// # Errors
    /// When it consumes the logs of a service of which nobody said where it is.
    pub fn start<M: Members>(mut self, listener: Box<dyn Listen>, members: M) -> Result<RunningNode, NotConnected> {
        let is_there = |name: &str| name == P::NAME || self.peers.iter().any(|(peer, _)| *peer == name);
        self.service.wiring.check(is_there)?;
        let siblings = self.new_peer(P::NAME, self.handle().partitions());
        let mut exports = AllExports::new();
        let consumed = self.consume(&siblings, &mut exports);
        let audiences: Vec<_> = self.peers.iter_mut().filter_map(|(_, declared)| declared.audience.take()).collect();
        audiences.iter().for_each(|audience| self.export(audience, &mut exports));
        Ok(self.run(Connected { siblings, consumed, exports }, listener, members))
    }

    fn run<M: Members>(self, connected: Connected<P::Event>, listener: Box<dyn Listen>, members: M) -> RunningNode {
        let Connected { siblings, consumed, exports } = connected;
        let handle = self.handle();
        let active: Vec<_> = self.service.wiring.seats.iter().map(|seat| seat.active.clone()).collect();
        let statuses = self.service.wiring.seats.iter().map(|seat| Arc::clone(&seat.status)).collect();
        let metrics = self.service.metrics.replica(P::NAME);
        let ownership = Arc::new(Ownership::new(self.me.clone(), active, metrics));
        let peers: BTreeMap<_, _> =
            consumed.iter().map(|consumed| (Arc::clone(&consumed.peer.service), Arc::clone(&consumed.peer))).collect();
        let needed = peers.values().filter(|peer| *peer.service != *P::NAME).cloned().collect();
        // Those that this one connects to itself: they connect back, while the others may not know it yet.
        let consumers = exports.keys().filter(|service| peers.contains_key(*service)).cloned();
        let fitness = Arc::new(Fitness::new(self.me.address.clone(), P::NAME.into(), needed, consumers));

        let mut tasks = Tasks::default();
        let is_bound = Arc::new(AtomicBool::new(false));
        handle.set_route(Arc::new(Router { peer: Arc::clone(&siblings), ownership: Some(Arc::clone(&ownership)) }));
        let bound = consumed.iter().map(|consumed| Arc::clone(&consumed.peer));
        let bound: Vec<_> = bound.filter(|peer| *peer.service != *P::NAME).collect();
        let all_bound = all_bound(bound, Arc::clone(&is_bound));
        tasks.spawn_or_halt(Arc::clone(&ownership).run(all_bound, members, siblings, Arc::clone(&fitness)));
        for consumed in consumed {
            let is_own = *consumed.peer.service == *P::NAME;
            tasks.consume(consumed, is_own, &self.me, &ownership);
        }
        let server = Server {
            service: P::NAME.into(),
            handle,
            store: self.service.store.clone(),
            ownership: Arc::clone(&ownership),
            bonds: self.bonds,
            secrets: self.secrets,
            statuses,
            exports,
            peers,
            fitness: Arc::clone(&fitness),
            refrain: Refrain::default(),
        };
        tasks.spawn(Arc::new(server).run(listener));
        let running = [self.service.start()].into_iter().collect();
        RunningNode { running, ownership, fitness, is_bound, tasks }
    }
}

/// Waits until it is known which data of the other services belong with these. Data that are new may stand in the place of
/// others, which the peers know: they do nothing before that is known.
async fn all_bound(peers: Vec<Arc<Peer>>, is_bound: Arc<AtomicBool>) -> store::Result<()> {
    for peer in peers {
        peer.bound().await?;
    }
    is_bound.store(true, Ordering::Release);
    Ok(())
}

/// A task's panic is the panic of whoever waits for the task, up to who runs the node.
fn or_panic(ended: Result<(), JoinError>) {
    if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
        std::panic::resume_unwind(panic);
    }
}

/// Tasks that end when this is dropped.
#[derive(Debug, Default)]
struct Tasks(JoinSet<Result<(), Halt>>);

impl Tasks {
    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(async {
            task.await;
            Ok(())
        });
    }

    /// The same for one that ends when the store must not be used any more.
    fn spawn_or_halt(&mut self, task: impl Future<Output = store::Result<()>> + Send + 'static) {
        self.0.spawn(async {
            task.await.map_err(|error| match error {
                store::Error::Poisoned(reason) => Halt::Poisoned(reason),
                other => Halt::Broken(other.to_string()),
            })
        });
    }

    /// Keeps connected to the replicas of a service, and consumes its logs.
    fn consume<E: Codec + Send + Sync + 'static>(
        &mut self,
        consumed: Consumed<E>,
        is_own: bool,
        me: &Member,
        ownership: &Ownership,
    ) {
        let Consumed { peer, hosts, subscriptions } = consumed;
        let consumer = Arc::new(Consumer::new(Arc::clone(&peer), subscriptions));
        let hearing = Arc::clone(&consumer);
        let hear = Arc::new(move |connection: &Arc<_>, message| hearing.hear(connection, message));
        self.spawn(peer.run(hosts, me.address.clone(), hear));
        if !is_own {
            // The own logs are read by the sequencers themselves, from the store.
            self.spawn(Arc::clone(&consumer).read());
        }
        self.spawn(Arc::clone(&consumer).subscribe(ownership.activity.subscribe()));
        self.spawn(consumer.acknowledge());
    }
}

/// A replica that runs.
#[derive(Debug)]
pub struct RunningNode {
    running: Running,
    ownership: Arc<Ownership>,
    fitness: Arc<Fitness>,
    /// Which data belong with those of the service is known.
    is_bound: Arc<AtomicBool>,
    tasks: Tasks,
}

impl RunningNode {
    /// See [`Running::recovered`]: of the partitions that are this replica's own.
    pub fn recovered(&self) -> impl Future<Output = bool> + Send + use<> {
        self.running.recovered()
    }

    /// See [`Running::is_recovered`].
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        self.running.is_recovered()
    }

    /// Why the replica cannot do its work, for readiness: see [`Running::health`]; whether its database answered lately; and what it
    /// lacks of other processes, unless no other replica would do better.
    #[must_use]
    pub fn health(&self) -> Health {
        let mut health = self.running.health();
        let (ownership, is_bound) = (Arc::clone(&self.ownership), Arc::clone(&self.is_bound));
        let (unreached, unbound) =
            ("the database does not answer", "the data are new, and have not met all of the others'");
        health.add(move || match (is_bound.load(Ordering::Acquire), ownership.is_reached()) {
            (true, true) => Vec::new(),
            (true, false) => vec![unreached.to_owned()],
            (false, _) => vec![unbound.to_owned()],
        });
        let fitness = Arc::clone(&self.fitness);
        health.add(move || fitness.reasons());
        health
    }

    /// See [`Running::inspection`]: with what this replica knows of the others.
    #[must_use]
    pub fn inspection(&self) -> Inspection {
        let (ownership, fitness) = (Arc::clone(&self.ownership), Arc::clone(&self.fitness));
        let places = ownership.places();
        let see: SeeReplicas = Arc::new(move || ReplicasView {
            address: ownership.me.address.clone(),
            members: ownership.listed(),
            is_reached: ownership.is_reached(),
            lacks: fitness.lacks(),
            owners: places.borrow().addresses.clone(),
        });
        self.running.inspection().with_replicas(&see)
    }

    /// See [`Running::halted`]: also where the replica owns no partition. A task that ends has stopped something that all
    /// partitions need.
    pub async fn halted(&mut self) -> Halt {
        tokio::select! {
            biased;
            halt = self.running.halted() => halt,
            ended = self.tasks.0.join_next() => match ended {
                Some(Ok(Err(halt))) => halt,
                Some(Err(error)) => Halt::Broken(error.to_string()),
                Some(Ok(Ok(()))) | None => Halt::Broken("it ended".to_owned()),
            },
        }
    }

    /// Hands its partitions over to the other replicas, and ends.
    ///
    /// # Errors
    /// See [`Running::stop`].
    pub async fn stop(self) -> Result<(), Halt> {
        self.ownership.leave().await;
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
