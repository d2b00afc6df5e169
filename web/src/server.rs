//! The HTTP/1 server under every process: an accept loop with bounds, and an orderly end.
//!
//! ```text
//!  accept ──▶ connection task: hyper's http1 ── request ──▶ small body discarded ──▶ axum::Router
//!    │             ▲
//!    │             └── watchdog: closes what sends no request in time (`activity`)
//!  shutdown ──▶ listener closed ──▶ replies carry Connection: close ──▶ all gone, or cut after `drain_timeout`
//! ```
//!
//! The replies to requests that arrived together leave together (`stream`), and nothing that a client does or leaves
//! undone holds back a reply that is ready.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, header},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::TokioIo,
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tower_service::Service;

use crate::{Problem, problem::kinds};

mod acceptor;
mod activity;
mod stream;

use acceptor::Acceptor;
use activity::{Activity, Verdict, Watchdog};

/// The bounds of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many connections may be open. Beyond it none is accepted: they wait in the kernel's backlog.
    pub connections_max: usize,
    /// How large a request's line and headers may be together; beyond it the answer is 431.
    pub header_bytes_max: usize,
    /// How large a request's body may be, which nobody reads; beyond it the answer is 413.
    pub body_bytes_max: usize,
    /// How long a client may take from the first byte of a request to its last. Enforced to within a second, like
    /// [`Self::idle_timeout`].
    pub request_read_timeout: Duration,
    /// How long a connection may stay open without a request, or with replies that the client does not take in.
    pub idle_timeout: Duration,
    /// How long running requests may take to finish after the shutdown.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // 200 MiB: a connection costs 20 KiB (measured) and a file descriptor. Limits for those are often lower, so
            // the accept loop copes with running out of them.
            connections_max: 10_000,
            // What nginx and others allow for headers is 8 to 32 KiB.
            header_bytes_max: 16 * 1024,
            body_bytes_max: 64 * 1024,
            request_read_timeout: Duration::from_secs(10),
            // Longer than the 60 s after which nginx and most load balancers drop idle upstream connections: were this
            // side the first, a request could be sent into the closing connection.
            idle_timeout: Duration::from_secs(75),
            // With some seconds of notice before it, still below the 30 s after which Kubernetes kills by default.
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// Why a server did not end in order.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Requests were still running when the time to drain was over.
    #[error("cut off {requests} requests that were still running after {} s of draining", waited.as_secs_f32())]
    DrainTimedOut {
        /// How many requests were cut off, without an answer.
        requests: usize,
        /// [`Settings::drain_timeout`].
        waited: Duration,
    },
}

/// Serves `router` on `listener` until `shutdown` completes and running requests have finished.
///
/// A fault of one connection, or of accepting one, ends neither the others nor the server.
///
/// # Errors
/// [`Error::DrainTimedOut`] when running requests had to be cut off.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let server = Arc::new(Server::new(router, settings));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut acceptor = Acceptor::new(listener);
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => note_end(ended),
            stream = acceptor.accept(), if connections.len() < server.settings.connections_max => {
                connections.spawn(Arc::clone(&server).connection(stream, graceful.watcher()));
            }
        }
    }
    drop(acceptor);
    server.draining.store(true, Ordering::Relaxed);
    drain(&server, graceful, connections).await
}

async fn drain(server: &Server, graceful: GracefulShutdown, mut connections: JoinSet<()>) -> Result<(), Error> {
    let waited = server.settings.drain_timeout;
    let finish = async {
        while let Some(ended) = connections.join_next().await {
            note_end(ended);
        }
    };
    let drained = timeout(waited, async { tokio::join!(graceful.shutdown(), finish) }).await;
    let requests = server.running.load(Ordering::Relaxed);
    connections.shutdown().await;
    match drained {
        Err(_) if requests > 0 => Err(Error::DrainTimedOut { requests, waited }),
        _ => Ok(()),
    }
}

fn note_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        // The panic's own message went to the panic hook; the connection was closed without an answer.
        tracing::error!(%error, "the task of a connection panicked");
    }
}

struct Server {
    router: Router,
    settings: Settings,
    http: http1::Builder,
    draining: AtomicBool,
    /// How many requests are in the router.
    running: AtomicUsize,
}

impl Server {
    fn new(router: Router, settings: Settings) -> Self {
        let mut http = http1::Builder::new();
        http.max_header_size(settings.header_bytes_max)
            // Room for the largest header and for some requests behind it.
            .max_buf_size((settings.header_bytes_max * 2).max(64 * 1024))
            // The watchdog's job: hyper's own timer is armed and disarmed with every request, and counts the time
            // between two requests like the time spent on one.
            .header_read_timeout(None);
        Self { router, settings, http, draining: AtomicBool::new(false), running: AtomicUsize::new(0) }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, watcher: Watcher) {
        let server = &*self;
        let activity = Arc::new(Activity::default());
        let (stream, wire) = stream::sides(stream, Arc::clone(&activity));
        let service = service_fn(|request| server.respond(request, &activity));
        let mut connection = pin!(watcher.watch(server.http.serve_connection(TokioIo::new(stream), service)));
        let mut connection = pin!(poll_fn(|context| match connection.as_mut().poll(context) {
            Poll::Ready(ended) => Poll::Ready(ended.map_err(io::Error::other)),
            Poll::Pending => match wire.poll_send(context) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Pending,
            },
        }));
        let mut watchdog = Watchdog::new(server.settings.request_read_timeout, server.settings.idle_timeout);
        let mut ticks = interval_at(Instant::now() + watchdog.tick(), watchdog.tick());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection failed");
                    }
                    break;
                }
                _ = ticks.tick() => {
                    let draining = server.draining.load(Ordering::Relaxed);
                    if watchdog.inspect(&activity, draining) == Verdict::Close {
                        tracing::debug!("closing a connection that sent no whole request in time");
                        return;
                    }
                }
            }
        }
        wire.close().await;
    }

    async fn respond(&self, request: Request<Incoming>, activity: &Activity) -> Result<Response, Infallible> {
        let request = if request.body().is_end_stream() {
            request.map(|_| Body::empty())
        } else {
            let (head, body) = request.into_parts();
            if let Err(problem) = discard(body, self.settings.body_bytes_max).await {
                return Ok(closing(problem));
            }
            Request::from_parts(head, Body::empty())
        };
        let _running = Running::begin(&self.running, activity);
        self.router.clone().call(request).await
    }
}

/// A request in the router; dropped with the reply, or with the connection when that is cut.
struct Running<'a> {
    count: &'a AtomicUsize,
    activity: &'a Activity,
}

impl<'a> Running<'a> {
    fn begin(count: &'a AtomicUsize, activity: &'a Activity) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        activity.request_begins();
        Self { count, activity }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.activity.request_ends();
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads a body to its end and forgets it, so that the connection can carry the next request.
async fn discard(mut body: Incoming, bytes_max: usize) -> Result<(), Problem> {
    let bytes_max = bytes_max as u64;
    let mut bytes: u64 = body.size_hint().lower();
    let too_large = || {
        let detail = format!("the body has more than {bytes_max} bytes, and no route here wants one");
        Err(Problem::new(&kinds::BODY_TOO_LARGE, detail))
    };
    if bytes > bytes_max {
        return too_large();
    }
    bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::malformed(format!("the body cannot be read: {error}")))?;
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if bytes > bytes_max {
            return too_large();
        }
    }
    Ok(())
}

/// The reply to a request whose rest stays unread: nothing behind it on the connection could be understood.
fn closing(problem: Problem) -> Response {
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
