//! `sagamart check-data`: reads all of a data directory.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use store_embedded::Report;

/// Reads everything in a data directory and says what is damaged. Changes nothing there.
///
/// No server may be running on it: check a copy where one is. Exits with 1 if anything is damaged.
#[derive(Args, Debug)]
pub(crate) struct CheckData {
    /// The directory, as given in --store embedded:DIR
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl CheckData {
    pub(crate) fn run(&self) -> ExitCode {
        let report = match store_embedded::check(&self.directory) {
            Ok(report) => report,
            Err(error) => return super::failed(&error),
        };
        match print(&report, &mut io::stdout().lock()) {
            Ok(()) if report.damage.is_empty() => ExitCode::SUCCESS,
            Ok(()) => ExitCode::FAILURE,
            Err(error) => super::failed(&error),
        }
    }
}

fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let Report { tables, records, frames, last_frame, torn, damage, .. } = report;
    writeln!(out, "base: {tables} tables with {records} entries")?;
    write!(out, "journal: {frames} frames that the base does not hold")?;
    match last_frame {
        Some(last) => writeln!(out, ", up to number {last}")?,
        None => writeln!(out)?,
    }
    if let Some(torn) = torn {
        writeln!(out, "torn: {torn} was being written when the server ended; nobody was answered for it")?;
    }
    for damage in damage {
        writeln!(out, "damaged: {}: {}", damage.file.display(), damage.what)?;
    }
    match damage.len() {
        0 => writeln!(out, "everything can be read"),
        count => writeln!(out, "{count} damaged: restore a copy, or go on without what is named above"),
    }
}
