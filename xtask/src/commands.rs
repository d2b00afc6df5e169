//! Which steps make up each command, and in which order.

use std::time::Duration;

use clap::Subcommand;

use crate::{
    advisories, compose, failure::Result, layers, lengths, licences, links, process, report::Report, suites,
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
    /// No locked version was yanked; with cargo-deny installed, none has a security advisory either
    Advisories,
    /// No source file is too long without saying why
    Lengths,
    /// Local links in Markdown files lead somewhere
    Links,
    /// Clippy with the workspace's lints as errors, on all targets
    Clippy,
    /// The API documentation builds without a warning
    Docs,
}

impl Check {
    /// In the order `ci` runs them: what fails fast comes first.
    const ALL: [Self; 8] = [
        Self::Format,
        Self::Layers,
        Self::Licences,
        Self::Advisories,
        Self::Lengths,
        Self::Links,
        Self::Clippy,
        Self::Docs,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Layers => "layers",
            Self::Licences => "licences",
            Self::Advisories => "advisories",
            Self::Lengths => "file lengths",
            Self::Links => "links",
            Self::Clippy => "clippy",
            Self::Docs => "documentation",
        }
    }

    fn run(self, workspace: &Workspace) -> Result<String> {
        match self {
            Self::Format => quiet(workspace, &["fmt", "--all", "--check"]),
            Self::Layers => layers::check(workspace),
            Self::Licences => licences::check(workspace),
            Self::Advisories => advisories::check(workspace),
            Self::Lengths => lengths::check(workspace),
            Self::Links => links::check(workspace),
            Self::Clippy => quiet(
                workspace,
                &[
                    "clippy",
                    "--keep-going",
                    "--workspace",
                    "--all-targets",
                    "--all-features",
                    "--",
                    "-D",
                    "warnings",
                    "-D",
                    "clippy::too_many_lines",
                ],
            ),
            Self::Docs => docs(workspace),
        }
    }
}

pub(crate) fn test() -> Result<Report> {
    let workspace = Workspace::load()?;
    let mut report = Report::default();
    suites::run(&workspace, &mut report);
    Ok(report)
}

pub(crate) fn ci() -> Result<Report> {
    let workspace = Workspace::load()?;
    let mut report = Report::default();
    for check in Check::ALL {
        report.step(check.name(), || check.run(&workspace));
    }
    suites::run(&workspace, &mut report);
    Ok(report)
}

pub(crate) fn images() -> Result<Report> {
    let workspace = Workspace::load()?;
    let mut report = Report::default();
    report.step("images", || compose::images(&workspace));
    Ok(report)
}

pub(crate) fn check(check: Check) -> Result<Report> {
    let workspace = Workspace::load()?;
    let mut report = Report::default();
    report.step(check.name(), || check.run(&workspace));
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
