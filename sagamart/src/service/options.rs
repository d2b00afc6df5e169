//! What the command line of one service says.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use clap::{Args, value_parser};
use store_redis::Promise;
use tokio::net::lookup_host;

use crate::serve::half_the_processors;

/// One of the three services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Order,
    Stock,
    Payment,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Stock => "stock",
            Self::Payment => "payment",
        }
    }

    /// Added to the first port of a row.
    fn offset(self) -> u16 {
        match self {
            Self::Order => 1,
            Self::Stock => 2,
            Self::Payment => 3,
        }
    }

    /// The services whose events it consumes, and so connects to.
    fn producers(self) -> &'static [Kind] {
        match self {
            Self::Order => &[Kind::Stock, Kind::Payment],
            Self::Stock => &[Kind::Order],
            Self::Payment => &[Kind::Order, Kind::Stock],
        }
    }
}

/// Where a service keeps its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreAddress {
    Memory,
    Embedded(PathBuf),
    /// The promise is filled in from `--durability`.
    Redis {
        url: String,
        promise: Promise,
    },
}

impl StoreAddress {
    /// What `/readyz` says of an answer.
    pub(crate) fn durability(&self) -> &'static str {
        match self {
            Self::Memory => "none: kept in memory",
            Self::Embedded(_) => "flushed to disk before each answer",
            Self::Redis { promise: Promise::Always, .. } => "on the database's disk before each answer",
            Self::Redis { promise: Promise::Replicated, .. } => {
                "on the database's disk and with a replica before each answer"
            }
            Self::Redis { promise: Promise::Everysec, .. } => "on the database's disk within a second",
        }
    }
}

impl FromStr for StoreAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        if let Some(directory) = text.strip_prefix("embedded:") {
            if directory.is_empty() {
                return Err("embedded: needs a directory, such as embedded:./stock-data".to_owned());
            }
            return Ok(Self::Embedded(directory.into()));
        }
        if ["redis://", "redis-sentinel://", "redis-cluster://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Ok(Self::Redis { url: text.to_owned(), promise: Promise::default() });
        }
        Err("a store is redis://HOST:PORT[/DATABASE], redis-sentinel://HOST:PORT,…/NAME, redis-cluster://HOST:PORT,…, \
             embedded:DIRECTORY or memory:"
            .to_owned())
    }
}

/// Options that every serving command has.
#[derive(Args, Clone, Debug)]
pub(crate) struct CommonOptions {
    /// How long a checkout may take before it is cancelled
    #[arg(
        long, value_name = "SECONDS", default_value = "5", env = "SAGAMART_CHECKOUT_TIMEOUT",
        value_parser = value_parser!(u64).range(1..=3600),
    )]
    pub(crate) checkout_timeout: u64,

    /// How long replies are remembered under their Idempotency-Key
    #[arg(
        long, value_name = "HOURS", default_value = "24", env = "SAGAMART_IDEMPOTENCY_HOURS",
        value_parser = value_parser!(u64).range(1..=8760),
    )]
    pub(crate) idempotency_hours: u64,

    /// Records that each partition keeps in memory; others are read from the store when needed
    #[arg(long, value_name = "N", default_value = "400000", env = "SAGAMART_RECORDS_IN_MEMORY")]
    pub(crate) records_in_memory: usize,

    /// After a signal to stop, how long to go on serving while /readyz already fails, so that load balancers notice
    #[arg(long, value_name = "SECONDS", default_value = "0", env = "SAGAMART_DRAIN_NOTICE")]
    pub(crate) drain_notice: u64,

    /// Threads that read requests and write answers [default: 1 for every two processors]
    #[arg(long, value_name = "N", env = "SAGAMART_THREADS", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl CommonOptions {
    /// How many threads to serve requests on.
    pub(crate) fn threads(&self) -> usize {
        self.threads.unwrap_or_else(half_the_processors).into()
    }
}

/// One replica of a service. Any number of them may share the service's database; each takes any request.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServiceOptions {
    /// Where clients connect; port 0 takes a free one [default: 127.0.0.1:8001 for order, 8002 for stock, 8003 for
    /// payment]
    #[arg(long, value_name = "ADDR", env = "SAGAMART_LISTEN")]
    listen: Option<SocketAddr>,

    /// Where the other services and the other replicas of this one connect; not for clients [default: 127.0.0.1:9001
    /// for order, 9002 for stock, 9003 for payment]
    #[arg(long, value_name = "ADDR", env = "SAGAMART_INTERNAL_LISTEN")]
    internal_listen: Option<SocketAddr>,

    /// Where others reach the internal address [default: that address; where it is 0.0.0.0, the one that this host's
    /// name stands for]
    #[arg(long, value_name = "HOST:PORT", env = "SAGAMART_ADVERTISE")]
    advertise: Option<String>,

    /// The service's own database: redis://HOST:PORT[/DATABASE], redis-sentinel://HOST:PORT,…/NAME,
    /// redis-cluster://HOST:PORT,…, embedded:DIRECTORY (one replica only) or memory:
    #[arg(long, value_name = "URL", env = "SAGAMART_STORE")]
    pub(crate) store: StoreAddress,

    /// The password of a redis store
    #[arg(long, value_name = "PASSWORD", env = "SAGAMART_STORE_PASSWORD", hide_env_values = true)]
    pub(crate) store_password: Option<String>,

    /// What an answer promises of a redis store: always (on the primary's disk), replicated (with a replica too) or
    /// everysec (on disk a second later)
    #[arg(long, value_name = "PROMISE", default_value = "always", env = "SAGAMART_DURABILITY")]
    durability: Promise,

    /// With --durability replicated: how many replicas of the database must have what an answer depends on; all that a
    /// failover may promote, or it may lose answers
    #[arg(
        long, value_name = "N", default_value = "1", env = "SAGAMART_REPLICAS",
        value_parser = value_parser!(u32).range(1..=64),
    )]
    pub(crate) replicas: u32,

    /// Internal addresses of the order service; a name may stand for several
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', env = "SAGAMART_PEER_ORDER")]
    peer_order: Vec<String>,

    /// Internal addresses of the stock service
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', env = "SAGAMART_PEER_STOCK")]
    peer_stock: Vec<String>,

    /// Internal addresses of the payment service
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', env = "SAGAMART_PEER_PAYMENT")]
    peer_payment: Vec<String>,

    /// Partitions of each service, the same for all three and fixed when the data is made; more replicas than partitions
    /// have nothing to do but stand by, and fewer partitions make fewer and larger commits
    #[arg(
        long, value_name = "N", default_value = "4", env = "SAGAMART_PARTITIONS",
        value_parser = value_parser!(u16).range(1..=256),
    )]
    pub(crate) partitions: u16,

    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

impl ServiceOptions {
    /// Fits the parts together, or says what is missing.
    pub(crate) fn check(&self, kind: Kind) -> Result<(), String> {
        for producer in kind.producers() {
            if self.peer(*producer).is_empty() {
                let name = producer.name();
                return Err(format!("{} needs --peer-{name}: where the {name} service is", kind.name()));
            }
        }
        if self.durability != Promise::Always && !matches!(self.store, StoreAddress::Redis { .. }) {
            return Err("--durability is for redis stores: the others have one of their own".to_owned());
        }
        Ok(())
    }

    /// The store with what it is to promise.
    pub(crate) fn store(&self) -> StoreAddress {
        match &self.store {
            StoreAddress::Redis { url, .. } => StoreAddress::Redis { url: url.clone(), promise: self.durability },
            other => other.clone(),
        }
    }

    pub(crate) fn listen(&self, kind: Kind) -> SocketAddr {
        self.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8000 + kind.offset())))
    }

    pub(crate) fn internal_listen(&self, kind: Kind) -> SocketAddr {
        self.internal_listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9000 + kind.offset())))
    }

    pub(crate) fn peer(&self, kind: Kind) -> &[String] {
        match kind {
            Kind::Order => &self.peer_order,
            Kind::Stock => &self.peer_stock,
            Kind::Payment => &self.peer_payment,
        }
    }

    /// Where others reach `internal`, the address that is listened on.
    pub(crate) async fn advertised(&self, internal: SocketAddr) -> Result<String, String> {
        if let Some(advertise) = &self.advertise {
            return Ok(advertise.clone());
        }
        if !internal.ip().is_unspecified() {
            return Ok(internal.to_string());
        }
        let unknown = |reason: String| format!("say with --advertise where others reach {internal}: {reason}");
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let found = lookup_host((name.as_str(), internal.port())).await;
        let found = found.map_err(|error| unknown(format!("{name} stands for no address: {error}")))?;
        let reachable = |ip: &IpAddr| !ip.is_loopback();
        let address = found.filter(|address| reachable(&address.ip())).min_by_key(SocketAddr::is_ipv6);
        address.map(|address| address.to_string()).ok_or_else(|| unknown(format!("{name} stands for loopback only")))
    }
}
