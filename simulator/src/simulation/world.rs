//! Everything in a run: the databases, the replicas, the weather, and what was seen.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{
    climate::{Climate, FaultKind, Rate},
    lock::lock,
    network::Network,
    reading::Observed,
    replica::Replica,
    site::{Owner, Site},
    trace::Trace,
};
use crate::Service;

/// Everything in a run.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) climate: Climate,
    /// By [`Owner::place`].
    pub(crate) sites: Vec<Site>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) network: Network,
    pub(crate) engine: saga::Metrics,
    pub(crate) checkouts: order::Metrics,
    pub(crate) observed: Mutex<Observed>,
    trace: Mutex<Trace>,
    broken: watch::Sender<Option<String>>,
    is_stormy: AtomicBool,
    under_way: AtomicUsize,
    begun: Instant,
}

impl World {
    pub(crate) fn new(seed: u64, climate: Climate, keeps_trace: bool) -> Self {
        Self {
            seed,
            sites: Owner::all().map(|owner| Site::new(owner, climate.is_certain)).collect(),
            replicas: (0..climate.processes() + climate.observing())
                .map(|number| Replica::new(seed, number, &climate))
                .collect(),
            network: Network::default(),
            engine: saga::Metrics::default(),
            checkouts: order::Metrics::default(),
            observed: Mutex::default(),
            trace: Mutex::new(Trace::new(keeps_trace)),
            broken: watch::Sender::new(None),
            is_stormy: AtomicBool::new(false),
            under_way: AtomicUsize::new(0),
            begun: Instant::now(),
            climate,
        }
    }

    /// The database of a service, or of the observer.
    pub(crate) fn site(&self, owner: impl Into<Owner>) -> &Site {
        &self.sites[owner.into().place()]
    }

    /// The replicas that clients of a service may ask.
    pub(crate) fn serving(&self, service: Service) -> Vec<usize> {
        let serves = |number: &usize| self.replicas[*number].serves(service);
        (0..self.replicas.len()).filter(serves).collect()
    }

    /// The same without those that stay away.
    pub(crate) fn present(&self, service: Service) -> Vec<usize> {
        let is_present = |number: &usize| !self.replicas[*number].is_away();
        self.serving(service).into_iter().filter(is_present).collect()
    }

    /// How many others do what a replica does and do not stay away; 0 where it stays away itself.
    pub(crate) fn beside(&self, number: usize) -> usize {
        let replica = &self.replicas[number];
        if replica.is_away() {
            return 0;
        }
        let same = |other: &&Replica| other.runs == replica.runs && !other.is_away();
        self.replicas.iter().filter(same).count() - 1
    }

    pub(crate) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        lock(&self.trace).note(self.now(), what);
    }

    /// Counts a rare event.
    pub(crate) fn reach(&self, event: &'static str) {
        self.reach_times(event, 1);
    }

    pub(crate) fn reach_times(&self, event: &'static str, times: u64) {
        lock(&self.trace).reach(event, times);
    }

    pub(crate) fn trace(&self) -> MutexGuard<'_, Trace> {
        lock(&self.trace)
    }

    /// A promise was broken. The first one stands: others may follow from it.
    pub(crate) fn breaks(&self, promise: String) {
        self.note(format_args!("BROKEN: {promise}"));
        self.broken.send_if_modified(|broken| {
            let is_first = broken.is_none();
            broken.get_or_insert(promise);
            is_first
        });
    }

    pub(crate) fn broken(&self) -> watch::Receiver<Option<String>> {
        self.broken.subscribe()
    }

    /// From now on faults happen, or none do.
    pub(crate) fn set_stormy(&self, is_stormy: bool) {
        self.is_stormy.store(is_stormy, Ordering::Relaxed);
    }

    pub(crate) fn is_stormy(&self) -> bool {
        self.is_stormy.load(Ordering::Relaxed)
    }

    /// How often a fault happens now; 0 for never.
    pub(crate) fn rate(&self, kind: FaultKind) -> Rate {
        if self.is_stormy() { self.climate.faults.get(&kind).copied().unwrap_or_default() } else { 0 }
    }

    /// Counts a message that is under way for as long as the answer is kept.
    pub(crate) fn send_off(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay { world: Arc::clone(self) }
    }

    /// Whether no message is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }
}

/// A message that may still have an effect.
pub(crate) struct UnderWay {
    world: Arc<World>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.world.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
