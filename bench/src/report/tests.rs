//! How figures are put together and shown.

use std::time::Duration;

use super::*;

fn measurement(succeeded: u64, seconds: u64) -> Measurement {
    Measurement {
        tally: Tally { succeeded, ..Tally::default() },
        succeeded_per_second: vec![succeeded],
        counted: Duration::from_secs(seconds),
        elapsed: Duration::from_secs(seconds),
        processor: Duration::from_secs(1),
        ..Measurement::default()
    }
}

fn close(value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-9, "{value}, not {expected}");
}

#[test]
fn the_median_is_the_middle_whatever_the_order() {
    close(median(&[]), 0.0);
    close(median(&[7.0]), 7.0);
    close(median(&[9.0, 1.0, 5.0]), 5.0);
    close(median(&[9.0, 1.0, 5.0, 6.0]), 5.5);
}

#[test]
fn a_ratio_is_the_median_of_the_rounds_and_not_of_the_totals() {
    let checkouts = [measurement(10, 1), measurement(100, 1), measurement(30, 1)];
    let yardstick = [measurement(20, 1), measurement(100, 1), measurement(100, 1)];
    close(ratio(&checkouts, &yardstick), 0.5);
    // A yardstick that stood still compares with nothing.
    close(ratio(&checkouts, &[measurement(0, 1)]), 0.0);
}

#[test]
fn a_series_is_the_sum_of_its_rounds_and_the_median_of_their_rates() {
    let series = Series::of(&[measurement(100, 1), measurement(900, 3), measurement(100, 2)], 2);
    assert_eq!(series.outcomes.succeeded, 1_100);
    assert_eq!(series.succeeded_each_second, [100, 900, 100]);
    close(series.succeeded_per_second, 100.0);
    close(series.counted_seconds, 6.0);
    close(series.generator.processor_seconds, 3.0);
    close(series.generator.busy, 3.0 / 6.0 / 2.0);
    assert!(series.schedule.is_none() && series.latency.succeeded.is_none());
}

fn report() -> Report {
    let options = Options::default();
    Report {
        version: "1.2.3".to_owned(),
        started_unix_seconds: 0,
        machine: Machine::here(),
        server: ServerReport { url: "http://shop.example".to_owned(), started_by_bench: false, durability: None },
        load: LoadReport::of(&options),
        data: DataReport::of(&Setup::of(&options), 5_000),
        checkouts: Series::of(&[measurement(1_500, 15)], 1),
        baseline: None,
        audit: AuditReport::default(),
        notes: Vec::new(),
    }
}

fn noted(report: &Report, words: &str) -> bool {
    notes(report, true).iter().any(|note| note.contains(words))
}

#[test]
fn a_run_without_trouble_has_no_notes() {
    let expected = usize::from(cfg!(debug_assertions));
    assert_eq!(notes(&report(), false).len(), expected, "{:?}", notes(&report(), false));
}

#[test]
fn whatever_makes_figures_less_than_they_seem_is_noted() {
    let mut short = report();
    short.checkouts.counted_seconds = 3.0;
    assert!(noted(&short, "ran out"));
    let mut behind = report();
    behind.checkouts.schedule = Some(ScheduleReport { due: 10, unsent: 1, lateness: None });
    assert!(noted(&behind, "The rate was not kept"));
    let mut unknown = report();
    unknown.checkouts.outcomes.unknown.insert("504".to_owned(), 1);
    assert!(noted(&unknown, "unknown"));
    let mut unreachable = report();
    unreachable.checkouts.connect_failures = 2;
    assert!(noted(&unreachable, "Connecting failed 2 times"));
    let mut busy = report();
    busy.checkouts.generator.busy = 0.95;
    assert!(noted(&busy, "load generator"));
    let mut unsteady = report();
    unsteady.checkouts.rounds_succeeded_per_second = vec![100.0, 160.0, 120.0];
    assert!(noted(&unsteady, "a factor of up to 1.6"));
}

#[test]
fn the_table_says_what_was_measured_and_what_came_out() {
    let table = Table(&report()).to_string();
    for words in [
        "First-time checkouts at http://shop.example",
        "closed loop, 64 connections, 1 thread, 15.0 s after 2.0 s of warm-up",
        "5,000 orders of 2 lines; 100,000 items, 100,000 users",
        "not stated by the server",
        "100 checkouts/s",
        "succeeded",
        "100.00 %",
        "audit: clean",
    ] {
        assert!(table.contains(words), "{words:?} is not in:\n{table}");
    }
    assert!(table.lines().all(|line| line == line.trim_end()), "trailing spaces in:\n{table}");
}
