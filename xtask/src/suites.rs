//! The tests, and what they need set up.

use std::{path::PathBuf, process::Command, time::Duration};

use crate::{
    failure::{Failure, Result},
    process,
    report::{Report, Totals},
    workspace::Workspace,
};

/// Far above what each takes on two slow cores; it only ends one that hangs.
const BUILD_TIMEOUT: Duration = Duration::from_secs(20 * 60);
const TESTS_TIMEOUT: Duration = Duration::from_secs(15 * 60);
const EXAMPLE_TIMEOUT: Duration = Duration::from_secs(2 * 60);
const INSTALL_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The package of the tests that need the built binary.
const BLACK_BOX: &str = "sagamart-black-box";

/// The profile of the binary under test: nearly as fast as `release`, and built in a fraction of the time.
const BINARY_PROFILE: &str = "test-release";

/// Where the black-box tests look for the binary.
const BINARY_VARIABLE: &str = "SAGAMART_BIN";

/// Runs everything that `cargo xtask test` promises.
pub(crate) fn run(workspace: &Workspace, report: &mut Report) {
    report.step("servers of the tests", || servers(workspace));
    report.tests("unit, property, conformance and doc tests", |totals| {
        let arguments = ["test", "--workspace", "--exclude", BLACK_BOX, "--no-fail-fast"];
        counted(&mut workspace.cargo(&arguments), totals)
    });
    report.step("examples", || examples(workspace));
    report.step("tools of the black-box tests", tools);
    report.tests("black-box tests", |totals| {
        let binary = binary(workspace)?;
        let arguments = ["test", "--package", BLACK_BOX, "--no-fail-fast"];
        counted(workspace.cargo(&arguments).env(BINARY_VARIABLE, binary), totals)
    });
}

fn counted(command: &mut Command, totals: &mut Totals) -> Result<()> {
    process::run_seeing(command, TESTS_TIMEOUT, |line| totals.see(line))?;
    if totals.passed == 0 {
        return Err(Failure::new("no test was run"));
    }
    Ok(())
}

/// Builds the binary under test, so that tests start it without waiting for a build.
fn binary(workspace: &Workspace) -> Result<PathBuf> {
    let arguments = ["build", "--package", "sagamart", "--bin", "sagamart", "--profile", BINARY_PROFILE];
    process::run(&mut workspace.cargo(&arguments), BUILD_TIMEOUT)?;
    let path = workspace.target().join(BINARY_PROFILE).join("sagamart");
    if path.is_file() {
        Ok(path)
    } else {
        Err(Failure::new(format!("cargo built the binary, but not to {}", path.display())))
    }
}

/// Examples that measure something: they take long, need a quiet machine, and fail at nothing.
const MEASUREMENTS: [&str; 4] = ["bench", "commits", "endurance", "throughput"];

/// Runs every other example: `cargo test` alone only compiles them.
fn examples(workspace: &Workspace) -> Result<String> {
    let mut names = Vec::new();
    for package in workspace.metadata.workspace_packages() {
        for example in package.targets.iter().filter(|target| target.is_example()) {
            if MEASUREMENTS.contains(&example.name.as_str()) {
                continue;
            }
            let mut command =
                workspace.cargo(&["run", "--quiet", "--package", &package.name, "--example", &example.name]);
            if !example.required_features.is_empty() {
                command.args(["--features", &example.required_features.join(",")]);
            }
            process::run(&mut command, BUILD_TIMEOUT + EXAMPLE_TIMEOUT)?;
            names.push(example.name.clone());
        }
    }
    Ok(if names.is_empty() { "there are none".to_owned() } else { names.join(", ") })
}

/// Fetches the servers that stores are tested against. Tests would do it by themselves, but then one of them waits for it.
fn servers(workspace: &Workspace) -> Result<String> {
    let mut command =
        workspace.cargo(&["run", "--quiet", "--package", "sagamart-test-servers", "--bin", "test-servers"]);
    process::run(&mut command, BUILD_TIMEOUT + INSTALL_TIMEOUT)?;
    Ok("Valkey 8, Redis 7.0".to_owned())
}

/// `strace` makes a server's flushes and writes fail; `prlimit` bounds the size of its files.
fn tools() -> Result<String> {
    let missing = || ["strace", "prlimit"].into_iter().filter(|tool| !process::installed(tool)).collect::<Vec<_>>();
    if missing().is_empty() {
        return Ok("strace, prlimit".to_owned());
    }
    println!("not installed: {}; asking apt-get", missing().join(", "));
    let advice = "install strace and util-linux with your system's package manager";
    let packages = ["strace", "util-linux"];
    let asked = process::run(Command::new("apt-get").args(["update", "--quiet"]), INSTALL_TIMEOUT).and_then(|()| {
        let mut install = Command::new("apt-get");
        install.args(["install", "--quiet", "--yes", "--no-install-recommends"]).args(packages);
        process::run(install.env("DEBIAN_FRONTEND", "noninteractive"), INSTALL_TIMEOUT)
    });
    match (asked, missing().as_slice()) {
        (Ok(()), []) => Ok("installed".to_owned()),
        (Err(failure), _) => Err(Failure::new(format!("{failure}; {advice}"))),
        (Ok(()), missing) => Err(Failure::new(format!("still missing: {}; {advice}", missing.join(", ")))),
    }
}
