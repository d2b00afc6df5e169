//! Whether a service can do its work, as its partitions know without asking anybody.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{LogName, metrics::Report};

/// A store that fails for longer than this is not just slow: a new request is refused at once rather than kept waiting.
pub(crate) const FAILING_AFTER: Duration = Duration::from_secs(1);

/// What goes on failing is logged this often, with a count.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// What a sequencer lets the rest of its process know.
#[derive(Debug, Default)]
pub(crate) struct Status {
    /// The store has not answered for a while: what comes now would only wait.
    pub(crate) failing: AtomicBool,
    /// The partition's state is in memory: requests may have been taken.
    pub(crate) loaded: AtomicBool,
    /// The end of the partition's log as far as it was sent on its way; 0 before the partition was loaded.
    pub(crate) log_end: AtomicU64,
    /// What of earlier epochs than this one is missing is accepted as lost.
    pub(crate) accepted: AtomicU64,
    /// The data are older than others know them to be: nothing is answered from them.
    stands_still: AtomicBool,
    /// An operator wants the sources' logs to be read at the next tick.
    redelivery: AtomicBool,
    ticked: Mutex<Ticked>,
    reasons: Mutex<Reasons>,
}

/// What a sequencer counted at its last tick.
#[derive(Clone, Copy, Debug, Default)]
struct Ticked {
    report: Report,
    head: u64,
    position: u64,
}

/// Why a partition cannot do all of its work.
#[derive(Debug, Default)]
struct Reasons {
    /// Why it does nothing.
    failing: Option<String>,
    /// Which part of its data cannot be read, while the rest is served.
    unreadable: Option<String>,
    /// How it is known that its data are older than they were, or why that is not known yet.
    old: Option<String>,
}

impl Status {
    /// The partition cannot go on for now.
    pub(crate) fn fail(&self, reason: String) {
        self.lock_reasons().failing = Some(reason);
        self.failing.store(true, Ordering::Release);
    }

    /// The partition goes on.
    pub(crate) fn recovered(&self) {
        self.failing.store(false, Ordering::Release);
        self.lock_reasons().failing = None;
    }

    pub(crate) fn set_unreadable(&self, reason: Option<String>) {
        self.lock_reasons().unreadable = reason;
    }

    /// Whether nothing is answered, for want of the right data.
    pub(crate) fn stands_still(&self) -> bool {
        self.stands_still.load(Ordering::Acquire)
    }

    /// Says why nothing is answered for want of the right data, or that they are there. Returns whether that is news.
    pub(crate) fn stand_still(&self, why: Option<&str>) -> bool {
        let mut reasons = self.lock_reasons();
        self.stands_still.store(why.is_some(), Ordering::Release);
        let is_new = reasons.old.as_deref() != why;
        if is_new {
            reasons.old = why.map(str::to_owned);
        }
        is_new
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    pub(crate) fn log_end(&self) -> u64 {
        self.log_end.load(Ordering::Acquire)
    }

    /// Takes note of what was counted, and of the head and the position of the last commit.
    pub(crate) fn tick(&self, report: Report, head: u64, position: u64) {
        *self.ticked.lock().unwrap_or_else(PoisonError::into_inner) = Ticked { report, head, position };
    }

    /// What [`Self::tick`] was told last.
    pub(crate) fn ticked(&self) -> (Report, u64, u64) {
        let Ticked { report, head, position } = *self.ticked.lock().unwrap_or_else(PoisonError::into_inner);
        (report, head, position)
    }

    pub(crate) fn ask_for_redelivery(&self) {
        self.redelivery.store(true, Ordering::Release);
    }

    /// Whether an operator wants the sources' logs to be read, once.
    pub(crate) fn take_redelivery(&self) -> bool {
        self.redelivery.swap(false, Ordering::AcqRel)
    }

    /// Why the partition cannot do all of its work.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let Reasons { failing, unreadable, old } = &*self.lock_reasons();
        failing.iter().chain(unreadable).chain(old).cloned().collect()
    }

    fn lock_reasons(&self) -> MutexGuard<'_, Reasons> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Check = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// Why a service cannot do its work; clones share it. It is for readiness: asking it reads what is known and does not
/// block.
#[derive(Clone, Default)]
pub struct Health {
    checks: Vec<Check>,
    limits: Vec<Check>,
}

impl fmt::Debug for Health {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Health").field(&self.reasons()).finish()
    }
}

impl FromIterator<Health> for Health {
    fn from_iter<I: IntoIterator<Item = Health>>(parts: I) -> Self {
        let mut all = Self::default();
        for Self { checks, limits } in parts {
            all.checks.extend(checks);
            all.limits.extend(limits);
        }
        all
    }
}

impl Health {
    pub(crate) fn of_partitions(partitions: Vec<(LogName, Arc<Status>)>) -> Self {
        let mut health = Self::default();
        health.add(move || {
            let reasons_of = |(log, status): &(LogName, Arc<Status>)| {
                let of_log = |reason: String| format!("partition {log}: {reason}");
                status.reasons().into_iter().map(of_log).collect::<Vec<_>>()
            };
            partitions.iter().flat_map(reasons_of).collect()
        });
        health
    }

    /// The same, of what nobody waits for.
    pub(crate) fn into_limits(self) -> Self {
        let Self { checks, limits } = self;
        Self { checks: Vec::new(), limits: limits.into_iter().chain(checks).collect() }
    }

    /// Adds what says further reasons.
    pub(crate) fn add(&mut self, check: impl Fn() -> Vec<String> + Send + Sync + 'static) {
        self.checks.push(Arc::new(check));
    }

    /// Adds what says what does not work while the rest does.
    pub(crate) fn limit(&mut self, check: impl Fn() -> Vec<String> + Send + Sync + 'static) {
        self.limits.push(Arc::new(check));
    }

    /// What does not work while the rest does: a store without [`room`](crate::Store::room) takes no new changes.
    #[must_use]
    pub fn limits(&self) -> Vec<String> {
        let mut limits: Vec<_> = self.limits.iter().flat_map(|check| check()).collect();
        // Services that have a store in common say the same of it.
        limits.dedup();
        limits
    }

    /// Every reason; none while all is well.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        self.checks.iter().flat_map(|check| check()).collect()
    }
}

/// One kind of failure that repeats: when it began, how often it came, and when it was said last.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    since: Option<Instant>,
    count: u64,
    said_at: Option<Instant>,
    unsaid: u64,
}

impl Trouble {
    /// Counts a failure and returns for how long it has been so.
    pub(crate) fn failed(&mut self, now: Instant) -> Duration {
        self.count += 1;
        self.unsaid += 1;
        now.duration_since(*self.since.get_or_insert(now))
    }

    /// How many failures to speak of now, if it is time to: at the first one, and then once in a while.
    pub(crate) fn due_to_say(&mut self, now: Instant) -> Option<u64> {
        if self.said_at.is_some_and(|said| now.duration_since(said) < SAY_EVERY) {
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }

    /// It works again. Returns how often it failed and for how long, if it did.
    pub(crate) fn over(&mut self, now: Instant) -> Option<(u64, Duration)> {
        let since = self.since.take()?;
        Some((std::mem::take(&mut self.count), now.duration_since(since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_failing_is_said_once_and_then_once_a_minute_with_a_count() {
        let start = Instant::now();
        let mut trouble = Trouble::default();
        let mut said = Vec::new();
        for second in 0..=130 {
            let now = start + Duration::from_secs(second);
            trouble.failed(now);
            said.extend(trouble.due_to_say(now).map(|count| (second, count)));
        }
        assert_eq!(said, [(0, 1), (60, 60), (120, 60)]);
        let end = start + Duration::from_secs(130);
        assert_eq!(trouble.over(end), Some((131, Duration::from_secs(130))));
        assert_eq!(trouble.over(end), None);
    }

    #[test]
    fn the_reasons_of_all_partitions_are_told_while_they_last() {
        let log = |partition| LogName { service: "order".into(), partition };
        let statuses: Vec<_> = (0..2).map(|partition| (log(partition), Arc::<Status>::default())).collect();
        let mut health = Health::of_partitions(statuses.clone());
        health.add(|| vec!["a peer is silent".to_owned()]);
        statuses[1].1.fail("no route".to_owned());
        statuses[0].1.set_unreadable(Some("a bad block".to_owned()));
        let expected = ["partition order/0: a bad block", "partition order/1: no route", "a peer is silent"];
        assert_eq!(health.reasons(), expected);
        statuses[1].1.recovered();
        statuses[0].1.set_unreadable(None);
        assert_eq!(health.reasons(), ["a peer is silent"]);
    }
}
