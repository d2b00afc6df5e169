//! Why a benchmark could not be run, or ran and found the server wrong.

use std::io;

use referee::Finding;

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a benchmark did not end with a clean result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options contradict each other.
    #[error("{0}")]
    Options(String),
    /// The base URL cannot be used.
    #[error("cannot use the URL {url:?}: {reason}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection to the server could be made.
    #[error("no server answers at {url}: {source}")]
    Unreachable {
        /// The base URL.
        url: String,
        /// The error of the last attempt.
        source: io::Error,
    },
    /// The server did not do something that the benchmark depends on.
    #[error("{request} failed: {reason}")]
    Api {
        /// The method and the path.
        request: String,
        /// The server's answer, or why there was none.
        reason: String,
    },
    /// A yardstick's or the shop's own process could not be started, or ended early.
    #[error("{name}: {reason}")]
    Process {
        /// What the process was for.
        name: String,
        /// What went wrong.
        reason: String,
    },
    /// A file, a socket or a thread of the benchmark itself failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// The history could not be judged, or shows that the server is wrong.
    #[error(transparent)]
    Referee(#[from] referee::Error),
    /// One of the benchmark's own threads ended without a result. This is a bug.
    #[error("a thread of the benchmark died")]
    ThreadDied,
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// The run went through, but what the server keeps is not explained by what it answered. The report has been
    /// printed.
    #[error("the audit found {count} {noun}", noun = if *count == 1 { "anomaly" } else { "anomalies" })]
    Anomalies {
        /// How many.
        count: u64,
        /// The first of them.
        first: Vec<Finding>,
    },
}

impl Error {
    /// The exit code of a process that ends with this error: 2 unusable options, 3 the audit or the referee found
    /// anomalies, 4 the referee could not decide everything, 130 interrupted, 1 everything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Options(_) | Self::Url { .. } => 2,
            Self::Anomalies { .. } => 3,
            Self::Referee(error) => error.exit_code(),
            Self::Interrupted => 130,
            _ => 1,
        }
    }

    /// The first anomalies when the audit found some, otherwise nothing.
    #[must_use]
    pub fn anomalies(&self) -> &[Finding] {
        match self {
            Self::Anomalies { first, .. } => first,
            _ => &[],
        }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
