//! A data directory that no process has open, for operators who ask it: the routes of the history in memory, over the data as they
//! are on disk. Nothing in the directory is changed.
//!
//! ```text
//!   directory ─▶ Embedded::look ─┬─▶ logs of order, stock, payment ─▶ observer, in memory ─▶ the history's routes
//!                                └─▶ records of stock and payment ──▶ Books ──────────────────┘
//! ```
//!
//! The observer consumes here what it had not consumed when its process ended, so the history lacks nothing that the logs have. No
//! service of the shop runs: what was open is open.

mod books;
mod kept;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body};
use bytes::Bytes;
use contract::{Event, Service};
use hyper::{Method, Request, Response, header};
use observer::{Command, Observer, Retention};
use saga::{CallOptions, Choreography, Inspection, Metrics, Participant as _, Running, Settings, store};
use store_embedded::{Embedded, Left, OpenError, ServiceError};
use store_memory::MemoryDatabase;
use tempfile::TempDir;
use tower_service::Service as _;

use crate::any_store::AnyStore;

pub(crate) use self::kept::Kept;

/// Why a directory is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no directory {}", .0.display())]
    Absent(PathBuf),
    #[error(
        "{0}: ask that one with --admin URL instead of --data (URL is where it lets operators in, its --admin-listen: \
         http://127.0.0.1:8010 where nothing else was said)"
    )]
    InUse(OpenError),
    #[error("{0}; `sagamart check-data` reads all of it and says what is damaged")]
    Damaged(OpenError),
    #[error("{0}")]
    Open(OpenError),
    #[error("{0}")]
    Service(#[from] ServiceError),
    #[error("the data cannot be read: {0}")]
    Store(#[from] store::Error),
    #[error("the history cannot be read: {0}")]
    History(String),
    #[error(
        "{} was kept without a history (--history-hours 0): there is nothing to ask but `sagamart status --data`",
        .0.display()
    )]
    NoHistory(PathBuf),
    #[error("{} has no data of stock and payment, which say how much there is now", .0.display())]
    NoBooks(PathBuf),
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Locked { .. } => Self::InUse(error),
            OpenError::Corrupt { .. } => Self::Damaged(error),
            _ => Self::Open(error),
        }
    }
}

/// A directory that is read.
pub(crate) struct Stopped {
    directory: PathBuf,
    left: Left,
    kept: Vec<Kept>,
    /// `None`: no history was kept.
    history: Option<Router>,
    /// Events that were read from the logs because the history lacked them.
    added: u64,
    has_books: bool,
    /// Ends with this.
    _running: Option<Running>,
    /// What the store has made links in.
    _links: TempDir,
}

impl fmt::Debug for Stopped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Stopped").field(&self.directory).finish()
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.directory.display().fmt(formatter)
    }
}

impl Stopped {
    /// Reads a directory. It stays locked, for whoever would write there, as long as this lives.
    ///
    /// `links` is an empty directory, which it needs as long.
    pub(crate) async fn open(directory: &Path, links: TempDir) -> Result<Self, Error> {
        if !directory.exists() {
            return Err(Error::Absent(directory.to_owned()));
        }
        let (database, left) = Embedded::look(directory, links.path())?;
        let stores = Stores::of(&database)?;
        let kept = kept::all(&stores).await?;
        let has_books = [Service::Stock, Service::Payment].iter().all(|service| stores.has(service.name()));
        let directory = directory.to_owned();
        let (history, added, running) = (None, 0, None);
        let mut stopped = Self { directory, left, kept, history, added, has_books, _running: running, _links: links };
        if stores.has(Observer::NAME) {
            stopped.begin(&stores).await?;
        }
        Ok(stopped)
    }

    /// Starts the observer, which consumes what it lacks.
    async fn begin(&mut self, stores: &Stores) -> Result<(), Error> {
        let books = books::StoppedBooks::read(stores).await?;
        // Nothing becomes too old by being looked at.
        let observer =
            Observer { retention: Retention { time: Duration::MAX, bytes: u64::MAX }, ..Observer::default() };
        let settings = Settings { observer_linger: Duration::ZERO, ..Settings::default() };
        let mut choreography = Choreography::<Event>::new(settings, Metrics::default());
        let history = choreography.add(observer, stores.get(Observer::NAME).0, 1);
        for name in Service::ALL.map(Service::name) {
            let (store, partitions) = stores.get(name);
            choreography.add_logs(name, store, partitions);
        }
        let running = choreography.start().expect("the logs of all services were added");
        // It is answered once all that there was in the logs is consumed.
        let answered = history.call(0, Command::Span, CallOptions::default()).await;
        let reasons = reasons(&running.inspection());
        answered.map_err(|error| Error::History(if reasons.is_empty() { error.to_string() } else { reasons }))?;
        self.added = self.caught_up(&running.inspection())?;
        self.history = Some(observer::router(history, Arc::new(books)).split_for_parts().0);
        self._running = Some(running);
        Ok(())
    }

    /// How many events the observer consumed here; an error where it could not consume all.
    fn caught_up(&self, inspection: &Inspection) -> Result<u64, Error> {
        let observer = inspection.partition(Observer::NAME, 0).expect("it was added");
        let mut added = 0;
        for source in observer.sources {
            let Some(log_end) = kept::log_end(&self.kept, &source.log) else { continue };
            let consumed = source.consumed.unwrap_or(0);
            if consumed < log_end {
                let log = source.log;
                return Err(Error::History(format!(
                    "the log of {log} cannot be read beyond event {consumed} of {log_end}"
                )));
            }
            added += log_end - kept::consumed(&self.kept, &source.log).min(log_end);
        }
        Ok(added)
    }

    /// Asks for what the operators' listener would answer; the answers that come later are those after `last`.
    pub(crate) async fn get(&self, path: &str, last: Option<&str>) -> Result<Response<Body>, Error> {
        let Some(history) = &self.history else { return Err(Error::NoHistory(self.directory.clone())) };
        let asks_for_books = path.split('?').next().is_some_and(|path| path.ends_with("/account"));
        if asks_for_books && !self.has_books {
            return Err(Error::NoBooks(self.directory.clone()));
        }
        let mut request = Request::builder().method(Method::GET).uri(path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.header(header::HOST, "localhost").body(Body::from(Bytes::new()));
        let request = request.map_err(|error| Error::History(error.to_string()))?;
        let Ok(response) = history.clone().call(request).await;
        Ok(response)
    }

    /// What whoever reads the answers has to know.
    pub(crate) fn notes(&self) -> Vec<String> {
        let torn = self.left.torn.as_ref().map(|torn| {
            format!(
                "{torn} was being written when the process ended: it is not counted, and nobody was answered for it"
            )
        });
        let elsewhere = (!self.has_logs()).then(|| {
            "the logs of the shop are not in this directory: what the observer had not consumed of them is not in this history"
                .to_owned()
        });
        torn.into_iter().chain(elsewhere).collect()
    }

    fn has_logs(&self) -> bool {
        Service::ALL.iter().all(|service| self.kept.iter().any(|kept| kept.service == service.name()))
    }

    /// Whether the process that had it last closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.left.is_closed
    }

    /// What is kept of each partition.
    pub(crate) fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// How many events of the logs the history lacked when its process ended, and has here.
    pub(crate) fn added(&self) -> u64 {
        self.added
    }
}

/// Why partitions do not answer.
fn reasons(inspection: &Inspection) -> String {
    let partitions = inspection.services().into_iter().flat_map(|service| service.partitions);
    let reasons: Vec<_> = partitions.flat_map(|partition| partition.reasons).collect();
    reasons.join("; ")
}

/// The data of each service in a directory, by name.
struct Stores(Vec<(&'static str, AnyStore, saga::Partition)>);

impl Stores {
    fn of(database: &Embedded) -> Result<Self, Error> {
        let mut stores = Vec::new();
        for (name, partitions) in database.services() {
            let names = Service::ALL.map(Service::name).into_iter().chain([Observer::NAME]);
            if let Some(known) = names.into_iter().find(|known| *known == name) {
                stores.push((known, AnyStore::Embedded(database.service(&name, partitions)?), partitions));
            }
        }
        Ok(Self(stores))
    }

    fn find(&self, name: &str) -> Option<&(&'static str, AnyStore, saga::Partition)> {
        self.0.iter().find(|(known, ..)| *known == name)
    }

    fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Those of one service; none in one partition where they are elsewhere.
    fn get(&self, name: &'static str) -> (AnyStore, saga::Partition) {
        match self.find(name) {
            Some((_, store, partitions)) => (store.clone(), *partitions),
            None => (AnyStore::Memory(MemoryDatabase::default().open(name)), 1),
        }
    }
}
