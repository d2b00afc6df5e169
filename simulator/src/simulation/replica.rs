//! One process, with a replica of each service or of one: starts, dies, freezes, has a clock of its own.

pub(crate) mod supervisor;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
};

use saga::{Clock, Timestamp};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use super::{
    climate::{Climate, FaultKind},
    desks::Desks,
    lock::lock,
    random::Random,
    site::Owner,
};
use crate::Service;

/// Where the simulated clocks begin: any time well after 1970, so that a jump back stays above it.
pub(crate) const EPOCH_MS: i64 = 1_700_000_000_000;

/// What a replica cannot do with a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cut {
    #[default]
    None,
    /// Its requests do not arrive.
    Requests,
    /// Answers do not come back.
    Answers,
}

/// Why a replica ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Kill,
    Stop,
}

/// How far jumps take a clock from where it began. Two clocks then differ by less than the ten minutes for which the key of a request that changed
/// nothing is remembered: beyond it, one replica forgets what another has answered a moment ago.
const OFFSET_MS_MAX: i64 = 4 * 60 * 1000;

/// A clock that differs from the others and jumps.
#[derive(Debug)]
pub(crate) struct SimulatedClock {
    begun: Instant,
    offset_ms: AtomicI64,
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.begun.elapsed().as_millis()).expect("runs last hours");
        let now = EPOCH_MS + elapsed + self.offset_ms.load(Ordering::Relaxed);
        Timestamp(u64::try_from(now).expect("clocks are off by minutes, long after 1970"))
    }
}

/// What runs in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    /// Every service, and the observer.
    All,
    /// One of them.
    One(Owner),
}

/// One process.
pub(crate) struct Replica {
    pub(crate) runs: Runs,
    address: String,
    clock: Arc<SimulatedClock>,
    desks: Mutex<Option<Desks>>,
    is_frozen: AtomicBool,
    /// Wakes in the order in which they came; a watch channel of tokio's does not.
    thaw: Notify,
    is_isolated: AtomicBool,
    is_away: AtomicBool,
    comes_back: Notify,
    /// How many processes have ended.
    ended: AtomicU64,
    ending: Notify,
    cuts: Mutex<[Cut; Owner::COUNT]>,
    endings: mpsc::UnboundedSender<Ending>,
    heard: Mutex<Option<mpsc::UnboundedReceiver<Ending>>>,
    /// How many more times it may be where it can be killed; 0: for ever.
    passes_left: AtomicU64,
}

impl Replica {
    pub(crate) fn new(seed: u64, number: usize, climate: &Climate) -> Self {
        let mut random = Random::new(seed, "clock", number as u64);
        let skew = if climate.faults.contains_key(&FaultKind::Skew) { random.between(0, 240_000) as i64 } else { 0 };
        let (endings, heard) = mpsc::unbounded_channel();
        let service = |number| Service::ALL.get(number).copied().map_or(Owner::Observer, Owner::Service);
        let (runs, address) = if climate.is_apart {
            let number_of_its_own = number.checked_sub(climate.processes()).unwrap_or(number % climate.replicas);
            let owner = service(number / climate.replicas);
            (Runs::One(owner), format!("{owner}-{number_of_its_own}"))
        } else {
            (Runs::All, format!("market-{number}"))
        };
        Self {
            runs,
            address,
            clock: Arc::new(SimulatedClock { begun: Instant::now(), offset_ms: AtomicI64::new(skew - 120_000) }),
            desks: Mutex::new(None),
            is_frozen: AtomicBool::new(false),
            thaw: Notify::new(),
            is_isolated: AtomicBool::new(false),
            is_away: AtomicBool::new(false),
            comes_back: Notify::new(),
            ended: AtomicU64::new(0),
            ending: Notify::new(),
            cuts: Mutex::default(),
            endings,
            heard: Mutex::new(Some(heard)),
            passes_left: AtomicU64::new(0),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn serves(&self, service: Service) -> bool {
        matches!(self.runs, Runs::All) || self.runs == Runs::One(Owner::Service(service))
    }

    /// Where it takes requests; `None` while it is down.
    pub(crate) fn desks(&self) -> Option<Desks> {
        lock(&self.desks).clone()
    }

    /// For its engine.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as Arc<dyn Clock>
    }

    /// What its clock says.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn jump_clock(&self, ms: i64) {
        let offset = self.clock.offset_ms.load(Ordering::Relaxed) + ms;
        self.clock.offset_ms.store(offset.clamp(-OFFSET_MS_MAX, OFFSET_MS_MAX), Ordering::Relaxed);
    }

    pub(crate) fn freeze(&self, is_frozen: bool) {
        self.is_frozen.store(is_frozen, Ordering::Relaxed);
        if !is_frozen {
            self.thaw.notify_waiters();
        }
    }

    pub(crate) fn isolate(&self, is_isolated: bool) {
        self.is_isolated.store(is_isolated, Ordering::Relaxed);
    }

    pub(crate) fn is_isolated(&self) -> bool {
        self.is_isolated.load(Ordering::Relaxed)
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.is_frozen.load(Ordering::Relaxed)
    }

    /// Whether it is to be started again once it has ended.
    pub(crate) fn stay_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
        self.comes_back.notify_waiters();
    }

    pub(crate) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Waits until the process that came after so many others is gone, and with it whoever asked it.
    pub(crate) async fn gone(&self, ended: u64) {
        while self.ended() == ended {
            self.ending.notified().await;
        }
    }

    /// Waits until it is not frozen.
    pub(crate) async fn thawed(&self) {
        while self.is_frozen() {
            self.thaw.notified().await;
        }
    }

    pub(crate) fn cut(&self, from: Owner, cut: Cut) {
        lock(&self.cuts)[from.place()] = cut;
    }

    pub(crate) fn cut_from(&self, from: Owner) -> Cut {
        lock(&self.cuts)[from.place()]
    }

    pub(crate) fn end(&self, ending: Ending) {
        // Whoever listens is there for as long as the run lasts.
        let _ = self.endings.send(ending);
    }

    /// Kills it after so many more moments at which it can be killed; 0: not.
    pub(crate) fn kill_after(&self, passes: u64) {
        self.passes_left.store(passes, Ordering::Relaxed);
    }

    pub(crate) fn is_killed_here(&self) -> bool {
        let left = self.passes_left.load(Ordering::Relaxed);
        if left == 0 {
            return false;
        }
        self.passes_left.store(left - 1, Ordering::Relaxed);
        if left == 1 {
            self.end(Ending::Kill);
        }
        left == 1
    }
}
