//! The whole market in one thread from one seed, on the engine that ships.
//!
//! ```text
//!            clients ── messages: late, lost, repeated ──┐
//!                                                        ▼
//!   weather ──▶ replica 0        replica 1        replica 2          each a process with the three services: the real
//!   (faults)    order stock pay  order stock pay  order stock pay    sequencers, timers and feeds of `saga`
//!                 │     │    │     │     │    │     │     │    │
//!                 └─────┼────┼─────┴─────┼────┼─────┘     │    │     connections: slow, cut, doubtful, late
//!                       ▼    ▼           ▼    ▼           ▼    ▼
//!                    order database   stock database   payment database   lose tails, fill up, fail to flush
//! ```
//!
//! An observer runs beside the services, or in processes of its own where they do, over a database of its own; the same
//! faults strike it.
//!
//! Time is simulated: tokio's clock stands still while anything can be done, and jumps to the next timer when nothing can.
//! All chance comes from the seed, so a run can be repeated exactly; its trace has a hash to show that it was.
//!
//! A run is made of *rounds*. In each, clients ask while faults strike (what is wrong at any time stops the run); then
//! the faults end, everything has to be answered and come to rest in bounded time, and the books and the clients' answers
//! have to be what one bookkeeper could have written, one operation at a time. The observer's history has to tell what was
//! committed, no more, and no less than it says.

mod ask;
mod client;
mod climate;
mod connection;
mod desks;
mod inspect;
mod lock;
mod network;
mod observed;
mod process;
mod random;
mod reading;
mod replica;
mod round;
mod shrink;
mod site;
mod sums;
mod task;
mod trace;
mod weather;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use prometheus_client::{encoding::text::encode, registry::Registry};

use climate::Climate;
pub use climate::FaultKind;
use site::Owner;
use world::World;

/// What a run leaves out of what its seed says: how a failure is made smaller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Rounds before this one are not played.
    pub first_round: u64,
    /// Faults that do not happen.
    pub without: BTreeSet<FaultKind>,
    /// Operations that nobody asks, by their number in each round.
    pub left_out: BTreeSet<usize>,
    /// The most replicas.
    pub replicas_max: Option<usize>,
}

impl fmt::Display for Limits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.first_round > 0 {
            parts.push(format!("from round {}", self.first_round));
        }
        if let Some(replicas) = self.replicas_max {
            parts.push(format!("at most {replicas} replicas"));
        }
        if !self.left_out.is_empty() {
            parts.push(format!("without {} of its operations", self.left_out.len()));
        }
        if !self.without.is_empty() {
            let names: Vec<_> = self.without.iter().map(|kind| kind.name()).collect();
            parts.push(format!("without {}", names.join(", ")));
        }
        formatter.write_str(if parts.is_empty() { "all of it" } else { "" })?;
        formatter.write_str(&parts.join("; "))
    }
}

/// Rare events that runs of some dozen seeds with services a network apart have to reach beside [`REACHABLE`].
pub const REACHABLE_APART: &[&str] = &["connection broke", "replicas cut off from each other"];

/// Rare events that a run of some dozen seeds has to reach; one that it does not is one that it does not test.
pub const REACHABLE: &[&str] = &[
    "answer lost, outcome unknown",
    "answer: not serving",
    "answer: overloaded",
    "answered after a repetition",
    "asked anew",
    "at rest while a replica was away",
    "clock jumped",
    "commit applied, its answer lost",
    "conflict",
    "copies of a checkout",
    "database lost its connections",
    "database lost its tail",
    "deadline fired",
    "deliveries lost",
    "deliveries repeated",
    "disk full",
    "ended during recovery",
    "flush failed",
    "gap read from a log",
    "halted by a lost database",
    "history agrees",
    "history says what it missed",
    "sums agree",
    "sums agree since they began anew",
    "sums begin anew",
    "hold committed",
    "hold released",
    "joined a running checkout",
    "key replayed",
    "killed at a call of a store",
    "late commit applied",
    "late commit shut out",
    "log trimmed",
    "parked",
    "replica cut off from a database",
    "replica frozen",
    "replica killed",
    "replica left, one stayed",
    "replica left, several stayed",
    "replica stopped in good order",
    "request repeated",
    "store failed",
    "tombstone",
    "unparked",
];

/// What to run.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many operations the clients ask, over all rounds.
    pub steps: usize,
    /// Whether every process has one service only, and the others are a network away; else each has all three.
    pub is_apart: bool,
    /// What to leave out.
    pub limits: Limits,
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was run.
    pub simulation: Simulation,
    /// The faults that its seed has in store, without those that were left out.
    pub faults: Vec<FaultKind>,
    /// The same for the same run.
    pub hash: u64,
    /// How long it took by the simulated clock.
    pub simulated: Duration,
    /// How often each rare event was reached.
    pub reached: BTreeMap<&'static str, u64>,
    /// What happened, in order, with the simulated time in seconds; empty where nobody asked for it.
    pub story: Vec<String>,
    /// What was broken, if anything was.
    pub failure: Option<Failure>,
}

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which, or how.
    pub promise: String,
    /// In which round.
    pub round: u64,
}

impl Simulation {
    /// All that `seed` says, in so many operations.
    #[must_use]
    pub fn new(seed: u64, steps: usize) -> Self {
        Self { seed, steps, is_apart: false, limits: Limits::default() }
    }

    /// The same with one service in each process, and a network between them.
    #[must_use]
    pub fn apart(self) -> Self {
        Self { is_apart: true, ..self }
    }

    /// Runs it.
    ///
    /// # Panics
    /// If the runtime cannot be built.
    #[must_use]
    pub fn run(&self) -> Report {
        self.run_telling(false)
    }

    /// Runs it and keeps the story for whoever has to understand a failure.
    #[must_use]
    pub fn run_with_story(&self) -> Report {
        self.run_telling(true)
    }

    /// The smallest run found that still breaks a promise, with its story. Runs it some dozen times.
    #[must_use]
    pub fn shrunk(&self, failed: &Report) -> Report {
        shrink::shrink(self, failed)
    }

    fn run_telling(&self, keeps_story: bool) -> Report {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without I/O needs nothing of the system");
        runtime.block_on(self.play(keeps_story))
    }

    async fn play(&self, keeps_story: bool) -> Report {
        let mut climate = Climate::new(self.seed);
        climate.is_apart = self.is_apart;
        climate.faults.retain(|kind, _| !self.limits.without.contains(kind));
        climate.replicas = climate.replicas.min(self.limits.replicas_max.unwrap_or(usize::MAX));
        let faults = climate.faults.keys().copied().collect();
        let world = Arc::new(World::new(self.seed, climate, keeps_story));
        for owner in Owner::all() {
            task::spawn(&world, format!("the flusher of {owner}"), weather::flush(Arc::clone(&world), owner));
        }
        for replica in 0..world.replicas.len() {
            let supervised = replica::supervisor::supervise(Arc::clone(&world), replica);
            task::spawn(&world, format!("the supervisor of replica {replica}"), supervised);
        }
        let round = self.play_rounds(&world).await;
        let broken = world.broken().borrow().clone();
        count_notes(&world);
        let trace = world.trace();
        Report {
            simulation: self.clone(),
            faults,
            hash: trace.hash(),
            simulated: world.now(),
            reached: trace.reached.clone(),
            story: trace.lines().to_vec(),
            failure: broken.map(|promise| Failure { promise, round }),
        }
    }

    /// Plays all rounds, or as many as it takes to break a promise; returns which was the last.
    async fn play_rounds(&self, world: &Arc<World>) -> u64 {
        let mut broken = world.broken();
        let (mut left, mut number) = (self.steps, 0);
        loop {
            let operations = round::operations_in(self.seed, number, left);
            left -= operations;
            if number >= self.limits.first_round {
                tokio::select! {
                    biased;
                    _ = broken.wait_for(Option::is_some) => return number,
                    () = round::play(world, &self.limits, number, operations) => {}
                }
            }
            if left == 0 || broken.borrow().is_some() {
                return number;
            }
            number += 1;
        }
    }
}

/// What the engine counted.
fn count_notes(world: &World) {
    let mut registry = Registry::default();
    world.engine.register(&mut registry);
    let mut text = String::new();
    if encode(&mut text, &registry).is_err() {
        world.breaks("the metrics cannot be written".to_owned());
    }
    // The observer meets conflicts and failures of its own.
    let of_observer = format!("service=\"{}\"", Owner::Observer);
    for line in text.lines().filter(|line| !line.contains(&of_observer)) {
        let Some((name, count)) = line.rsplit_once(' ') else { continue };
        let Ok(count) = count.parse() else { continue };
        let event = match name {
            name if name.starts_with("commit_conflicts_total") => "conflict",
            name if name.starts_with("store_failures_total") => "store failed",
            name if name.starts_with("steps_noted_total") => match note(name) {
                Some("parked") => "parked",
                Some("unparked") => "unparked",
                Some("tombstone") => "tombstone",
                Some("committed") => "hold committed",
                Some("released") => "hold released",
                Some(note @ ("anomaly" | "shortfall")) if count > 0 => {
                    world.breaks(format!("a decision did not find its hold: {note}"));
                    continue;
                }
                _ => continue,
            },
            _ => continue,
        };
        world.reach_times(event, count);
    }
}

fn note(name: &str) -> Option<&str> {
    name.split_once("note=\"")?.1.split('"').next()
}
