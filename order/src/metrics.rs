//! How checkouts end, and how long they take.

use std::time::Duration;

use contract::{Event, Reason};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, exemplar::HistogramWithExemplars, family::Family},
    registry::Registry,
};
use saga::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// The trace of a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Trace {
    trace_id: String,
}

/// Of which checkouts there are traces: of all that were refused, of all that took long, and of a share of the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// From 0 to 1.
    pub share: f64,
    /// From how long on a checkout took long.
    pub slow: Duration,
}

/// The metrics of checkouts.
#[derive(Clone, Debug)]
pub struct Metrics {
    outcomes: Family<Outcome, Counter>,
    completed: Counter,
    duration: HistogramWithExemplars<Trace>,
    sampling: Sampling,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(Sampling { share: 0.0, slow: Duration::MAX })
    }
}

impl Metrics {
    /// Metrics that name traces of some checkouts, for those who look for an example.
    #[must_use]
    pub fn new(sampling: Sampling) -> Self {
        let outcomes = Family::<Outcome, Counter>::default();
        let completed = outcomes.get_or_create_owned(&Outcome { outcome: "completed" });
        // From the beginning, for a rate is the difference to what was there before.
        for outcome in REFUSALS {
            outcomes.get_or_create_owned(&Outcome { outcome });
        }
        // Events carry milliseconds, so that is where the buckets begin.
        let buckets = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
        let duration = HistogramWithExemplars::new(buckets.into_iter());
        Self { outcomes, completed, duration, sampling }
    }

    /// Adds the metrics to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("sagas", "Checkouts decided, by outcome", self.outcomes.clone());
        registry.register(
            "saga_duration_seconds",
            "Time from a checkout's start to its decision",
            self.duration.clone(),
        );
    }

    pub(crate) fn decided(&self, event: &Event, now: Timestamp) {
        let (checkout, outcome) = match event {
            Event::CheckoutCompleted(checkout) => {
                self.completed.inc();
                (checkout, None)
            }
            Event::CheckoutCancelled(checkout, reason, _) => (checkout, Some(name(reason))),
            _ => return,
        };
        if let Some(outcome) = outcome {
            self.outcomes.get_or_create(&Outcome { outcome }).inc();
        }
        let took = now.since(Timestamp(checkout.started_at_ms));
        let is_traced =
            outcome.is_some() || took >= self.sampling.slow || checkout.trace().is_in_share(self.sampling.share);
        let exemplar = is_traced.then(|| Trace { trace_id: checkout.trace().to_string() });
        self.duration.observe(took.as_secs_f64(), exemplar, None);
    }
}

/// Every [`name`].
const REFUSALS: [&str; 7] =
    ["out_of_stock", "unknown_item", "not_enough_credit", "unknown_user", "busy", "timeout", "cancelled_by_operator"];

pub(crate) fn name(reason: &Reason) -> &'static str {
    match reason {
        Reason::OutOfStock { .. } => "out_of_stock",
        Reason::UnknownItem { .. } => "unknown_item",
        Reason::NotEnoughCredit => "not_enough_credit",
        Reason::UnknownUser => "unknown_user",
        Reason::Busy => "busy",
        Reason::Timeout => "timeout",
        Reason::CancelledByOperator { .. } => "cancelled_by_operator",
    }
}
