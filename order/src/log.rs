//! What the log says of checkouts: those that ended otherwise than paid, and those that took long. Of one that is paid in time it
//! says nothing.

use std::{sync::Arc, time::Duration};

use contract::{Checkout, OrderId, Reason, RequestName, Shortage, TraceId};
use saga::{Refrain, Timestamp};

use crate::metrics::name;

/// So many lines of a kind in so long: enough to see who is concerned, and few enough not to be in the way of anything else.
const LINES_MAX: u32 = 10;
const WITHIN: Duration = Duration::from_secs(10);

/// See the module. Clones share it.
#[derive(Clone, Debug)]
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    slow: Duration,
    refrain: Refrain,
}

impl Log {
    /// A checkout is slow if its caller waits for longer than `slow`.
    #[must_use]
    pub fn new(slow: Duration) -> Self {
        Self(Arc::new(Inner { slow, refrain: Refrain::new(LINES_MAX, WITHIN) }))
    }

    /// A checkout was decided against.
    pub(crate) fn unpaid(&self, checkout: &Checkout, reason: &Reason, shortage: Option<Shortage>, now: Timestamp) {
        let (order, user, name) = (checkout.order.as_str(), checkout.user.as_str(), name(reason));
        let Some(times) = self.0.refrain.say(name) else { return };
        let item = match reason {
            Reason::OutOfStock { item } | Reason::UnknownItem { item } => Some(item.as_str()),
            Reason::NotEnoughCredit
            | Reason::UnknownUser
            | Reason::Busy
            | Reason::Timeout
            | Reason::CancelledByOperator { .. } => None,
        };
        let [by, because] = match reason {
            Reason::CancelledByOperator { by, because } => [Some(by.as_str()), Some(because.as_str())],
            _ => [None; 2],
        };
        let [wanted, left] =
            [shortage.map(|shortage| shortage.wanted.get()), shortage.map(|shortage| shortage.left.get())];
        let took_ms = millis(now.since(Timestamp(checkout.started_at_ms)));
        let (suppressed, request_id) = (times - 1, checkout.request.as_ref().map(RequestName::as_str));
        tracing::info!(
            order,
            user,
            reason = name,
            item,
            by,
            because,
            wanted,
            left,
            took_ms,
            request_id,
            trace_id = %checkout.trace(),
            suppressed,
            "checkout not paid"
        );
    }

    /// The caller of a checkout was answered, after so long.
    pub(crate) fn answered(
        &self,
        order: &OrderId,
        (request, trace): (Option<&RequestName>, TraceId),
        is_paid: bool,
        took: Duration,
    ) {
        if took < self.0.slow {
            return;
        }
        if let Some(times) = self.0.refrain.say("slow") {
            let (order, took_ms, request_id) = (order.as_str(), millis(took), request.map(RequestName::as_str));
            tracing::warn!(order, paid = is_paid, took_ms, request_id, trace_id = %trace, suppressed = times - 1, "slow checkout");
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
