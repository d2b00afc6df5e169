//! The routes that every process has, and the joining of all its routes.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use prometheus_client::registry::Registry;
use serde::Serialize;
use utoipa::{ToSchema, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    Access, AuditLog, Browsers, Dialect, Path, Problem, Readiness, Report,
    accept::preferred,
    access::{self, Guard, Scope},
    exposition, idempotency,
    metrics::HttpMetrics,
    openapi::{self, About},
    pages::Pages,
    problem::{Kind, TYPE_PREFIX, kinds},
};

/// Everything that the HTTP side of one process consists of, apart from its services' routes.
#[derive(Debug)]
pub struct Site {
    /// What the process says about itself.
    pub about: About,
    /// What `/readyz` answers from.
    pub readiness: Readiness,
    /// What `/metrics` shows. With none there is no such route: metrics are for operators.
    pub registry: Option<Arc<Registry>>,
    /// What counts the requests.
    pub metrics: HttpMetrics,
    /// Who may ask; with none, everybody who gets here.
    pub access: Option<Access>,
    /// Where it is written down what operators do.
    pub audit: Option<AuditLog>,
    /// The services' kinds of problems, to be explained under their `type`. Those of [`kinds::ALL`] are there anyway.
    pub kinds: Vec<&'static Kind>,
    /// How the services' answers are spelled.
    pub dialect: Dialect,
    /// Whether requests come through a gateway that sets the headers which are a gateway's to set.
    pub behind_gateway: bool,
    /// Which origins' pages may read the answers.
    pub browsers: Browsers,
}

/// What the common routes answer from.
struct Common {
    pages: Pages,
    openapi: Bytes,
    readiness: Readiness,
    registry: Option<Arc<Registry>>,
    kinds: Vec<&'static Kind>,
}

/// What is told to everybody: whether the process is well, and how it is to be asked.
const OPEN: [&str; 6] = ["/", "/livez", "/readyz", "/openapi.json", "/problems", "/problems/{slug}"];

impl Site {
    /// Joins the services' routes with the common ones: `/`, `/livez`, `/readyz`, `/openapi.json`, `/problems/{slug}` and perhaps
    /// `/metrics`. Every path that no route has and every wrong method is answered with a [`Problem`], and
    /// every request is measured.
    ///
    /// # Panics
    /// When two routes are the same, like [`Router::route`]; and, where debug assertions are on, when a route of the services is not
    /// documented or something documented is no route; and, where there is an [`Access`], when one does not say which scope it asks for
    /// ([`access::guarded`]).
    pub fn router(mut self, services: OpenApiRouter) -> (Router, OpenApi) {
        let (behind_gateway, browsers) = (self.behind_gateway, self.browsers.clone());
        let (access, audit, http_metrics) = (self.access.clone(), self.audit.clone(), self.metrics.clone());
        let (services, mut document) = services.split_for_parts();
        debug_assert_eq!(
            paths_of(&services),
            document.paths.paths.keys().cloned().collect(),
            "every route is documented"
        );
        self.dialect.describe(&mut document);
        let (common, common_document) = common_routes(self.registry.is_some()).split_for_parts();
        document.merge(common_document);
        self.about.tags.push(("operations", "What is for operators: health, metrics, documents."));
        openapi::describe(&mut document, &self.about);

        let layer = http_metrics.layer(document.paths.paths.keys().map(String::as_str));
        let dialect = self.dialect;
        let guard = Guard::of(access, audit, &mut document, &OPEN);
        let common_state = Arc::new(self.common(&document));
        let router = guard
            .on(dialect.answers(services).merge(common.with_state(common_state)))
            .fallback(no_such_route)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(middleware::from_fn(move |request, next| idempotency::layer(behind_gateway, request, next)))
            .layer(layer);
        (browsers.cors(dialect.paths(router)), document)
    }

    /// What answers until the services are there: `/livez`, `/readyz`, `/problems` and perhaps `/metrics`. Whatever else is asked for is
    /// refused as [`kinds::STARTING`]; behind a gateway with 502, upon which that asks another replica.
    pub fn starting(self) -> Router {
        let (access, audit, http_metrics) = (self.access.clone(), self.audit.clone(), self.metrics.clone());
        let (common, mut document) = starting_routes(self.registry.is_some()).split_for_parts();
        let layer = http_metrics.layer(document.paths.paths.keys().map(String::as_str));
        let (behind_gateway, browsers) = (self.behind_gateway, self.browsers.clone());
        let guard = Guard::of(access, audit, &mut document, &OPEN);
        let state = Arc::new(self.common(&document));
        let router = guard
            .on(common.with_state(state))
            .fallback(async move || Problem::starting(behind_gateway))
            .method_not_allowed_fallback(method_not_allowed)
            .layer(layer);
        browsers.cors(router)
    }

    fn common(mut self, document: &OpenApi) -> Common {
        self.kinds.extend(kinds::ALL);
        self.kinds.sort_by_key(|kind| (kind.status(), kind.slug()));
        let readable = document.to_pretty_json();
        Common {
            pages: Pages::new(self.about, document),
            openapi: readable.expect("a document is made of strings and maps with string keys").into(),
            readiness: self.readiness,
            registry: self.registry,
            kinds: self.kinds,
        }
    }
}

fn common_routes(shows_metrics: bool) -> OpenApiRouter<Arc<Common>> {
    starting_routes(shows_metrics).routes(routes!(show_index)).routes(routes!(openapi_json))
}

fn starting_routes(shows_metrics: bool) -> OpenApiRouter<Arc<Common>> {
    let routes = OpenApiRouter::default()
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .routes(routes!(list_problems))
        .routes(routes!(explain_problem));
    if !shows_metrics {
        return routes;
    }
    let metrics = OpenApiRouter::default().routes(routes!(metrics));
    routes.merge(access::guarded(metrics, Scope::Metrics, Scope::Metrics))
}

async fn no_such_route() -> Problem {
    Problem::new(&kinds::NO_SUCH_ROUTE, "no route has this path; see /openapi.json")
}

/// The paths that a router has routes for. It tells them to nobody but who debugs it.
fn paths_of<S>(router: &Router<S>) -> BTreeSet<String> {
    let shown = format!("{router:?}");
    let own = shown.split("fallback_router").next().unwrap_or(&shown);
    own.split("RouteId(").filter_map(|part| part.split_once("): \"")?.1.split('"').next()).map(str::to_owned).collect()
}

/// axum adds the `Allow` header.
async fn method_not_allowed() -> Problem {
    Problem::new(&kinds::METHOD_NOT_ALLOWED, "this path is for other methods; see the Allow header")
}

/// What this is and where to go.
#[utoipa::path(get, path = "/", tag = "operations", responses((status = 200, description = "A page for people.", body = String, content_type = "text/html")))]
async fn show_index(State(common): State<Arc<Common>>, headers: HeaderMap) -> Response {
    common.pages.index(&headers, &common.readiness.report())
}

/// The process runs.
#[derive(Debug, Serialize, ToSchema)]
struct Live {
    /// Always true.
    live: bool,
}

/// Whether the process runs. Depends on nothing: when it fails, a restart is due.
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, description = "It runs.", body = Live)))]
async fn livez() -> Json<Live> {
    Json(Live { live: true })
}

/// Whether requests are welcome: started, not draining, and with everything at hand that answers need.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operations",
    responses(
        (status = 200, description = "Requests are welcome.", body = Report),
        (status = 503, description = "Not now; the reasons are in the body.", body = Report),
    ),
)]
async fn readyz(State(common): State<Arc<Common>>) -> (StatusCode, Json<Report>) {
    let report = common.readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}

/// Metrics for Prometheus: in the OpenMetrics text format for those who ask for it, in the older one for others.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses((
        status = 200,
        description = "All metrics.",
        content((String = "text/plain"), (String = "application/openmetrics-text")),
    )),
)]
async fn metrics(State(common): State<Arc<Common>>, headers: HeaderMap) -> Result<Response, Problem> {
    let registry =
        common.registry.as_deref().ok_or_else(|| Problem::internal("the route is there without a registry"))?;
    let (content_type, body) = match preferred(&headers, &["text/plain", "application/openmetrics-text"]) {
        0 => (exposition::PROMETHEUS, exposition::prometheus(registry)),
        _ => (exposition::OPENMETRICS, exposition::openmetrics(registry)),
    };
    Ok(text(content_type, body.map_err(Problem::internal)?))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", responses((status = 200, description = "OpenAPI 3.1.", content_type = "application/json", body = serde_json::Value)))]
async fn openapi_json(State(common): State<Arc<Common>>) -> Response {
    text("application/json", common.openapi.clone())
}

/// What a kind of problem means.
#[derive(Debug, Serialize, ToSchema)]
struct Explained {
    /// The `type` of such a problem.
    r#type: String,
    /// The kind in a phrase.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened, what did not, and what to do.
    explanation: &'static str,
}

impl Explained {
    fn of(kind: &Kind) -> Self {
        Self {
            r#type: format!("{TYPE_PREFIX}{}", kind.slug()),
            title: kind.title(),
            status: kind.status().as_u16(),
            explanation: kind.explanation(),
        }
    }
}

/// Whether the client is a browser, or would rather have JSON.
fn wants_page(headers: &HeaderMap) -> bool {
    preferred(headers, &["application/json", "text/html"]) == 1
}

/// JSON where there would be a page for a browser.
fn instead_of_a_page(content: impl Serialize) -> Response {
    ([(header::VARY, HeaderValue::from_static("accept"))], Json(content)).into_response()
}

/// Every kind of problem: a page for browsers, JSON for others.
#[utoipa::path(
    get,
    path = "/problems",
    tag = "operations",
    responses((
        status = 200,
        description = "All kinds.",
        content((Vec<Explained> = "application/json"), (String = "text/html")),
    )),
)]
async fn list_problems(State(common): State<Arc<Common>>, headers: HeaderMap) -> Response {
    if wants_page(&headers) {
        return common.pages.problems(&common.kinds);
    }
    instead_of_a_page(common.kinds.iter().map(|kind| Explained::of(kind)).collect::<Vec<_>>())
}

/// What a kind of problem means: a page for browsers, JSON for others.
#[utoipa::path(
    get,
    path = "/problems/{slug}",
    tag = "operations",
    params(("slug" = String, Path, description = "The last segment of a problem's `type`.")),
    responses(
        (
            status = 200,
            description = "The kind.",
            content((Explained = "application/json"), (String = "text/html")),
        ),
        openapi::NotFound,
    ),
)]
async fn explain_problem(
    State(common): State<Arc<Common>>,
    headers: HeaderMap,
    Path(slug): Path<String>,
) -> Result<Response, Problem> {
    let kind = common.kinds.iter().find(|kind| kind.slug() == slug);
    let kind = kind.ok_or_else(|| Problem::not_found("there is no such kind of problem; /problems lists them"))?;
    Ok(if wants_page(&headers) { common.pages.problem(kind) } else { instead_of_a_page(Explained::of(kind)) })
}

fn text(content_type: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body.into()).into_response()
}
