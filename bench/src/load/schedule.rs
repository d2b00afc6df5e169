//! When the requests of an open loop are due.

use std::time::Duration;

const NANOSECONDS_PER_SECOND: u128 = 1_000_000_000;

/// Requests at a constant rate for a while. Integer arithmetic, so that the times never drift and what is due at a
/// moment agrees with when each is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    rate_per_second: u64,
    total: u64,
}

impl Schedule {
    /// All requests that come due from 0 up to but without `duration`.
    #[must_use]
    pub fn new(rate_per_second: u64, duration: Duration) -> Self {
        let total = (duration.as_nanos() * u128::from(rate_per_second)).div_ceil(NANOSECONDS_PER_SECOND);
        Self { rate_per_second, total: u64::try_from(total).unwrap_or(u64::MAX) }
    }

    /// How many requests there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// When request `number` (from 0) is due, counted from the start.
    #[must_use]
    pub fn due_at(&self, number: u64) -> Duration {
        let nanoseconds = u128::from(number) * NANOSECONDS_PER_SECOND / u128::from(self.rate_per_second);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// How many are due once `elapsed` has passed.
    #[must_use]
    pub fn due_after(&self, elapsed: Duration) -> u64 {
        let due = ((elapsed.as_nanos() + 1) * u128::from(self.rate_per_second)).div_ceil(NANOSECONDS_PER_SECOND);
        u64::try_from(due).unwrap_or(u64::MAX).min(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_a_constant_rate_from_the_start() {
        let schedule = Schedule::new(1_000, Duration::from_secs(2));
        assert_eq!(schedule.total(), 2_000);
        assert_eq!(schedule.due_at(0), Duration::ZERO);
        assert_eq!(schedule.due_at(1), Duration::from_millis(1));
        assert_eq!(schedule.due_at(1_999), Duration::from_millis(1_999));
        assert_eq!(schedule.due_after(Duration::from_micros(999)), 1);
        assert_eq!(schedule.due_after(Duration::from_millis(1)), 2);
    }

    #[test]
    fn nothing_is_due_at_or_after_the_end() {
        let schedule = Schedule::new(3, Duration::from_millis(1_500));
        assert_eq!(schedule.total(), 5);
        assert_eq!(schedule.due_after(Duration::from_secs(60)), 5);
    }

    #[test]
    fn what_is_due_at_a_moment_agrees_with_when_each_is_due() {
        for rate_per_second in [1, 3, 7, 999, 30_000, 1_000_000, 999_999_937] {
            let schedule = Schedule::new(rate_per_second, Duration::from_secs(10_000_000));
            for number in (0..1_000).chain(1_000_000..1_000_100) {
                let due_at = schedule.due_at(number);
                assert!(schedule.due_after(due_at) > number, "{number} at {rate_per_second}/s");
                if let Some(before) = due_at.checked_sub(Duration::from_nanos(1)) {
                    assert!(schedule.due_after(before) <= number, "{number} at {rate_per_second}/s");
                }
            }
        }
    }
}
