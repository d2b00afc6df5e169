//! A frugal HTTP/1.1 client: one TCP connection, one request at a time, kept alive.
//!
//! It shares the machine's cores with the server it measures, so what it costs is taken from the result. Against the
//! same bare server it needs a sixth less processor time per request than hyper's client and no more than wrk (the
//! figures are in this crate's `README.md`), which is why it exists.
//!
//! ```text
//!  connect ─▶ idle ── write the request ──▶ read the head ──▶ read the body ──▶ idle
//!    ▲                      │ closed, reset, timed out, malformed    │ `connection: close`
//!    └──────────────────────┴─────────────────────────────────────────┘
//! ```

mod alarm;
mod response;
mod stream;
mod target;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use alarm::Alarm;
use response::{BODY_BYTES_MAX, Chunks, Framing, Head};
use stream::Stream;
pub use {
    response::Malformed,
    target::{Method, Target},
};

/// Room for the head and body of any answer the shop's API gives in one read.
const RECEIVE_BYTES: usize = 4096;

/// How long connecting may take at most: a host that drops packets would otherwise hold a worker for minutes.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// Why no answer to a request was seen although it may have been sent: its outcome is unknown.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The connection ended before the answer did.
    #[error("the connection was cut off: {0}")]
    CutOff(#[from] io::Error),
    /// The answer did not come in time.
    #[error("no answer came in time")]
    TimedOut,
    /// What came is not HTTP.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// A complete answer; it borrows the connection's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'connection> {
    /// The HTTP status.
    pub status: u16,
    /// The body, decoded.
    pub body: &'connection [u8],
}

/// One connection to a server, opened when needed.
#[derive(Debug)]
pub struct Connection {
    target: Arc<Target>,
    timeout: Duration,
    stream: Option<Stream>,
    request: Vec<u8>,
    received: Vec<u8>,
    decoded: Vec<u8>,
    alarm: Alarm,
}

impl Connection {
    /// A connection that is not open yet. `timeout` bounds each exchange; connecting is bounded by it too,
    /// and by ten seconds.
    #[must_use]
    pub fn new(target: Arc<Target>, timeout: Duration) -> Self {
        Self {
            target,
            timeout,
            stream: None,
            request: Vec::with_capacity(256),
            received: Vec::with_capacity(RECEIVE_BYTES),
            decoded: Vec::new(),
            alarm: Alarm::default(),
        }
    }

    /// Where the connection goes.
    #[must_use]
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Makes sure that the connection is open: connects if there is none or if the server has closed the one there
    /// was. A request is only ever sent after this, so a server that cannot be reached has not seen it.
    ///
    /// # Errors
    /// The error of connecting; timing out is [`io::ErrorKind::TimedOut`].
    pub async fn ensure_open(&mut self) -> io::Result<()> {
        if self.stream.as_mut().is_some_and(Stream::is_idle) {
            return Ok(());
        }
        self.stream = None;
        let connect = async {
            let stream = TcpStream::connect(self.target.addresses()).await?;
            // With Nagle's algorithm a request could wait for the acknowledgement of the one before.
            stream.set_nodelay(true)?;
            Stream::open(stream, self.target.encryption()).await
        };
        let stream = tokio::time::timeout(self.timeout.min(CONNECT_TIMEOUT_MAX), connect)
            .await
            .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
        self.stream = Some(stream);
        Ok(())
    }

    /// Sends a request without a body for the path that `path` appends, and waits for its answer. The connection must
    /// be open ([`Self::ensure_open`]); it is closed on a failure, so a late answer is never taken for another's.
    ///
    /// # Errors
    /// [`Failure`]: the request may have been sent, its outcome is unknown.
    pub async fn exchange(&mut self, method: Method, path: impl FnOnce(&mut Vec<u8>)) -> Result<Answer<'_>, Failure> {
        let Some(mut stream) = self.stream.take() else {
            return Err(Failure::CutOff(io::ErrorKind::NotConnected.into()));
        };
        self.target.write_request(method, path, &mut self.request);
        self.received.clear();
        self.decoded.clear();
        let exchange = async {
            stream.write_all(&self.request).await?;
            stream.flush().await?;
            receive(&mut stream, &mut self.received, &mut self.decoded).await
        };
        let deadline = Instant::now() + self.timeout;
        let head = self.alarm.within(deadline, exchange).await.ok_or(Failure::TimedOut)??;
        if head.keep_alive {
            self.stream = Some(stream);
        }
        let body = match head.framing {
            Framing::Chunked => &self.decoded,
            Framing::Length(_) | Framing::UntilClose => self.received.get(head.length..).unwrap_or_default(),
        };
        Ok(Answer { status: head.status, body })
    }

    /// Closes the connection; the next use opens a new one.
    pub fn close(&mut self) {
        self.stream = None;
    }

    /// Changes the time that each later exchange may take.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }
}

/// Reads one answer: the final head, skipping `1xx` ones, and its whole body. Bytes after its end are an error: the
/// client never has two requests under way.
async fn receive(stream: &mut Stream, received: &mut Vec<u8>, decoded: &mut Vec<u8>) -> Result<Head, Failure> {
    let head = loop {
        match response::parse_head(received)? {
            Some(head) if (100..=199).contains(&head.status) => drop(received.drain(..head.length)),
            Some(head) => break head,
            None => read_some(stream, received).await?,
        }
    };
    let mut chunks = Chunks::default();
    loop {
        let body = received.get(head.length..).unwrap_or_default();
        let complete = match head.framing {
            Framing::Length(length) => (body.len() >= length).then_some(length),
            Framing::Chunked => chunks.decode(body, decoded)?,
            Framing::UntilClose if body.len() > BODY_BYTES_MAX => return Err(Malformed("the body is too long").into()),
            Framing::UntilClose => None,
        };
        match complete {
            Some(length) if length == body.len() => return Ok(head),
            Some(_) => return Err(Malformed("bytes after the end of the answer").into()),
            None => match read_some(stream, received).await {
                Err(error) if head.framing == Framing::UntilClose && error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(head);
                }
                other => other?,
            },
        }
    }
}

async fn read_some(stream: &mut Stream, received: &mut Vec<u8>) -> io::Result<()> {
    // A full buffer would make `read_buf` grow it by a few bytes at a time.
    if received.capacity() - received.len() < RECEIVE_BYTES / 2 {
        received.reserve(RECEIVE_BYTES.max(received.len()));
    }
    match stream.read_buf(received).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
