//! Latencies, kept as histograms so that no percentile is ever averaged.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latencies are counted in microseconds.
const LOWEST_US: u64 = 1;
/// Longer ones count as this long: an hour is past every timeout.
const HIGHEST_US: u64 = 3_600_000_000;
/// Three significant digits: no reported value is off by more than 0.1 %.
const SIGNIFICANT_DIGITS: u8 = 3;

/// The latencies of many requests.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS);
        Self {
            #[expect(clippy::expect_used, reason = "the bounds are constants that the constructor accepts")]
            histogram: histogram.expect("valid constant bounds"),
        }
    }
}

impl Latencies {
    /// Records one latency, rounded up to whole microseconds.
    pub fn record(&mut self, latency: Duration) {
        let latency_us = latency.as_nanos().div_ceil(1_000);
        self.histogram.saturating_record(u64::try_from(latency_us).unwrap_or(u64::MAX));
    }

    /// Adds another's latencies to these.
    pub fn merge(&mut self, other: &Self) {
        #[expect(clippy::expect_used, reason = "adding fails only when the bounds differ, and all have the same")]
        self.histogram.add(&other.histogram).expect("the same bounds");
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latencies in short; `None` when there are none.
    #[must_use]
    pub fn summary(&self) -> Option<Summary> {
        let at = |quantile| milliseconds(self.histogram.value_at_quantile(quantile));
        (!self.histogram.is_empty()).then(|| Summary {
            count: self.count(),
            mean_ms: self.histogram.mean() / 1_000.0,
            p50_ms: at(0.50),
            p90_ms: at(0.90),
            p99_ms: at(0.99),
            p99_9_ms: at(0.999),
            max_ms: milliseconds(self.histogram.max()),
        })
    }
}

fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1_000.0
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many requests these are of.
    pub count: u64,
    /// The mean.
    pub mean_ms: f64,
    /// Half took at most this long.
    pub p50_ms: f64,
    /// 90 %.
    pub p90_ms: f64,
    /// 99 %.
    pub p99_ms: f64,
    /// 99.9 %.
    pub p99_9_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_to_three_digits() {
        let mut latencies = Latencies::default();
        for latency_us in 1..=100_000 {
            latencies.record(Duration::from_micros(latency_us));
        }
        let summary = latencies.summary().unwrap();
        let near = |value: f64, expected: f64| assert!((value / expected - 1.0).abs() < 0.001, "{value} {expected}");
        assert_eq!(summary.count, 100_000);
        near(summary.mean_ms, 50.0);
        near(summary.p50_ms, 50.0);
        near(summary.p90_ms, 90.0);
        near(summary.p99_ms, 99.0);
        near(summary.p99_9_ms, 99.9);
        near(summary.max_ms, 100.0);
    }

    #[test]
    fn nothing_recorded_has_no_percentiles() {
        assert_eq!(Latencies::default().summary(), None);
    }

    #[test]
    fn extremes_are_kept_within_the_bounds_rather_than_dropped() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::ZERO);
        latencies.record(Duration::from_nanos(1));
        latencies.record(Duration::from_secs(1_000_000));
        let summary = latencies.summary().unwrap();
        assert_eq!(summary.count, 3);
        assert!((summary.p50_ms - 0.001).abs() < 1e-9);
        assert!(summary.max_ms >= 3_600_000.0);
    }

    #[test]
    fn merged_histograms_are_those_of_all_requests() {
        let (mut left, mut right) = (Latencies::default(), Latencies::default());
        (0..99).for_each(|_| left.record(Duration::from_millis(1)));
        right.record(Duration::from_millis(500));
        left.merge(&right);
        let summary = left.summary().unwrap();
        assert_eq!(summary.count, 100);
        assert!(summary.p99_ms < 1.1 && summary.max_ms > 499.0, "{summary:?}");
    }
}
