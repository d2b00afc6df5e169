//! What a service tells about itself, as Prometheus metrics. Counted once a batch, not once an input.

use std::{sync::Arc, time::Duration};

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

/// The metrics of all services in a process that were given this value.
#[derive(Clone, Debug)]
pub struct Metrics {
    commits: Family<ServiceLabels, Histogram, fn() -> Histogram>,
    events: Family<ServiceLabels, Counter>,
    conflicts: Family<ServiceLabels, Counter>,
    failures: Family<ServiceLabels, Counter>,
    loads: Family<ServiceLabels, Counter>,
    notes: Family<NoteLabels, Counter>,
    open: Family<PartitionLabels, Gauge>,
    stuck: Family<PartitionLabels, Gauge>,
    waiting: Family<PartitionLabels, Gauge>,
    retained: Family<PartitionLabels, Gauge>,
    lag: Family<PartitionLabels, Gauge>,
    records: Family<PartitionLabels, Gauge>,
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
            loads: Family::default(),
            notes: Family::default(),
            open: Family::default(),
            stuck: Family::default(),
            waiting: Family::default(),
            retained: Family::default(),
            lag: Family::default(),
            records: Family::default(),
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
        registry.register("records_loaded", "Records loaded because they were not in memory", self.loads.clone());
        registry.register("steps_noted", "What steps noted, by kind", self.notes.clone());
        registry.register("sagas_in_flight", "Sagas begun and not decided", self.open.clone());
        registry.register("sagas_stuck", "Sagas past their deadline and not decided", self.stuck.clone());
        registry.register("requests_waiting", "Requests taken and not answered", self.waiting.clone());
        registry.register("log_retained_events", "Events kept for a consumer or an open saga", self.retained.clone());
        registry.register("log_lag_events", "How far behind its sources' logs a partition is", self.lag.clone());
        registry.register("records_in_memory", "Records kept in memory", self.records.clone());
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
            loads: self.loads.get_or_create_owned(&own),
            notes: self.notes.clone(),
            known_notes: Vec::new(),
            gauges: Arc::new([
                self.open.get_or_create_owned(&place),
                self.stuck.get_or_create_owned(&place),
                self.waiting.get_or_create_owned(&place),
                self.retained.get_or_create_owned(&place),
                self.lag.get_or_create_owned(&place),
                self.records.get_or_create_owned(&place),
            ]),
        }
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
    loads: Counter,
    notes: Family<NoteLabels, Counter>,
    known_notes: Vec<(&'static str, Counter)>,
    gauges: Arc<[Gauge; 6]>,
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

    pub(crate) fn report(&self, values: [u64; 6]) {
        for (gauge, value) in self.gauges.iter().zip(values) {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}
