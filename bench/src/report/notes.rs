//! What makes figures less than they seem.

use indicatif::HumanCount;

use super::{Report, Series};
use referee::Outcome;

/// Above this share the generator is likely what limits the throughput.
const BUSY_MAX: f64 = 0.9;

/// Rounds of the same load that differ by more than this factor were not taken on the same machine, so to speak.
const SPREAD_MAX: f64 = 1.5;

/// Everything about a run that a reader should know before believing its figures.
pub(crate) fn notes(report: &Report, settled: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if cfg!(debug_assertions) {
        notes.push("This is a debug build: its figures say nothing about speed.".to_owned());
    }
    let checkouts = &report.checkouts;
    if checkouts.counted_seconds + 1e-3 < report.load.seconds {
        notes.push(format!(
            "The {} orders ran out: the figures are of {:.1} s. Prepare more with --orders.",
            HumanCount(report.data.orders),
            checkouts.counted_seconds
        ));
    }
    if let Some(schedule) = checkouts.schedule.as_ref().filter(|schedule| schedule.unsent > 0) {
        notes.push(format!(
            "The rate was not kept: {} of {} checkouts that came due were never sent, because every connection was \
             waiting for an answer. Their latencies are missing, so the true ones are worse.",
            HumanCount(schedule.unsent),
            HumanCount(schedule.due)
        ));
    }
    let unknown = checkouts.outcomes.of(Outcome::Unknown);
    if unknown > 0 && settled {
        notes.push(format!(
            "{unknown} outcomes were unknown to the client; the audit waited for the server to decide them."
        ));
    }
    if checkouts.connect_failures > 0 {
        notes.push(format!("Connecting failed {} times.", checkouts.connect_failures));
    }
    let yardsticks = report.baseline.iter().flat_map(|baseline| &baseline.yardsticks);
    let all: Vec<&Series> = yardsticks.map(|yardstick| &yardstick.requests).chain([checkouts]).collect();
    if all.iter().any(|series| series.generator.busy > BUSY_MAX) {
        notes.push(
            "The load generator's threads were busy nearly all the time: some figures may be its own limit. Try more \
             --threads."
                .to_owned(),
        );
    }
    let spread = all.iter().map(|series| spread(series)).fold(1.0, f64::max);
    if spread > SPREAD_MAX {
        notes.push(format!(
            "Rounds of the same load differ by a factor of up to {spread:.1}: the machine had other work, or the server \
             was not steady. Measure again when it is quiet."
        ));
    }
    notes
}

/// How many times as fast the fastest round was as the slowest.
fn spread(series: &Series) -> f64 {
    let rounds = &series.rounds_succeeded_per_second;
    let fastest = rounds.iter().copied().fold(0.0, f64::max);
    let slowest = rounds.iter().copied().fold(f64::INFINITY, f64::min);
    if slowest > 0.0 { fastest / slowest } else { 1.0 }
}
