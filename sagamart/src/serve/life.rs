//! The life of a process that serves, between the signals that end it.
//!
//! ```text
//!  begun ── SIGTERM or SIGINT: told to stop ──▶ ends in order, as soon as it can
//!                                                └─ another one ──▶ ends at once, whatever still runs
//! ```
//!
//! Signals are listened to before anything else is done: the kernel drops those that the first process of a container does not
//! listen to.

use std::{io, pin::pin};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use super::Error;

/// Whether the process was told to stop; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Waits until the process is told to stop.
    pub(crate) async fn told(&mut self) {
        // Without its sender there is nothing left to stop.
        let _ = self.0.wait_for(|told| *told).await;
    }

    /// What `work` comes to; `None` if the process is told to stop before it does.
    pub(crate) async fn or<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.told() => None,
            done = work => Some(done),
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Runs `work`, which ends when it is told to, until it has ended or a second signal comes.
pub(crate) async fn live(work: impl AsyncFnOnce(Stop) -> Result<(), Error>) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let (tell, told) = watch::channel(false);
    let mut work = pin!(work(Stop(told)));
    tokio::select! {
        ended = &mut work => return ended,
        signal = signals.next() => tracing::info!(signal, "told to stop"),
    }
    tell.send_replace(true);
    tokio::select! {
        ended = &mut work => ended,
        signal = signals.next() => Err(Error::Interrupted(signal)),
    }
}
