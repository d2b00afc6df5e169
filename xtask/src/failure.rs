//! Why a step did not pass.

use std::{fmt, io};

/// What a step found wrong, one finding a line.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Failure {
    findings: Vec<String>,
}

/// The result of a step.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(finding: impl Into<String>) -> Self {
        Self { findings: vec![finding.into()] }
    }

    /// `Ok(note)` where nothing was found.
    pub(crate) fn unless_empty(findings: Vec<String>, note: impl Into<String>) -> Result<String> {
        if findings.is_empty() { Ok(note.into()) } else { Err(Self { findings }) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.findings.join("\n"))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<cargo_metadata::Error> for Failure {
    fn from(error: cargo_metadata::Error) -> Self {
        Self::new(error.to_string())
    }
}
