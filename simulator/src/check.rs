//! The model checker: every schedule of small plans, on the steps that ship.
//!
//! Each [`Configuration`] is a plan that says which faults are possible; the search visits every state that any
//! schedule leads to, and stops at the first one that breaks a promise. A configuration with a [`Mutant`](crate::Mutant) is there to
//! be broken: it shows that the search would notice if the guard were missing.

mod configurations;
mod model;

use std::{fmt, time::Duration};

pub use configurations::{Configuration, Effort, configurations};

/// What the search of one configuration found.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was searched.
    pub configuration: Configuration,
    /// Different states that were visited.
    pub states: usize,
    /// Steps from the start to the state that is furthest from it.
    pub depth: usize,
    /// How long it took.
    pub elapsed: Duration,
    /// What it found.
    pub verdict: Verdict,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All states were visited and all keep the promises.
    Holds,
    /// A state breaks one.
    Broken {
        /// Which, or how.
        promise: &'static str,
        /// What happens on the way to it, in order; as short as can be.
        schedule: Vec<String>,
        /// What the clients saw.
        history: Vec<String>,
    },
    /// Nothing that a configuration is there for ever happened: it proves nothing.
    Vacuous,
}

impl Row {
    /// Whether the promises hold, or, where a guard is missing, do not.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        match self.verdict {
            Verdict::Holds => self.configuration.plan.mutant.is_none(),
            Verdict::Broken { .. } => self.configuration.plan.mutant.is_some(),
            Verdict::Vacuous => false,
        }
    }
}

impl Row {
    /// What happened, step by step, where a promise was broken.
    #[must_use]
    pub fn story(&self) -> Option<String> {
        let Verdict::Broken { promise, schedule, history } = &self.verdict else { return None };
        let steps = schedule.iter().map(|step| format!("  {step}\n")).collect::<String>();
        Some(format!("broken: {promise}\n{steps}clients saw: {}\n", history.join(", ")))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Configuration { name, what, .. } = &self.configuration;
        let result = match (&self.verdict, self.is_as_expected()) {
            (Verdict::Holds, true) => "holds".to_owned(),
            (Verdict::Holds, false) => "HOLDS, and must not: the search does not notice what is missing".to_owned(),
            (Verdict::Broken { promise, .. }, true) => format!("caught: {promise}"),
            (Verdict::Broken { promise, .. }, false) => format!("BROKEN: {promise}"),
            (Verdict::Vacuous, _) => "VACUOUS: no checkout completes".to_owned(),
        };
        let seconds = self.elapsed.as_secs_f64();
        write!(formatter, "{name:<4} {what:<62} {:>10} {:>4} {seconds:>8.2} s  {result}", self.states, self.depth)
    }
}

/// What a run found, configuration by configuration.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order in which they were searched.
    pub rows: Vec<Row>,
}

impl Report {
    /// Whether every promise holds and every missing guard was noticed.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.rows.iter().all(Row::is_as_expected)
    }

    /// Everything in one line.
    #[must_use]
    pub fn sum(&self) -> String {
        let states: usize = self.rows.iter().map(|row| row.states).sum();
        let (caught, mutants) = self.mutants();
        let plans = self.rows.len() - mutants;
        format!("{plans} plans, {states} states, {caught} of {mutants} missing guards noticed")
    }

    /// How many missing guards were noticed, and how many guards were taken away.
    #[must_use]
    pub fn mutants(&self) -> (usize, usize) {
        let mutants = || self.rows.iter().filter(|row| row.configuration.plan.mutant.is_some());
        (mutants().filter(|row| row.is_as_expected()).count(), mutants().count())
    }
}

impl fmt::Display for Report {
    /// One line for each configuration, the story of everything unexpected, and the sums.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            writeln!(formatter, "{row}")?;
            if let (false, Some(story)) = (row.is_as_expected(), row.story()) {
                writeln!(formatter, "{story}")?;
            }
        }
        formatter.write_str(&self.sum())
    }
}

/// What a run tells while it goes on.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// How far the search of a configuration is.
    Searching {
        /// Which.
        configuration: &'a Configuration,
        /// Different states visited so far.
        states: usize,
        /// Steps from the start to the furthest of them.
        depth: usize,
    },
    /// One is done.
    Finished(&'a Row),
}

/// Searches the configurations of a short run, or of a deep one, which takes minutes and some gigabytes.
#[must_use]
pub fn run(deep: bool) -> Report {
    run_telling(deep, |_| {})
}

/// The same, telling how far it is.
#[must_use]
pub fn run_telling(deep: bool, mut tell: impl FnMut(Told<'_>)) -> Report {
    let mut report = Report::default();
    for configuration in configurations() {
        if configuration.effort == Effort::Short || deep {
            let row = model::search(configuration, &mut tell);
            tell(Told::Finished(&row));
            report.rows.push(row);
        }
    }
    report
}

/// Searches one configuration.
#[must_use]
pub fn search(configuration: Configuration) -> Row {
    model::search(configuration, &mut |_| {})
}
