//! Making a failure smaller: the same seed with less of what it says, as long as something still breaks.

use super::{FaultKind, Limits, Report, Simulation};

/// Runs that may be spent.
const RUNS_MAX: usize = 80;

/// The smallest run found that still breaks a promise.
pub(super) fn shrink(simulation: &Simulation, failed: &Report) -> Report {
    let Some(failure) = &failed.failure else { return failed.clone() };
    // Rounds after the one that failed are of no interest.
    let mut search = Search { best: simulation.clone(), round: failure.round, runs: 0 };
    search.try_without(|limits, round| limits.first_round = round);
    for replicas in [1, 2] {
        search.try_without(|limits, _| limits.replicas_max = Some(replicas));
    }
    for kind in FaultKind::ALL {
        if failed.faults.contains(kind) {
            search.try_without(|limits, _| limits.without.extend([*kind]));
        }
    }
    for chunk in [16, 8, 4, 2, 1] {
        for first in (0..64).step_by(chunk) {
            search.try_without(|limits, _| limits.left_out.extend(first..first + chunk));
        }
    }
    let smallest = search.best.run_with_story();
    if smallest.failure.is_some() { smallest } else { simulation.run_with_story() }
}

struct Search {
    best: Simulation,
    round: u64,
    runs: usize,
}

impl Search {
    /// Keeps the change if something still breaks.
    fn try_without(&mut self, change: impl FnOnce(&mut Limits, u64)) {
        let mut smaller = self.best.clone();
        change(&mut smaller.limits, self.round);
        if smaller.limits == self.best.limits || self.runs == RUNS_MAX {
            return;
        }
        self.runs += 1;
        if let Some(failure) = smaller.run().failure {
            self.round = failure.round;
            self.best = smaller;
        }
    }
}
