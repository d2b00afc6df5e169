//! What a user may set about how a service runs.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{Timestamp, link::DeliveryFault};

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
    /// Records that a partition keeps in memory; about 300 bytes each for small records.
    pub records_in_memory_max: usize,
    /// How long a reply is remembered under its idempotency key.
    pub idempotency_retention: Duration,
    /// How often deadlines and patience are looked at.
    pub tick: Duration,
    /// How often a consumer looks at the logs themselves, in case a delivery was lost; also the time after which an
    /// idle consumer stores its cursors, and after which a fired deadline fires again if nothing came of it.
    pub poll: Duration,
    /// Tells this writer from every other that a partition has had or will have. `None`: a random number, which is right
    /// unless a run has to repeat itself exactly.
    pub writer_id: Option<u64>,
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
            writer_id: None,
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
