//! Accepting connections, through every error.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The least time between two warnings: whoever ends a connection may let the next attempt fail at once.
const WARNING_INTERVAL: Duration = Duration::from_secs(5);

pub(super) struct Acceptor {
    listener: TcpListener,
    pause: Duration,
    warned: Option<Instant>,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, pause: PAUSE_MIN, warned: None }
    }

    /// Waits for the next connection. Errors are those of a peer that went away, or of a process or system that is out
    /// of descriptors or memory, which passes. May be dropped and called again.
    pub(super) async fn accept(&mut self) -> TcpStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    self.pause = PAUSE_MIN;
                    return prepared(stream, peer);
                }
                Err(error) if is_of_the_peer(&error) => tracing::debug!(%error, "a connection ended before it began"),
                Err(error) => {
                    self.warn(&error);
                    let pause = self.pause;
                    self.pause = PAUSE_MAX.min(pause * 2);
                    sleep(pause).await;
                }
            }
        }
    }

    fn warn(&mut self, error: &io::Error) {
        let now = Instant::now();
        if self.warned.is_none_or(|warned| now - warned >= WARNING_INTERVAL) {
            self.warned = Some(now);
            tracing::warn!(%error, "cannot accept connections for now; those waiting stay in the backlog");
        }
    }
}

fn prepared(stream: TcpStream, peer: SocketAddr) -> TcpStream {
    // Without it a reply may wait for the acknowledgement of the one before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "cannot set TCP_NODELAY");
    }
    stream
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
