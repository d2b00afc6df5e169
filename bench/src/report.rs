//! The result of a benchmark: what `--json` writes and what the table shows.

mod notes;
mod table;

use std::{fs::File, io::Write as _, path::Path};

use referee::{Machine, Outcome, Tally};
use serde::{Deserialize, Serialize};

pub(crate) use notes::notes;
pub use table::Table;

use crate::{
    Error, Options, Result,
    audit::AuditReport,
    baseline::{Kind, Yardstick},
    latency::Summary,
    load::Measurement,
    prepare::Setup,
};

/// Everything a benchmark found. Its JSON form is described in this crate's `README.md`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The version of this benchmark.
    pub version: String,
    /// When it started, in seconds since 1970.
    pub started_unix_seconds: u64,
    /// Where it ran.
    pub machine: Machine,
    /// What it measured.
    pub server: ServerReport,
    /// How it measured.
    pub load: LoadReport,
    /// On which data.
    pub data: DataReport,
    /// What the checkouts showed.
    pub checkouts: Series,
    /// What they are compared with.
    pub baseline: Option<Baseline>,
    /// Whether what the server keeps is explained by what it answered.
    pub audit: AuditReport,
    /// What a reader should know before believing the figures.
    pub notes: Vec<String>,
}

/// The server under test.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerReport {
    /// Its base URL.
    pub url: String,
    /// Whether the benchmark started it, on fresh data.
    pub started_by_bench: bool,
    /// What it says of the durability of its answers; absent when it does not say.
    pub durability: Option<String>,
}

/// The load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadReport {
    /// Checkouts per second asked for; absent in a closed loop.
    pub rate_per_second: Option<u64>,
    /// Connections.
    pub connections: u16,
    /// Threads that sent.
    pub threads: u16,
    /// How long was measured, over all rounds.
    pub seconds: f64,
    /// In how many rounds.
    pub rounds: u16,
    /// How long was sent before that.
    pub warm_up_seconds: f64,
    /// When an outcome counted as unknown.
    pub timeout_seconds: f64,
}

impl LoadReport {
    /// What the options ask for.
    #[must_use]
    pub fn of(options: &Options) -> Self {
        Self {
            rate_per_second: options.rate,
            connections: options.connections,
            threads: options.threads,
            seconds: options.seconds.as_secs_f64(),
            rounds: options.rounds(),
            warm_up_seconds: options.warm_up_seconds.as_secs_f64(),
            timeout_seconds: options.timeout_seconds.as_secs_f64(),
        }
    }
}

/// The data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataReport {
    /// Items.
    pub items: u32,
    /// Users.
    pub users: u32,
    /// Orders prepared.
    pub orders: u64,
    /// Lines of each order, one unit each.
    pub lines_per_order: u16,
    /// The share of orders with item "0"; absent when items are chosen evenly.
    pub hot_item_percent: Option<u8>,
    /// Units of each item at the start.
    pub stock: u64,
    /// Credit of each user at the start.
    pub credit: u64,
    /// Price of each item.
    pub price: u64,
    /// What orders created one by one were chosen with.
    pub seed: u64,
}

impl DataReport {
    /// What was prepared.
    #[must_use]
    pub fn of(setup: &Setup, orders: u64) -> Self {
        Self {
            items: setup.items,
            users: setup.users,
            orders,
            lines_per_order: setup.lines_per_order,
            hot_item_percent: setup.hot_item_percent,
            stock: setup.stock,
            credit: setup.credit,
            price: setup.price,
            seed: setup.seed,
        }
    }
}

/// What one server showed over all rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    /// Successful answers per second: the median of the rounds.
    pub succeeded_per_second: f64,
    /// The same of each round.
    pub rounds_succeeded_per_second: Vec<f64>,
    /// How every request ended.
    pub outcomes: Tally,
    /// Latencies by outcome.
    pub latency: LatencyReport,
    /// How well an open loop's schedule was kept; absent in a closed loop.
    pub schedule: Option<ScheduleReport>,
    /// Successful answers in each second, round after round.
    pub succeeded_each_second: Vec<u64>,
    /// How long answers were counted: less than asked for when the orders ran out.
    pub counted_seconds: f64,
    /// Attempts at connecting that failed.
    pub connect_failures: u64,
    /// What sending cost.
    pub generator: Generator,
}

/// Latencies by outcome; absent where there was none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LatencyReport {
    /// Of checkouts that succeeded.
    pub succeeded: Option<Summary>,
    /// Of checkouts that were refused.
    pub refused: Option<Summary>,
    /// How long was waited for those with an unknown outcome.
    pub unknown: Option<Summary>,
}

impl LatencyReport {
    /// The latencies of one outcome.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> Option<&Summary> {
        match outcome {
            Outcome::Succeeded => self.succeeded.as_ref(),
            Outcome::Refused => self.refused.as_ref(),
            Outcome::Unknown => self.unknown.as_ref(),
        }
    }
}

/// How well an open loop's schedule was kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScheduleReport {
    /// Requests that came due.
    pub due: u64,
    /// Of these, never sent: every connection was waiting for an answer until the time was over.
    pub unsent: u64,
    /// How long after they were due the others were sent.
    pub lateness: Option<Summary>,
}

/// What the load generator itself used.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Generator {
    /// Processor time, user and system.
    pub processor_seconds: f64,
    /// The same for each request.
    pub processor_us_per_request: f64,
    /// The share of the time that its threads were busy; near 1 the figures are the generator's and not the server's.
    pub busy: f64,
}

impl Series {
    /// Puts the rounds together.
    #[must_use]
    pub fn of(rounds: &[Measurement], threads: u16) -> Self {
        let each: Vec<f64> = rounds.iter().map(Measurement::succeeded_per_second_mean).collect();
        let mut all = Measurement::default();
        rounds.iter().for_each(|round| all.append(round));
        let latency_of = |outcome| all.latencies_of(outcome).summary();
        let processor_seconds = all.processor.as_secs_f64();
        Self {
            succeeded_per_second: median(&each),
            rounds_succeeded_per_second: each,
            latency: LatencyReport {
                succeeded: latency_of(Outcome::Succeeded),
                refused: latency_of(Outcome::Refused),
                unknown: latency_of(Outcome::Unknown),
            },
            schedule: all.due.map(|due| ScheduleReport {
                due,
                unsent: all.due_unsent(),
                lateness: all.lateness.summary(),
            }),
            counted_seconds: all.counted.as_secs_f64(),
            connect_failures: all.connect_failures,
            generator: Generator {
                processor_seconds,
                processor_us_per_request: processor_seconds * 1e6 / all.tally.total().max(1) as f64,
                busy: processor_seconds / all.elapsed.as_secs_f64().max(1e-9) / f64::from(threads),
            },
            outcomes: all.tally,
            succeeded_each_second: all.succeeded_per_second,
        }
    }
}

/// The comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Baseline {
    /// Checkouts per request of the better bare server: the median of the rounds' ratios.
    pub ratio_to_bare: f64,
    /// The same with the better durable server.
    pub ratio_to_durable: f64,
    /// Every server compared with.
    pub yardsticks: Vec<YardstickReport>,
}

/// One server compared with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct YardstickReport {
    /// `bare` or `durable`.
    pub kind: String,
    /// How many threads served.
    pub threads: u16,
    /// Checkouts per request of this server: the median of the rounds' ratios.
    pub ratio: f64,
    /// What it showed.
    pub requests: Series,
}

impl Baseline {
    pub(crate) fn of(checkouts: &[Measurement], yardsticks: &[Yardstick], threads: u16) -> Self {
        let reports: Vec<YardstickReport> = yardsticks
            .iter()
            .map(|yardstick| YardstickReport {
                kind: yardstick.kind.name().to_owned(),
                threads: yardstick.threads,
                ratio: ratio(checkouts, &yardstick.rounds),
                requests: Series::of(&yardstick.rounds, threads),
            })
            .collect();
        // The best throughput of a kind is its ceiling, also where that makes the ratio worse.
        let ratio_to = |kind: Kind| {
            let of_kind = reports.iter().filter(|report| report.kind == kind.name());
            of_kind
                .max_by(|left, right| {
                    left.requests.succeeded_per_second.total_cmp(&right.requests.succeeded_per_second)
                })
                .map_or(0.0, |best| best.ratio)
        };
        Self { ratio_to_bare: ratio_to(Kind::Bare), ratio_to_durable: ratio_to(Kind::Durable), yardsticks: reports }
    }
}

/// Ratios are taken within each round, because the machine drifts from round to round.
fn ratio(checkouts: &[Measurement], yardstick: &[Measurement]) -> f64 {
    let ratios: Vec<f64> = checkouts
        .iter()
        .zip(yardstick)
        .map(|(checkouts, yardstick)| {
            let ceiling = yardstick.succeeded_per_second_mean();
            if ceiling > 0.0 { checkouts.succeeded_per_second_mean() / ceiling } else { 0.0 }
        })
        .collect();
    median(&ratios)
}

/// The middle value, or the mean of the two in the middle; 0 of nothing.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => at(odd / 2),
        even => f64::midpoint(at(even / 2 - 1), at(even / 2)),
    }
}

impl Report {
    /// Writes the report as indented JSON.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_json(&self, file: &Path) -> Result<()> {
        let what = || format!("cannot write {}", file.display());
        let mut writer = std::io::BufWriter::new(File::create(file).map_err(Error::io(what()))?);
        serde_json::to_writer_pretty(&mut writer, self).map_err(|error| Error::io(what())(error.into()))?;
        writer.write_all(b"\n").and_then(|()| writer.flush()).map_err(Error::io(what()))
    }
}

#[cfg(test)]
mod tests;
