//! `sagamart sim`: the deterministic simulator, one seed or many.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    ops::Range,
    process::ExitCode,
    str::FromStr,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use simulator::simulation::{REACHABLE, REACHABLE_APART, Report, Simulation};

/// The commit that this was built from, where the build was told.
const COMMIT: &str = match option_env!("SAGAMART_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Lines of a story that are printed: its end, where it breaks.
const STORY_LINES_MAX: usize = 400;

/// Runs the whole market in one thread from one seed, with faults, in simulated time.
///
/// Replicas are killed, frozen and cut off, databases lose their tails, messages get lost, clocks jump: the seed says what and
/// when. Every answer is checked against a shop with one bookkeeper. The same seed gives the same run: its trace has the same
/// hash.
///
/// Exits with 1 if a promise is broken, after it has printed the smallest run found that breaks it.
#[derive(Args, Debug)]
pub(crate) struct Sim {
    /// The seed of one run
    #[arg(long, value_name = "N", default_value = "1", conflicts_with = "seeds")]
    seed: u64,

    /// Seeds of many runs, from A up to but not including B
    #[arg(long, value_name = "A..B", value_parser = Seeds::from_str)]
    seeds: Option<Seeds>,

    /// Operations that clients ask in each run
    #[arg(long, value_name = "M", default_value = "400", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    steps: u32,

    /// Run one service in each process, with a network between them, instead of all three
    #[arg(long)]
    apart: bool,

    /// Print everything that happens, of one seed
    #[arg(long, conflicts_with = "seeds")]
    story: bool,
}

/// The seeds of many runs.
#[derive(Clone, Debug)]
struct Seeds(Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
        let (first, end) = text.split_once("..").ok_or("two numbers with .. between them")?;
        let (first, end) = (number(first)?, number(end)?);
        if first < end { Ok(Self(first..end)) } else { Err("the second number must be above the first".to_owned()) }
    }
}

impl Sim {
    pub(crate) fn run(&self) -> ExitCode {
        // What the engine warns of is what a simulation is full of.
        let quiet = tracing::subscriber::NoSubscriber::new();
        let ended = tracing::subscriber::with_default(quiet, || self.print(&mut io::stdout().lock()));
        match ended {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => crate::failed(&error),
        }
    }

    /// Whether every promise was kept.
    fn print(&self, out: &mut impl Write) -> io::Result<bool> {
        match &self.seeds {
            None => self.print_one(out),
            Some(seeds) => self.print_many(seeds.0.clone(), out),
        }
    }

    fn simulation(&self, seed: u64) -> Simulation {
        let simulation = Simulation::new(seed, usize::try_from(self.steps).unwrap_or(usize::MAX));
        if self.apart { simulation.apart() } else { simulation }
    }

    fn print_one(&self, out: &mut impl Write) -> io::Result<bool> {
        let simulation = self.simulation(self.seed);
        let report = if self.story { simulation.run_with_story() } else { simulation.run() };
        for line in report.story.iter().filter(|_| self.story) {
            writeln!(out, "{line}")?;
        }
        let faults: Vec<_> = report.faults.iter().map(|kind| kind.name()).collect();
        writeln!(
            out,
            "seed {}, faults: {}",
            self.seed,
            if faults.is_empty() { "none".into() } else { faults.join(", ") }
        )?;
        write!(out, "{}", Reached(&report.reached))?;
        writeln!(out, "trace {:016x}, {:.1} simulated seconds", report.hash, report.simulated.as_secs_f64())?;
        tell_failure(&report, out)?;
        Ok(report.failure.is_none())
    }

    fn print_many(&self, seeds: Range<u64>, out: &mut impl Write) -> io::Result<bool> {
        let begun = Instant::now();
        let bar = progress(seeds.end - seeds.start);
        let (mut reached, mut simulated, mut failed) = (BTreeMap::new(), Duration::ZERO, Vec::new());
        for seed in seeds.clone() {
            bar.set_message(format!("seed {seed}, {} failed", failed.len()));
            let report = self.simulation(seed).run();
            simulated += report.simulated;
            for (event, times) in &report.reached {
                *reached.entry(*event).or_default() += times;
            }
            if report.failure.is_some() {
                failed.push(seed);
                bar.suspend(|| tell_failure(&report, out))?;
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        write!(out, "{}", Reached(&reached))?;
        let demanded = REACHABLE.iter().chain(REACHABLE_APART.iter().filter(|_| self.apart)).copied();
        let missed: Vec<_> = demanded.filter(|event| !reached.contains_key(event)).collect();
        if !missed.is_empty() {
            writeln!(out, "never reached: {}", missed.join(", "))?;
        }
        writeln!(
            out,
            "seeds {}..{} of {} steps: {:.1} simulated hours in {:.1} s, {} failed{}",
            seeds.start,
            seeds.end,
            self.steps,
            simulated.as_secs_f64() / 3600.0,
            begun.elapsed().as_secs_f64(),
            failed.len(),
            if failed.is_empty() { String::new() } else { format!(": {failed:?}") }
        )?;
        Ok(failed.is_empty())
    }
}

/// Prints what was broken, and the smallest run found that breaks it.
fn tell_failure(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let Some(failure) = &report.failure else { return Ok(()) };
    let simulation = &report.simulation;
    writeln!(out, "\nseed {}, commit {COMMIT}: round {}: {}", simulation.seed, failure.round, failure.promise)?;
    let smallest = simulation.shrunk(report);
    let Some(failure) = &smallest.failure else { return Ok(()) };
    writeln!(out, "smallest run that breaks: {}: {}", smallest.simulation.limits, failure.promise)?;
    let faults: Vec<_> = smallest.faults.iter().map(|kind| kind.name()).collect();
    writeln!(out, "its faults: {}", if faults.is_empty() { "none".into() } else { faults.join(", ") })?;
    let hidden = smallest.story.len().saturating_sub(STORY_LINES_MAX);
    for line in smallest.story.iter().skip(hidden) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out)
}

/// How often each event was reached, in lines of a few.
struct Reached<'a>(&'a BTreeMap<&'static str, u64>);

impl std::fmt::Display for Reached<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(event, times)| writeln!(formatter, "  {event:<34} {times:>9}"))
    }
}

/// Hidden by itself where standard error is no terminal.
fn progress(seeds: u64) -> ProgressBar {
    let bar = ProgressBar::new(seeds);
    if let Ok(style) = ProgressStyle::with_template("{bar:32.cyan/dim} {pos} of {len} · {eta} left · {msg}") {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
