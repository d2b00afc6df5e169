//! The tests, and what they need set up.

use std::{process::Command, time::Duration};

use crate::{
    cargo_test::{FEATURES, binary, counted, see, tests},
    compose, deployment,
    failure::{Failure, Result},
    process,
    report::{Report, Run, Suite},
    system,
    workspace::Workspace,
};

/// Far above what each takes on two slow cores; it only ends one that hangs.
const BUILD_TIMEOUT: Duration = Duration::from_secs(20 * 60);
const EXAMPLE_TIMEOUT: Duration = Duration::from_secs(2 * 60);
const SERVERS_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The package of the tests that need the built binary.
const BLACK_BOX: &str = "sagamart-black-box";

/// The package of the tests that start containers.
const COMPOSE: &str = "sagamart-compose-tests";

/// The packages whose tests start real databases.
const REAL_SERVERS: [&str; 2] = ["saga-store-redis", "sagamart-test-servers"];

/// How many of those run at once: they wait for servers that start, fail over and time out, and use a fifth of a processor each.
const REAL_SERVERS_THREADS: &str = "--test-threads=4";

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All but what is long by nature.
    Daily,
    /// Everything.
    Whole,
}

/// What is long by nature: faults in a row under load, and searches. Said in the summary where it is left out.
const LONG: &str = "left to `cargo xtask ci`: containers that are stopped and killed in Docker, the fleet's faults, monitoring, the deployment's tests; to `sagamart check --deep`: the deep searches";

/// Runs the tests, several suites beside each other.
pub(crate) fn run(workspace: &Workspace, report: &mut Report, extent: Extent) {
    // What an earlier build left would be tested.
    if !report.passes("build", || build(workspace)) {
        return;
    }
    report.step("servers of the tests", || servers(workspace));
    report.step("tools of the black-box tests", tools);
    if extent == Extent::Whole {
        report.step("images of the compose files", || compose::images(workspace));
    }
    report.step("examples", || examples(workspace));
    let mut suites = vec![
        suite("unit, property and conformance tests", |run| {
            let others = test_targets(workspace, |package| {
                ![BLACK_BOX, COMPOSE, deployment::PACKAGE].contains(&package) && !REAL_SERVERS.contains(&package)
            });
            counted(run, &mut tests(workspace, &with_targets(&["--lib", "--bins"], &others), &[]))
        }),
        suite("stores on real servers", |run| {
            let targets = test_targets(workspace, |package| REAL_SERVERS.contains(&package));
            counted(run, &mut tests(workspace, &with_targets(&[], &targets), &[REAL_SERVERS_THREADS]))
        }),
        suite("doc tests", |run| see(run, &mut tests(workspace, &["--doc"], &[]))),
        suite("black-box tests", |run| {
            counted(run, &mut tests(workspace, &["--test", "black_box", "--test", "clients"], &[]))
        }),
    ];
    if extent == Extent::Whole {
        suites.push(suite("deployment", |run| deployment::test(workspace, run)));
    }
    report.tests_at_once(suites);
    // Alone: a dozen containers and a load of fifty users that nothing may be refused take all there is of two processors, and
    // beside the others a replica that is started again is not there in time.
    report.tests("compose files", |run| compose_files(workspace, extent, run));
    if extent == Extent::Daily {
        report.step("long tests", || Ok(LONG.to_owned()));
        return;
    }
    report.tests("the fleet's faults", |run| counted(run, &mut tests(workspace, &["--test", "fleet"], &[])));
    report.tests("monitoring", |run| counted(run, &mut tests(workspace, &["--test", "monitoring"], &[])));
}

fn compose_files(workspace: &Workspace, extent: Extent, run: &mut Run<'_>) -> Result<()> {
    // Shown as they come: each fault says what it cost. One at a time: each has a dozen containers and a load.
    let mut options = vec!["--nocapture", "--test-threads=1"];
    if extent == Extent::Daily {
        options.push("files::");
    }
    let mut tests = tests(workspace, &["--test", "compose"], &options);
    if let Some(configuration) = compose::docker_configuration(workspace) {
        tests.env("DOCKER_CONFIG", configuration);
    }
    counted(run, &mut tests)
}

fn suite<'a>(name: &'static str, run: impl Fn(&mut Run<'_>) -> Result<()> + Send + 'a) -> Suite<'a> {
    Suite { name, run: Box::new(run) }
}

/// Names of the test targets of some packages.
fn test_targets(workspace: &Workspace, of: impl Fn(&str) -> bool) -> Vec<String> {
    let packages = workspace.metadata.workspace_packages();
    let packages = packages.into_iter().filter(|package| of(&package.name));
    let targets = packages.flat_map(|package| &package.targets).filter(|target| target.is_test());
    targets.map(|target| target.name.clone()).collect()
}

fn with_targets<'a>(selected: &[&'a str], targets: &'a [String]) -> Vec<&'a str> {
    let named = targets.iter().flat_map(|target| ["--test", target]);
    selected.iter().copied().chain(named).collect()
}

/// Compiles the binary under test, every test and every example, all with the same features.
pub(crate) fn build(workspace: &Workspace) -> Result<String> {
    let mut build = workspace.cargo(&["build", "--workspace", "--bins", "--tests", "--examples"]);
    process::run(build.args(FEATURES), BUILD_TIMEOUT)?;
    let path = binary(workspace);
    if path.is_file() {
        Ok("all of the workspace".to_owned())
    } else {
        Err(Failure::new(format!("cargo built the binary, but not to {}", path.display())))
    }
}

/// Examples that measure something: they take long, need a quiet machine, and fail at nothing.
const MEASUREMENTS: [&str; 4] = ["bench", "commits", "endurance", "throughput"];

/// Runs every other example: `cargo test` alone only compiles them.
fn examples(workspace: &Workspace) -> Result<String> {
    let mut names = Vec::new();
    let packages = workspace.metadata.workspace_packages();
    for example in packages.into_iter().flat_map(|package| &package.targets).filter(|target| target.is_example()) {
        if !MEASUREMENTS.contains(&example.name.as_str()) {
            let program = workspace.target().join("debug/examples").join(&example.name);
            process::run(Command::new(program).current_dir(workspace.root()), EXAMPLE_TIMEOUT)?;
            names.push(example.name.clone());
        }
    }
    Ok(if names.is_empty() { "there are none".to_owned() } else { names.join(", ") })
}

/// Fetches the servers that stores are tested against. Tests would do it by themselves, but then one of them waits for it.
fn servers(workspace: &Workspace) -> Result<String> {
    process::run(&mut Command::new(workspace.target().join("debug/test-servers")), SERVERS_TIMEOUT)?;
    Ok("Valkey 8, Redis 7.0, nginx, Prometheus".to_owned())
}

/// `curl` types what the README says; `strace` makes a server's flushes and writes fail; `prlimit` bounds the size of its
/// files; Chromium is the browser that looks at the pages; in a virtual environment of Python, the tests install the programs of
/// others that ask the server.
fn tools() -> Result<String> {
    const VENV: &str = "python3 with venv";
    let is_there = |tool: &str| if tool == VENV { system::has_venv() } else { process::installed(tool) };
    let missing = || {
        ["curl", "strace", "prlimit", "chromium", "chromedriver", VENV]
            .into_iter()
            .filter(|tool| !is_there(tool))
            .collect::<Vec<_>>()
    };
    if missing().is_empty() {
        return Ok("curl, strace, prlimit, chromium, python3".to_owned());
    }
    let packages = ["curl", "strace", "util-linux", "chromium", "chromium-driver", "python3", "python3-venv"];
    system::install(&packages)?;
    match missing().as_slice() {
        [] => Ok("installed".to_owned()),
        missing => Err(Failure::new(format!("still missing: {}", missing.join(", ")))),
    }
}
