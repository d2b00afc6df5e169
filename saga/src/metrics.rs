//! What a service tells about itself, as Prometheus metrics. Counted once a batch, not once an input.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::Partition;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabels {
    service: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabels {
    service: &'static str,
    partition: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoteLabels {
    service: &'static str,
    note: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabels {
    service: &'static str,
    peer: String,
}

/// What a sequencer says of its partition with each tick, in the order of [`GAUGES`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    pub(crate) owned: u64,
    pub(crate) in_flight: u64,
    pub(crate) stuck: u64,
    pub(crate) held: u64,
    pub(crate) held_seconds_max: u64,
    pub(crate) parked: u64,
    pub(crate) waiting: u64,
    pub(crate) undurable: u64,
    pub(crate) retained: u64,
    pub(crate) lag: u64,
    pub(crate) records: u64,
    pub(crate) idempotency_keys: u64,
    pub(crate) idempotency_bytes: u64,
}

impl Report {
    fn into_values(self) -> [u64; GAUGES.len()] {
        let Self { owned, in_flight, stuck, held, held_seconds_max, parked, waiting, undurable, .. } = self;
        let Self { retained, lag, records, idempotency_keys, idempotency_bytes, .. } = self;
        [
            owned,
            in_flight,
            stuck,
            held,
            held_seconds_max,
            parked,
            waiting,
            undurable,
            retained,
            lag,
            records,
            idempotency_keys,
            idempotency_bytes,
        ]
    }
}

/// Names and explanations.
const GAUGES: [(&str, &str); 13] = [
    ("partition_owned", "1 while this process looks after the partition"),
    ("sagas_in_flight", "Sagas begun and not decided"),
    ("sagas_stuck", "Sagas past their deadline and not decided"),
    ("sagas_held", "Sagas for which something is held until they are decided"),
    ("sagas_held_seconds", "For how long the longest of them has been held, since this process looks after it"),
    ("sagas_parked", "Sagas that wait in a queue for what others hold"),
    ("requests_waiting", "Requests taken and not answered"),
    ("outbox_waiting", "Commits and answers that wait until what they depend on is durable"),
    ("log_retained_events", "Events kept for a consumer or an open saga"),
    ("log_lag_events", "How far behind its sources' logs a partition is"),
    ("records_in_memory", "Records kept in memory"),
    ("idempotency_keys", "Idempotency keys that are remembered"),
    ("idempotency_bytes", "What those keys and their replies take"),
];

/// The metrics of all services in a process that were given this value.
#[derive(Clone, Debug)]
pub struct Metrics {
    commits: Family<ServiceLabels, Histogram, fn() -> Histogram>,
    events: Family<ServiceLabels, Counter>,
    conflicts: Family<ServiceLabels, Counter>,
    failures: Family<ServiceLabels, Counter>,
    unreadable: Family<ServiceLabels, Counter>,
    loads: Family<ServiceLabels, Counter>,
    notes: Family<NoteLabels, Counter>,
    failing: Family<PartitionLabels, Gauge>,
    strangers: Family<PeerLabels, Counter>,
    missing: Family<PartitionLabels, Gauge>,
    replicas: Family<ServiceLabels, Gauge>,
    fit: Family<ServiceLabels, Gauge>,
    gauges: [Family<PartitionLabels, Gauge>; GAUGES.len()],
}

impl Default for Metrics {
    fn default() -> Self {
        // From a microsecond, what a commit to memory takes, to about ten seconds.
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(1e-6, 4.0, 12));
        Self {
            commits: Family::new_with_constructor(histogram),
            events: Family::default(),
            conflicts: Family::default(),
            failures: Family::default(),
            unreadable: Family::default(),
            failing: Family::default(),
            loads: Family::default(),
            notes: Family::default(),
            strangers: Family::default(),
            missing: Family::default(),
            replicas: Family::default(),
            fit: Family::default(),
            gauges: Default::default(),
        }
    }
}

impl Metrics {
    /// Adds the metrics to `registry`, whose prefix becomes theirs.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("commit_duration_seconds", "Time that a commit to the store took", self.commits.clone());
        registry.register("events", "Events appended to the logs", self.events.clone());
        registry.register("commit_conflicts", "Commits lost to another writer", self.conflicts.clone());
        registry.register("store_failures", "Calls that the store failed", self.failures.clone());
        let unreadable = "Loads given up because the store answers, but not with these records";
        registry.register("records_unreadable", unreadable, self.unreadable.clone());
        registry.register("partition_failing", "1 while the partition's store fails it", self.failing.clone());
        registry.register("records_loaded", "Records loaded because they were not in memory", self.loads.clone());
        registry.register("steps_noted", "What steps noted, by kind", self.notes.clone());
        registry.register(
            "strangers_met",
            "Peers not talked to, for their data are not of this shop",
            self.strangers.clone(),
        );
        let help = "Events that others know and the data lack: the partition stands still";
        registry.register("data_missing_events", help, self.missing.clone());
        let help = "Replicas of the service on its membership list, as this one reads it";
        registry.register("replicas", help, self.replicas.clone());
        registry.register("replica_fit", "1 while this replica reaches all that its partitions need", self.fit.clone());
        for ((name, help), family) in GAUGES.into_iter().zip(&self.gauges) {
            registry.register(name, help, family.clone());
        }
    }

    pub(crate) fn strangers(&self, service: &'static str) -> Strangers {
        Strangers { service, family: self.strangers.clone() }
    }

    pub(crate) fn replica(&self, service: &'static str) -> ReplicaMetrics {
        let own = ServiceLabels { service };
        ReplicaMetrics { replicas: self.replicas.get_or_create_owned(&own), fit: self.fit.get_or_create_owned(&own) }
    }

    pub(crate) fn partition(&self, service: &'static str, partition: Partition) -> PartitionMetrics {
        let own = ServiceLabels { service };
        let place = PartitionLabels { service, partition: partition.into() };
        PartitionMetrics {
            service,
            commits: self.commits.get_or_create_owned(&own),
            events: self.events.get_or_create_owned(&own),
            conflicts: self.conflicts.get_or_create_owned(&own),
            failures: self.failures.get_or_create_owned(&own),
            unreadable: self.unreadable.get_or_create_owned(&own),
            failing: self.failing.get_or_create_owned(&place),
            loads: self.loads.get_or_create_owned(&own),
            notes: self.notes.clone(),
            missing: self.missing.get_or_create_owned(&place),
            known_notes: Vec::new(),
            gauges: self.gauges.each_ref().map(|family| family.get_or_create_owned(&place)),
        }
    }
}

/// Counts processes that are not of this shop.
#[derive(Debug)]
pub(crate) struct Strangers {
    service: &'static str,
    family: Family<PeerLabels, Counter>,
}

impl Strangers {
    /// Begins to count those that call themselves `peer`: what rises from nothing shows as no rise.
    pub(crate) fn expect(&self, peer: &str) {
        self.of(peer);
    }

    /// Somebody calls itself `peer`, and is not the one that is meant.
    pub(crate) fn met(&self, peer: &str) {
        self.of(peer).inc();
    }

    fn of(&self, peer: &str) -> Counter {
        self.family.get_or_create_owned(&PeerLabels { service: self.service, peer: peer.to_owned() })
    }
}

/// What one replica knows of its service.
#[derive(Clone, Debug)]
pub(crate) struct ReplicaMetrics {
    replicas: Gauge,
    fit: Gauge,
}

impl ReplicaMetrics {
    /// So many replicas live.
    pub(crate) fn replicas(&self, count: usize) {
        self.replicas.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// This one reaches all that it needs, or not.
    pub(crate) fn fit(&self, fit: bool) {
        self.fit.set(fit.into());
    }
}

/// One partition's share, looked up once.
#[derive(Debug)]
pub(crate) struct PartitionMetrics {
    service: &'static str,
    commits: Histogram,
    events: Counter,
    conflicts: Counter,
    failures: Counter,
    unreadable: Counter,
    failing: Gauge,
    loads: Counter,
    notes: Family<NoteLabels, Counter>,
    missing: Gauge,
    known_notes: Vec<(&'static str, Counter)>,
    gauges: [Gauge; GAUGES.len()],
}

impl PartitionMetrics {
    pub(crate) fn committed(&self, duration: Duration, events: usize) {
        self.commits.observe(duration.as_secs_f64());
        self.events.inc_by(events as u64);
    }

    pub(crate) fn conflict(&self) {
        self.conflicts.inc();
    }

    pub(crate) fn failure(&self) {
        self.failures.inc();
    }

    pub(crate) fn unreadable(&self) {
        self.unreadable.inc();
    }

    pub(crate) fn failing(&self, failing: bool) {
        self.failing.set(failing.into());
    }

    pub(crate) fn loads(&self, records: usize) {
        self.loads.inc_by(records as u64);
    }

    pub(crate) fn notes(&mut self, notes: &[&'static str]) {
        for &note in notes {
            if let Some((_, counter)) = self.known_notes.iter().find(|(known, _)| *known == note) {
                counter.inc();
            } else {
                let counter = self.notes.get_or_create_owned(&NoteLabels { service: self.service, note });
                counter.inc();
                self.known_notes.push((note, counter));
            }
        }
    }

    pub(crate) fn missing(&self, events: u64) {
        self.missing.set(i64::try_from(events).unwrap_or(i64::MAX));
    }

    pub(crate) fn report(&self, report: Report) {
        for (gauge, value) in self.gauges.iter().zip(report.into_values()) {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}
