//! The tests, and what they need set up.

use std::{path::PathBuf, process::Command, time::Duration};

use crate::{
    compose, deployment,
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

/// The package of the tests that start containers.
const COMPOSE: &str = "sagamart-compose-tests";

/// The profile of the binary under test: nearly as fast as `release`, and built in a fraction of the time.
const BINARY_PROFILE: &str = "test-release";

/// Where the black-box tests look for the binary.
pub(crate) const BINARY_VARIABLE: &str = "SAGAMART_BIN";

/// Runs everything that `cargo xtask test` promises.
pub(crate) fn run(workspace: &Workspace, report: &mut Report) {
    report.step("servers of the tests", || servers(workspace));
    report.tests("unit, property, conformance and doc tests", |totals| {
        let excluded = [BLACK_BOX, COMPOSE, deployment::PACKAGE];
        let mut arguments = vec!["test", "--workspace", "--no-fail-fast"];
        arguments.extend(excluded.iter().flat_map(|package| ["--exclude", package]));
        counted(&mut workspace.cargo(&arguments), totals)
    });
    report.step("examples", || examples(workspace));
    report.step("tools of the black-box tests", tools);
    report.tests("black-box tests", |totals| {
        let binary = binary(workspace)?;
        let arguments = ["test", "--package", BLACK_BOX, "--no-fail-fast"];
        counted(workspace.cargo(&arguments).env(BINARY_VARIABLE, binary), totals)
    });
    report.step("images of the compose files", || compose::images(workspace));
    report.tests("compose files", |totals| {
        let binary = binary(workspace)?;
        // Shown as they come: each fault says what it cost.
        let arguments = ["test", "--package", COMPOSE, "--no-fail-fast", "--", "--nocapture", "--test-threads=1"];
        let mut tests = workspace.cargo(&arguments);
        if let Some(configuration) = compose::docker_configuration(workspace) {
            tests.env("DOCKER_CONFIG", configuration);
        }
        counted(tests.env(BINARY_VARIABLE, binary), totals)
    });
}

pub(crate) fn counted(command: &mut Command, totals: &mut Totals) -> Result<()> {
    process::run_seeing(command, TESTS_TIMEOUT, |line| totals.see(line))?;
    if totals.passed == 0 {
        return Err(Failure::new("no test was run"));
    }
    Ok(())
}

/// Builds the binary under test, so that tests start it without waiting for a build.
pub(crate) fn binary(workspace: &Workspace) -> Result<PathBuf> {
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
    install(&["strace", "util-linux"])?;
    match missing().as_slice() {
        [] => Ok("installed".to_owned()),
        missing => Err(Failure::new(format!("still missing: {}; install strace and util-linux", missing.join(", ")))),
    }
}

/// Installs packages of the system, where this is one that has `apt-get`.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    println!("asking apt-get for {}", packages.join(", "));
    let asked = process::run(Command::new("apt-get").args(["update", "--quiet"]), INSTALL_TIMEOUT).and_then(|()| {
        let mut install = Command::new("apt-get");
        install.args(["install", "--quiet", "--yes", "--no-install-recommends"]).args(packages);
        process::run(install.env("DEBIAN_FRONTEND", "noninteractive"), INSTALL_TIMEOUT)
    });
    asked.map_err(|failure| {
        let packages = packages.join(", ");
        Failure::new(format!("{failure}; install {packages} with your system's package manager"))
    })
}
