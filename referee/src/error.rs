//! Why a history could not be judged, or what the judgement came to.

use std::io;

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a history did not end with a clean verdict.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or a thread failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// A file is not a history, or one of another version.
    #[error("{path}, line {line}: {reason}")]
    History {
        /// The file.
        path: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The history was judged, and shows that the server is wrong. The verdict has been printed.
    #[error("the referee found {0} {noun}", noun = if *.0 == 1 { "anomaly" } else { "anomalies" })]
    Wrong(u64),
    /// Nothing wrong was found in a history, but some of it could not be judged. The verdict has been printed.
    #[error("nothing wrong was found, but {0}")]
    Undecided(String),
    /// A history could not be judged.
    #[error("the history cannot be judged: {0}")]
    NotJudged(String),
    /// The recorder's thread ended without a result. This is a bug.
    #[error("the recorder's thread died")]
    ThreadDied,
}

impl Error {
    /// The exit code of a process that ends with this error: 3 anomalies, 4 not everything could be decided, 1 everything
    /// else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Wrong(_) => 3,
            Self::Undecided(_) => 4,
            _ => 1,
        }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
