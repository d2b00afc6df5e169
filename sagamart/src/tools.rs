//! What measures and judges: the commands of the feature `tools`.

mod check;
mod sim;

use std::{io, process::ExitCode};

use clap::Subcommand;

#[derive(Subcommand, Debug)]
pub(crate) enum Tool {
    /// Measures first-time checkouts against any server with this API, and audits credit and stock at the end; with
    /// --mix, sends a mix of everything and lets the referee judge it, also while the server is killed again and again
    Bench(Box<bench::Options>),
    /// Judges a history that `bench --history` recorded: conservation, linearizability, serializability
    Audit(bench::CheckOptions),
    Check(check::Check),
    Sim(sim::Sim),
    /// A server that does nothing but answer, for `bench --baseline`
    #[command(hide = true)]
    BareServer(bench::bare::Options),
}

impl Tool {
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::Bench(options) => {
                finished(crate::run("bench", 1, async { bench::run_any(&options, &mut io::stdout()).await }))
            }
            Self::Audit(options) => {
                finished(crate::run("audit", 1, async { bench::check(&options, &mut io::stdout()).await }))
            }
            Self::Check(check) => check.run(),
            Self::Sim(sim) => sim.run(),
            // Its runtime has as many threads as it is told, so it brings its own.
            Self::BareServer(options) => ended(bench::bare::run(&options)),
        }
    }
}

fn finished(outcome: io::Result<bench::Result<()>>) -> ExitCode {
    outcome.map_or_else(|error| crate::failed(&error), ended)
}

fn ended(outcome: bench::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::failed(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
