//! `sagamart serve`: all three services in one process, on one store.

use std::{
    fmt,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use clap::{Args, ValueEnum, value_parser};
use prometheus_client::{
    metrics::{
        counter::Counter,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use saga::{Halt, Partition, Settings, Store};
use store_embedded::{Embedded, Options as EmbeddedOptions};
use store_memory::MemoryDatabase;
use tokio::{net::TcpListener, runtime};
use web::Readiness;

use crate::{
    host::{self, Host, PREFIX},
    market::{self, Stores},
};

/// Runs the whole shop in one process: order, stock and payment behind one address.
///
/// Data is kept in a directory and is crash-safe: an answer is sent only once everything it depends on is on disk.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8000", env = "SAGAMART_LISTEN")]
    listen: SocketAddr,

    /// Where to keep data; made if it is missing
    #[arg(long, value_name = "DIR", default_value = "./sagamart-data", env = "SAGAMART_DATA")]
    data: PathBuf,

    /// What to keep data in
    #[arg(long, value_enum, default_value_t = StoreKind::Embedded, env = "SAGAMART_STORE")]
    store: StoreKind,

    /// How long a checkout may take before it is cancelled
    #[arg(
        long, value_name = "SECONDS", default_value = "5", env = "SAGAMART_CHECKOUT_TIMEOUT",
        value_parser = value_parser!(u64).range(1..=3600),
    )]
    checkout_timeout: u64,

    /// Partitions of each service, fixed when the data is created [default: as the data has, or 1 for every two
    /// processors]
    #[arg(long, value_name = "N", env = "SAGAMART_PARTITIONS", value_parser = value_parser!(u16).range(1..=256))]
    partitions: Option<u16>,

    /// How long replies are remembered under their Idempotency-Key
    #[arg(
        long, value_name = "HOURS", default_value = "24", env = "SAGAMART_IDEMPOTENCY_HOURS",
        value_parser = value_parser!(u64).range(1..=8760),
    )]
    idempotency_hours: u64,

    /// Records that each partition keeps in memory; others are read from disk when needed
    #[arg(long, value_name = "N", default_value = "400000", env = "SAGAMART_RECORDS_IN_MEMORY")]
    records_in_memory: usize,

    /// After a signal to stop, how long to go on serving while /readyz already fails, so that load balancers notice
    #[arg(long, value_name = "SECONDS", default_value = "0", env = "SAGAMART_DRAIN_NOTICE")]
    drain_notice: u64,

    /// Threads that read requests and write answers [default: 1 for every two processors]
    #[arg(long, value_name = "N", env = "SAGAMART_THREADS", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Threads that run the partitions of the services; 0: the ones that serve requests do it, too [default: 1 for
    /// every two processors]
    #[arg(long, value_name = "N", env = "SAGAMART_ENGINE_THREADS", value_parser = value_parser!(u16).range(0..=1024))]
    engine_threads: Option<u16>,
}

/// What data is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StoreKind {
    /// A crash-safe store in the directory given with --data
    Embedded,
    /// Memory only: everything is gone when the process ends
    Memory,
}

impl fmt::Display for StoreKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Embedded => "embedded",
            Self::Memory => "memory",
        })
    }
}

/// Why serving ended, other than by request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot listen on {address}: {cause}")]
    Listen { address: SocketAddr, cause: io::Error },
    #[error("cannot open the data: {0}")]
    Open(#[from] store_embedded::OpenError),
    #[error("cannot open the data: {0}")]
    Service(#[from] store_embedded::ServiceError),
    #[error("{0}")]
    Host(#[from] host::Error),
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// One for every two processors: the rest is for the network's share of the work, the flusher, and the clients of a
/// machine that runs them too. Measured on two processors, where one thread served a tenth more than two.
pub(crate) fn half_the_processors() -> u16 {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(processors / 2).unwrap_or(u16::MAX).max(1)
}

impl Serve {
    /// How many threads to serve requests on.
    pub(crate) fn threads(&self) -> usize {
        self.threads.unwrap_or_else(half_the_processors).into()
    }

    /// How many threads to run the services on, apart from those that serve requests: then a batch of inputs does not
    /// keep connections waiting.
    pub(crate) fn engine_threads(&self) -> usize {
        self.engine_threads.unwrap_or_else(half_the_processors).into()
    }

    /// Serves until it is told to stop. The services run on `engine`.
    pub(crate) async fn run(self, engine: runtime::Handle) -> Result<(), Error> {
        let listening = TcpListener::bind(self.listen).await;
        let listener = listening.map_err(|cause| Error::Listen { address: self.listen, cause })?;
        let mut registry = Registry::default();
        match self.store {
            StoreKind::Memory => {
                let partitions = self.partitions.unwrap_or_else(half_the_processors);
                let database = MemoryDatabase::default();
                let store = |name| database.open(name);
                let stores =
                    Stores { order: store("order"), stock: store("stock"), payment: store("payment"), partitions };
                self.serve(&engine, listener, stores, registry).await
            }
            StoreKind::Embedded => {
                let database = self.open(registry.sub_registry_with_prefix(PREFIX))?;
                let partitions = self.partitions_of(&database);
                let store = |name| database.service(name, partitions);
                let stores =
                    Stores { order: store("order")?, stock: store("stock")?, payment: store("payment")?, partitions };
                let outcome = self.serve(&engine, listener, stores, registry).await;
                let closed = tokio::task::spawn_blocking(move || database.close()).await.map_err(io::Error::other)?;
                let closed = closed.map_err(|error| host::Error::from(Halt::Poisoned(error.to_string())));
                outcome.and(closed.map_err(Error::from))
            }
        }
    }

    fn open(&self, registry: &mut Registry) -> Result<Embedded, Error> {
        let duration = Histogram::new(exponential_buckets(25e-6, 2.0, 16));
        let (bytes, commits): (Counter, Counter) = Default::default();
        registry.register("flush_duration_seconds", "Time that a flush of the journal took", duration.clone());
        registry.register("journal_written_bytes", "Bytes written to the journal", bytes.clone());
        registry.register("flushed_commits", "Commits made durable", commits.clone());
        let mut options = EmbeddedOptions::new(&self.data);
        options.on_flush = Some(Arc::new(move |flush| {
            duration.observe(flush.duration.as_secs_f64());
            bytes.inc_by(flush.bytes);
            commits.inc_by(flush.commits);
        }));
        Ok(Embedded::open(options)?)
    }

    /// What was asked for, or what the data has, or the default for new data.
    fn partitions_of(&self, database: &Embedded) -> Partition {
        let stored = database.services().into_iter().find(|(name, _)| name == "order");
        self.partitions.or(stored.map(|(_, partitions)| partitions)).unwrap_or_else(half_the_processors)
    }

    async fn serve<S: Store + Clone>(
        &self,
        engine: &runtime::Handle,
        listener: TcpListener,
        stores: Stores<S>,
        mut registry: Registry,
    ) -> Result<(), Error> {
        let address = listener.local_addr()?;
        let checkout_timeout = Duration::from_secs(self.checkout_timeout);
        let settings = Settings {
            idempotency_retention: Duration::from_secs(self.idempotency_hours * 3600),
            records_in_memory_max: self.records_in_memory,
            ..Settings::default()
        };
        let metrics = registry.sub_registry_with_prefix(PREFIX);
        let (market, routes) = market::start(engine, stores, &settings, checkout_timeout, metrics);
        let readiness = Readiness::new();
        readiness.state_durability(match self.store {
            StoreKind::Embedded => "flushed to disk before each answer",
            StoreKind::Memory => "none: kept in memory",
        });
        let drain_notice = Duration::from_secs(self.drain_notice);
        let host = Host { listener, routes, readiness, registry, checkout_timeout, drain_notice };
        Ok(host.serve(market, || self.greet(address)).await?)
    }

    /// Says where everything is, and what to try.
    fn greet(&self, address: SocketAddr) -> io::Result<()> {
        let version = env!("CARGO_PKG_VERSION");
        let data = match self.store {
            StoreKind::Embedded => {
                let place = self.data.canonicalize().unwrap_or_else(|_| self.data.clone());
                format!("{} (an answer is sent once it is on disk)", place.display())
            }
            StoreKind::Memory => "in memory (gone when the process ends)".to_owned(),
        };
        let base = format!("http://{address}");
        let mut out = io::stdout().lock();
        writeln!(out, "sagamart {version} listens on {base}")?;
        writeln!(out, "data: {data}")?;
        writeln!(out, "stop: Ctrl-C\n\ntry:")?;
        writeln!(out, "  curl -X POST {base}/payment/create_user")?;
        writeln!(out, "  curl -X POST {base}/stock/item/create/5")?;
        writeln!(out, "  curl {base}/openapi.json")?;
        out.flush()
    }
}
