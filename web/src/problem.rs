//! Failures as clients read them: RFC 9457 `application/problem+json`.
//!
//! ```text
//!  Kind (a row of a static table)          Problem (one failure)                  answer
//!  slug, status, title, explanation  ──▶   detail, members, Retry-After   ──▶    status, headers, JSON body
//!                                          cause: for the log alone       ──▶    log
//! ```
//!
//! `type` is the relative reference `/problems/<slug>`, and [`crate::Site`] serves the explanation of every kind there.

use std::{borrow::Cow, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

use crate::RequestName;

#[cfg(test)]
mod tests;

/// The media type of a problem's body.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Where the explanations of kinds are served; a kind's `type` is this followed by its slug.
pub const TYPE_PREFIX: &str = "/problems/";

/// One kind of problem. Services keep theirs in a static table and pass it to [`crate::Site`], which explains each
/// kind to people under its `type`.
///
/// ```
/// use axum::http::StatusCode;
/// use web::problem::Kind;
///
/// pub static CUP_FULL: Kind = Kind::new(
///     "cup-full",
///     StatusCode::CONFLICT,
///     "The cup is full",
///     "Nothing was poured. Drink from it first, then try again.",
/// );
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    slug: &'static str,
    status: StatusCode,
    title: &'static str,
    explanation: &'static str,
}

impl Kind {
    /// A kind of problem.
    ///
    /// `slug` is the last segment of its `type`: lower-case words joined by hyphens. `title` is a phrase that is the
    /// same for every problem of the kind. `explanation` is a paragraph for people: what happened, what did not, and
    /// what to do.
    ///
    /// # Panics
    /// While compiling, for a table in a `static`: when `slug` is not made of `a-z`, `0-9` and hyphens.
    #[must_use]
    pub const fn new(slug: &'static str, status: StatusCode, title: &'static str, explanation: &'static str) -> Self {
        assert!(is_slug(slug.as_bytes()), "a slug is made of a-z, 0-9 and hyphens");
        Self { slug, status, title, explanation }
    }

    /// The last segment of the problem's `type`.
    #[must_use]
    pub const fn slug(&self) -> &'static str {
        self.slug
    }

    /// The HTTP status that answers carry.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// A phrase that is the same for every problem of this kind.
    #[must_use]
    pub const fn title(&self) -> &'static str {
        self.title
    }

    /// What the page served under `type` says.
    #[must_use]
    pub const fn explanation(&self) -> &'static str {
        self.explanation
    }
}

const fn is_slug(mut bytes: &[u8]) -> bool {
    if bytes.is_empty() {
        return false;
    }
    while let [first, rest @ ..] = bytes {
        if !matches!(first, b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        bytes = rest;
    }
    true
}

/// The kinds that do not depend on what a service does.
pub mod kinds {
    use super::{Kind, StatusCode};

    /// The request is not one that the route understands.
    pub static MALFORMED: Kind = Kind::new(
        "malformed",
        StatusCode::BAD_REQUEST,
        "The request is malformed",
        "A part of the path or a header is not of the form that the route asks for; `detail` says which and why. \
         Nothing was changed. Sending the same request again gives the same answer.",
    );
    /// No route has this path.
    pub static NO_SUCH_ROUTE: Kind = Kind::new(
        "no-such-route",
        StatusCode::NOT_FOUND,
        "There is no such route",
        "No route has this path. Paths are compared literally: `//`, a trailing slash and `..` are not tidied up. \
         /openapi.json lists all routes.",
    );
    /// What the path names does not exist.
    pub static NOT_FOUND: Kind = Kind::new(
        "not-found",
        StatusCode::NOT_FOUND,
        "There is no such thing",
        "An id in the path belongs to nothing that exists; `detail` says which. Nothing was changed.",
    );
    /// The path exists, for another method.
    pub static METHOD_NOT_ALLOWED: Kind = Kind::new(
        "method-not-allowed",
        StatusCode::METHOD_NOT_ALLOWED,
        "The route has another method",
        "The path is right and the method is not. The `Allow` header lists the methods of this path.",
    );
    /// Nobody is known to ask.
    pub static UNAUTHENTICATED: Kind = Kind::new(
        "unauthenticated",
        StatusCode::UNAUTHORIZED,
        "Who asks is not known",
        "The route is for those who say who they are: send `Authorization: Bearer TOKEN` with a token that the operator of the \
         shop gave you. `detail` says what is wrong with what was sent. Nothing was changed.",
    );
    /// Somebody who is known may not do this.
    pub static NOT_PERMITTED: Kind = Kind::new(
        "not-permitted",
        StatusCode::FORBIDDEN,
        "Who asks may not do this",
        "The token is known, and what it is for does not include this request; `detail` says what is missing. Nothing was \
         changed. The operator of the shop gives tokens their scopes.",
    );
    /// One asks too often.
    pub static TOO_MANY_REQUESTS: Kind = Kind::new(
        "too-many-requests",
        StatusCode::TOO_MANY_REQUESTS,
        "Too many requests",
        "The address that asks, or the owner of the token, has sent more requests in a second than the operator of the shop \
         allows for each. The request had no effect. Try again after `Retry-After` seconds.",
    );
    /// A page of another origin asks.
    pub static CROSS_ORIGIN: Kind = Kind::new(
        "cross-origin",
        StatusCode::FORBIDDEN,
        "A page of another origin asked",
        "A browser sent the request for a page that is not the shop's own, and this server was not told that pages of that \
         origin may ask (`--cors-origin`). Nothing was changed. Programs that are no browser are not affected.",
    );
    /// The server is not known by this host.
    pub static HOST_NOT_SERVED: Kind = Kind::new(
        "host-not-served",
        StatusCode::MISDIRECTED_REQUEST,
        "The server is not known by this host",
        "The request's `Host` is none by which this server was told that it is known: a name that somebody else lets lead \
         here, perhaps. On loopback these are localhost and loopback's addresses; `--allowed-host` names others. Nothing \
         was changed.",
    );
    /// A body where none is wanted, and a large one.
    pub static BODY_TOO_LARGE: Kind = Kind::new(
        "body-too-large",
        StatusCode::PAYLOAD_TOO_LARGE,
        "The request body is too large",
        "Requests say everything in their path. A small body is ignored, a large one refused. Nothing was changed.",
    );
    /// A body that was coded in a way nobody here knows.
    pub static UNKNOWN_TRANSFER_CODING: Kind = Kind::new(
        "unknown-transfer-coding",
        StatusCode::NOT_IMPLEMENTED,
        "The transfer coding is not known here",
        "The only coding of a body that is understood is `Transfer-Encoding: chunked`. Nothing was changed.",
    );
    /// A long path.
    pub static PATH_TOO_LONG: Kind = Kind::new(
        "path-too-long",
        StatusCode::URI_TOO_LONG,
        "The path is too long",
        "No route has a path of more than some hundred characters. Nothing was changed.",
    );
    /// Long headers, or many.
    pub static HEADERS_TOO_LARGE: Kind = Kind::new(
        "headers-too-large",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The request's headers are too large",
        "A request's line and headers may have 16 KiB together, and 100 headers. Nothing was changed.",
    );
    /// The rest of a request did not come.
    pub static REQUEST_TOO_SLOW: Kind = Kind::new(
        "request-too-slow",
        StatusCode::REQUEST_TIMEOUT,
        "The request took too long to arrive",
        "A request has ten seconds from its first byte to its last. Nothing was changed. Send it again on a new \
         connection.",
    );
    /// A key that was used with another request.
    pub static IDEMPOTENCY_KEY_REUSED: Kind = Kind::new(
        "idempotency-key-reused",
        StatusCode::UNPROCESSABLE_ENTITY,
        "The idempotency key was used with another request",
        "An Idempotency-Key names one request for as long as it is remembered. This one was used with another \
         method or path, so this request was not carried out. Use a new key for each new request, and repeat a key \
         only with the very same request.",
    );
    /// A defect on this side.
    pub static INTERNAL: Kind = Kind::new(
        "internal",
        StatusCode::INTERNAL_SERVER_ERROR,
        "Something is broken here",
        "The service met a defect of its own; its log has the details. Whether the request took effect is unknown \
         until its subject is read again.",
    );
    /// Not now: nothing was done.
    pub static UNAVAILABLE: Kind = Kind::new(
        "unavailable",
        StatusCode::SERVICE_UNAVAILABLE,
        "The service cannot answer now",
        "Something that the answer needs is not there at the moment, or did not arrive in time. The request had no \
         effect. Try again after `Retry-After` seconds.",
    );
    /// Not yet: nothing was done.
    pub static STARTING: Kind =
        Kind::new("starting", StatusCode::SERVICE_UNAVAILABLE, "The service is starting", STARTING_EXPLAINED);
    /// The same to a gateway, which asks another replica upon a 502: a 503 would be the answer of all of them.
    pub(super) static STARTING_BEHIND_GATEWAY: Kind =
        Kind::new("starting", StatusCode::BAD_GATEWAY, "The service is starting", STARTING_EXPLAINED);
    const STARTING_EXPLAINED: &str = "The process runs and its data are not open yet: it reads them, or waits for its database; /readyz says which. The \
         request had no effect. Try again after `Retry-After` seconds.";
    /// Too much at once: nothing was done.
    pub static OVERLOADED: Kind = Kind::new(
        "overloaded",
        StatusCode::SERVICE_UNAVAILABLE,
        "The service is overloaded",
        "More requests arrived than are being worked off, so this one was not started. It had no effect. Try again \
         after `Retry-After` seconds.",
    );
    /// The request may or may not have taken effect.
    pub static OUTCOME_UNKNOWN: Kind = Kind::new(
        "outcome-unknown",
        StatusCode::GATEWAY_TIMEOUT,
        "The outcome is not known yet",
        "The request was accepted and its outcome was not seen in time: it may or may not take effect. `detail` says \
         where to ask. Repeating the request with the same Idempotency-Key is safe and gives the outcome.",
    );

    /// Every kind above.
    pub static ALL: &[&Kind] = &[
        &MALFORMED,
        &NO_SUCH_ROUTE,
        &NOT_FOUND,
        &METHOD_NOT_ALLOWED,
        &UNAUTHENTICATED,
        &NOT_PERMITTED,
        &TOO_MANY_REQUESTS,
        &CROSS_ORIGIN,
        &HOST_NOT_SERVED,
        &BODY_TOO_LARGE,
        &UNKNOWN_TRANSFER_CODING,
        &PATH_TOO_LONG,
        &HEADERS_TOO_LARGE,
        &REQUEST_TOO_SLOW,
        &IDEMPOTENCY_KEY_REUSED,
        &INTERNAL,
        &UNAVAILABLE,
        &STARTING,
        &OVERLOADED,
        &OUTCOME_UNKNOWN,
    ];
}

/// One failure: what the client may read, and apart from it what the log gets.
///
/// The body is a JSON object of `type`, `title`, `status` and `detail`, then the members added with [`Self::with`].
#[derive(Debug)]
pub struct Problem {
    // Boxed because it travels in every handler's `Result`, where a large error would slow the successes down.
    content: Box<Content>,
}

#[derive(Debug)]
struct Content {
    kind: &'static Kind,
    detail: Cow<'static, str>,
    members: Vec<(&'static str, Value)>,
    retry_after_seconds: Option<u32>,
    cause: Option<String>,
}

/// What handlers answer.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    /// A problem of a kind; `detail` tells the client about this occurrence.
    #[must_use]
    pub fn new(kind: &'static Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let content =
            Content { kind, detail: detail.into(), members: Vec::new(), retry_after_seconds: None, cause: None };
        Self { content: Box::new(content) }
    }

    /// 400: a part of the request is not of the form asked for.
    #[must_use]
    pub fn malformed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(&kinds::MALFORMED, detail)
    }

    /// 404: what the path names does not exist.
    #[must_use]
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(&kinds::NOT_FOUND, detail)
    }

    /// 422: the request's [`crate::RequestKey`] was used with another request.
    #[must_use]
    pub fn idempotency_key_reused() -> Self {
        Self::new(
            &kinds::IDEMPOTENCY_KEY_REUSED,
            "this Idempotency-Key was used with another method or path; use a new key for a new request",
        )
    }

    /// 503 with `Retry-After`: the request had no effect because something it needs is not there now.
    #[must_use]
    pub fn unavailable(detail: impl Into<Cow<'static, str>>, retry_after_seconds: u32) -> Self {
        Self::new(&kinds::UNAVAILABLE, detail).retry_after_seconds(retry_after_seconds)
    }

    /// 503, or 502 for a gateway to ask another replica, with `Retry-After`: the process has not opened its data yet, and nothing
    /// was done.
    #[must_use]
    pub fn starting(behind_gateway: bool) -> Self {
        let kind = if behind_gateway { &kinds::STARTING_BEHIND_GATEWAY } else { &kinds::STARTING };
        let detail = "the service is starting: its data are not open yet; nothing was done";
        Self::new(kind, detail).retry_after_seconds(1)
    }

    /// 503 with `Retry-After`: the request was not started because too many others are under way.
    #[must_use]
    pub fn overloaded(retry_after_seconds: u32) -> Self {
        Self::new(&kinds::OVERLOADED, "too many requests are under way; this one was not started")
            .retry_after_seconds(retry_after_seconds)
    }

    /// 429 with `Retry-After`: so many requests a second are more than one may send.
    #[must_use]
    pub(crate) fn too_many_requests(who: &str, wait: Duration) -> Self {
        let detail = format!("{who} has sent more requests than it may; this one was not started");
        let seconds = u32::try_from(wait.as_secs_f64().ceil() as u64).unwrap_or(u32::MAX).max(1);
        Self::new(&kinds::TOO_MANY_REQUESTS, detail).retry_after_seconds(seconds)
    }

    /// 504: the outcome was not seen in time. `detail` says where to ask for it.
    #[must_use]
    pub fn outcome_unknown(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(&kinds::OUTCOME_UNKNOWN, detail)
    }

    /// 500: a defect on this side. The client learns nothing of `cause`; the log gets all of it.
    #[must_use]
    pub fn internal(cause: impl ToString) -> Self {
        Self::new(&kinds::INTERNAL, "the service met a defect of its own; its log has the details").because(cause)
    }

    /// Adds a member to the body, such as `item_id`. Its name must be none of RFC 9457's own.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        debug_assert!(
            !["type", "title", "status", "detail", "instance"].contains(&name),
            "{name} has a meaning of its own"
        );
        self.content.members.push((name, value.into()));
        self
    }

    /// Tells the client in a `Retry-After` header when to try again.
    #[must_use]
    pub fn retry_after_seconds(mut self, seconds: u32) -> Self {
        self.content.retry_after_seconds = Some(seconds);
        self
    }

    /// Says why for the log, at error level for a 500 and at warning level otherwise. The client never sees it.
    #[must_use]
    pub fn because(mut self, cause: impl ToString) -> Self {
        self.content.cause = Some(cause.to_string());
        self
    }

    /// The problem's kind.
    #[must_use]
    pub fn kind(&self) -> &'static Kind {
        self.content.kind
    }

    /// What the client is told about this occurrence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.content.detail
    }

    /// The body of an answer.
    pub(crate) fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("its keys are strings and its values plain JSON")
    }

    fn log(&self) {
        let Content { kind, detail, cause, .. } = &*self.content;
        let Some(cause) = cause.as_deref() else { return };
        let name = RequestName::current();
        let (problem, request_id) = (kind.slug, name.as_ref().map(RequestName::as_str));
        if kind.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(problem, detail = &**detail, cause, request_id, "answered with a problem");
        } else {
            tracing::warn!(problem, detail = &**detail, cause, request_id, "answered with a problem");
        }
    }

    /// With the name of the request that this task answers.
    pub(crate) fn named(self) -> Self {
        match RequestName::current() {
            Some(name) => self.with("request_id", name.as_str()),
            None => self,
        }
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Content { kind, detail, members, .. } = &*self.content;
        let mut body = serializer.serialize_map(Some(4 + members.len()))?;
        body.serialize_entry("type", &format_args!("{TYPE_PREFIX}{}", kind.slug))?;
        body.serialize_entry("title", kind.title)?;
        body.serialize_entry("status", &kind.status.as_u16())?;
        body.serialize_entry("detail", detail)?;
        for (name, value) in members {
            body.serialize_entry(name, value)?;
        }
        body.end()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.log();
        let problem = self.named();
        let mut response = Response::new(Body::from(problem.body()));
        *response.status_mut() = problem.content.kind.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if problem.content.kind.status == StatusCode::UNAUTHORIZED {
            // RFC 9110, 11.6.1. Browsers ask the person upon the second one.
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            headers.append(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"sagamart: the password is a token\""),
            );
        }
        if let Some(seconds) = problem.content.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
