//! Ways to spell the same answers, for clients that were written for another server with this API.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::{StatusCode, Uri, header, uri::PathAndQuery},
    middleware::{map_request, map_response},
    response::Response,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::{OpenApi, RefOr};

use crate::Problem;

#[cfg(test)]
mod tests;

/// How answers and paths are spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// As the document says.
    #[default]
    Own,
    /// As the public course template: every refusal of what a request asks for is a 400, with the same body as otherwise,
    /// and slashes in a row count as one.
    Template,
}

/// The statuses of refusals that the template answers with 400.
const REFUSALS: [StatusCode; 3] = [StatusCode::PAYMENT_REQUIRED, StatusCode::NOT_FOUND, StatusCode::CONFLICT];

/// More than any problem's body has.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

impl Dialect {
    /// The services' routes with their answers in this dialect.
    pub(crate) fn answers(self, services: Router) -> Router {
        match self {
            Self::Own => services,
            Self::Template => services.layer(map_response(as_bad_request)),
        }
    }

    /// All routes, found by paths of this dialect.
    pub(crate) fn paths(self, router: Router) -> Router {
        match self {
            Self::Own => router,
            Self::Template => Router::new().fallback_service(router).layer(map_request(merged)),
        }
    }

    /// Makes the services' document say what is answered.
    pub(crate) fn describe(self, document: &mut OpenApi) {
        if self == Self::Own {
            return;
        }
        let operations = document.paths.paths.values_mut().flat_map(|item| [&mut item.get, &mut item.post]);
        for operation in operations.flatten() {
            let responses = &mut operation.responses.responses;
            responses.retain(|status, _| !REFUSALS.iter().any(|refusal| refusal.as_str() == status));
            if let Some(RefOr::T(malformed)) = responses.get_mut(StatusCode::BAD_REQUEST.as_str()) {
                malformed.description = "It is malformed or refused; `type` says why. Nothing was changed.".to_owned();
            }
        }
    }
}

/// A problem's body.
#[derive(Serialize, Deserialize)]
struct Answered {
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    #[serde(flatten)]
    members: Map<String, Value>,
}

async fn as_bad_request(response: Response) -> Response {
    if !REFUSALS.contains(&response.status()) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let body = to_bytes(body, PROBLEM_BYTES_MAX).await.expect("a problem is small, and in memory");
    let mut answered: Answered = serde_json::from_slice(&body).expect("a refusal is a problem");
    head.status = StatusCode::BAD_REQUEST;
    head.headers.remove(header::CONTENT_LENGTH);
    answered.status = head.status.as_u16();
    let body = serde_json::to_vec(&answered).expect("its keys are strings and its values plain JSON");
    Response::from_parts(head, Body::from(body))
}

async fn merged(mut request: Request) -> Result<Request, Problem> {
    let path = request.uri().path();
    if path.contains("//") {
        let mut merged = String::with_capacity(path.len());
        for character in path.chars() {
            if character != '/' || !merged.ends_with('/') {
                merged.push(character);
            }
        }
        if let Some(query) = request.uri().query() {
            merged = format!("{merged}?{query}");
        }
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(merged).map_err(Problem::internal)?);
        *request.uri_mut() = Uri::from_parts(parts).map_err(Problem::internal)?;
    }
    Ok(request)
}
