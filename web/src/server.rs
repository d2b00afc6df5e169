//! The HTTP/1 server under every process: an accept loop with bounds, and an orderly end.
//!
//! ```text
//!  accept ──▶ roster ──▶ connection task: hyper's http1 ── request ──▶ checked, small body discarded ──▶ axum::Router, of the `front`
//!    │          bounds        ▲                                         `request`
//!    │                        ├── watchdog: closes what sends no request in time (`activity`)
//!    │                        └── roster: closes the longest idle when others wait
//!  shutdown ──▶ listener closed ──▶ replies carry Connection: close ──▶ all gone, or cut after `drain_timeout`
//! ```
//!
//! A request that arrived whole is carried out and answered, even if its client has closed its side, or all of the
//! connection: many close the side they send on as soon as they have sent, and from here the two look the same.
//!
//! The replies to requests that arrived together leave together (`stream`), and nothing that a client does or leaves
//! undone holds back a reply that is ready.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use axum::{
    http::{HeaderValue, Request, header},
    response::{IntoResponse as _, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::TokioIo,
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{Id, JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};
use tower_service::Service;

use crate::{Browsers, Problem, RequestName, browsers::Gate, request_name};

mod acceptor;
mod activity;
mod front;
mod metrics;
mod rate;
mod request;
mod roster;
mod stream;
mod tls;

pub use front::Front;
pub use metrics::Metrics;
pub use tls::{Error as TlsError, Tls};

use acceptor::{Accepted, Acceptor};
use activity::{Activity, Verdict, Watchdog};
use metrics::Closed;
use rate::Rates;
use roster::Roster;
use tls::Transport;

/// How soon to look again for a connection to close, where others wait and all had a request running.
const PRESSURE_TICK: Duration = Duration::from_millis(50);

/// The bounds of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many connections may be open. Beyond it the longest idle is closed for each that comes; where all have a
    /// request running, new ones wait in the kernel's backlog.
    pub connections_max: usize,
    /// How many of them one address may have, an IPv6 network of 64 bits counting as one; beyond it its new ones are
    /// closed at once. `None`: half of all.
    pub connections_per_address_max: Option<usize>,
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
    /// Which requests of browsers are answered.
    pub browsers: Browsers,
    /// How many requests a second one address may send, an IPv6 network of 64 bits counting as one; beyond it the answer is 429.
    pub requests_per_address: Option<NonZeroU32>,
    /// Whether requests have the address that they come from among their extensions, for an audit log.
    pub tells_peer: bool,
    /// With what connections are encrypted; with nothing, they are not.
    pub tls: Option<Tls>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // 200 MiB: a connection costs 20 KiB (measured) and a file descriptor. Limits for those are often lower, so
            // the accept loop copes with running out of them.
            connections_max: 10_000,
            connections_per_address_max: None,
            // What nginx and others allow for headers is 8 to 32 KiB.
            header_bytes_max: 16 * 1024,
            body_bytes_max: 64 * 1024,
            request_read_timeout: Duration::from_secs(10),
            // Longer than the 60 s after which nginx and most load balancers drop idle upstream connections: were this
            // side the first, a request could be sent into the closing connection.
            idle_timeout: Duration::from_secs(75),
            // With some seconds of notice before it, still below the 30 s after which Kubernetes kills by default.
            drain_timeout: Duration::from_secs(20),
            browsers: Browsers::default(),
            requests_per_address: None,
            tells_peer: false,
            tls: None,
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

/// Serves `front` on `listener` until `shutdown` completes and running requests have finished.
///
/// A fault of one connection, or of accepting one, ends neither the others nor the server.
///
/// # Errors
/// [`Error::DrainTimedOut`] when running requests had to be cut off.
pub async fn serve(
    listener: TcpListener,
    front: impl Into<Front>,
    settings: Settings,
    metrics: Metrics,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    // A listener that cannot tell where it listens is taken for one that only this machine reaches.
    let address = listener.local_addr().map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip());
    let server = Arc::new(Server::new(front.into(), settings, metrics, address));
    let graceful = GracefulShutdown::new();
    let mut connections = Connections::new(&server);
    let mut acceptor = Acceptor::new(listener);
    // Accepted, but one too many: it is let in as soon as another has ended.
    let mut waiting: Option<Accepted> = None;
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.tasks.join_next_with_id() => {
                connections.end(ended);
                if let Some(accepted) = waiting.take() {
                    waiting = connections.admit(accepted, &graceful);
                }
            }
            accepted = acceptor.accept(), if waiting.is_none() => waiting = connections.admit(accepted, &graceful),
            () = sleep(PRESSURE_TICK), if waiting.is_some() => connections.roster.close_longest_idle(),
        }
    }
    drop(acceptor);
    server.draining.store(true, Ordering::Relaxed);
    drain(&server, graceful, connections).await
}

/// The tasks of all connections, and what is known of each.
struct Connections {
    server: Arc<Server>,
    tasks: JoinSet<()>,
    roster: Roster<Id>,
}

impl Connections {
    fn new(server: &Arc<Server>) -> Self {
        let Settings { connections_max, connections_per_address_max, .. } = server.settings;
        let per_address_max = connections_per_address_max.unwrap_or(connections_max / 2).max(1);
        Self {
            server: Arc::clone(server),
            tasks: JoinSet::new(),
            roster: Roster::new(connections_max, per_address_max),
        }
    }

    /// Lets a connection in, or closes it if its address has too many. Where there is no room, gives it back, and makes
    /// some.
    fn admit(&mut self, accepted: Accepted, graceful: &GracefulShutdown) -> Option<Accepted> {
        if self.roster.is_crowded(accepted.peer) {
            self.server.metrics.connection_closed(Closed::Address);
            tracing::debug!(peer = %accepted.peer, "closing a connection: its address has too many");
            return None;
        }
        if self.roster.is_full() {
            self.roster.close_longest_idle();
            return Some(accepted);
        }
        let (activity, peer) = (Arc::new(Activity::default()), accepted.peer);
        let connection = Arc::clone(&self.server).connection(accepted, Arc::clone(&activity), graceful.watcher());
        let id = self.tasks.spawn(connection).id();
        self.roster.add(id, peer, activity);
        self.server.metrics.connections(self.roster.len());
        None
    }

    fn end(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                // The panic's own message went to the panic hook; the connection was closed without an answer.
                tracing::error!(%error, "the task of a connection panicked");
                error.id()
            }
        };
        self.roster.remove(id);
        self.server.metrics.connections(self.roster.len());
    }
}

async fn drain(server: &Server, graceful: GracefulShutdown, mut connections: Connections) -> Result<(), Error> {
    let waited = server.settings.drain_timeout;
    let finish = async {
        while let Some(ended) = connections.tasks.join_next_with_id().await {
            connections.end(ended);
        }
    };
    let drained = timeout(waited, async { tokio::join!(graceful.shutdown(), finish) }).await;
    let requests = server.running.load(Ordering::Relaxed);
    connections.tasks.shutdown().await;
    match drained {
        Err(_) if requests > 0 => Err(Error::DrainTimedOut { requests, waited }),
        _ => Ok(()),
    }
}

struct Server {
    front: Front,
    gate: Gate,
    rates: Rates,
    settings: Settings,
    metrics: Metrics,
    http: http1::Builder,
    draining: AtomicBool,
    /// How many requests are in the router.
    running: AtomicUsize,
}

impl Server {
    fn new(front: Front, settings: Settings, metrics: Metrics, address: IpAddr) -> Self {
        let gate = settings.browsers.clone().at(address);
        let mut http = http1::Builder::new();
        http.max_header_size(settings.header_bytes_max)
            // Room for the largest header and for some requests behind it.
            .max_buf_size((settings.header_bytes_max * 2).max(64 * 1024))
            // The watchdog's job: hyper's own timer is armed and disarmed with every request, and counts the time
            // between two requests like the time spent on one.
            .header_read_timeout(None)
            // Otherwise a request is dropped, carried out or not, when its client closes the side it sends on.
            .half_close(true);
        let rates = Rates::new(settings.requests_per_address);
        Self {
            front,
            gate,
            rates,
            settings,
            metrics,
            http,
            draining: AtomicBool::new(false),
            running: AtomicUsize::new(0),
        }
    }

    async fn connection(self: Arc<Self>, accepted: Accepted, activity: Arc<Activity>, watcher: Watcher) {
        let (server, Accepted { stream, peer }) = (&*self, accepted);
        let Some(stream) = server.transport(stream).await else { return };
        let (stream, wire) = stream::sides(stream, Arc::clone(&activity));
        let service = service_fn(|request| server.respond(request, peer, &activity));
        let mut connection = pin!(watcher.watch(server.http.serve_connection(TokioIo::new(stream), service)));
        let mut connection = pin!(poll_fn(|context| match connection.as_mut().poll(context) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => match wire.poll_send(context) {
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "a connection failed");
                    Poll::Ready(Ok(()))
                }
                _ => Poll::Pending,
            },
        }));
        let mut watchdog = Watchdog::new(server.settings.request_read_timeout, server.settings.idle_timeout);
        let mut ticks = interval_at(Instant::now() + watchdog.tick(), watchdog.tick());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = loop {
            tokio::select! {
                biased;
                ended = &mut connection => break End::of(ended),
                () = activity.told_to_close() => {
                    if !activity.is_running() {
                        break End::Closed(Closed::Pressure);
                    }
                }
                _ = ticks.tick() => {
                    let draining = server.draining.load(Ordering::Relaxed);
                    match watchdog.inspect(&activity, draining) {
                        Verdict::Keep => {}
                        Verdict::Close if activity.is_reading() && wire.is_drained() && !draining => break End::TooSlow,
                        Verdict::Close => break End::Closed(Closed::Idle),
                    }
                }
            }
        };
        match end {
            End::Done => {}
            End::Unreadable(error) => {
                tracing::debug!(%error, "a request could not be read");
                wire.replace_last_reply(|status| server.refusal(request::unreadable(status, &error)));
            }
            End::TooSlow => wire.reply(&server.refusal(request::too_slow())),
            End::Closed(why) => {
                server.metrics.connection_closed(why);
                return;
            }
        }
        wire.close().await;
    }

    /// What the bytes go through, unless the client cannot agree on it in time.
    async fn transport(&self, stream: TcpStream) -> Option<Transport> {
        let Some(tls) = &self.settings.tls else { return Some(Transport::Plain(stream)) };
        match timeout(self.settings.request_read_timeout, tls.accept(stream)).await {
            Ok(Ok(transport)) => return Some(transport),
            Ok(Err(error)) => tracing::debug!(%error, "a connection could not be encrypted"),
            Err(_) => tracing::debug!("a connection was not encrypted in time"),
        }
        self.metrics.connection_closed(Closed::Encryption);
        None
    }

    /// A reply that hyper knows nothing of.
    fn refusal(&self, problem: Problem) -> Vec<u8> {
        self.metrics.request_refused(problem.kind().status());
        RequestName::random().answer_now(|name| request::closing_bytes(problem, name))
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        activity: &Activity,
    ) -> Result<Response, Infallible> {
        let name = RequestName::of(request.headers());
        let header = name.header();
        // Where it is made, it stays: to move what answers a request takes longer than to name it.
        let answering = name.scope(async {
            match request::checked(request, &self.gate, self.settings.body_bytes_max).await {
                Ok(request) => {
                    if let Err(problem) = self.rates.check(peer.ip()) {
                        self.metrics.request_refused(problem.kind().status());
                        return problem.into_response();
                    }
                    let mut request = request;
                    if self.settings.tells_peer {
                        request.extensions_mut().insert(peer);
                    }
                    let _running = Running::begin(&self.running, activity);
                    let Ok(response) = self.front.router().clone().call(request).await;
                    response
                }
                Err(problem) => {
                    self.metrics.request_refused(problem.kind().status());
                    request::closing(problem)
                }
            }
        });
        let mut response = answering.await;
        let headers = response.headers_mut();
        headers.insert(&request_name::HEADER, header);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, const { HeaderValue::from_static("nosniff") });
        Ok(response)
    }
}

/// How a connection ended.
enum End {
    /// By itself.
    Done,
    /// With bytes that are no request; hyper has made a reply without a body.
    Unreadable(hyper::Error),
    /// In the middle of a request that took too long.
    TooSlow,
    /// By us, without a word.
    Closed(Closed),
}

impl End {
    fn of(ended: hyper::Result<()>) -> Self {
        match ended {
            Err(error) if error.is_parse() => Self::Unreadable(error),
            Err(error) => {
                tracing::debug!(%error, "a connection failed");
                Self::Done
            }
            Ok(()) => Self::Done,
        }
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
