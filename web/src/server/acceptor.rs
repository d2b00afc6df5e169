//! Accepting connections, through every error.

use std::{io, net::SocketAddr, time::Duration};

use rustix::net::sockopt;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The least time between two warnings: whoever ends a connection may let the next attempt fail at once.
const WARNING_INTERVAL: Duration = Duration::from_secs(5);

/// How many connections the kernel keeps until they are accepted: as many as Linux allows by default. A thousand clients
/// that come at once, as after a restart, would find 128 too few and wait a second for their next try.
const BACKLOG: i32 = 4096;

/// How many bytes the kernel keeps of replies that a client does not take in, and of requests that are not read yet; it
/// doubles the number. Left alone it grows to megabytes for each connection. The largest replies (`/metrics`,
/// `/openapi.json`) fit into one or two; a request's line and headers are 16 KiB at most.
const SOCKET_BUFFER_BYTES: usize = 64 * 1024;

/// A connection, and whose it is.
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
}

pub(super) struct Acceptor {
    listener: TcpListener,
    pause: Duration,
    warned: Option<Instant>,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener) -> Self {
        if let Err(error) = bound(&listener) {
            tracing::warn!(%error, "cannot set the lengths of the listener's queue and buffers");
        }
        Self { listener, pause: PAUSE_MIN, warned: None }
    }

    /// Waits for the next connection. Errors are those of a peer that went away, or of a process or system that is out
    /// of descriptors or memory, which passes. May be dropped and called again.
    pub(super) async fn accept(&mut self) -> Accepted {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    self.pause = PAUSE_MIN;
                    return Accepted { stream: prepared(stream, peer), peer };
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

/// Sets the length of the queue, and of the buffers that what is accepted will have.
fn bound(listener: &TcpListener) -> io::Result<()> {
    sockopt::set_socket_send_buffer_size(listener, SOCKET_BUFFER_BYTES)?;
    sockopt::set_socket_recv_buffer_size(listener, SOCKET_BUFFER_BYTES)?;
    // Of a socket that listens already, this changes the length of its queue.
    Ok(rustix::net::listen(listener, BACKLOG)?)
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
