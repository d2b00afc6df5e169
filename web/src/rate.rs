//! So many requests a second of each, and as many at once.

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::Mutex,
    time::{Duration, Instant},
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};

#[cfg(test)]
mod tests;

/// How often those are forgotten who have sent nothing for a while.
const FORGET_EVERY: Duration = Duration::from_secs(30);

/// The rates of those that ask, by name or address.
#[derive(Debug)]
pub(crate) struct Rate<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    clock: DefaultClock,
    forgotten: Mutex<Instant>,
}

impl<K: Hash + Eq + Clone> Rate<K> {
    pub(crate) fn new(per_second: NonZeroU32) -> Self {
        let limiter = RateLimiter::keyed(Quota::per_second(per_second));
        Self { limiter, clock: DefaultClock::default(), forgotten: Mutex::new(Instant::now()) }
    }

    /// Counts a request, or says how long it takes until there may be another.
    pub(crate) fn check(&self, key: &K) -> Result<(), Duration> {
        self.forget();
        self.limiter.check_key(key).map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }

    /// An attacker has many addresses: of none that is quiet anything is kept.
    fn forget(&self) {
        let Ok(mut forgotten) = self.forgotten.try_lock() else { return };
        if forgotten.elapsed() >= FORGET_EVERY {
            *forgotten = Instant::now();
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
    }

    /// How many there is something known of.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.limiter.len()
    }
}
