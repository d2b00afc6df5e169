//! Whether a partition's store does what it is asked for, and what is said of it.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use crate::{
    LogName,
    health::{FAILING_AFTER, Status, Trouble},
    metrics::PartitionMetrics,
};

/// For how long after a record could not be read such a record is not tried twice, and the partition is not well.
const UNREADABLE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct StoreHealth {
    trouble: Trouble,
    /// Until when what cannot be read is refused without a second try.
    unreadable_until: Option<Instant>,
}

impl StoreHealth {
    /// The store failed: counts that, and says so if it is news. Returns whether it has been failing for long.
    pub(super) fn failed(&mut self, log: &LogName, reason: &str, status: &Status, metrics: &PartitionMetrics) -> bool {
        metrics.failure();
        let now = Instant::now();
        let lasts = self.trouble.failed(now);
        if let Some(failures) = self.trouble.due_to_say(now) {
            tracing::warn!(%log, reason, failures, "the store failed, trying again");
        }
        let is_failing = lasts >= FAILING_AFTER;
        if is_failing {
            status.fail(reason.to_owned());
            metrics.failing(true);
        }
        is_failing
    }

    /// The store did what it was asked for.
    pub(super) fn worked(&mut self, log: &LogName, status: &Status, metrics: &PartitionMetrics) {
        let Some((failures, lasted)) = self.trouble.over(Instant::now()) else {
            return;
        };
        status.recovered();
        metrics.failing(false);
        if lasted >= FAILING_AFTER {
            tracing::info!(%log, failures, seconds = lasted.as_secs(), "the store works again");
        }
    }

    /// Another replica looks after the partition now: what the store does to it is that one's to say.
    pub(super) fn let_go(&mut self, status: &Status, metrics: &PartitionMetrics) {
        self.trouble.over(Instant::now());
        self.unreadable_until = None;
        status.recovered();
        status.set_unreadable(None);
        metrics.failing(false);
    }

    /// The store works, but some records cannot be read.
    pub(super) fn unreadable(
        &mut self,
        log: &LogName,
        error: &crate::store::Error,
        status: &Status,
        metrics: &PartitionMetrics,
    ) {
        if self.unreadable_until.replace(Instant::now() + UNREADABLE).is_none() {
            tracing::error!(%log, %error, "records cannot be read: requests that need them are refused");
        }
        status.set_unreadable(Some(format!("records cannot be read: {error}")));
        metrics.unreadable();
    }

    /// Whether a load that failed is to be given up, and not tried again.
    pub(super) fn gives_up_loads(&self, status: &Status) -> bool {
        self.unreadable_until.is_some() || status.failing.load(Ordering::Acquire)
    }

    /// Forgets, after a while, that records could not be read.
    pub(super) fn on_tick(&mut self, now: Instant, status: &Status) {
        if self.unreadable_until.is_some_and(|until| now >= until) {
            self.unreadable_until = None;
            status.set_unreadable(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Metrics, store::Error};

    fn surroundings() -> (LogName, Status, PartitionMetrics) {
        let metrics = Metrics::default().partition("bank", 0);
        (LogName { service: "bank".into(), partition: 0 }, Status::default(), metrics)
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_is_failing_only_once_it_has_failed_for_a_while_and_until_it_works() {
        let (log, status, metrics) = surroundings();
        let mut health = StoreHealth::default();
        assert!(!health.failed(&log, "no route", &status, &metrics));
        assert!(!health.gives_up_loads(&status));
        tokio::time::sleep(FAILING_AFTER).await;
        assert!(health.failed(&log, "no route", &status, &metrics));
        assert!(health.gives_up_loads(&status), "others wait behind it");
        health.worked(&log, &status, &metrics);
        assert!(!health.gives_up_loads(&status));
        assert!(!health.failed(&log, "no route", &status, &metrics), "it begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn records_that_cannot_be_read_are_tried_again_after_a_minute() {
        let (log, status, metrics) = surroundings();
        let mut health = StoreHealth::default();
        health.unreadable(&log, &Error::Failed("a bad block".to_owned()), &status, &metrics);
        health.on_tick(Instant::now() + UNREADABLE - Duration::from_secs(1), &status);
        assert!(health.gives_up_loads(&status));
        health.on_tick(Instant::now() + UNREADABLE, &status);
        assert!(!health.gives_up_loads(&status));
    }
}
