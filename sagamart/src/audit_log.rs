//! `sagamart audit-log`: whether an audit log is what was written.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Subcommand};
use web::audit::{self, Summary};

/// Looks at an audit log (`--audit-log` of the commands that serve)
#[derive(Subcommand, Clone, Debug)]
pub(crate) enum AuditLogCommand {
    Verify(Verify),
}

/// Compares every hash of an audit log and prints the last, which is of all of them; exits with 1 if a line is not what was
/// written. Note it elsewhere from time to time: only that shows a log whose end was cut off
#[derive(Args, Clone, Debug)]
pub(crate) struct Verify {
    /// The log
    file: PathBuf,

    /// A hash that was printed before, which has to be of one of its lines
    #[arg(long, value_name = "HASH")]
    contains: Option<String>,
}

impl AuditLogCommand {
    pub(crate) fn run(&self) -> Result<ExitCode, audit::Error> {
        match self {
            Self::Verify(verify) => verify.run(),
        }
    }
}

impl Verify {
    fn run(&self) -> Result<ExitCode, audit::Error> {
        let Summary { lines, head, contains } = audit::verify(&self.file, self.contains.as_deref())?;
        let file = self.file.display();
        // Whoever closed the output has seen enough.
        let _ = match (&self.contains, contains) {
            (Some(hash), false) => writeln!(io::stdout(), "{file}: no line has the hash {hash}: the end was cut off"),
            _ => writeln!(io::stdout(), "{file}: {lines} lines, as they were written; the last has the hash {head}"),
        };
        Ok(if self.contains.is_some() && !contains { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}
