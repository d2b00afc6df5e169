//! The referee alone: judges a history that any program has recorded.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser;
use referee::AuditOptions;

/// Judges a recorded history of a shop with the order/stock/payment API: conservation, linearizability, serializability.
///
/// Exits with 0 when everything was decided and nothing is wrong, 3 when something is, 4 when not everything could be
/// decided, 1 when the history could not be judged.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    #[command(flatten)]
    audit: AuditOptions,
}

fn main() -> ExitCode {
    let Options { audit } = Options::parse();
    let judged = audit.read().and_then(|history| audit.judge(&history, &mut io::stdout()));
    match judged {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed the exit code has to do.
            let _ = writeln!(io::stderr(), "error: {error}");
            error.exit_code().into()
        }
    }
}
