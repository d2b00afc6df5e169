//! What a user may set about how a service runs.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{Timestamp, hashing::random_seed, link::DeliveryFault};

/// Where the engine gets the time that steps are given.
pub trait Clock: Send + Sync {
    /// The time now. It may jump; deadlines run on a monotonic clock of their own once they are set.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::default().after(elapsed)
    }
}

/// How a service runs. Every bound says why it is what it is.
#[derive(Clone)]
pub struct Settings {
    /// The time that steps are given.
    pub clock: Arc<dyn Clock>,
    /// The most inputs in one batch. Larger batches share a commit among more inputs but make the first one wait
    /// longer; past a thousand there is nothing left to share.
    pub batch_inputs_max: usize,
    /// Requests that may wait for a partition; further ones are told that it is overloaded. At 50,000 a second this
    /// much is a wait of about a tenth of a second.
    pub requests_waiting_max: usize,
    /// Deliveries that may wait for a partition; further ones are lost and read from the log instead.
    pub deliveries_waiting_max: usize,
    /// How much a partition keeps in memory, in small records, which take about 300 bytes each. A record counts as one,
    /// and as another for each 128 bytes that it is stored in.
    pub records_in_memory_max: usize,
    /// How long a reply is remembered under its idempotency key, by the clock of the partition's owner.
    pub idempotency_retention: Duration,
    /// How long a reply of what has changed nothing is remembered, if that is shorter: a refusal costs its caller
    /// nothing, so it must not cost the server space for a day.
    pub unchanged_retention: Duration,
    /// The bytes of keys and replies that a partition remembers; further requests with a key are told that it is
    /// overloaded. To forget some sooner than promised would break the promise.
    pub idempotency_bytes_max: u64,
    /// How often deadlines and patience are looked at.
    pub tick: Duration,
    /// How often a consumer looks at the logs themselves, in case a delivery was lost; also the time after which an
    /// idle consumer stores its cursors, and after which a fired deadline fires again if nothing came of it.
    pub poll: Duration,
    /// How many events of a log are kept for an observer that has not consumed them (see
    /// [`Participant::IS_OBSERVER`](crate::Participant::IS_OBSERVER)).
    pub observer_lag_max: u64,
    /// How long an observer lets events come together before it takes them, unless somebody asks it something: a commit is
    /// shared by more of them, and those whom it watches are disturbed less often.
    pub observer_linger: Duration,
    /// How long a partition that is told to stop may take for what is queued, and for a store that does not answer.
    pub stop_grace: Duration,
    /// Tells this writer from every other that a partition has had or will have. `None`: a random number, which is right
    /// unless a run has to repeat itself exactly.
    pub writer_id: Option<u64>,
    /// Writers of a partition that are told apart, so that one that is not sure whether it committed can find out. It may
    /// be any number: what is not known any more is told as unknown.
    pub writers_max: usize,
    /// Commits of a partition whose fate is not known yet and that are told apart, in the same way.
    pub doubts_max: usize,
    /// Seeds the hashing of names that clients choose. Random, which is right unless a run has to repeat itself exactly.
    pub hash_seed: u64,
    /// For tests.
    pub delivery_fault: DeliveryFault,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            batch_inputs_max: 1024,
            requests_waiting_max: 8192,
            deliveries_waiting_max: 16_384,
            records_in_memory_max: 400_000,
            idempotency_retention: Duration::from_secs(24 * 60 * 60),
            tick: Duration::from_millis(10),
            poll: Duration::from_millis(500),
            // Some seconds of a fast shop, and in a database that keeps its logs in memory some 15 MB of it a partition.
            observer_lag_max: 50_000,
            observer_linger: Duration::from_millis(200),
            // Longer than some flushes of a busy disk; with the time that requests have before it, below the 30 s after
            // which Kubernetes kills by default.
            stop_grace: Duration::from_secs(5),
            unchanged_retention: Duration::from_secs(10 * 60),
            idempotency_bytes_max: 1 << 30,
            writer_id: None,
            writers_max: 8,
            doubts_max: 32,
            hash_seed: random_seed(),
            delivery_fault: DeliveryFault::None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("batch_inputs_max", &self.batch_inputs_max)
            .field("requests_waiting_max", &self.requests_waiting_max)
            .field("records_in_memory_max", &self.records_in_memory_max)
            .field("idempotency_retention", &self.idempotency_retention)
            .finish_non_exhaustive()
    }
}
