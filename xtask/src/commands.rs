//! Which steps make up each command, and in which order.

use std::time::Duration;

use clap::Subcommand;

use crate::{
    advisories, circles, compose, deployment, dist,
    failure::Result,
    layers, lengths, licences, links, process,
    report::Report,
    sbom,
    suites::{self, Extent},
    workspace::Workspace,
};

/// Far above what a compiling step takes on two slow cores; it only ends one that hangs.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// The checks that `ci` adds to the tests.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Check {
    /// The sources are formatted as rustfmt does it
    Format,
    /// Crates depend on each other in one direction only, and what is pure names no I/O
    Layers,
    /// Every dependency comes from the registry under a licence that is allowed
    Licences,
    /// There is a bill of materials of what is linked into the program, with a licence and a checksum for each crate
    Sbom,
    /// No locked version was yanked; with cargo-deny installed, none has a security advisory either
    Advisories,
    /// No files of a crate import each other in a circle
    Circles,
    /// No source file is too long without saying why
    Lengths,
    /// Local links in Markdown files lead somewhere
    Links,
    /// Clippy with the workspace's lints as errors, on all targets
    Clippy,
    /// Clippy on the program as it is built by default, without the commands that measure and judge
    Default,
    /// The API documentation builds without a warning
    Docs,
    /// Manifests, chart and deployment scripts are right in themselves and fit the binary
    Deployment,
}

impl Check {
    /// In the order `ci` runs them before the tests: what fails fast comes first. The deployment's needs the binary, and so is among the tests.
    const ALL: [Self; 11] = [
        Self::Format,
        Self::Layers,
        Self::Licences,
        Self::Sbom,
        Self::Advisories,
        Self::Circles,
        Self::Lengths,
        Self::Links,
        Self::Clippy,
        Self::Default,
        Self::Docs,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Layers => "layers",
            Self::Licences => "licences",
            Self::Sbom => "sbom",
            Self::Advisories => "advisories",
            Self::Circles => "circles",
            Self::Lengths => "file lengths",
            Self::Links => "links",
            Self::Clippy => "clippy",
            Self::Default => "clippy of the default program",
            Self::Docs => "documentation",
            Self::Deployment => "deployment",
        }
    }

    fn step(self, workspace: &Workspace, report: &mut Report) {
        let name = self.name();
        match self {
            Self::Format => report.step(name, || quiet(workspace, &["fmt", "--all", "--check"])),
            Self::Layers => report.step(name, || layers::check(workspace)),
            Self::Licences => report.step(name, || licences::check(workspace)),
            Self::Sbom => report.step(name, || sbom::check(workspace)),
            Self::Advisories => report.step(name, || advisories::check(workspace)),
            Self::Circles => report.step(name, || circles::check(workspace)),
            Self::Lengths => report.step(name, || lengths::check(workspace)),
            Self::Links => report.step(name, || links::check(workspace)),
            Self::Clippy => report.step(name, || quiet(workspace, &CLIPPY)),
            Self::Default => report.step(name, || quiet(workspace, &CLIPPY_OF_THE_DEFAULT)),
            Self::Docs => report.step(name, || docs(workspace)),
            Self::Deployment => {
                if report.passes("build", || suites::build(workspace)) {
                    report.tests(name, |run| deployment::test(workspace, run));
                }
            }
        }
    }
}

const CLIPPY: [&str; 9] = [
    "clippy",
    "--keep-going",
    "--workspace",
    "--all-targets",
    "--all-features",
    "--",
    "-D",
    "warnings",
    "-Dclippy::too_many_lines",
];

/// What is the tests' is in the other one.
const CLIPPY_OF_THE_DEFAULT: [&str; 6] = ["clippy", "--package", "sagamart", "--", "-D", "warnings"];

pub(crate) fn test() -> Result<Report> {
    let workspace = Workspace::load()?;
    let mut report = Report::default();
    suites::run(&workspace, &mut report, Extent::Daily);
    Ok(report)
}

pub(crate) fn ci() -> Result<Report> {
    let workspace = Workspace::load()?;
    let mut report = Report::default();
    for check in Check::ALL {
        check.step(&workspace, &mut report);
    }
    suites::run(&workspace, &mut report, Extent::Whole);
    Ok(report)
}

pub(crate) fn render_manifests() -> Result<Report> {
    let workspace = Workspace::load()?;
    let mut report = Report::default();
    report.step("manifests", || deployment::render(&workspace));
    Ok(report)
}

pub(crate) fn images() -> Result<Report> {
    let workspace = Workspace::load()?;
    let mut report = Report::default();
    report.step("images", || compose::images(&workspace));
    Ok(report)
}

pub(crate) fn dist() -> Result<Report> {
    let workspace = Workspace::load()?;
    let mut report = Report::default();
    report.step("archive", || dist::archive(&workspace));
    Ok(report)
}

pub(crate) fn sbom() -> Result<Report> {
    let workspace = Workspace::load()?;
    let mut report = Report::default();
    report.step("bill of materials", || sbom::write(&workspace).map(|place| place.display().to_string()));
    Ok(report)
}

pub(crate) fn check(check: Check) -> Result<Report> {
    let workspace = Workspace::load()?;
    let mut report = Report::default();
    check.step(&workspace, &mut report);
    Ok(report)
}

fn quiet(workspace: &Workspace, arguments: &[&str]) -> Result<String> {
    process::run(&mut workspace.cargo(arguments), COMPILE_TIMEOUT)?;
    Ok("clean".to_owned())
}

fn docs(workspace: &Workspace) -> Result<String> {
    let mut command = workspace.cargo(&[
        "doc",
        "--keep-going",
        "--workspace",
        "--no-deps",
        "--all-features",
        "--document-private-items",
    ]);
    process::run(command.env("RUSTDOCFLAGS", "-D warnings"), COMPILE_TIMEOUT)?;
    Ok("clean".to_owned())
}
