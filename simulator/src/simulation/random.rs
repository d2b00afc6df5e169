//! Chance from a seed: for every purpose a stream of its own, so that taking one fault away leaves the others as they were.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};

/// A stream of numbers that is the same on every machine and with every version of the library it comes from.
#[derive(Debug)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// The stream for `purpose` number `number` of the run with this seed.
    pub(crate) fn new(seed: u64, purpose: &str, number: u64) -> Self {
        let mixed = saga::fingerprint([&seed.to_le_bytes()[..], purpose.as_bytes(), &number.to_le_bytes()[..]]);
        Self(ChaCha8Rng::seed_from_u64(mixed))
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high)
    }

    /// A number below `count`, which is not 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }

    /// One of `choices`, of which there is one.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// True so often in a thousand.
    pub(crate) fn in_thousand(&mut self, times: u64) -> bool {
        self.between(1, 1000) <= times
    }

    /// Up to so many milliseconds.
    pub(crate) fn delay(&mut self, ms_max: u64) -> Duration {
        Duration::from_millis(self.between(0, ms_max))
    }

    /// A wait that is short most of the time and long now and then, with about this mean.
    pub(crate) fn wait(&mut self, mean_ms: u64) -> Duration {
        let doublings = self.between(0, 3);
        Duration::from_millis(1 + self.between(0, (mean_ms << doublings) / 2))
    }
}
