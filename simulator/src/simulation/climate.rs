//! What a seed says about a run: how the shop is built, and which faults it has to live with how often.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::random::Random;
use crate::Partitions;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Something that may go wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FaultKind {
            $($(#[$doc])* $name,)*
        }

        impl FaultKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

faults! {
    /// The clocks of replicas differ.
    Skew = "skew",
    /// A replica's clock jumps.
    ClockJumps = "clock-jumps",
    /// A client's request does not arrive.
    RequestsLost = "requests-lost",
    /// An answer does not arrive.
    AnswersLost = "answers-lost",
    /// A request with a key is sent twice.
    RequestsRepeated = "requests-repeated",
    /// A client's request or its answer takes very long.
    MessagesLate = "messages-late",
    /// Deliveries between services are lost.
    DeliveriesLost = "deliveries-lost",
    /// Deliveries between services come twice.
    DeliveriesRepeated = "deliveries-repeated",
    /// A replica does not reach a database, or hears no answer from it, for a while.
    Partition = "partition",
    /// Clients do not reach a replica for a while.
    Isolation = "isolation",
    /// A call of a store fails before it had an effect.
    StoreFails = "store-fails",
    /// A commit is applied, and its answer is lost.
    CommitsDoubtful = "commits-doubtful",
    /// A commit is given up, and applied later all the same.
    CommitsLate = "commits-late",
    /// A call of a store takes long.
    StoreSlow = "store-slow",
    /// Flushes take long.
    DiskSlow = "disk-slow",
    /// Nothing can be written for a while.
    DiskFull = "disk-full",
    /// A flush fails: the database takes no more writes and comes back without what was not flushed.
    FlushFails = "flush-fails",
    /// A database is replaced by a copy that lacks the end.
    Failover = "failover",
    /// A replica is killed at some moment.
    Kill = "kill",
    /// A replica is killed at some call of a store, before or after its effect.
    KillAtCall = "kill-at-call",
    /// A replica is stopped in good order and started again.
    Restart = "restart",
    /// A replica is stopped in good order and stays away, for a while or until the next round, as long as another of its
    /// service is there.
    Leave = "leave",
    /// A replica does nothing for a while, and then goes on.
    Freeze = "freeze",
    /// Nothing gets from one replica to another for a while.
    Cut = "cut",
    /// Connections between replicas break.
    ConnectionsBreak = "connections-break",
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How often a fault happens: for those of single calls, so often in a thousand; for the others, once in so many
/// milliseconds.
pub(crate) type Rate = u64;

/// What a seed says.
#[derive(Clone, Debug)]
pub(crate) struct Climate {
    /// Whether each process has one service only, and the others are a network away.
    pub(crate) is_apart: bool,
    /// Of each service.
    pub(crate) replicas: usize,
    pub(crate) partitions: Partitions,
    /// Whether a commit that failed is known not to have been applied.
    pub(crate) is_certain: bool,
    pub(crate) clients: usize,
    pub(crate) checkout_timeout: Duration,
    pub(crate) patience: Duration,
    pub(crate) parked_max: usize,
    /// Cancelled attempts that an order remembers by name.
    pub(crate) cancelled_max: usize,
    pub(crate) batch_inputs_max: usize,
    pub(crate) requests_waiting_max: usize,
    pub(crate) deliveries_waiting_max: usize,
    pub(crate) records_in_memory_max: usize,
    /// Writers of a partition, and commits whose fate is not known, that are told apart.
    pub(crate) writers_max: usize,
    pub(crate) doubts_max: usize,
    /// Processes of the observer, where it has processes of its own.
    pub(crate) observers: usize,
    /// Events that a log keeps for an observer that does not come.
    pub(crate) observer_lag_max: u64,
    pub(crate) tick: Duration,
    pub(crate) poll: Duration,
    /// The usual delays in milliseconds, at most.
    pub(crate) network_ms: u64,
    pub(crate) store_ms: u64,
    pub(crate) flush_ms: u64,
    pub(crate) faults: BTreeMap<FaultKind, Rate>,
}

impl Climate {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, "climate", 0);
        let ms = Duration::from_millis;
        Self {
            is_apart: false,
            replicas: random.pick(&[1, 2, 2, 3]),
            partitions: Partitions::new(|_| random.pick(&[1, 1, 2, 3])),
            is_certain: random.in_thousand(200),
            clients: random.pick(&[1, 3, 6, 10]),
            checkout_timeout: ms(random.pick(&[200, 1000, 5000])),
            patience: ms(random.pick(&[50, 1000, 3000])),
            parked_max: random.pick(&[1, 1, 2, 128]),
            batch_inputs_max: random.pick(&[1, 2, 5, 1024]),
            requests_waiting_max: random.pick(&[1, 8, 8192]),
            deliveries_waiting_max: random.pick(&[1, 16, 16_384]),
            records_in_memory_max: random.pick(&[1, 4, 400_000]),
            tick: ms(random.pick(&[5, 10, 20])),
            poll: ms(random.pick(&[50, 200, 500])),
            network_ms: random.pick(&[1, 5, 30]),
            store_ms: random.pick(&[0, 1, 5, 20]),
            flush_ms: random.pick(&[1, 5, 30]),
            cancelled_max: Random::new(seed, "memory", 0).pick(&[0, 1, 4]),
            writers_max: Random::new(seed, "memory", 1).pick(&[1, 2, 8]),
            doubts_max: Random::new(seed, "memory", 2).pick(&[1, 2, 32]),
            observers: Random::new(seed, "observer", 0).pick(&[1, 2]),
            observer_lag_max: Random::new(seed, "observer", 1).pick(&[3, 50_000, 50_000]),
            faults: faults(seed),
        }
    }

    /// Processes of the services; those of the observer come after them.
    pub(crate) fn processes(&self) -> usize {
        if self.is_apart { 3 * self.replicas } else { self.replicas }
    }

    /// Processes in which nothing but the observer runs: none where it runs beside the services.
    pub(crate) fn observing(&self) -> usize {
        if self.is_apart { self.observers } else { 0 }
    }
}

/// Each fault has a stream of its own, so that a new one changes nothing in the others.
fn faults(seed: u64) -> BTreeMap<FaultKind, Rate> {
    let often = Random::new(seed, "storminess", 0).pick(&[100, 300, 500, 700]);
    let drawn = |kind: FaultKind| {
        let mut random = Random::new(seed, kind.name(), 0);
        let is_on = random.in_thousand(often);
        let rate = match kind {
            FaultKind::ConnectionsBreak => random.pick(&[1, 5, 20]),
            FaultKind::RequestsLost
            | FaultKind::AnswersLost
            | FaultKind::StoreFails
            | FaultKind::CommitsDoubtful
            | FaultKind::CommitsLate => random.pick(&[5, 30, 150]),
            FaultKind::RequestsRepeated | FaultKind::MessagesLate | FaultKind::StoreSlow => {
                random.pick(&[20, 100, 300])
            }
            FaultKind::Skew | FaultKind::DeliveriesLost | FaultKind::DeliveriesRepeated => random.pick(&[300, 1000]),
            _ => random.pick(&[300, 1000, 4000]),
        };
        is_on.then_some((kind, rate))
    };
    FaultKind::ALL.iter().copied().filter_map(drawn).collect()
}
