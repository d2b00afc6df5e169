//! Traces of checkouts for OpenTelemetry, made of what an observer hears.
//!
//! ```text
//!  observer ── each event, once it is in the history ──▶ Collector ── decided, chosen, two ticks old ──▶ queue ──▶ Sender ── OTLP ──▶ endpoint
//!                                                          │ passed over: paid in time, not in the share   │ full       │ fails
//!                                                          ▼                                               ▼            ▼
//!                                                       forgotten                                       counted      counted
//! ```
//!
//! Nothing of it is on the way of a checkout: what a span says is in the events, each of which has the time of its commit. So
//! it is known how a checkout ended when it is chosen whether to send its trace.

mod collector;
mod counts;
mod endpoint;
mod sender;
mod spans;

use std::{sync::Arc, time::Duration};

use observer::Witness;
use prometheus_client::registry::Registry;
use tokio::{runtime, sync::mpsc};

use collector::Collector;
use counts::Counts;
pub use endpoint::{Endpoint, Error};
use sender::Sender;

/// Traces that wait to be sent: what a second may bring, four times. Some 4 KiB each.
const QUEUE: usize = 4 * collector::CHOSEN_PER_TICK_MAX as usize;

/// How often it is looked for traces to send.
const TICK: Duration = Duration::from_secs(1);

/// Of which checkouts traces are sent: of all that were refused, of all that took long, and of a share of the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// From 0 to 1.
    pub share: f64,
    /// From how long on a checkout took long.
    pub slow: Duration,
}

/// Sends traces from now on, on the threads of `threads`, of what the witness hears.
pub fn begin(
    endpoint: Endpoint,
    sampling: Sampling,
    registry: &mut Registry,
    threads: &runtime::Handle,
) -> Arc<dyn Witness> {
    let counts = Counts::default();
    counts.register(registry);
    let collector = Arc::new(Collector::new(sampling, counts.clone()));
    let (queue, queued) = mpsc::channel(QUEUE);
    threads.spawn(Sender::new(endpoint, counts.clone()).run(queued));
    let due = Arc::clone(&collector);
    threads.spawn(async move {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            for story in due.tick() {
                // Full: nobody takes them in.
                if queue.try_send(story).is_err() {
                    counts.dropped("queue", 1);
                }
            }
        }
    });
    collector
}
