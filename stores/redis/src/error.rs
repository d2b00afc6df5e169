//! What can go wrong, and what that means.

use redis::{ErrorKind, RedisError, ServerErrorKind};
use saga::{Partition, store};

/// Why a store could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL says nothing useful.
    #[error("{0}")]
    Address(String),
    /// Other options that make no sense.
    #[error("{0}")]
    Options(String),
    /// The server does not answer, or cannot do now what is needed. Another try may find it otherwise.
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// The server is there and does not let this process do what it must: password, rights, certificate, number of the
    /// database. Another try helps once somebody has put that right.
    #[error("{0}")]
    Denied(String),
    /// The server is set up so that it cannot keep the promise. Another try helps once that is put right.
    #[error("{0}")]
    Unfit(String),
    /// The data are not what they should be, and no waiting helps.
    #[error("{0}")]
    Broken(String),
    /// The data were made with another number of partitions.
    #[error("the data of {service} have {found} partitions, not {wanted}: the number is fixed when the data are made")]
    Partitions {
        /// The service.
        service: String,
        /// How many there are.
        found: Partition,
        /// How many were asked for.
        wanted: Partition,
    },
    /// The data are of another version of this program.
    #[error("the data of {service} are of a format that this version does not know: {found:?}")]
    Format {
        /// The service.
        service: String,
        /// What the store's key says.
        found: String,
    },
}

/// Why a call had no answer that can be used.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The server is not the one to ask, or does not answer: look for it anew.
    Lost(String),
    /// The server says that others serve this slot now. Certainly not applied.
    Moved(String),
    /// The server is there and does not let this process in, or not do what it must.
    Denied(String),
    /// The server lacks the functions. Certainly not applied.
    NoFunction,
    /// It answered that it cannot now.
    Refused(String),
    /// A partition contradicts itself. Others do not, and somebody may repair it.
    Torn(String),
    /// The data are not what they should be, and waiting does not help.
    Broken(String),
    /// The server is set up so that it cannot keep the promise.
    Unfit(String),
}

impl Failure {
    pub(crate) fn unexpected(what: &str) -> Self {
        Self::Broken(format!("the server's answer makes no sense: {what}"))
    }

    pub(crate) fn text(self) -> String {
        match self {
            Self::NoFunction => "the server lacks the store's functions".to_owned(),
            Self::Lost(text)
            | Self::Moved(text)
            | Self::Denied(text)
            | Self::Refused(text)
            | Self::Torn(text)
            | Self::Broken(text)
            | Self::Unfit(text) => text,
        }
    }
}

impl From<Failure> for store::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Broken(reason) => Self::Poisoned(reason),
            other => Self::Failed(other.text()),
        }
    }
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unfit(reason) => Self::Unfit(reason),
            Failure::Broken(reason) => Self::Broken(reason),
            Failure::Denied(reason) => Self::Denied(reason),
            other => Self::Unreachable(other.text()),
        }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        let text = error.to_string();
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved) => Self::Moved(text),
            // The slot's keys are on their way to another server.
            ErrorKind::Server(ServerErrorKind::Ask | ServerErrorKind::TryAgain) => Self::Refused(text),
            ErrorKind::Server(
                ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::ClusterDown,
            ) => Self::Lost(text),
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::Denied(format!(
                "the user of the database may not do what the store must (its README has the rights that are needed): {text}"
            )),
            ErrorKind::Extension if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => Self::Denied(text),
            ErrorKind::Server(_) if text.contains("Function not found") => Self::NoFunction,
            ErrorKind::Extension if error.code() == Some("SAGATORN") => Self::Torn(format!(
                "a partition contradicts itself, and nothing is done with it until `sagamart check-database --repair`: {}",
                error.detail().unwrap_or(&text)
            )),
            ErrorKind::Extension
                if matches!(error.code(), Some("SAGAGONE" | "SAGAOTHER" | "SAGAFULL" | "WRONGTYPE")) =>
            {
                Self::Broken(text)
            }
            ErrorKind::Server(_) | ErrorKind::Extension => Self::Refused(text),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Self::Broken(text),
            // Not worth another try until somebody does something about it, as opposed to a server that is away.
            _ if text.contains("certificate") || text.contains("fatal alert") => {
                Self::Denied(format!("no encrypted connection: the certificate of one side is refused: {text}"))
            }
            _ => Self::Lost(text),
        }
    }
}
