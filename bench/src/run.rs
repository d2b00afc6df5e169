//! One benchmark from start to end.
//!
//! ```text
//!  find or start the server ─▶ prepare ─▶ trial: how many orders will be needed? ─▶ prepare again, enough of them
//!    ─▶ warm up ─▶ rounds: checkouts, then each yardstick ─▶ settle ─▶ audit ─▶ report
//! ```

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use smol_str::SmolStr;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    Error, Options, Result,
    audit::{Audit, AuditReport},
    baseline::{self, Yardstick},
    client::Target,
    final_state::{numbered, read_final},
    load::{Claims, Measurement, OrderIds, Pace, Phase, Schedule},
    mixed,
    prepare::{self, Parallelism, Setup},
    progress::Progress,
    report::{Baseline, DataReport, LoadReport, Report, Series, ServerReport, Table, notes},
    subject::{Subject, durability, executable, temporary_directory},
    witness::{About, Witness},
};
use referee::Machine;
use referee::Outcome;
use referee::history::History;
use referee::{self, Table as Verdict};

/// A trial is a few moments of load of which the fastest counts: a server may be slow at first, and its neighbours on
/// the machine slow it down now and then.
const TRIAL_MOMENT: Duration = Duration::from_millis(250);
const TRIAL_MOMENTS: usize = 8;
/// A trial that has fewer whole moments, because its orders ran out, says too little: it is repeated with ten times as
/// many.
const TRIAL_MOMENTS_MIN: usize = 4;
const TRIAL_ORDERS: u64 = 2_000;
const TRIAL_ORDERS_MAX: u64 = 200_000;
/// How many times as many orders are prepared as the trial's rate would use.
const TRIAL_MARGIN: f64 = 1.5;
/// Below this many the connections would each have too few.
const ORDERS_MIN: u64 = 1_000;

/// Runs a benchmark and writes its table to `output`; progress goes to standard error while that is a terminal.
///
/// Must be called on a multi-threaded or current-thread tokio runtime with I/O and time enabled. The load itself runs
/// on threads of its own.
///
/// # Errors
/// [`Error::Anomalies`] when the run went through but the audit found something wrong: the table and the JSON file are
/// written all the same. Any other error when it could not be run to its end.
pub async fn run(options: &Options, output: &mut (dyn Write + Send)) -> Result<Report> {
    options.validate()?;
    let (report, verdict) = interruptible(measure(options)).await?;
    if let Some(file) = &options.json {
        report.write_json(file)?;
    }
    write!(output, "{}", Table(&report)).and_then(|()| output.flush()).map_err(Error::io("cannot write the table"))?;
    if let Some(verdict) = &verdict {
        write!(output, "{}", Verdict(verdict)).map_err(Error::io("cannot write the table"))?;
    }
    if !report.audit.is_clean() {
        return Err(Error::Anomalies { count: report.audit.anomalies_count, first: report.audit.anomalies });
    }
    verdict.map_or(Ok(()), |verdict| verdict.result())?;
    Ok(report)
}

/// Runs what the options ask for, a measurement or a mixed load, as [`run`] does.
///
/// # Errors
/// As [`run`]; of a mixed load [`Error::Referee`] too, once the verdict is written.
pub async fn run_any(options: &Options, output: &mut (dyn Write + Send)) -> Result<()> {
    if !options.mix.mix {
        return run(options, output).await.map(drop);
    }
    options.validate()?;
    interruptible(mixed::run(options, output)).await
}

/// Awaits `work`; it is dropped when interrupted, which stops the servers that it has started.
async fn interruptible<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut terminated = signal(SignalKind::terminate()).map_err(Error::io("cannot wait for signals"))?;
    // Boxed because it is large.
    tokio::select! {
        done = Box::pin(work) => done,
        _ = tokio::signal::ctrl_c() => Err(Error::Interrupted),
        _ = terminated.recv() => Err(Error::Interrupted),
    }
}

async fn measure(options: &Options) -> Result<(Report, Option<referee::Verdict>)> {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut subject = Subject::find(options).await?;
    let durability = durability(&subject.target).await;
    let bench = Bench { options, target: Arc::clone(&subject.target), setup: Setup::of(options) };
    let needed = bench.orders_needed().await?;
    let mut yardsticks = Vec::new();
    let mut yardstick_data = None;
    if options.baseline {
        let data = temporary_directory(options)?;
        yardsticks = baseline::start(options, &executable(options)?, data.path()).await?;
        yardstick_data = Some(data);
    }
    let run = bench.run(needed, &mut yardsticks, &mut subject, durability.as_deref()).await?;
    let verdict = match (&run.history, &options.report) {
        (Some(history), Some(_)) => Some(mixed::conclude(options, history)?),
        _ => None,
    };
    let report = Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix_seconds: started.as_secs(),
        machine: Machine::here(),
        server: ServerReport { url: subject.target.url().to_owned(), started_by_bench: subject.is_own(), durability },
        load: LoadReport::of(options),
        data: DataReport::of(&bench.setup, needed),
        checkouts: Series::of(&run.rounds, options.threads),
        baseline: options.baseline.then(|| Baseline::of(&run.rounds, &yardsticks, options.threads)),
        audit: run.audit,
        notes: Vec::new(),
    };
    for yardstick in yardsticks {
        yardstick.stop().await?;
    }
    drop(yardstick_data);
    subject.stop().await?;
    Ok((Report { notes: notes(&report, run.settled), ..report }, verdict))
}

/// What the rounds showed.
struct Run {
    rounds: Vec<Measurement>,
    audit: AuditReport,
    /// Whether it was waited before the audit.
    settled: bool,
    /// What was recorded.
    history: Option<History>,
}

struct Bench<'options> {
    options: &'options Options,
    target: Arc<Target>,
    setup: Setup,
}

impl Bench<'_> {
    fn parallelism(&self) -> Parallelism {
        Parallelism::of(self.options)
    }

    fn phase(&self, orders: &Arc<OrderIds>, claims: &Arc<Claims>, pace: Pace, duration: Duration) -> Phase {
        Phase {
            target: Arc::clone(&self.target),
            orders: Arc::clone(orders),
            claims: Arc::clone(claims),
            connections: usize::from(self.options.connections),
            threads: usize::from(self.options.threads),
            pace,
            duration,
            timeout: self.options.timeout_seconds,
            scribe: None,
        }
    }

    /// Begins to record, if that is asked for.
    fn witness(
        &self,
        orders: &OrderIds,
        count: u64,
        subject: &mut Subject,
        durability: Option<&str>,
    ) -> Result<Option<Witness>> {
        if !Witness::is_wanted(self.options) {
            return Ok(None);
        }
        let Setup { items, users, stock, credit, price, .. } = self.setup;
        let about = About {
            url: self.target.url().to_owned(),
            durability: durability.map(str::to_owned),
            items,
            users,
            stock,
            credit,
            price,
            orders: if *orders == OrderIds::Numbered { count } else { 0 },
        };
        Witness::start(self.options, about, subject.lend()).map(Some)
    }

    /// Ends the record with everything that is there.
    async fn testify(&self, witness: Witness, orders: &OrderIds, count: u64, subject: &mut Subject) -> Result<History> {
        let names = (0..count).map(|index| SmolStr::new(orders.name(index))).collect();
        let (items, users) = (numbered(self.setup.items), numbered(self.setup.users));
        let state = read_final(&self.target, items, users, names, self.parallelism());
        let (history, server) = witness.finish(state).await?;
        subject.give_back(server);
        Ok(history)
    }

    async fn prepare(&self, setup: &Setup, count: u64) -> Result<(Arc<OrderIds>, Arc<Claims>)> {
        prepare::initialise(&self.target, setup).await?;
        let orders = prepare::orders(&self.target, setup, count, self.parallelism()).await?;
        Ok((Arc::new(orders), Arc::new(Claims::new(count))))
    }

    /// How many orders the run will use at most, as far as one can tell.
    async fn orders_needed(&self) -> Result<u64> {
        let sending = self.options.warm_up_seconds + self.options.seconds;
        match (self.options.orders, self.options.pace()) {
            (Some(orders), _) => Ok(u64::from(orders)),
            (None, Pace::OpenLoop { rate_per_second }) => {
                // Each of the stretches may round up by one.
                let stretches = u64::from(self.options.rounds()) + 1;
                Ok(Schedule::new(rate_per_second, sending).total() + stretches)
            }
            (None, Pace::ClosedLoop) => {
                let rate = self.trial().await?;
                let needed = rate * sending.as_secs_f64() * TRIAL_MARGIN;
                let connections = u64::from(self.options.connections);
                Ok((ceil(needed) + connections).max(ORDERS_MIN))
            }
        }
    }

    /// Sends a few checkouts and says how many can be answered per second.
    async fn trial(&self) -> Result<f64> {
        let mut count = TRIAL_ORDERS;
        loop {
            let moments = self.trial_moments(count).await?;
            if moments.len() >= TRIAL_MOMENTS_MIN || count >= TRIAL_ORDERS_MAX {
                return Ok(moments.into_iter().fold(0.0, f64::max));
            }
            count *= 10;
        }
    }

    /// How many of `count` orders were checked out per second, moment by moment until they ran out.
    async fn trial_moments(&self, count: u64) -> Result<Vec<f64>> {
        // Plain orders, whatever the run's: the server makes them in one request, and orders with more lines or a hot
        // item are hardly ever checked out faster.
        let plain = Setup { lines_per_order: 2, hot_item_percent: None, ..self.setup };
        let (orders, claims) = self.prepare(&plain, count).await?;
        let mut moments = Vec::new();
        while moments.len() < TRIAL_MOMENTS {
            let phase = self.phase(&orders, &claims, Pace::ClosedLoop, TRIAL_MOMENT);
            let moment = phase.run(&Progress::of_time("Trying how fast checkouts are", TRIAL_MOMENT)).await?;
            let sent = moment.tally.total();
            if sent > 0 && sent == moment.tally.of(Outcome::Unknown) {
                return Err(Error::Api {
                    request: "POST /orders/checkout/{order_id}".to_owned(),
                    reason: format!("no checkout was answered in a trial: {:?}", moment.tally.unknown),
                });
            }
            let ran_out = moment.ran_out_after.is_some();
            // The last orders may have gone in no time, which is no rate: it counts only where there is no other.
            if !ran_out || moments.is_empty() {
                moments.push(per_second(sent, moment.elapsed));
            }
            if ran_out {
                break;
            }
        }
        Ok(moments)
    }

    async fn run(
        &self,
        orders_count: u64,
        yardsticks: &mut [Yardstick],
        subject: &mut Subject,
        durability: Option<&str>,
    ) -> Result<Run> {
        let (orders, claims) = self.prepare(&self.setup, orders_count).await?;
        let witness = self.witness(&orders, orders_count, subject, durability)?;
        let scribe = || witness.as_ref().map(Witness::scribe);
        let mut outcomes = Vec::new();
        let mut rounds = Vec::new();
        let warm_up = self.options.warm_up_seconds;
        if !warm_up.is_zero() {
            let phase = Phase { scribe: scribe(), ..self.phase(&orders, &claims, self.options.pace(), warm_up) };
            let warmed_up = phase.run(&Progress::of_time("Warming up checkouts", warm_up)).await?;
            outcomes.extend(warmed_up.outcomes);
        }
        for _ in 0..self.options.rounds() {
            let round = self.options.round();
            let phase = Phase { scribe: scribe(), ..self.phase(&orders, &claims, self.options.pace(), round) };
            let progress = Progress::of_time("Measuring checkouts", self.options.round());
            let mut round = phase.run(&progress).await?;
            outcomes.append(&mut round.outcomes);
            let ran_out = round.ran_out_after.is_some();
            rounds.push(round);
            for yardstick in yardsticks.iter_mut() {
                yardstick.measure(self.options).await?;
            }
            if ran_out {
                break;
            }
        }
        let unknown = outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Unknown);
        if unknown {
            let settle = tokio::time::sleep(self.options.settle_seconds);
            Progress::of_wait("Letting unknown outcomes settle").watch(settle, || 0).await;
        }
        let history = match witness {
            Some(witness) => Some(self.testify(witness, &orders, orders_count, subject).await?),
            None => None,
        };
        let audit =
            Audit { target: Arc::clone(&self.target), setup: self.setup.clone(), orders, orders_count, outcomes };
        Ok(Run { rounds, audit: audit.run(self.parallelism()).await?, settled: unknown, history })
    }
}

fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}

fn ceil(orders: f64) -> u64 {
    orders.ceil() as u64
}
