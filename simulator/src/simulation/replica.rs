//! One process, with a replica of each service or of one: starts, dies, freezes, has a clock of its own.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use saga::{Clock, DeliveryFault, Halt, Settings, Timestamp};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use super::{
    climate::{Climate, FaultKind},
    connection::wait,
    process::{Desks, Process},
    random::Random,
    world::{SERVICES, World, lock},
};
use crate::ServiceName;

/// Where the simulated clocks begin: any time well after 1970, so that a jump back stays above it.
const EPOCH_MS: i64 = 1_700_000_000_000;

/// How long a process that is told to stop has before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

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

/// A clock that differs from the others and jumps.
#[derive(Debug)]
pub(crate) struct SimulatedClock {
    begun: Instant,
    offset_ms: AtomicI64,
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        let now = EPOCH_MS + elapsed + self.offset_ms.load(Ordering::Relaxed);
        Timestamp(u64::try_from(now).unwrap_or_default())
    }
}

/// One process.
pub(crate) struct Replica {
    /// Of which service; `None`: of each.
    pub(crate) service: Option<ServiceName>,
    address: String,
    clock: Arc<SimulatedClock>,
    desks: Mutex<Option<Desks>>,
    is_frozen: AtomicBool,
    /// Wakes in the order in which they came; a watch channel of tokio's does not.
    thaw: Notify,
    is_isolated: AtomicBool,
    /// How many processes have ended.
    ended: AtomicU64,
    ending: Notify,
    cuts: Mutex<[Cut; 3]>,
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
        let service = climate.is_apart.then(|| SERVICES[number / climate.replicas]);
        let address = match service {
            None => format!("market-{number}"),
            Some(service) => format!("{service}-{}", number % climate.replicas),
        };
        Self {
            service,
            address,
            clock: Arc::new(SimulatedClock { begun: Instant::now(), offset_ms: AtomicI64::new(skew - 120_000) }),
            desks: Mutex::new(None),
            is_frozen: AtomicBool::new(false),
            thaw: Notify::new(),
            is_isolated: AtomicBool::new(false),
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

    pub(crate) fn serves(&self, service: ServiceName) -> bool {
        self.service.is_none_or(|own| own == service)
    }

    /// Where it takes requests; `None` while it is down.
    pub(crate) fn desks(&self) -> Option<Desks> {
        lock(&self.desks).clone()
    }

    pub(crate) fn jump_clock(&self, ms: i64) {
        self.clock.offset_ms.fetch_add(ms, Ordering::Relaxed);
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

    pub(crate) fn cut(&self, site: usize, cut: Cut) {
        lock(&self.cuts)[site] = cut;
    }

    pub(crate) fn cut_from(&self, site: usize) -> Cut {
        lock(&self.cuts)[site]
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

pub(crate) fn settings(world: &World, number: usize, random: &mut Random) -> Settings {
    let climate = &world.climate;
    let rate = |kind| climate.faults.get(&kind).copied().unwrap_or_default();
    let (lost, repeated) = (rate(FaultKind::DeliveriesLost), rate(FaultKind::DeliveriesRepeated));
    let delivery_fault = if random.in_thousand(lost) {
        world.reach("deliveries lost");
        DeliveryFault::DropEvery
    } else if random.in_thousand(repeated) {
        world.reach("deliveries repeated");
        DeliveryFault::RepeatEvery
    } else {
        DeliveryFault::None
    };
    Settings {
        clock: Arc::clone(&world.replicas[number].clock) as Arc<dyn Clock>,
        batch_inputs_max: climate.batch_inputs_max,
        requests_waiting_max: climate.requests_waiting_max,
        deliveries_waiting_max: climate.deliveries_waiting_max,
        records_in_memory_max: climate.records_in_memory_max,
        tick: climate.tick,
        poll: climate.poll,
        writer_id: Some(random.between(0, u64::MAX)),
        delivery_fault,
        ..Settings::default()
    }
}

/// Runs a replica, and starts it again whenever it has ended, for as long as the run lasts.
pub(crate) async fn supervise(world: Arc<World>, number: usize) {
    let replica = &world.replicas[number];
    let Some(mut endings) = lock(&replica.heard).take() else { return };
    let mut random = Random::new(world.seed, "replica", number as u64);
    let calls = Arc::new(Mutex::new(Random::new(world.seed, "calls", number as u64)));
    loop {
        let mut process = Process::start(&world, number, &mut random, &calls);
        *lock(&replica.desks) = Some(process.desks.clone());
        world.note(format_args!("replica {number} starts"));
        let ended = tokio::select! {
            biased;
            ending = endings.recv() => Ok(ending),
            halt = process.halted() => Err(halt),
        };
        *lock(&replica.desks) = None;
        world.network.close(replica.address());
        if !process.is_recovered() {
            world.reach("ended during recovery");
        }
        world.note(format_args!("replica {number} ends: {ended:?}"));
        match ended {
            Ok(Some(Ending::Kill)) => {
                world.reach("replica killed");
                drop(process);
            }
            Ok(_) => stop(&world, process).await,
            Err(halt) => judge(&world, &halt),
        }
        replica.ended.fetch_add(1, Ordering::Relaxed);
        replica.ending.notify_waiters();
        // Whatever else was to end it has.
        replica.kill_after(0);
        while endings.try_recv().is_ok() {}
        let pause_ms = if world.is_stormy() { 2000 } else { 20 };
        wait(Duration::from_millis(1) + random.delay(pause_ms)).await;
    }
}

async fn stop(world: &World, process: Process) {
    match tokio::time::timeout(STOP_TIMEOUT, process.stop()).await {
        Ok(Ok(())) => world.reach("replica stopped in good order"),
        Ok(Err(halt)) => judge(world, &halt),
        Err(_) => world.reach("replica killed while it stopped"),
    }
}

/// A partition may stop by itself because its database was lost, and for no other reason.
fn judge(world: &World, halt: &Halt) {
    match halt {
        Halt::Poisoned(reason) if !reason.contains("panicked") => world.reach("halted by a lost database"),
        halt => world.breaks(format!("a partition stopped: {halt}")),
    }
}
