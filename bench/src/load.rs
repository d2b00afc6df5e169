//! Sending checkouts and measuring their answers.
//!
//! ```text
//!  run ── starts ──▶ load threads, each with a single-threaded runtime and its share of the connections
//!   │                  each connection: connect ─▶ ready ─▶ ┆ turn ─▶ claim an order ─▶ exchange ─▶ record ┆ ─▶ …
//!   ├── all are ready: the clock starts ────────────────────▶┆                                            ┆
//!   │   open loop: the pacer thread gives a turn to each request that has come due                         ┆
//!   └── merges the threads' records ◀── the window is over and every request sent has ended ◀──────────────┘
//! ```
//!
//! In the closed loop every connection sends its next checkout as soon as the one before has ended. In the open loop
//! requests come due at a constant rate whatever the server does, and latency counts from when a request *was due*, so
//! a server that stalls is charged for everyone who would have had to wait (no coordinated omission).

mod claims;
mod pacer;
mod record;
mod schedule;
mod worker;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

pub use {
    claims::{Claims, OrderIds},
    record::{Attempt, Measurement},
    schedule::Schedule,
};

use crate::{Error, Result, client::Target, progress::Progress, threads};
use pacer::Pacer;
use record::Record;
use referee::history::Scribe;
use worker::{Turns, Worker};

/// How the next request's time is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// When the one before on the same connection has ended.
    ClosedLoop,
    /// At a constant rate over all connections, in requests per second.
    OpenLoop {
        /// Requests per second, at least 1.
        rate_per_second: u64,
    },
}

/// One stretch of load on one server.
#[derive(Clone, Debug)]
pub struct Phase {
    /// The server.
    pub target: Arc<Target>,
    /// The names of the orders.
    pub orders: Arc<OrderIds>,
    /// Which of them are still to be sent.
    pub claims: Arc<Claims>,
    /// How many connections are open at once.
    pub connections: usize,
    /// How many threads drive them.
    pub threads: usize,
    /// When requests are sent.
    pub pace: Pace,
    /// How long requests are sent. Those under way at the end are waited for.
    pub duration: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// What every request is recorded with, if it is.
    pub scribe: Option<Scribe>,
}

/// What lies between the workers' start and the clock's.
#[derive(Debug)]
struct Gate {
    ready: Semaphore,
    window: watch::Sender<Option<Window>>,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
struct Window {
    start: Instant,
    end: Instant,
}

impl Phase {
    /// Runs the load to its end, showing it on `progress`.
    ///
    /// # Errors
    /// When the load threads could not be run; what the server does is never an error here but part of the result.
    pub async fn run(&self, progress: &Progress) -> Result<Measurement> {
        let gate = Arc::new(Gate { ready: Semaphore::new(0), window: watch::Sender::new(None) });
        let ended = Arc::new(AtomicU64::new(0));
        let turns = match self.pace {
            Pace::ClosedLoop => Turns::Closed,
            Pace::OpenLoop { rate_per_second } => Turns::open(Schedule::new(rate_per_second, self.duration)),
        };
        let threads_count = self.threads.clamp(1, self.connections.max(1));
        let mut load = Box::pin(threads::run(threads_count, |index| {
            let record = Arc::new(Mutex::new(Record::new(self.duration)));
            let connections = share(self.connections, threads_count, index);
            let first = (0..index).map(|before| share(self.connections, threads_count, before)).sum::<usize>();
            let numbers = first..first + connections;
            let workers = numbers.map(|number| Worker::new(self, number, &turns, &gate, &record, &ended)).collect();
            drive(workers, record)
        }));
        let connections =
            u32::try_from(self.connections).map_err(|_| Error::Options("too many connections".to_owned()))?;
        tokio::select! {
            // Only a thread that died ends before the clock has started.
            early = &mut load => return early.map(|_| Measurement::default()),
            ready = gate.ready.acquire_many(connections) => drop(ready.map_err(|_closed| Error::ThreadDied)?),
        }
        let start = Instant::now();
        let window = Window { start, end: start + self.duration };
        gate.window.send_replace(Some(window));
        let pacer = turns.open_turns().map(|open| Pacer::start(open, start, self.duration)).transpose()?;
        let records = progress.watch(load, || ended.load(Ordering::Relaxed)).await?;
        drop(pacer);
        let mut measurement = Measurement::of(records, start.elapsed()).count_for(self.duration);
        if let Some(open) = turns.open_turns() {
            measurement.due = Some(open.schedule.total());
        }
        Ok(measurement)
    }
}

/// How many of `total` fall to the part `index` of `parts`, as equal as can be.
fn share(total: usize, parts: usize, index: usize) -> usize {
    total / parts + usize::from(index < total % parts)
}

async fn drive(workers: Vec<Worker>, record: Arc<Mutex<Record>>) -> Record {
    let mut tasks: JoinSet<()> = workers.into_iter().map(Worker::run).collect();
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            // Carried on to the thread, whose death is reported: a run that lost a worker measures nothing.
            std::panic::resume_unwind(panic);
        }
    }
    std::mem::take(&mut record.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests;
