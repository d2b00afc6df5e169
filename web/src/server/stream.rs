//! The bytes of a connection: replies that are ready together leave together, and a closing does not swallow them.
//!
//! hyper asks for a flush after each reply, which would be a system call and a packet for each of the requests that
//! arrived together. Its own remedy, `pipeline_flush`, holds replies back for as long as anything unanswered lies in its
//! buffer: behind a slow request, behind half a request, for ever behind a stray line end. Here replies collect while
//! one poll of the connection lasts, and leave at its end at the latest.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

use super::{activity::Activity, tls::Transport};

/// How many bytes of replies may collect; some fifty replies.
const UNSENT_BYTES_MAX: usize = 16 * 1024;

/// How long, and for how many bytes, a connection is read after its last reply. A socket that is closed with bytes
/// unread resets the connection, and a reset can overtake the reply that says why.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// What a reply begins with.
const START: &[u8] = b"HTTP/1.1 ";

/// hyper's side of a connection.
#[derive(Debug)]
pub(super) struct Stream {
    shared: Arc<Shared>,
}

/// The server's side of the same connection.
#[derive(Debug)]
pub(super) struct Wire {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    // Held by one task, so never contended; it is there because hyper owns its side.
    socket: Mutex<Socket>,
    activity: Arc<Activity>,
}

#[derive(Debug)]
struct Socket {
    stream: Transport,
    unsent: Vec<u8>,
    /// How much of `unsent` was sent already.
    sent: usize,
    /// The client will send no more.
    ended: bool,
}

/// Both sides of a connection.
pub(super) fn sides(stream: Transport, activity: Arc<Activity>) -> (Stream, Wire) {
    let socket = Socket { stream, unsent: Vec::new(), sent: 0, ended: false };
    let shared = Arc::new(Shared { socket: Mutex::new(socket), activity });
    let stream = Stream { shared: Arc::clone(&shared) };
    (stream, Wire { shared })
}

impl Shared {
    fn socket(&self) -> MutexGuard<'_, Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Socket {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.unsent.get(self.sent..)
            && !rest.is_empty()
        {
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                bytes => self.sent += bytes,
            }
        }
        // What was encrypted may still be here.
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.sent = 0;
        self.unsent.clear();
        // One large reply is no reason to keep its room for as long as the connection stays.
        self.unsent.shrink_to(UNSENT_BYTES_MAX);
        Poll::Ready(Ok(()))
    }

    /// Waits until there is room for another reply.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unsent.len() < UNSENT_BYTES_MAX {
            return Poll::Ready(Ok(()));
        }
        self.poll_send(context)
    }

    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let filled = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let bytes = buffer.filled().len() - filled;
        self.ended |= bytes == 0 && buffer.remaining() > 0;
        Poll::Ready(Ok(bytes))
    }
}

impl Wire {
    /// Sends what is ready. To be called whenever hyper has nothing to do.
    pub(super) fn poll_send(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.socket().poll_send(context)
    }

    /// Puts another reply in the place of the last, of which `reply` is told the status.
    ///
    /// hyper answers what it cannot parse by itself, with a status and nothing else. That reply is the last that it
    /// writes, its head alone, and still here: a connection ends in the poll in which it is written.
    pub(super) fn replace_last_reply(&self, reply: impl FnOnce(StatusCode) -> Vec<u8>) {
        let mut socket = self.shared.socket();
        let unsent = socket.unsent.get(socket.sent..).unwrap_or_default();
        let Some(start) = unsent.windows(START.len()).rposition(|bytes| bytes == START) else { return };
        let status = unsent.get(start + START.len()..).and_then(|status| status.get(..3));
        let Some(status) = status.and_then(|status| StatusCode::from_bytes(status).ok()) else { return };
        let start = socket.sent + start;
        socket.unsent.truncate(start);
        socket.unsent.extend_from_slice(&reply(status));
    }

    /// Whether the client has taken in all replies so far. If not, hyper may be in the middle of one.
    pub(super) fn is_drained(&self) -> bool {
        self.shared.socket().unsent.is_empty()
    }

    /// Adds a reply of which hyper knows nothing, where [`Self::is_drained`].
    pub(super) fn reply(&self, reply: &[u8]) {
        self.shared.socket().unsent.extend_from_slice(reply);
    }

    /// Ends the connection such that its last reply arrives even if the client is still sending.
    pub(super) async fn close(self) {
        let finished = timeout(LINGER, async {
            poll_fn(|context| self.poll_end(context)).await?;
            if self.shared.activity.is_reading() {
                self.discard().await?;
            }
            io::Result::Ok(())
        });
        // Whatever goes wrong now, the connection is gone and nobody waits for it.
        let _ = finished.await;
    }

    fn poll_end(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut socket = self.shared.socket();
        ready!(socket.poll_send(context))?;
        Pin::new(&mut socket.stream).poll_shutdown(context)
    }

    async fn discard(&self) -> io::Result<()> {
        let mut bytes = 0;
        let mut space = vec![0; 16 * 1024];
        while bytes < LINGER_BYTES_MAX && !self.shared.socket().ended {
            let mut buffer = ReadBuf::new(&mut space);
            bytes += poll_fn(|context| self.shared.socket().poll_receive(context, &mut buffer)).await?;
        }
        Ok(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let bytes = ready!(self.shared.socket().poll_receive(context, buffer))?;
        if bytes > 0 {
            self.shared.activity.bytes_arrive();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut socket = self.shared.socket();
        ready!(socket.poll_room(context))?;
        socket.unsent.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut socket = self.shared.socket();
        ready!(socket.poll_room(context))?;
        let before = socket.unsent.len();
        for slice in slices {
            socket.unsent.extend_from_slice(slice);
        }
        Poll::Ready(Ok(socket.unsent.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: [`Wire::poll_send`] follows before the task sleeps.
    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Does nothing: [`Wire::close`] follows, and may have something to add.
    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
