//! `cargo test`, on what was built once for the whole workspace.

use std::{path::PathBuf, process::Command, time::Duration};

use crate::{
    failure::{Failure, Result},
    process,
    report::Run,
    workspace::Workspace,
};

/// Far above what each takes on two slow cores; it only ends one that hangs.
const TESTS_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Everything that the program can have, which only its own features leave out: whoever builds it for these tests says so.
pub(crate) const FEATURES: [&str; 2] = ["--features", "sagamart/tools"];

/// Where the black-box tests look for the binary.
const BINARY_VARIABLE: &str = "SAGAMART_BIN";

/// `cargo test` of some targets. Always for the whole workspace: with one package alone dependencies get other features, and so are
/// compiled once more.
pub(crate) fn tests(workspace: &Workspace, targets: &[&str], options: &[&str]) -> Command {
    let mut tests = workspace.cargo(&["test", "--workspace", "--no-fail-fast"]);
    tests.args(FEATURES).args(targets).arg("--").args(options).env(BINARY_VARIABLE, binary(workspace));
    tests
}

/// Runs tests and counts them.
pub(crate) fn counted(run: &mut Run<'_>, command: &mut Command) -> Result<()> {
    let before = run.totals.passed;
    see(run, command)?;
    if run.totals.passed == before {
        return Err(Failure::new("no test was run"));
    }
    Ok(())
}

/// The same where there may be none. Each line is shown with the suite's name, since others run beside it.
pub(crate) fn see(run: &mut Run<'_>, command: &mut Command) -> Result<()> {
    if !run.only.is_empty() {
        command.arg("--exact").args(run.only);
    }
    process::run_seeing(command, TESTS_TIMEOUT, |line| {
        println!("{}: {line}", run.name);
        run.totals.see(line);
    })
}

/// The binary under test.
pub(crate) fn binary(workspace: &Workspace) -> PathBuf {
    workspace.target().join("debug").join("sagamart")
}
