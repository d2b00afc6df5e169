//! Where data are kept, as every command says it, and how they are opened and closed.

use std::{fmt, io, path::PathBuf, str::FromStr, sync::Arc, thread};

use clap::{Args, value_parser};
use prometheus_client::{
    metrics::{
        counter::Counter,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use rustix::{fs::Mode, process::umask};
use saga::Partition;
use store_embedded::{Embedded, FlushObserver, Options as EmbeddedOptions};
use store_memory::MemoryDatabase;
use store_redis::{Options as RedisOptions, Promise};
use tokio::sync::oneshot;

use super::{Error, database::DatabaseOptions};

/// What a store can be.
const FORMS: &str = "embedded:DIRECTORY, memory:, redis://HOST:PORT[/DATABASE], redis-sentinel://HOST:PORT,…/NAME or \
                     redis-cluster://HOST:PORT,… (rediss for redis encrypts)";

/// Where data are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreAddress {
    /// In memory only: gone when the process ends.
    Memory,
    /// In a directory; `None` where another option has to name it.
    Embedded(Option<PathBuf>),
    /// In a database.
    Redis(String),
}

impl FromStr for StoreAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            _ if text == "memory" || text == "memory:" => Ok(Self::Memory),
            _ if text == "embedded" => Ok(Self::Embedded(None)),
            Some(("embedded", "")) => Err("embedded: needs a directory, such as embedded:./sagamart-data".to_owned()),
            Some(("embedded", directory)) => Ok(Self::Embedded(Some(directory.into()))),
            _ if text.starts_with("redis") => {
                store_redis::check_url(text).map_err(|error| error.to_string())?;
                Ok(Self::Redis(text.to_owned()))
            }
            _ => Err(format!("a store is {FORMS}")),
        }
    }
}

/// What data are kept in.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreOptions {
    /// Where data are kept: embedded:DIRECTORY (made if it is missing; for one process), memory: (gone when the process ends),
    /// redis://HOST:PORT[/DATABASE], redis-sentinel://HOST:PORT,…/NAME or redis-cluster://HOST:PORT,… (USER@ before the
    /// first host names the user, rediss for redis encrypts)
    #[arg(long, value_name = "STORE", env = "SAGAMART_STORE")]
    pub(crate) store: StoreAddress,

    #[command(flatten)]
    pub(crate) database: DatabaseOptions,

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
    replicas: u32,
}

impl StoreOptions {
    /// Fits the parts together, or says what contradicts.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::Options(what.to_owned()));
        match &self.store {
            StoreAddress::Redis(_) => Ok(()),
            StoreAddress::Embedded(None) => wrong("--store embedded names no directory: write embedded:DIRECTORY"),
            _ if self.durability != Promise::Always => {
                wrong("--durability is for redis stores: the others have one of their own")
            }
            _ if self.database.are_given() => {
                wrong("users, passwords and certificates are for redis stores: --store names another one")
            }
            _ => Ok(()),
        }
    }

    /// What `/readyz` says of an answer.
    pub(crate) fn durability(&self) -> &'static str {
        match (&self.store, self.durability) {
            (StoreAddress::Memory, _) => "none: kept in memory",
            (StoreAddress::Embedded(_), _) => "flushed to disk before each answer",
            (StoreAddress::Redis(_), Promise::Always) => "on the database's disk before each answer",
            (StoreAddress::Redis(_), Promise::Replicated) => {
                "on the database's disk and with a replica before each answer"
            }
            (StoreAddress::Redis(_), Promise::Everysec) => "on the database's disk within a second",
        }
    }

    /// Opens what the data are in. A directory may take long: what its journal holds is read. A database is not asked yet.
    pub(crate) async fn open(&self, registry: &mut Registry) -> Result<OpenStore, OpenError> {
        Ok(match &self.store {
            StoreAddress::Memory => OpenStore::Memory(MemoryDatabase::default()),
            StoreAddress::Embedded(directory) => {
                // What a library makes for the store is its owner's business, too.
                umask(Mode::RWXG | Mode::RWXO);
                let options = EmbeddedOptions {
                    on_flush: Some(flush_metrics(registry)),
                    ..EmbeddedOptions::new(directory.clone().expect("check() wants one"))
                };
                OpenStore::Embedded(open_apart(options).await?)
            }
            StoreAddress::Redis(url) => {
                let (promise, replicas) = (self.durability, self.replicas);
                // Whose data they are is filled in for each service.
                let options = RedisOptions { promise, replicas, ..RedisOptions::new(url, "", 1) };
                OpenStore::Redis(Box::new(self.database.adapt(options)))
            }
        })
    }
}

/// Opens a directory on a thread of its own, for which nobody has to wait who does not want to any more.
async fn open_apart(options: EmbeddedOptions) -> Result<Embedded, OpenError> {
    let (tell, told) = oneshot::channel();
    let opening = move || {
        // Nobody listens where the process was told to stop meanwhile.
        let _ = tell.send(Embedded::open(options));
    };
    thread::Builder::new().name("open".to_owned()).spawn(opening).map_err(OpenError::Thread)?;
    Ok(told.await.map_err(|_| OpenError::Panicked)??)
}

fn flush_metrics(registry: &mut Registry) -> FlushObserver {
    let duration = Histogram::new(exponential_buckets(25e-6, 2.0, 16));
    let (bytes, commits): (Counter, Counter) = Default::default();
    registry.register("flush_duration_seconds", "Time that a flush of the journal took", duration.clone());
    registry.register("journal_written_bytes", "Bytes written to the journal", bytes.clone());
    registry.register("flushed_commits", "Commits made durable", commits.clone());
    Arc::new(move |flush| {
        duration.observe(flush.duration.as_secs_f64());
        bytes.inc_by(flush.bytes);
        commits.inc_by(flush.commits);
    })
}

/// Why data were not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{0}")]
    Embedded(#[from] store_embedded::OpenError),
    #[error("{0}")]
    Service(#[from] store_embedded::ServiceError),
    #[error("{0}")]
    Redis(#[from] store_redis::OpenError),
    #[error("no thread can be had: {0}")]
    Thread(io::Error),
    #[error("what reads them has panicked")]
    Panicked,
}

/// What the data of services are in, opened.
pub(crate) enum OpenStore {
    Memory(MemoryDatabase),
    Embedded(Embedded),
    /// How to open those of a service, once it is filled in (see [`of_service`]).
    Redis(Box<RedisOptions>),
}

impl fmt::Debug for OpenStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Memory(_) => "Memory",
            Self::Embedded(_) => "Embedded",
            Self::Redis(_) => "Redis",
        })
    }
}

impl OpenStore {
    /// Leaves the data as they are to be found, after everything that used them has ended.
    pub(crate) async fn close(self) -> Result<(), saga::store::Error> {
        let Self::Embedded(database) = self else { return Ok(()) };
        tokio::task::spawn_blocking(move || database.close())
            .await
            .expect("closing does not panic, and nobody cancels it")
    }
}

/// The options of a redis store for the data of one service.
pub(crate) fn of_service(options: &RedisOptions, service: &str, partitions: Partition) -> RedisOptions {
    RedisOptions { service: service.to_owned(), partitions, ..options.clone() }
}
