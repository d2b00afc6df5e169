//! How the store is opened.

use std::{fmt, fs, path::PathBuf, str::FromStr, time::Duration};

use crate::error::Failure;

/// What is promised of a commit once the gate has let it pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Promise {
    /// It is on the primary's disk.
    #[default]
    Always,
    /// It is on the primary's disk and with a replica; on the replica's disk too where the server can tell (Valkey, and
    /// Redis from 7.2).
    Replicated,
    /// It is in the primary's memory, and on its disk a second later.
    Everysec,
}

impl fmt::Display for Promise {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Always => "always",
            Self::Replicated => "replicated",
            Self::Everysec => "everysec",
        })
    }
}

impl FromStr for Promise {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Always, Self::Replicated, Self::Everysec];
        let found = all.into_iter().find(|promise| promise.to_string() == text);
        found.ok_or_else(|| format!("the durability is always, replicated or everysec, not {text:?}"))
    }
}

/// What nobody else may know.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// This.
    Value(String),
    /// What the file holds, without the end of its line. It is read again for every connection, so that a secret can be
    /// replaced while the process runs.
    File(PathBuf),
}

impl Secret {
    /// What it is now.
    pub(crate) fn read(&self) -> Result<String, Failure> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::File(path) => match fs::read_to_string(path) {
                Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => {
                    Err(Failure::Denied(format!("the password cannot be read from {}: {error}", path.display())))
                }
            },
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => formatter.write_str("Value(…)"),
            Self::File(path) => formatter.debug_tuple("File").field(path).finish(),
        }
    }
}

/// Who to be for a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// The user, where it is not the default one.
    pub username: Option<String>,
    /// The user's password, where one is needed.
    pub password: Option<Secret>,
}

/// What an encrypted connection stands on. The files are PEM, and are read again for every connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Whom to believe that a server is who it says, instead of whom the system believes.
    pub authority: Option<PathBuf>,
    /// The certificate to show, with those between it and the authority, and its key: for servers that want one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Where a service's data are, and what is promised of them.
#[derive(Clone)]
pub struct Options {
    /// `redis://[USER@]HOST:PORT[/DATABASE]`, `redis-sentinel://[USER@]HOST:PORT,HOST:PORT/NAME` or
    /// `redis-cluster://[USER@]HOST:PORT,…`; encrypted with `rediss` for `redis`.
    pub url: String,
    /// Who to log in as where the data are.
    pub login: Login,
    /// Who to log in as at the sentinels, which have users of their own.
    pub sentinel_login: Login,
    /// For addresses with `rediss`.
    pub tls: TlsFiles,
    /// The service's name: letters, digits, `-` and `_`.
    pub service: String,
    /// The number of partitions, fixed when the data are made.
    pub partitions: saga::Partition,
    /// What is promised.
    pub promise: Promise,
    /// For [`Promise::Replicated`]: how many replicas must have a commit. A failover to one that has not may lose it, so with
    /// more than one replica this should be all that may be promoted.
    pub replicas: u32,
    /// How long to wait for a connection. Long beside a round trip, short beside a checkout's deadline.
    pub connect_timeout: Duration,
    /// How long to wait for an answer. A flush of a busy disk may take a while; a server that is silent for so long is
    /// looked for anew.
    pub response_timeout: Duration,
}

impl Options {
    /// The defaults for a service.
    #[must_use]
    pub fn new(url: impl Into<String>, service: impl Into<String>, partitions: saga::Partition) -> Self {
        Self {
            url: url.into(),
            login: Login::default(),
            sentinel_login: Login::default(),
            tls: TlsFiles::default(),
            service: service.into(),
            partitions,
            promise: Promise::default(),
            replicas: 1,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Options")
            .field("url", &self.url)
            .field("login", &self.login)
            .field("tls", &self.tls)
            .field("service", &self.service)
            .field("partitions", &self.partitions)
            .field("promise", &self.promise)
            .finish_non_exhaustive()
    }
}
