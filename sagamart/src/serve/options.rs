//! What the command line says of the commands that serve.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::{Arg, Args, builder::ArgPredicate, value_parser};
use contract::Service;
use order::Sampling;
use saga::{Partition, Settings, remote::Secrets};
use tokio::net::lookup_host;
use web::Browsers;

use super::{
    Error,
    access_options::AccessOptions,
    browser_options::BrowserOptions,
    half_the_processors,
    history_options::{HistoryOptions, RetentionOptions},
    http_options::HttpOptions,
    listen::ListenAddress,
    services::Role,
    store::{StoreAddress, StoreOptions},
    trace_options::TraceOptions,
};

/// What every command that serves can be told.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeOptions {
    /// Where clients connect: HOST:PORT, or a port alone for 127.0.0.1; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", env = "SAGAMART_LISTEN")]
    listen: ListenAddress,

    /// Another port than that of --listen
    // Without a variable: Kubernetes sets SAGAMART_PORT where a Service is called so, and to something else.
    #[arg(long, value_name = "N")]
    port: Option<u16>,

    /// Where Prometheus may ask for /metrics without being let in where operators are, who have them too: HOST:PORT, or a port
    /// alone for 127.0.0.1 [default: nowhere]
    #[arg(long, value_name = "HOST:PORT", env = "SAGAMART_METRICS_LISTEN")]
    metrics_listen: Option<ListenAddress>,

    #[command(flatten)]
    pub(crate) store: StoreOptions,

    /// Partitions of each service, fixed when the data are made, and the same for all three; more replicas than partitions
    /// have nothing to do but stand by, and fewer partitions make fewer and larger commits
    #[arg(long, value_name = "N", env = "SAGAMART_PARTITIONS", value_parser = value_parser!(u16).range(1..=256))]
    pub(crate) partitions: Option<Partition>,

    /// How long a checkout may take before it is cancelled
    #[arg(
        long, value_name = "SECONDS", default_value = "5", env = "SAGAMART_CHECKOUT_TIMEOUT",
        value_parser = value_parser!(u64).range(1..=3600),
    )]
    checkout_timeout: u64,

    /// From how long on a checkout is slow: the log has a line for each
    #[arg(long, value_name = "SECONDS", default_value = "1", env = "SAGAMART_SLOW_CHECKOUT", value_parser = seconds)]
    slow_checkout: Duration,

    /// How long replies are remembered under their Idempotency-Key
    #[arg(
        long, value_name = "HOURS", default_value = "24", env = "SAGAMART_IDEMPOTENCY_HOURS",
        value_parser = value_parser!(u64).range(1..=8760),
    )]
    idempotency_hours: u64,

    /// How much each partition keeps in memory, in small records of some 300 bytes each; a large one counts as several. Others
    /// are read from the store when needed
    #[arg(long, value_name = "N", default_value = "400000", env = "SAGAMART_RECORDS_IN_MEMORY")]
    records_in_memory: usize,

    /// After a signal to stop, how long to go on serving while /readyz already fails, so that load balancers notice
    #[arg(long, value_name = "SECONDS", default_value = "0", env = "SAGAMART_DRAIN_NOTICE")]
    drain_notice: u64,

    /// After that, how long running requests may take before they are cut off; a second signal ends the wait at once
    /// [default: 20 s more than a checkout may take]
    #[arg(long, value_name = "SECONDS", env = "SAGAMART_DRAIN_TIMEOUT")]
    drain_timeout: Option<u64>,

    /// How many events of each partition's log are kept for an observer (`sagamart observe`) that has not consumed them; 0:
    /// none, for there is no observer
    #[arg(long, value_name = "N", default_value = "50000", env = "SAGAMART_OBSERVER_LAG")]
    observer_lag: u64,

    /// Threads that read requests and write answers [default: 1 for every two processors]
    #[arg(long, value_name = "N", env = "SAGAMART_THREADS", value_parser = value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    #[command(flatten)]
    pub(crate) traces: TraceOptions,

    #[command(flatten)]
    http: HttpOptions,

    #[command(flatten)]
    pub(crate) browsers: BrowserOptions,

    #[command(flatten)]
    pub(crate) access: AccessOptions,
}

impl ServeOptions {
    /// How many threads to serve requests on.
    pub(crate) fn threads(&self) -> usize {
        self.threads.unwrap_or_else(half_the_processors).into()
    }

    pub(crate) fn listen(&self) -> ListenAddress {
        self.listen.clone().with_port(self.port)
    }

    pub(crate) fn metrics_listen(&self) -> Option<ListenAddress> {
        self.metrics_listen.clone()
    }

    pub(crate) fn checkout_timeout(&self) -> Duration {
        Duration::from_secs(self.checkout_timeout)
    }

    pub(crate) fn slow_checkout(&self) -> Duration {
        self.slow_checkout
    }

    /// Which checkouts traces are sent of.
    pub(crate) fn sampling(&self) -> Sampling {
        Sampling { share: self.traces.share(), slow: self.slow_checkout }
    }

    pub(crate) fn drain_notice(&self) -> Duration {
        Duration::from_secs(self.drain_notice)
    }

    pub(crate) fn http(&self) -> HttpOptions {
        self.http
    }

    /// Which requests of browsers the shop answers.
    pub(crate) fn shops_browsers(&self) -> Browsers {
        self.browsers.of_shop(self.http.behind_gateway)
    }

    /// The bounds of the server.
    pub(crate) fn bounds(&self) -> web::server::Settings {
        let mut bounds = self.http.settings();
        bounds.browsers = self.shops_browsers();
        let default = self.checkout_timeout() + bounds.drain_timeout;
        bounds.drain_timeout = self.drain_timeout.map_or(default, Duration::from_secs);
        bounds
    }

    /// The settings of the engine.
    pub(crate) fn engine(&self) -> Settings {
        Settings {
            idempotency_retention: Duration::from_secs(self.idempotency_hours * 3600),
            records_in_memory_max: self.records_in_memory,
            observer_lag_max: self.observer_lag,
            ..Settings::default()
        }
    }
}

/// Seconds, and parts of them.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds, such as 0.5")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// An argument that may be left out.
pub(crate) fn defaults_to(argument: Arg, value: &'static str) -> Arg {
    argument.required(false).default_value(value)
}

/// Runs the whole shop in one process: order, stock and payment behind one address.
///
/// Data are kept in a directory and are crash-safe: an answer is sent only once everything it depends on is on disk. With
/// SAGAMART_STORE=embedded the directory is what SAGAMART_DATA says.
#[derive(Args, Debug)]
#[command(
    mut_arg("listen", |listen| defaults_to(listen, "127.0.0.1:8000")),
    mut_arg("store", |store| {
        defaults_to(store, DEFAULT_STORE).default_value_if("data", ArgPredicate::IsPresent, "embedded")
    }),
    mut_arg("partitions", |partitions| {
        partitions.help(
            "Partitions of each service, fixed when the data are made [default: as the data have, or 1 for every two processors]",
        )
    }),
)]
pub(crate) struct Shop {
    /// The directory of `--store embedded`
    #[arg(long, value_name = "DIR", env = "SAGAMART_DATA", hide = true)]
    data: Option<PathBuf>,

    /// Threads that run the partitions of the services; 0: the ones that serve requests do it, too [default: 1 for
    /// every two processors]
    #[arg(long, value_name = "N", env = "SAGAMART_ENGINE_THREADS", value_parser = value_parser!(u16).range(0..=1024))]
    engine_threads: Option<u16>,

    #[command(flatten)]
    pub(crate) history: HistoryOptions,

    #[command(flatten)]
    options: ServeOptions,
}

const DEFAULT_STORE: &str = "embedded:./sagamart-data";

/// Three services in one process would have to watch each other's part of the database fail over.
pub(crate) const NO_DATABASE: &str = "`sagamart serve` keeps its data in a directory or in memory: with a database, run \
                                      `sagamart order`, `stock` and `payment`, each with its own";

impl Shop {
    /// How many threads to run the services on, apart from those that serve requests: then a batch of inputs does not
    /// keep connections waiting.
    pub(crate) fn engine_threads(&self) -> usize {
        self.engine_threads.unwrap_or_else(half_the_processors).into()
    }

    /// Fits the parts together, or says what contradicts.
    pub(crate) fn options(self) -> Result<ServeOptions, Error> {
        let mut options = self.options;
        match (&mut options.store.store, self.data) {
            (StoreAddress::Redis(_), _) => {
                return Err(Error::Options(NO_DATABASE.to_owned()));
            }
            (StoreAddress::Embedded(directory @ None), data) => {
                *directory = Some(data.unwrap_or_else(|| "./sagamart-data".into()));
            }
            (StoreAddress::Embedded(Some(directory)), Some(data)) if *directory != data => {
                let (directory, data) = (directory.display(), data.display());
                return Err(Error::Options(format!(
                    "--store names the directory {directory}, and --data (or SAGAMART_DATA) names {data}: leave one out"
                )));
            }
            _ => {}
        }
        options.store.check()?;
        Ok(options)
    }

    pub(crate) fn threads(&self) -> usize {
        self.options.threads()
    }
}

/// One replica of the observer: consumes the events of order, stock and payment, and keeps a history of them, of which
/// operators can ask it. Nothing waits for it. Any number of replicas may share its database.
#[derive(Args, Clone, Debug)]
#[command(mut_arg("admin_listen", |listen| {
    listen
        .help("Where operators connect, who are told everything: never to be reached by the public. With it, --listen has health \
               and metrics alone; a port alone is one of 127.0.0.1 [default: they ask the history at --listen]")
}))]
pub(crate) struct ObserveOptions {
    #[command(flatten)]
    retention: RetentionOptions,

    #[command(flatten)]
    pub(crate) replica: ReplicaOptions,
}

impl ObserveOptions {
    /// What the process runs.
    pub(crate) fn role(&self) -> Result<Role, Error> {
        let none = || Error::Options("an observer keeps a history: --history-hours is 1 or more".to_owned());
        self.retention.retention().map(Role::Observer).ok_or_else(none)
    }
}

/// Where replicas of another service are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PeerAddress {
    service: Service,
    address: String,
}

impl FromStr for PeerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, address) =
            text.split_once('=').ok_or("a peer is SERVICE=HOST:PORT, such as stock=127.0.0.1:9002")?;
        let service = Service::named(service).ok_or("the services are order, stock and payment")?;
        Ok(Self { service, address: address.to_owned() })
    }
}

/// One replica of a service. Any number of them may share the service's database; each takes any request.
#[derive(Args, Clone, Debug)]
#[command(mut_arg("partitions", |partitions| partitions.default_value("4")))]
pub(crate) struct ReplicaOptions {
    /// Where the other services and the other replicas of this one connect; not for clients
    #[arg(long, value_name = "HOST:PORT", env = "SAGAMART_INTERNAL_LISTEN")]
    pub(crate) internal_listen: ListenAddress,

    /// Where others reach the internal address [default: that address; where it is 0.0.0.0, the one that this host's
    /// name stands for]
    #[arg(long, value_name = "HOST:PORT", env = "SAGAMART_ADVERTISE")]
    advertise: Option<String>,

    /// Where operators connect, who are told what the process is like and may repair it: never to be reached by the public;
    /// a port alone is one of 127.0.0.1 [default: nowhere]
    #[arg(long, value_name = "HOST:PORT", env = "SAGAMART_ADMIN_LISTEN")]
    pub(crate) admin_listen: Option<ListenAddress>,

    /// Internal addresses of a service whose events this one consumes; repeat it, or separate several by commas. A name
    /// may stand for several replicas. SAGAMART_PEER_ORDER, SAGAMART_PEER_STOCK and SAGAMART_PEER_PAYMENT hold addresses
    /// of one service each
    #[arg(long = "peer", value_name = "SERVICE=HOST:PORT", value_delimiter = ',', env = "SAGAMART_PEERS")]
    peers: Vec<PeerAddress>,

    /// A file with the secret of the shop (`sagamart secret` makes one): the other services and replicas have to show that they know it,
    /// and are shown. Each line is one: all are believed, the first is shown, and they are read again for every connection
    #[arg(long, value_name = "FILE", env = "SAGAMART_PEER_SECRET_FILE")]
    peer_secret_file: Option<PathBuf>,

    #[arg(long, hide = true, value_delimiter = ',', env = "SAGAMART_PEER_ORDER")]
    peer_order: Vec<String>,

    #[arg(long, hide = true, value_delimiter = ',', env = "SAGAMART_PEER_STOCK")]
    peer_stock: Vec<String>,

    #[arg(long, hide = true, value_delimiter = ',', env = "SAGAMART_PEER_PAYMENT")]
    peer_payment: Vec<String>,

    #[command(flatten)]
    pub(crate) serve: ServeOptions,
}

impl ReplicaOptions {
    /// Fits the parts together, or says what is missing or contradicts.
    pub(crate) fn check(&self, role: Role) -> Result<(), Error> {
        let name = role.name();
        let producers: Vec<_> = Service::ALL.into_iter().filter(|producer| role.connects_to(*producer)).collect();
        let names = producers.iter().map(|producer| producer.name()).collect::<Vec<_>>().join(" and ");
        for other in Service::ALL {
            let (is_given, peer) = (!self.peers(other).is_empty(), other.name());
            let wrong = match (producers.contains(&other), is_given) {
                (true, false) => format!("{name} needs --peer {peer}=HOST:PORT: where the {peer} service is"),
                (false, true) => {
                    format!("{name} has no use for a peer {peer}: it consumes the events of {names} alone")
                }
                _ => continue,
            };
            return Err(Error::Options(wrong));
        }
        if let Role::Service(_) = role {
            self.serve.traces.check_unused(name)?;
        }
        self.serve.store.check()
    }

    /// How many partitions each of the three services has.
    pub(crate) fn partitions(&self) -> Partition {
        self.serve.partitions.unwrap_or(1)
    }

    /// Where the replicas of a service are.
    pub(crate) fn peers(&self, service: Service) -> Vec<String> {
        let alone = match service {
            Service::Order => &self.peer_order,
            Service::Stock => &self.peer_stock,
            Service::Payment => &self.peer_payment,
        };
        let of_service = self.peers.iter().filter(|peer| peer.service == service).map(|peer| &peer.address);
        // What is empty is not there: manifests like to set everything.
        of_service.chain(alone).filter(|address| !address.is_empty()).cloned().collect()
    }

    /// What other processes have to know, if anything.
    pub(crate) fn secrets(&self) -> Result<Option<Secrets>, Error> {
        let Some(path) = self.peer_secret_file.clone() else { return Ok(None) };
        let secrets = Secrets::in_file(path.clone());
        let unusable = |error| Error::Options(format!("--peer-secret-file {}: {error}", path.display()));
        secrets.read().map(|_| Some(secrets)).map_err(unusable)
    }

    /// Where others reach `internal`, the address that is listened on.
    pub(crate) async fn advertised(&self, internal: SocketAddr) -> Result<String, Error> {
        if let Some(advertise) = &self.advertise {
            return Ok(advertise.clone());
        }
        if !internal.ip().is_unspecified() {
            return Ok(internal.to_string());
        }
        let unknown =
            |reason: String| Error::Options(format!("say with --advertise where others reach {internal}: {reason}"));
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let found = lookup_host((name.as_str(), internal.port())).await;
        let found = found.map_err(|error| unknown(format!("{name} stands for no address: {error}")))?;
        let reachable = |ip: &IpAddr| !ip.is_loopback();
        let address = found.filter(|address| reachable(&address.ip())).min_by_key(SocketAddr::is_ipv6);
        address.map(|address| address.to_string()).ok_or_else(|| unknown(format!("{name} stands for loopback only")))
    }
}
