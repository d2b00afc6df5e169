//! `sagamart order`, `stock` and `payment`: one replica of one service, with a database of its own and the two others a
//! network away.

use std::{io, sync::Arc, time::Duration};

use contract::{Event, Service};
use observer::Observer;
use order::Orders;
use payment::{Payment, PaymentQueries};
use saga::{
    Halt, Handle, Member, Metrics, Participant,
    remote::{Node, RunningNode, Secrets, Tcp},
};
use stock::{Stock, StockQueries};
use store_redis::{OpenError as RedisError, Options as RedisOptions, RedisStore};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};
use utoipa_axum::router::OpenApiRouter;
use web::call::Waits;

use crate::any_store::AnyStore;

use super::{
    Error,
    health::StoreHealth,
    history_metrics::HistoryMetrics,
    host::{self, Host, Operators, Routes, Run},
    life::Stop,
    market::Books,
    operators::{self, Notes},
    options::ReplicaOptions,
    queries::RemoteQueries,
    services::Role,
    store::{OpenError, OpenStore, of_service},
};

/// Why a port that anybody may reach is not opened, and what to do.
const NO_SECRET: &str = "whoever reaches it could change everything in this shop. Make a secret with `sagamart secret FILE`, and give \
                         it to all of the shop's processes with --peer-secret-file FILE or SAGAMART_PEER_SECRET_FILE";

/// One replica, as the command line describes it, and its place in the network.
struct Replica {
    role: Role,
    options: ReplicaOptions,
    secrets: Option<Secrets>,
    host: Host,
    internal: TcpListener,
    me: Member,
}

/// Serves until told to stop.
pub(crate) async fn run(role: Role, options: ReplicaOptions, mut stop: Stop) -> Result<(), Error> {
    options.check(role)?;
    let operators = match (options.admin_listen.clone(), role) {
        (Some(address), _) => Operators::Apart(address.listen("--admin-listen").await?),
        (None, Role::Observer(_)) => Operators::AtListen,
        (None, Role::Service(_)) => Operators::Nowhere,
    };
    let mut host = Host::listen(&options.serve, role.name(), operators, stop.clone()).await?;
    let internal = options.internal_listen.clone().listen("--internal-listen").await?;
    let secrets = options.secrets()?;
    let listens_at = internal.local_addr()?;
    if secrets.is_none() && !listens_at.ip().to_canonical().is_loopback() {
        return Err(Error::Options(format!("--internal-listen {listens_at} is beyond loopback: {NO_SECRET}")));
    }
    let health = host.store.clone();
    let opening = async {
        let address = options.advertised(listens_at).await?;
        let mut id = [0; 8];
        getrandom::fill(&mut id).map_err(io::Error::other)?;
        let me = Member { id: u64::from_le_bytes(id), address, is_fit: false };
        Ok::<_, Error>((me, options.serve.store.open(host.registry()).await?))
    };
    let Some(opened) = stop.or(opening).await else { return Ok(()) };
    let (me, store) = opened?;
    let (name, partitions) = (role.name(), role.partitions(options.partitions()));
    let replica = Replica { role, options, secrets, host, internal, me };
    let served = match &store {
        OpenStore::Memory(database) => {
            health.told_by(|| None);
            Box::pin(replica.serve(AnyStore::Memory(database.open(name)))).await
        }
        OpenStore::Embedded(database) => {
            health.told_by(|| None);
            let store = database.service(name, partitions).map_err(OpenError::from)?;
            Box::pin(replica.serve(AnyStore::Embedded(store))).await
        }
        OpenStore::Redis(options) => {
            let waiting = open_patiently(of_service(options, name, partitions), &health);
            let Some(store) = stop.or(waiting).await else { return Ok(()) };
            let store = store.map_err(OpenError::from)?;
            let watched = store.clone();
            health.told_by(move || watched.trouble());
            Box::pin(replica.serve(AnyStore::Redis(store))).await
        }
    };
    let closed = store.close().await;
    served.and(closed.map_err(Error::from))
}

/// How soon a database that could not be used is asked again: this at first, and twice as long each time, up to the second.
const TRY_AGAIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// How often it is said what is waited for.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Opens the store, waiting as long as it takes for a server that does not answer, does not let this process in, or is not set
/// up to keep what is promised. What waiting cannot mend is an error.
async fn open_patiently(options: RedisOptions, health: &StoreHealth) -> Result<RedisStore, RedisError> {
    let [mut pause, longest] = TRY_AGAIN;
    let mut said: Option<(String, Instant)> = None;
    loop {
        let (reason, what) = match RedisStore::open(options.clone()).await {
            // How a connection failed differs from try to try.
            Err(error @ RedisError::Unreachable(_)) => (error.to_string(), String::new()),
            // A password, rights, or a setting may be on their way too.
            Err(RedisError::Denied(reason) | RedisError::Unfit(reason)) => (reason.clone(), reason),
            opened => {
                if said.is_some() && opened.is_ok() {
                    tracing::info!("the database is there");
                }
                return opened;
            }
        };
        if said.as_ref().is_none_or(|(before, at)| *before != what || at.elapsed() >= SAY_EVERY) {
            tracing::warn!(reason, "waiting for the database");
            said = Some((what, Instant::now()));
        }
        health.waits(format!("waiting for the database: {reason}"));
        sleep(pause).await;
        pause = longest.min(pause * 2);
    }
}

impl Replica {
    async fn serve(mut self, store: AnyStore) -> Result<(), Error> {
        let members = store.clone();
        let (metrics, checkouts) = (Metrics::default(), order::Metrics::new(self.options.serve.sampling()));
        metrics.register(self.host.registry());
        let checkout_timeout = self.options.serve.checkout_timeout();
        let (settings, partitions, waits) = (self.options.serve.engine(), self.options.partitions(), Waits::default());
        match self.role {
            Role::Service(Service::Order) => {
                checkouts.register(self.host.registry());
                let log = order::Log::new(self.options.serve.slow_checkout());
                let orders = Orders::new(checkout_timeout, checkouts).with_log(log.clone());
                let mut node = self.node(saga::Service::new(orders, store, partitions, settings, metrics));
                self.observed(&mut node);
                let stock = StockQueries(self.peer(&mut node));
                let payment = PaymentQueries(self.peer(&mut node));
                let queries = Arc::new(RemoteQueries::new(stock, payment));
                let routes = Routes {
                    operated: order::operator_router(node.handle()),
                    bulk: order::bulk_router(node.handle()),
                    shop: order::router(node.handle(), queries, checkout_timeout, waits, log),
                };
                let notes =
                    Notes::default().with(node.handle(), |by, because| order::Command::Redelivered { by, because });
                Box::pin(self.start(node, routes, notes, members)).await
            }
            Role::Service(Service::Stock) => {
                let mut node = self.node(saga::Service::new(Stock::default(), store, partitions, settings, metrics));
                self.observed(&mut node);
                let _: Handle<Orders> = self.peer(&mut node);
                let _: Handle<Payment> = self.peer(&mut node);
                let bulk = stock::bulk_router(node.handle());
                let shop = stock::router(node.handle(), waits);
                let routes = Routes { shop, bulk, operated: OpenApiRouter::new() };
                let notes =
                    Notes::default().with(node.handle(), |by, because| stock::Command::Redelivered { by, because });
                Box::pin(self.start(node, routes, notes, members)).await
            }
            Role::Service(Service::Payment) => {
                let mut node = self.node(saga::Service::new(Payment::default(), store, partitions, settings, metrics));
                self.observed(&mut node);
                let _: Handle<Orders> = self.peer(&mut node);
                let _: Handle<Stock> = self.peer(&mut node);
                let bulk = payment::bulk_router(node.handle());
                let shop = payment::router(node.handle(), waits);
                let routes = Routes { shop, bulk, operated: OpenApiRouter::new() };
                let notes =
                    Notes::default().with(node.handle(), |by, because| payment::Command::Redelivered { by, because });
                Box::pin(self.start(node, routes, notes, members)).await
            }
            Role::Observer(retention) => {
                let (sampling, threads) = (self.options.serve.sampling(), tokio::runtime::Handle::current());
                let witness = self.options.serve.traces.begin(sampling, self.host.registry(), &threads)?;
                let observer = Observer { retention, witness };
                let partitions = self.role.partitions(partitions);
                let mut node = self.node(saga::Service::new(observer, store, partitions, settings, metrics));
                let _: Handle<Orders> = self.peer(&mut node);
                let books =
                    Books { stock: StockQueries(self.peer(&mut node)), payment: PaymentQueries(self.peer(&mut node)) };
                let history = HistoryMetrics::register(self.host.registry());
                history.ask(node.handle(), &threads);
                let operated = observer::router(node.handle(), Arc::new(books));
                let routes = Routes { shop: OpenApiRouter::new(), bulk: OpenApiRouter::new(), operated };
                let notes =
                    Notes::default().with(node.handle(), |by, because| observer::Command::Redelivered { by, because });
                Box::pin(self.start(node, routes, notes, members)).await
            }
        }
    }

    fn node<P: Participant<Command: saga::Codec>>(&self, service: saga::Service<P, AnyStore>) -> Node<P, AnyStore> {
        let node = Node::new(service, self.me.clone(), Arc::new(Tcp));
        match &self.secrets {
            Some(secrets) => node.guarded_by(secrets.clone()),
            None => node,
        }
    }

    /// Says where another service is, whichever of the two consumes the other's events.
    fn peer<P, Q>(&self, node: &mut Node<P, AnyStore>) -> Handle<Q>
    where
        P: Participant<Command: saga::Codec>,
        Q: Participant<Event = P::Event, Command: saga::Codec>,
    {
        let hosts = Service::named(Q::NAME).map_or_else(Vec::new, |peer| self.options.peers(peer));
        node.peer(hosts, self.options.partitions())
    }

    /// Lets an observer in, should there be one.
    fn observed<P: Participant<Command: saga::Codec, Event = Event>>(&self, node: &mut Node<P, AnyStore>) {
        let _: Handle<Observer> = node.peer(Vec::new(), 1);
    }

    async fn start<P: Participant<Command: saga::Codec>>(
        self,
        node: Node<P, AnyStore>,
        mut routes: Routes,
        notes: Notes,
        members: AnyStore,
    ) -> Result<(), Error> {
        let Self { role, options, host, internal, me, .. } = self;
        let service = role.name();
        let node = node.start(Box::new(internal), members)?;
        let (health, store) = (node.health(), host.store.clone());
        // What the store says itself is why the rest does not work either.
        host.readiness.check("store", move || store.trouble().map_or_else(|| host::is_well(&health), |_| Ok(())));
        let health = node.health();
        host.readiness.limit("store", move || host::is_unlimited(&health));
        let process = operators::router(node.inspection(), options.serve.store.durability(), notes);
        routes.operated = routes.operated.merge(process);
        let (address, operators) = (host.address, host.admin.map(tracing::field::display));
        let greet = || {
            tracing::info!(service, %address, internal = me.address, operators, "ready");
            Ok(())
        };
        Box::pin(host.serve(node, routes, greet)).await
    }
}

impl Run for RunningNode {
    fn recovered(&self) -> host::Recovered {
        Box::pin(self.recovered())
    }

    async fn halted(&mut self) -> Halt {
        self.halted().await
    }

    async fn stop(self) -> Result<(), Halt> {
        self.stop().await
    }
}
