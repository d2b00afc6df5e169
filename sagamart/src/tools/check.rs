//! `sagamart check`: runs the model checker of the simulator.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use simulator::check::{self, Told};

/// Searches every schedule of small shops for one that breaks a promise.
///
/// It runs the very steps that serve. Each plan says what may happen in it: deadlines, repeated messages, lost tails, other
/// writers. Then, one after the other, guards of the protocol are taken away, and each search has to notice.
///
/// Exits with 1 if a promise is broken or a missing guard goes unnoticed.
#[derive(Args, Debug)]
pub(crate) struct Check {
    /// Also search the large plans: some minutes and gigabytes
    #[arg(long)]
    deep: bool,

    /// Also print, step by step, how each search found out that a guard was missing; a broken promise is printed anyway
    #[arg(long)]
    counterexamples: bool,
}

impl Check {
    pub(crate) fn run(&self) -> ExitCode {
        match self.print(&mut io::stdout().lock()) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => crate::failed(&error),
        }
    }

    /// Whether all is as it should be.
    fn print(&self, out: &mut impl Write) -> io::Result<bool> {
        let bar = progress();
        let begun = Instant::now();
        writeln!(out, "{:<4} {:<62} {:>10} {:>4} {:>10}  result", "plan", "", "states", "deep", "time")?;
        let mut written = Ok(());
        let report = check::run_telling(self.deep, |told| match told {
            Told::Searching { configuration, states, depth } => {
                let (name, states) = (&configuration.name, HumanCount(states as u64));
                bar.set_message(format!("{name}: {states} states, {depth} steps deep"));
            }
            Told::Finished(row) => {
                let line = bar.suspend(|| writeln!(out, "{row}"));
                // The first failure to write is the one to tell of.
                if written.is_ok() {
                    written = line;
                }
            }
        });
        bar.finish_and_clear();
        written?;
        for row in &report.rows {
            let (name, what) = (&row.configuration.name, &row.configuration.what);
            match row.story() {
                Some(story) if self.counterexamples || !row.is_as_expected() => {
                    writeln!(out, "\n{name}, {what}: {story}")?
                }
                None if !row.is_as_expected() => writeln!(out, "\n{row}")?,
                _ => {}
            }
        }
        writeln!(out, "\n{}, in {:.1} s", report.sum(), begun.elapsed().as_secs_f64())?;
        Ok(report.is_as_expected())
    }
}

/// Hidden by itself where standard error is no terminal.
fn progress() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {elapsed} · {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
