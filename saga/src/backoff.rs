//! Waiting between tries of what fails: twice as long each time up to a bound, and never in step with others that fail
//! for the same reason.

use std::time::Duration;

/// The waits of one series of tries.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
    /// The state of a xorshift generator, for jitter needs no better randomness.
    random: u64,
}

impl Backoff {
    /// Waits from `first` to `longest`. `seed` tells this series from others; the same seed gives the same waits.
    #[must_use]
    pub fn new(first: Duration, longest: Duration, seed: u64) -> Self {
        // The generator would stay at zero.
        Self { first, longest, next: first, random: seed | 1 }
    }

    /// The same with a seed that no other process is likely to have.
    ///
    /// # Panics
    /// The operating system has no random numbers.
    #[must_use]
    pub fn random(first: Duration, longest: Duration) -> Self {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).expect("the operating system has random numbers");
        Self::new(first, longest, u64::from_le_bytes(seed))
    }

    /// How long to wait now: between half of the present wait and all of it. The next one is twice as long.
    pub fn wait(&mut self) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let percent = 50 + u32::try_from(self.random % 51).expect("a remainder of 51");
        let wait = self.next * percent / 100;
        self.next = (self.next * 2).min(self.longest);
        wait
    }

    /// It succeeded: the next failure begins anew.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let (first, longest) = (Duration::from_millis(10), Duration::from_secs(1));
        let mut backoff = Backoff::new(first, longest, 7);
        let mut bound = first;
        for _ in 0..20 {
            let wait = backoff.wait();
            assert!(bound / 2 <= wait && wait <= bound, "{wait:?} is not between half of {bound:?} and all of it");
            bound = (bound * 2).min(longest);
        }
        backoff.reset();
        assert!(backoff.wait() <= first);
    }

    #[test]
    fn two_that_fail_together_do_not_try_again_together() {
        let waits = |seed| {
            let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1), seed);
            (0..8).map(|_| backoff.wait()).collect::<Vec<_>>()
        };
        assert_eq!(waits(3), waits(3));
        assert_ne!(waits(3), waits(5));
    }
}
