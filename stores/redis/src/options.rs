//! How the store is opened.

use std::{fmt, str::FromStr, time::Duration};

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

/// Where a service's data are, and what is promised of them.
#[derive(Clone)]
pub struct Options {
    /// `redis://HOST:PORT[/DATABASE]`, `redis-sentinel://HOST:PORT,HOST:PORT/NAME` or `redis-cluster://HOST:PORT,…`.
    pub url: String,
    /// The user to log in as, where it is not the default one.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<String>,
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
            username: None,
            password: None,
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
        // Without the password.
        formatter
            .debug_struct("Options")
            .field("url", &self.url)
            .field("service", &self.service)
            .field("partitions", &self.partitions)
            .field("promise", &self.promise)
            .finish_non_exhaustive()
    }
}
