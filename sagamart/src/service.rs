//! `sagamart order`, `stock` and `payment`: one replica of one service, with a database of its own and the two others a
//! network away.

mod options;
mod queries;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use order::Orders;
use payment::{Payment, PaymentQueries};
use prometheus_client::registry::Registry;
use saga::{
    Halt, Member, Members, Metrics, Participant, Service, Settings, Store,
    remote::{Alone, Names, Node, RunningNode, Tcp},
};
use stock::{Stock, StockQueries};
use store_embedded::{Embedded, Options as EmbeddedOptions};
use store_memory::MemoryDatabase;
use store_redis::{Options as RedisOptions, RedisStore};
use tokio::net::TcpListener;
use utoipa_axum::router::OpenApiRouter;
use web::{Readiness, call::Waits};

use self::options::StoreAddress;
pub(crate) use self::options::{Kind, ServiceOptions};
use self::queries::RemoteQueries;
use crate::host::{self, Host, PREFIX, Run};

/// Why a service ended, other than by request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot listen on {address}: {cause}")]
    Listen { address: SocketAddr, cause: io::Error },
    #[error("{0}")]
    Options(String),
    #[error("cannot open the data: {0}")]
    Embedded(#[from] store_embedded::OpenError),
    #[error("cannot open the data: {0}")]
    Service(#[from] store_embedded::ServiceError),
    #[error("cannot open the data: {0}")]
    Redis(#[from] store_redis::OpenError),
    #[error("{0}")]
    Host(#[from] host::Error),
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// One replica, as the command line describes it, and its place in the network.
struct Replica {
    kind: Kind,
    options: ServiceOptions,
    listener: TcpListener,
    internal: TcpListener,
    me: Member,
    durability: &'static str,
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|cause| Error::Listen { address, cause })
}

/// Serves until told to stop.
pub(crate) async fn run(kind: Kind, options: ServiceOptions) -> Result<(), Error> {
    options.check(kind).map_err(Error::Options)?;
    let listener = listen(options.listen(kind)).await?;
    let internal = listen(options.internal_listen(kind)).await?;
    let address = options.advertised(internal.local_addr()?).await.map_err(Error::Options)?;
    let mut id = [0; 8];
    getrandom::fill(&mut id).map_err(|error| Error::Start(io::Error::other(error)))?;
    let me = Member { id: u64::from_le_bytes(id), address };
    let (partitions, store) = (options.partitions, options.store());
    let replica = Replica { kind, options, listener, internal, me, durability: store.durability() };
    match store {
        StoreAddress::Memory => {
            let store = MemoryDatabase::default().open(kind.name());
            replica.serve(store, Alone).await
        }
        StoreAddress::Embedded(directory) => {
            let database = Embedded::open(EmbeddedOptions::new(&directory))?;
            let outcome = replica.serve(database.service(kind.name(), partitions)?, Alone).await;
            let closed = tokio::task::spawn_blocking(move || database.close()).await.map_err(io::Error::other)?;
            let closed = closed.map_err(|error| host::Error::from(Halt::Poisoned(error.to_string())));
            outcome.and(closed.map_err(Error::from))
        }
        StoreAddress::Redis { url, promise } => {
            let password = replica.options.store_password.clone();
            let replicas = replica.options.replicas;
            let opened =
                RedisOptions { promise, password, replicas, ..RedisOptions::new(url, kind.name(), partitions) };
            let store = open_patiently(opened).await?;
            replica.serve(store.clone(), store).await
        }
    }
}

/// How long a process waits for its database when it starts: long enough for one that starts beside it.
const OPEN_TRIES: u32 = 30;

/// Opens the store, waiting for a server that cannot be reached yet.
async fn open_patiently(options: RedisOptions) -> Result<RedisStore, store_redis::OpenError> {
    let mut tries = 0;
    loop {
        match RedisStore::open(options.clone()).await {
            Err(error @ store_redis::OpenError::Unreachable(_)) if tries < OPEN_TRIES => {
                tries += 1;
                tracing::warn!(%error, "waiting for the database");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            opened => return opened,
        }
    }
}

impl Replica {
    async fn serve<S: Store + Clone, M: Members>(self, store: S, members: M) -> Result<(), Error> {
        let mut registry = Registry::default();
        let metrics = Metrics::default();
        let checkouts = order::Metrics::default();
        let registered = registry.sub_registry_with_prefix(PREFIX);
        metrics.register(registered);
        let checkout_timeout = Duration::from_secs(self.options.common.checkout_timeout);
        let settings = Settings {
            idempotency_retention: Duration::from_secs(self.options.common.idempotency_hours * 3600),
            records_in_memory_max: self.options.common.records_in_memory,
            ..Settings::default()
        };
        let (partitions, waits) = (self.options.partitions, Waits::default());
        match self.kind {
            Kind::Order => {
                checkouts.register(registered);
                let orders = Orders::new(checkout_timeout, checkouts);
                let mut node = self.node(Service::new(orders, store, partitions, settings, metrics));
                let stock = StockQueries(node.consume(self.names(Kind::Stock)));
                let payment = PaymentQueries(node.consume(self.names(Kind::Payment)));
                node.feed(Stock::default(), partitions);
                node.feed(Payment::default(), partitions);
                let queries = Arc::new(RemoteQueries::new(stock, payment));
                let routes = order::router(node.handle(), queries, checkout_timeout, waits);
                self.host(node, routes, members, registry).await
            }
            Kind::Stock => {
                let mut node = self.node(Service::new(Stock::default(), store, partitions, settings, metrics));
                let _ = node.consume::<Orders>(self.names(Kind::Order));
                node.consume_own();
                node.feed(Orders::new(checkout_timeout, checkouts), partitions);
                node.feed(Payment::default(), partitions);
                let routes = stock::router(node.handle(), waits);
                self.host(node, routes, members, registry).await
            }
            Kind::Payment => {
                let mut node = self.node(Service::new(Payment::default(), store, partitions, settings, metrics));
                let _ = node.consume::<Orders>(self.names(Kind::Order));
                let _ = node.consume::<Stock>(self.names(Kind::Stock));
                node.feed(Orders::new(checkout_timeout, checkouts), partitions);
                let routes = payment::router(node.handle(), waits);
                self.host(node, routes, members, registry).await
            }
        }
    }

    fn node<P: Participant<Command: saga::Codec>, S: Store + Clone>(&self, service: Service<P, S>) -> Node<P, S> {
        Node::new(service, self.me.clone(), Arc::new(Tcp))
    }

    fn names(&self, kind: Kind) -> Names {
        Names { service: kind.name(), partitions: self.options.partitions, names: self.options.peer(kind).to_vec() }
    }

    async fn host<P: Participant<Command: saga::Codec>, S: Store + Clone, M: Members>(
        self,
        node: Node<P, S>,
        routes: OpenApiRouter,
        members: M,
        registry: Registry,
    ) -> Result<(), Error> {
        let address = self.listener.local_addr()?;
        let node = node.start(Box::new(self.internal), members);
        let readiness = Readiness::new();
        readiness.state_durability(self.durability);
        let reach = node.reach();
        readiness.check("store", move || {
            if reach.has_store() { Ok(()) } else { Err("the database does not answer".to_owned()) }
        });
        let host = Host {
            listener: self.listener,
            routes,
            readiness,
            registry,
            checkout_timeout: Duration::from_secs(self.options.common.checkout_timeout),
            drain_notice: Duration::from_secs(self.options.common.drain_notice),
        };
        let (kind, me) = (self.kind.name(), self.me.address);
        let greet = || {
            tracing::info!(service = kind, %address, internal = me, "ready");
            Ok(())
        };
        Ok(host.serve(node, greet).await?)
    }
}

impl<M: Members> Run for RunningNode<M> {
    fn recovered(&self) -> host::Recovered {
        let mut recovered = self.recovered();
        Box::pin(async move { recovered.wait_for(|recovered| *recovered).await.is_ok() })
    }

    async fn halted(&mut self) -> Halt {
        self.halted().await
    }

    async fn stop(self) -> Result<(), Halt> {
        self.stop().await
    }
}
