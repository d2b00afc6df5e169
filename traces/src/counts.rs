//! What became of traces, for `/metrics`.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    reason: &'static str,
}

/// Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    sent: Counter,
    dropped: Family<Why, Counter>,
}

/// Why traces that were to be sent are not: more than may be sent in a second; more than wait to be sent; no answer from the
/// endpoint; a no from it; and those of checkouts of whose decision nothing was heard.
const REASONS: [&str; 5] = ["rate", "queue", "unreachable", "refused", "undecided"];

impl Default for Counts {
    fn default() -> Self {
        let dropped = Family::<Why, Counter>::default();
        for reason in REASONS {
            dropped.get_or_create_owned(&Why { reason });
        }
        Self { sent: Counter::default(), dropped }
    }
}

impl Counts {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("traces_sent", "Traces of checkouts that the endpoint took", self.sent.clone());
        registry.register("traces_dropped", "Traces of checkouts that were not sent, by reason", self.dropped.clone());
    }

    pub(crate) fn sent(&self, traces: u64) {
        self.sent.inc_by(traces);
    }

    pub(crate) fn dropped(&self, reason: &'static str, traces: u64) {
        self.dropped.get_or_create(&Why { reason }).inc_by(traces);
    }

    #[cfg(test)]
    pub(crate) fn of(&self, reason: &'static str) -> u64 {
        self.dropped.get_or_create(&Why { reason }).get()
    }
}
