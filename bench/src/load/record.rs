//! What the workers of a load saw.

use std::time::{Duration, Instant};

use super::Window;
use crate::{latency::Latencies, threads::Finished};
use referee::{Outcome, Tally};

/// One checkout that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// The order's index.
    pub order: u64,
    /// When it should have been sent; latency counts from here.
    pub intended: Instant,
    /// When it was sent.
    pub sent: Instant,
    /// When its answer was there, or when it was given up.
    pub ended: Instant,
    /// What became of it.
    pub outcome: Outcome,
}

/// What the workers of one thread saw.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) tally: Tally,
    latencies: [Latencies; 3],
    lateness: Latencies,
    succeeded_per_second: Vec<u64>,
    outcomes: Vec<(u64, Outcome)>,
    pub(super) connect_failures: u64,
    ran_out_after: Option<Duration>,
}

impl Record {
    pub(super) fn new(duration: Duration) -> Self {
        Self {
            succeeded_per_second: vec![
                0;
                usize::try_from(duration.as_nanos().div_ceil(1_000_000_000))
                    .expect("seconds of a run")
            ],
            ..Self::default()
        }
    }

    /// Adds an attempt, whose outcome the tally has counted already.
    pub(super) fn add(&mut self, attempt: &Attempt, window: Window) {
        let [succeeded, refused, unknown] = &mut self.latencies;
        let latencies = match attempt.outcome {
            Outcome::Succeeded => succeeded,
            Outcome::Refused => refused,
            Outcome::Unknown => unknown,
        };
        latencies.record(attempt.ended.saturating_duration_since(attempt.intended));
        self.lateness.record(attempt.sent.saturating_duration_since(attempt.intended));
        self.outcomes.push((attempt.order, attempt.outcome));
        // Throughput is what came back while the clock ran: counting answers that came after it, over the time of the
        // window, would flatter a server that lets a heap of requests pile up.
        if attempt.outcome == Outcome::Succeeded && attempt.ended < window.end {
            let second = attempt.ended.saturating_duration_since(window.start).as_secs();
            if let Some(count) =
                usize::try_from(second).ok().and_then(|second| self.succeeded_per_second.get_mut(second))
            {
                *count += 1;
            }
        }
    }

    /// Notes that there was no order left.
    pub(super) fn ran_out(&mut self, after: Duration) {
        self.ran_out_after = self.ran_out_after.into_iter().chain([after]).min();
    }

    fn merge(&mut self, other: Self) {
        self.tally.merge(&other.tally);
        for (into, from) in self.latencies.iter_mut().zip(&other.latencies) {
            into.merge(from);
        }
        self.lateness.merge(&other.lateness);
        merge_per_second(&mut self.succeeded_per_second, &other.succeeded_per_second);
        self.outcomes.extend(other.outcomes);
        self.connect_failures += other.connect_failures;
        self.ran_out_after = self.ran_out_after.into_iter().chain(other.ran_out_after).min();
    }
}

fn merge_per_second(into: &mut Vec<u64>, from: &[u64]) {
    if into.len() < from.len() {
        into.resize(from.len(), 0);
    }
    for (into, from) in into.iter_mut().zip(from) {
        *into += from;
    }
}

/// What a load showed.
#[derive(Clone, Debug, Default)]
pub struct Measurement {
    /// How every request that was sent ended.
    pub tally: Tally,
    /// Latencies by outcome, in the order of [`Outcome::ALL`]. Those of unknown outcomes are how long the client
    /// waited before it knew that it would not know.
    pub latencies: [Latencies; 3],
    /// How long after its intended time each request was sent. Zero in a closed loop.
    pub lateness: Latencies,
    /// Successful answers in each second of the window; the last second may be a part of one.
    pub succeeded_per_second: Vec<u64>,
    /// The order index and outcome of every request.
    pub outcomes: Vec<(u64, Outcome)>,
    /// How long answers were counted for the throughput: the time asked for, or less when the orders ran out.
    pub counted: Duration,
    /// From the start to the last answer.
    pub elapsed: Duration,
    /// When there was no order left to send, if that happened.
    pub ran_out_after: Option<Duration>,
    /// Open loop: how many requests came due.
    pub due: Option<u64>,
    /// Attempts at connecting that failed; each was repeated until the time was over.
    pub connect_failures: u64,
    /// Processor time that the load threads used.
    pub processor: Duration,
}

impl Measurement {
    /// Puts the threads' records together. `counted` is filled in by [`Self::count_for`].
    pub(super) fn of(threads: Vec<Finished<Record>>, elapsed: Duration) -> Self {
        let processor = threads.iter().map(|thread| thread.processor).sum();
        let mut all = Record::default();
        for thread in threads {
            all.merge(thread.output);
        }
        Self {
            tally: all.tally,
            latencies: all.latencies,
            lateness: all.lateness,
            succeeded_per_second: all.succeeded_per_second,
            outcomes: all.outcomes,
            counted: Duration::ZERO,
            elapsed,
            ran_out_after: all.ran_out_after,
            due: None,
            connect_failures: all.connect_failures,
            processor,
        }
    }

    /// Says how long the load was meant to last.
    pub(super) fn count_for(mut self, duration: Duration) -> Self {
        self.counted = self.ran_out_after.map_or(duration, |ran_out| ran_out.min(duration));
        self
    }

    /// Successful answers per second while the clock ran.
    #[must_use]
    pub fn succeeded_per_second_mean(&self) -> f64 {
        let succeeded: u64 = self.succeeded_per_second.iter().sum();
        let seconds = self.counted.as_secs_f64();
        if seconds > 0.0 { succeeded as f64 / seconds } else { 0.0 }
    }

    /// Open loop: requests that came due and were never sent, because every connection was waiting for an answer.
    #[must_use]
    pub fn due_unsent(&self) -> u64 {
        self.due.map_or(0, |due| due.saturating_sub(self.tally.total()))
    }

    /// The latencies of one outcome.
    #[must_use]
    pub fn latencies_of(&self, outcome: Outcome) -> &Latencies {
        let [succeeded, refused, unknown] = &self.latencies;
        match outcome {
            Outcome::Succeeded => succeeded,
            Outcome::Refused => refused,
            Outcome::Unknown => unknown,
        }
    }

    /// Adds a later measurement of the same kind: the seconds of the one follow those of the other.
    pub fn append(&mut self, later: &Self) {
        self.tally.merge(&later.tally);
        for (into, from) in self.latencies.iter_mut().zip(&later.latencies) {
            into.merge(from);
        }
        self.lateness.merge(&later.lateness);
        self.succeeded_per_second.extend(&later.succeeded_per_second);
        self.outcomes.extend(&later.outcomes);
        self.counted += later.counted;
        self.elapsed += later.elapsed;
        self.ran_out_after = self.ran_out_after.or(later.ran_out_after);
        self.due = self.due.zip(later.due).map(|(earlier, later)| earlier + later).or(self.due).or(later.due);
        self.connect_failures += later.connect_failures;
        self.processor += later.processor;
    }
}
