//! The developer's commands, run as `cargo xtask COMMAND`; continuous integration runs the same ones.
#![expect(clippy::print_stdout, reason = "a command line tool reports on standard output")]

mod advisories;
mod cargo_test;
mod circles;
mod commands;
mod compose;
mod deployment;
mod dist;
mod failure;
mod layers;
mod lengths;
mod licences;
mod links;
mod process;
mod report;
mod sbom;
mod suites;
mod system;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

/// What `cargo xtask` can do.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Builds, tests and checks sagamart",
    max_term_width = 100
)]
enum Xtask {
    /// Sets up and runs the tests: unit, property, conformance, doc tests, examples, the black-box tests against the real
    /// binary, and the compose files; what is long by nature is left to `ci`, and named in the summary
    Test,
    /// Everything that has to pass before a change lands: every test, and all the checks below
    Ci,
    /// Writes the manifests that `kubectl apply -f k8s/` applies, from their overlay, and three Dockerfiles from the fourth
    RenderManifests,
    /// Makes the images that the compose files' tests run on, and gets `docker compose`, where the machine has none
    Images,
    /// Makes the archive of a release, below `target/archives`: the program linked statically, with its manual, and a checksum
    Dist,
    /// Writes what the program is made of, below `target/archives`: a bill of materials (CycloneDX), which is in the archive, too
    Sbom,
    /// Runs one check alone
    #[command(subcommand)]
    Check(commands::Check),
}

fn main() -> ExitCode {
    let outcome = match Xtask::parse() {
        Xtask::Test => commands::test(),
        Xtask::Ci => commands::ci(),
        Xtask::RenderManifests => commands::render_manifests(),
        Xtask::Images => commands::images(),
        Xtask::Dist => commands::dist(),
        Xtask::Sbom => commands::sbom(),
        Xtask::Check(check) => commands::check(check),
    };
    match outcome {
        Ok(report) => report.conclude(),
        Err(failure) => {
            println!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
