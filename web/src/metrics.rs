//! Requests by route template: how many, how long, how many at once.
//!
//! Labels come from fixed sets (known methods, the templates of the router, statuses), never from what a client sent,
//! so a client cannot grow the metrics. All series of a request are looked up once and then kept beside the route.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Instant,
};

use axum::{
    extract::MatchedPath,
    http::{Method, Request, StatusCode},
    response::Response,
};
use pin_project_lite::pin_project;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use tower_layer::Layer;
use tower_service::Service;

use crate::RequestName;

#[cfg(test)]
mod tests;

/// The `route` label of requests whose path no route has.
pub const UNMATCHED: &str = "unmatched";

/// The `status` label of requests that were cut off before the reply was known, with the end of the server.
pub const ABANDONED: &str = "abandoned";

/// From an answer out of memory to the longest wait that a request may be held for, in seconds.
const BUCKETS_SECONDS: [f64; 15] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReplyLabels {
    method: &'static str,
    route: Arc<str>,
    status: String,
}

/// The metrics of HTTP requests:
///
/// - `sagamart_http_requests_total{method, route, status}`
/// - `sagamart_http_request_duration_seconds{method, route}`, a histogram of the time until the reply's head is known
/// - `sagamart_http_requests_in_flight`
///
/// What never becomes a request for the router (a broken or oversized header or body) is counted by
/// [`crate::server::Metrics`].
///
/// Clones share them.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<ReplyLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS_SECONDS)),
            in_flight: Gauge::default(),
        }
    }
}

impl HttpMetrics {
    /// Adds the metrics to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "sagamart_http_requests",
            "HTTP requests by method, route template and status",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "sagamart_http_request_duration",
            "Time from the request to its reply, by method and route template",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register(
            "sagamart_http_requests_in_flight",
            "HTTP requests that have no reply yet",
            self.in_flight.clone(),
        );
    }

    /// A layer for a router with these route templates; requests to any other count as [`UNMATCHED`].
    #[must_use]
    pub fn layer<'a>(&self, templates: impl IntoIterator<Item = &'a str>) -> MetricsLayer {
        let mut routes: Routes =
            templates.into_iter().map(|template| (Box::from(template), Arc::new(Route::new(template)))).collect();
        routes.shrink_to_fit();
        MetricsLayer {
            shared: Arc::new(Shared { metrics: self.clone(), routes, unmatched: Arc::new(Route::new(UNMATCHED)) }),
        }
    }
}

type Routes = HashMap<Box<str>, Arc<Route>, foldhash::fast::RandomState>;

struct Shared {
    metrics: HttpMetrics,
    routes: Routes,
    unmatched: Arc<Route>,
}

impl Shared {
    fn route_of<B>(&self, request: &Request<B>) -> &Arc<Route> {
        request
            .extensions()
            .get::<MatchedPath>()
            .and_then(|path| self.routes.get(path.as_str()))
            .unwrap_or(&self.unmatched)
    }
}

/// The series of one route, each created with the first request that needs it.
struct Route {
    template: Arc<str>,
    methods: [OnceLock<Series>; METHODS.len() + 1],
}

struct Series {
    duration: Histogram,
    replies: [OnceLock<Counter>; STATUSES.len()],
}

const METHODS: [(Method, &str); 7] = [
    (Method::POST, "POST"),
    (Method::GET, "GET"),
    (Method::HEAD, "HEAD"),
    (Method::PUT, "PUT"),
    (Method::DELETE, "DELETE"),
    (Method::PATCH, "PATCH"),
    (Method::OPTIONS, "OPTIONS"),
];

/// The statuses that are answered often enough to keep their counters at hand, most frequent first.
const STATUSES: [StatusCode; 9] = [
    StatusCode::OK,
    StatusCode::CONFLICT,
    StatusCode::PAYMENT_REQUIRED,
    StatusCode::NOT_FOUND,
    StatusCode::BAD_REQUEST,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::UNPROCESSABLE_ENTITY,
    StatusCode::GATEWAY_TIMEOUT,
    StatusCode::METHOD_NOT_ALLOWED,
];

/// The index of a method in [`Route::methods`] and its label.
fn method_label(method: &Method) -> (usize, &'static str) {
    let known = METHODS.iter().enumerate().find(|(_, (known, _))| known == method);
    known.map_or((METHODS.len(), "other"), |(index, (_, label))| (index, *label))
}

impl Route {
    fn new(template: &str) -> Self {
        Self { template: template.into(), methods: Default::default() }
    }
}

/// Adds [`HttpMetrics`] and an access log (debug level, without anything a client chose) to a router.
#[derive(Clone)]
pub struct MetricsLayer {
    shared: Arc<Shared>,
}

impl fmt::Debug for MetricsLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MetricsLayer").finish_non_exhaustive()
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = MetricsService<S>;

    fn layer(&self, inner: S) -> MetricsService<S> {
        MetricsService { inner, shared: Arc::clone(&self.shared) }
    }
}

/// What [`MetricsLayer`] makes of a service.
#[derive(Clone)]
pub struct MetricsService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> fmt::Debug for MetricsService<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MetricsService").finish_non_exhaustive()
    }
}

impl<S, B> Service<Request<B>> for MetricsService<S>
where
    S: Service<Request<B>, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Observed<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let route = Arc::clone(self.shared.route_of(&request));
        let observation = Observation::begin(Arc::clone(&self.shared), route, request.method());
        Observed { response: self.inner.call(request), observation }
    }
}

pin_project! {
    /// The response of a [`MetricsService`].
    pub struct Observed<F> {
        #[pin]
        response: F,
        observation: Observation,
    }
}

impl<F> fmt::Debug for Observed<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Observed").finish_non_exhaustive()
    }
}

impl<F, E> Future for Observed<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.response.poll(context));
        if let Ok(response) = &result {
            this.observation.reply(response.status());
        }
        Poll::Ready(result)
    }
}

/// One request under way; counted as abandoned when it is dropped without a reply.
struct Observation {
    shared: Arc<Shared>,
    route: Arc<Route>,
    method: usize,
    label: &'static str,
    began: Instant,
    replied: bool,
}

impl Observation {
    fn begin(shared: Arc<Shared>, route: Arc<Route>, method: &Method) -> Self {
        shared.metrics.in_flight.inc();
        let (method, label) = method_label(method);
        Self { shared, route, method, label, began: Instant::now(), replied: false }
    }

    fn reply(&mut self, status: StatusCode) {
        self.replied = true;
        let duration = self.began.elapsed();
        if let Some(series) = self.route.methods.get(self.method) {
            let series = series.get_or_init(|| self.series());
            series.duration.observe(duration.as_secs_f64());
            self.count(series, status);
        }
        tracing::debug!(
            target: "web::access",
            method = self.label,
            route = &*self.route.template,
            status = status.as_u16(),
            duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            request_id = RequestName::current().as_ref().map(RequestName::as_str),
            "request"
        );
    }

    fn count(&self, series: &Series, status: StatusCode) {
        let index = STATUSES.iter().position(|known| *known == status);
        let create = || self.counter(status.as_str());
        match index.and_then(|index| series.replies.get(index)) {
            Some(counter) => counter.get_or_init(create).inc(),
            None => create().inc(),
        };
    }

    fn series(&self) -> Series {
        let labels = RouteLabels { method: self.label, route: Arc::clone(&self.route.template) };
        Series { duration: self.shared.metrics.durations.get_or_create_owned(&labels), replies: Default::default() }
    }

    fn counter(&self, status: &str) -> Counter {
        self.shared.metrics.requests.get_or_create_owned(&ReplyLabels {
            method: self.label,
            route: Arc::clone(&self.route.template),
            status: status.to_owned(),
        })
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.shared.metrics.in_flight.dec();
        if !self.replied {
            self.counter(ABANDONED).inc();
        }
    }
}
