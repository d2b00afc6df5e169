//! What `/metrics` says of the process as a whole: whether requests are welcome, and what it takes of the machine.
//!
//! The names that begin with `process_` are those that Prometheus' own client libraries use for the same.

use std::{
    fmt, fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        counter::ConstCounter,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
};
use rustix::{
    param::page_size,
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};
use web::Readiness;

/// See the module.
#[derive(Debug)]
pub(crate) struct Vitals {
    readiness: Readiness,
    runs: &'static str,
    began: f64,
}

impl Vitals {
    /// Of a process that begins now, and runs a service or the whole shop.
    pub(crate) fn new(readiness: Readiness, runs: &'static str) -> Self {
        Self { readiness, runs, began: clock() }
    }
}

impl Collector for Vitals {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut write = |name: &str, help: &str, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        let labels = [("runs", self.runs), ("version", env!("CARGO_PKG_VERSION"))];
        let process = Family::<[(&str, &str); 2], Gauge>::default();
        process.get_or_create(&labels).set(1);
        write("sagamart_process_info", "What the process runs, and its version.", &process)?;
        let report = self.readiness.report();
        let (ready, has_room) = (gauge(report.ready), gauge(report.limits.is_empty()));
        write("sagamart_ready", "1 while requests are welcome here, as /readyz says.", &ready)?;
        write("sagamart_store_has_room", "1 while the store takes new changes.", &has_room)?;
        write("sagamart_clock_seconds", "The clock of this host, in seconds since 1970.", &ConstGauge::new(clock()))?;
        write(
            "process_start_time_seconds",
            "When the process began, in seconds since 1970.",
            &ConstGauge::new(self.began),
        )?;
        write(
            "process_cpu_seconds",
            "Processor time spent, by the program and the system for it.",
            &ConstCounter::new(processor_seconds()),
        )?;
        // What the system does not tell is left out, and so looks like nothing else.
        if let Some(bytes) = resident_bytes() {
            write("process_resident_memory_bytes", "Memory in use.", &gauge(bytes))?;
        }
        if let Some(open) = open_descriptors() {
            write("process_open_fds", "Open file descriptors.", &gauge(open))?;
        }
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            write("process_max_fds", "How many file descriptors may be open.", &gauge(limit))?;
        }
        Ok(())
    }
}

/// Above what an `i64` holds, all limits are alike.
fn gauge(value: impl TryInto<i64>) -> ConstGauge {
    ConstGauge::new(value.try_into().unwrap_or(i64::MAX))
}

/// Seconds since 1970; 0 for a clock that is before that.
fn clock() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn processor_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(used).map_or(0.0, |used| used.as_secs_f64())
}

fn resident_bytes() -> Option<usize> {
    let pages: usize = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(page_size())
}

/// Without the one that they are counted with.
fn open_descriptors() -> Option<usize> {
    fs::read_dir("/proc/self/fd").ok()?.count().checked_sub(1)
}
