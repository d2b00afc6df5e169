//! The routes that every process has, and the joining of all its routes.

use std::{fmt::Write, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use prometheus_client::{encoding::text, registry::Registry};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    Path, Problem, Readiness, Report,
    metrics::HttpMetrics,
    openapi::{self, About},
    problem::{Kind, TYPE_PREFIX, kinds},
};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that the HTTP side of one process consists of, apart from its services' routes.
#[derive(Debug)]
pub struct Site {
    /// What the process says about itself.
    pub about: About,
    /// What `/readyz` answers from.
    pub readiness: Readiness,
    /// What `/metrics` shows; [`Site::router`] adds the HTTP metrics.
    pub registry: Registry,
    /// The services' kinds of problems, to be explained under their `type`. Those of [`kinds::ALL`] are there anyway.
    pub kinds: Vec<&'static Kind>,
}

/// What the common routes answer from.
struct Pages {
    index: String,
    openapi: Bytes,
    readiness: Readiness,
    registry: Registry,
    kinds: Vec<&'static Kind>,
}

impl Site {
    /// Joins the services' routes with the common ones: `/`, `/livez`, `/readyz`, `/metrics`, `/openapi.json` and
    /// `/problems/{slug}`. Every path that no route has and every wrong method is answered with a [`Problem`], and
    /// every request is measured.
    ///
    /// # Panics
    /// When two routes are the same, like [`Router::route`].
    pub fn router(mut self, services: OpenApiRouter) -> (Router, OpenApi) {
        let http_metrics = HttpMetrics::register(&mut self.registry);
        let (services, mut document) = services.split_for_parts();
        let (common, common_document) = common_routes().split_for_parts();
        document.merge(common_document);
        self.about.tags.push(("operations", "What is for operators: health, metrics, documents."));
        openapi::describe(&mut document, &self.about);

        let layer = http_metrics.layer(document.paths.paths.keys().map(String::as_str));
        let pages = Arc::new(self.pages(&document));
        let router = services
            .merge(common.with_state(pages))
            .fallback(no_such_route)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(layer);
        (router, document)
    }

    fn pages(mut self, document: &OpenApi) -> Pages {
        self.kinds.extend(kinds::ALL);
        Pages {
            index: index(&self.about),
            // A document is built from strings and maps with string keys, which cannot fail to serialize.
            openapi: document.to_json().unwrap_or_default().into(),
            readiness: self.readiness,
            registry: self.registry,
            kinds: self.kinds,
        }
    }
}

fn common_routes() -> OpenApiRouter<Arc<Pages>> {
    OpenApiRouter::default()
        .routes(routes!(show_index))
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
        .routes(routes!(openapi_json))
        .routes(routes!(list_problems))
        .routes(routes!(explain_problem))
}

async fn no_such_route() -> Problem {
    Problem::new(&kinds::NO_SUCH_ROUTE, "no route has this path; see /openapi.json")
}

/// axum adds the `Allow` header.
async fn method_not_allowed() -> Problem {
    Problem::new(&kinds::METHOD_NOT_ALLOWED, "this path is for other methods; see the Allow header")
}

/// Readable on a phone and in the dark, without a file of its own.
const STYLE: &str = ":root{color-scheme:light dark;font:1rem/1.6 system-ui,sans-serif}body{max-width:42rem;margin:3rem \
                     auto;padding:0 1rem}h1 small{font-weight:normal;opacity:.6}li{margin:.4rem 0}a{font-family:\
                     ui-monospace,monospace}";

fn index(about: &About) -> String {
    let About { name, version, description, .. } = about;
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{name}</title>\n\
         <style>{STYLE}</style></head>\n<body>\n<h1>{name} <small>{version}</small></h1>\n<p>{description}</p>\n<ul>\n\
         <li><a href=\"/openapi.json\">/openapi.json</a>: every route, with what it takes and answers</li>\n\
         <li><a href=\"/readyz\">/readyz</a>: whether requests are welcome, and why not</li>\n\
         <li><a href=\"/livez\">/livez</a>: whether the process runs</li>\n\
         <li><a href=\"/metrics\">/metrics</a>: figures for Prometheus</li>\n\
         <li><a href=\"/problems\">/problems</a>: every kind of failure, explained</li>\n\
         </ul>\n</body>\n</html>\n"
    )
}

/// What this is and where to go.
#[utoipa::path(get, path = "/", tag = "operations", responses((status = 200, description = "A page with links.", body = String, content_type = "text/html")))]
async fn show_index(State(pages): State<Arc<Pages>>) -> Response {
    text("text/html; charset=utf-8", pages.index.clone())
}

/// Whether the process runs. Depends on nothing: when it fails, a restart is due.
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, description = "It runs.")))]
async fn livez() -> Json<serde_json::Value> {
    Json(serde_json::json!({"live": true}))
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
async fn readyz(State(pages): State<Arc<Pages>>) -> (StatusCode, Json<Report>) {
    let report = pages.readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}

/// Metrics in the OpenMetrics text format, which readers of Prometheus' older one understand too.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses((status = 200, description = "All metrics.", body = String, content_type = "application/openmetrics-text")),
)]
async fn metrics(State(pages): State<Arc<Pages>>, headers: HeaderMap) -> Result<Response, Problem> {
    let mut body = String::new();
    text::encode(&mut body, &pages.registry).map_err(Problem::internal)?;
    let understood = headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains("application/openmetrics-text")));
    Ok(text(if understood { OPENMETRICS } else { PROMETHEUS_TEXT }, body))
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "operations", responses((status = 200, description = "OpenAPI 3.1.")))]
async fn openapi_json(State(pages): State<Arc<Pages>>) -> Response {
    text("application/json", pages.openapi.clone())
}

/// Every kind of problem, for people.
#[utoipa::path(get, path = "/problems", tag = "operations", responses((status = 200, description = "One kind a line.", body = String)))]
async fn list_problems(State(pages): State<Arc<Pages>>) -> Response {
    let mut list = String::new();
    let widest = pages.kinds.iter().map(|kind| kind.slug().len()).max().unwrap_or_default();
    for kind in &pages.kinds {
        let (slug, status, title) = (kind.slug(), kind.status().as_u16(), kind.title());
        let _ = writeln!(list, "{TYPE_PREFIX}{slug:widest$}  {status}  {title}");
    }
    text("text/plain; charset=utf-8", list)
}

/// What a kind of problem means, for people.
#[utoipa::path(
    get,
    path = "/problems/{slug}",
    tag = "operations",
    params(("slug" = String, Path, description = "The last segment of a problem's `type`.")),
    responses((status = 200, description = "A page of text.", body = String), openapi::NotFound),
)]
async fn explain_problem(State(pages): State<Arc<Pages>>, Path(slug): Path<String>) -> Result<Response, Problem> {
    let kind = pages.kinds.iter().find(|kind| kind.slug() == slug);
    let kind = kind.ok_or_else(|| Problem::not_found("there is no such kind of problem; /problems lists them"))?;
    let page = format!("{} ({})\n\n{}\n", kind.title(), kind.status(), kind.explanation());
    Ok(text("text/plain; charset=utf-8", page))
}

fn text(content_type: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body.into()).into_response()
}
