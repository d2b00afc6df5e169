//! What a request has to be before it gets to a route, and the replies to those that are not.

use std::time::SystemTime;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Request, StatusCode, Version, header},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};

use crate::{
    Problem, RequestName,
    browsers::Gate,
    problem::{CONTENT_TYPE, Kind, kinds},
    request_name,
};

#[cfg(test)]
mod tests;

/// The request with its body read and forgotten, so that the connection can carry the next.
///
/// # Errors
/// What to answer instead, and then to close: what follows such a request could not be understood.
pub(super) async fn checked(
    request: Request<Incoming>,
    gate: &Gate,
    body_bytes_max: usize,
) -> Result<Request<Body>, Problem> {
    check_host(request.version(), request.headers())?;
    gate.check(&request)?;
    if request.body().is_end_stream() {
        return Ok(request.map(|_| Body::empty()));
    }
    check_coding(request.headers())?;
    let (head, body) = request.into_parts();
    discard(body, body_bytes_max).await?;
    Ok(Request::from_parts(head, Body::empty()))
}

/// RFC 9112, 3.2: with HTTP/1.1 there is one `Host`, otherwise at most one. A proxy that took another of two for the
/// right one would send the request elsewhere than where it was checked.
fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => Err(malformed("a request of HTTP/1.1 has a Host header")),
        (Some(_), Some(_)) => Err(malformed("the Host header is there more than once")),
        (Some(host), None) if !is_host(host.as_bytes()) => Err(malformed("the Host header is not a host and a port")),
        _ => Ok(()),
    }
}

/// Whether every character may stand in a host (RFC 3986, 3.2.2) or before and in a port.
fn is_host(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte))
}

/// RFC 9112, 6.1: what was coded in another way than `chunked` was not understood.
fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Problem::new(&kinds::UNKNOWN_TRANSFER_CODING, "only `Transfer-Encoding: chunked` is understood here")),
    }
}

fn malformed(detail: &'static str) -> Problem {
    Problem::malformed(detail).with("header", "Host")
}

/// Reads a body to its end and forgets it.
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

/// What to say of bytes that are no request, where the parser has chosen the status.
pub(super) fn unreadable(status: StatusCode, error: &hyper::Error) -> Problem {
    let kind: &'static Kind = match status {
        StatusCode::URI_TOO_LONG => &kinds::PATH_TOO_LONG,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => &kinds::HEADERS_TOO_LARGE,
        _ => &kinds::MALFORMED,
    };
    Problem::new(kind, error.to_string())
}

/// What to say of a request of which the rest did not come.
pub(super) fn too_slow() -> Problem {
    Problem::new(&kinds::REQUEST_TOO_SLOW, "the rest of the request did not arrive in time")
}

/// The reply to a request whose rest stays unread: nothing behind it on the connection could be understood.
pub(super) fn closing(problem: Problem) -> Response {
    let mut response = problem.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The same in bytes, where there is no request to answer.
pub(super) fn closing_bytes(problem: Problem, name: &RequestName) -> Vec<u8> {
    let status = problem.kind().status();
    let body = problem.named().body();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {}\r\nx-content-type-options: nosniff\r\n{}: {name}\r\nconnection: close\r\ndate: {}\r\n\r\n",
        body.len(),
        request_name::HEADER,
        httpdate::fmt_http_date(SystemTime::now()),
    );
    [head.into_bytes(), body].concat()
}
