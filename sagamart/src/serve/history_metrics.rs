//! What `/metrics` says of the history: asked of it every few seconds, whichever replica keeps it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use observer::{History, Observer, Span};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use saga::Handle;
use tokio::{runtime, time::sleep};

/// As often as Prometheus scrapes in the shipped configuration: a question costs one read of the partition's owner.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// What the history said when it was asked last; `None`: it did not answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct HistoryMetrics(Arc<Mutex<Option<Span>>>);

impl HistoryMetrics {
    /// Adds the metrics to `registry`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    /// Asks from now on, until the process ends.
    pub(crate) fn ask(self, history: Handle<Observer>, threads: &runtime::Handle) {
        let history = History(history);
        threads.spawn(async move {
            loop {
                self.set(history.span().await.ok());
                sleep(ASK_EVERY).await;
            }
        });
    }

    fn set(&self, span: Option<Span>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = span;
    }

    fn get(&self) -> Option<Span> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Collector for HistoryMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut write = |name: &str, help: &str, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        let span = self.get();
        write("history_answers", "1 while the history answers questions.", &gauge(u64::from(span.is_some())))?;
        // A figure that is not known now would look like one that does not change.
        let Some(span) = span else { return Ok(()) };
        write("history_bytes", "About how much the history takes.", &gauge(span.bytes))?;
        write("history_undecided_checkouts", "Checkouts that are open in the history.", &gauge(span.undecided))?;
        let missed = "Events that were dropped before the history heard of them, since it began";
        write("history_missed_events", missed, &ConstCounter::new(span.missed))?;
        let has_gap = "1 for an hour after events were missed: what is shown as open may be decided.";
        write("history_has_gap", has_gap, &gauge(u64::from(span.is_doubtful)))?;
        if let Some(from) = span.from {
            let seconds = Duration::from_millis(from).as_secs_f64();
            write(
                "history_from_seconds",
                "When the oldest of it happened, in seconds since 1970.",
                &ConstGauge::new(seconds),
            )?;
        }
        Ok(())
    }
}

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(value.try_into().unwrap_or(i64::MAX))
}
