//! How much history is kept, and where operators may ask for it.

use std::time::Duration;

use clap::{Args, value_parser};
use observer::Retention;
use tokio::net::TcpListener;

use super::listen::{self, ListenAddress};

/// Where operators connect if nothing else is said.
const ADMIN_LISTEN: &str = "127.0.0.1:8010";

/// How much history is kept, and who may see it.
#[derive(Args, Clone, Debug)]
pub(crate) struct HistoryOptions {
    /// Where operators connect, who are told everything: never to be reached by the public [default: 127.0.0.1:8010, if
    /// that is free]
    #[arg(long, value_name = "HOST:PORT", env = "SAGAMART_ADMIN_LISTEN")]
    admin_listen: Option<ListenAddress>,

    #[command(flatten)]
    retention: RetentionOptions,
}

/// How much history is kept.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct RetentionOptions {
    /// For how long the history of checkouts and changes is kept; 0: none is
    #[arg(
        long, value_name = "HOURS", default_value = "24", env = "SAGAMART_HISTORY_HOURS",
        value_parser = value_parser!(u64).range(0..=87_600),
    )]
    history_hours: u64,

    /// About how much room the history may take, in MiB; the oldest goes first
    #[arg(
        long, value_name = "MIB", default_value = "1024", env = "SAGAMART_HISTORY_MIB",
        value_parser = value_parser!(u64).range(1..=1_048_576),
    )]
    history_mib: u64,
}

impl RetentionOptions {
    /// `None`: there is to be no history.
    pub(crate) fn retention(self) -> Option<Retention> {
        let time = Duration::from_secs(self.history_hours * 3600);
        (!time.is_zero()).then_some(Retention { time, bytes: self.history_mib << 20 })
    }
}

impl HistoryOptions {
    pub(crate) fn retention(&self) -> Option<Retention> {
        self.retention.retention()
    }

    /// Where operators are let in. Without an address of its own, a process does without where the usual one is taken: another
    /// shop's operators connect there.
    pub(crate) async fn listen(&self) -> Result<Option<TcpListener>, listen::Error> {
        if let Some(address) = &self.admin_listen {
            return address.clone().listen("--admin-listen").await.map(Some);
        }
        match TcpListener::bind(ADMIN_LISTEN).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                tracing::warn!(%error, "operators cannot connect at {ADMIN_LISTEN}: say another address with --admin-listen");
                Ok(None)
            }
        }
    }
}
