//! The `Idempotency-Key` request header, after the IETF draft "The Idempotency-Key HTTP Header Field"
//! (draft-ietf-httpapi-idempotency-key-header).

use std::{cell::Cell, time::Duration};

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, request::Parts},
    middleware::Next,
    response::Response,
};
use smol_str::{SmolStr, SmolStrBuilder, format_smolstr};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128};

use crate::Problem;

#[cfg(test)]
mod tests;

/// The most characters a key may have. Every key is kept for as long as its reply, so it has to be short; 128 leave
/// room for a UUID with a good deal of context around it.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 128;

pub(crate) static HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// How long the key is of use, in seconds: for a gateway that makes keys of its own to repeat a request at once. Longer
/// than the server keeps keys is as long as the server keeps keys.
pub(crate) static RETENTION: HeaderName = HeaderName::from_static("idempotency-retention");

/// When the gateway got the request, in seconds since 1970 with at most three decimals: the same on all copies that it
/// sends.
static SINCE: HeaderName = HeaderName::from_static("idempotency-since");

/// On a reply that was remembered and is given again.
static REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

tokio::task_local! {
    /// Whether the request's reply was remembered. Of the task that runs the handler, for the reply itself does not know.
    static IS_REPLAYED: Cell<bool>;
}

/// Notes that the reply to the request that this task handles was remembered.
pub(crate) fn note_replayed() {
    // Nobody asks where the request has no key.
    let _ = IS_REPLAYED.try_with(|is_replayed| is_replayed.set(true));
}

/// Whether the reply to the request that this task handles was remembered.
#[must_use]
pub fn is_replayed() -> bool {
    IS_REPLAYED.try_with(Cell::get).unwrap_or_default()
}

/// Believes what a gateway says of a key only if there is one, since anybody can say it; and tells on the reply to a
/// request with a key whether it was given before.
pub(crate) async fn layer(behind_gateway: bool, mut request: Request, next: Next) -> Response {
    if !behind_gateway {
        request.headers_mut().remove(&RETENTION);
        request.headers_mut().remove(&SINCE);
    }
    if !request.headers().contains_key(&HEADER) {
        return next.run(request).await;
    }
    let answering = async {
        let response = next.run(request).await;
        (response, IS_REPLAYED.with(Cell::get))
    };
    let (mut response, is_replayed) = IS_REPLAYED.scope(Cell::new(false), answering).await;
    if is_replayed {
        response.headers_mut().insert(&REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// A day, beyond which no number makes sense.
const RETENTION_SECONDS_MAX: u64 = 24 * 60 * 60;

/// What is in front of the keys of one caller, where callers are told apart: what one names so is not what another does. Of the
/// request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeySpace(pub(crate) SmolStr);

/// A request that may be repeated, as its client named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// The key: 1 to [`IDEMPOTENCY_KEY_CHARS_MAX`] visible ASCII characters (`!` to `~`), behind those of the caller who is known
    /// to ask: what one names so is not what another does.
    pub key: SmolStr,
    /// What was asked for: a hash of the method and of the path with its query, exactly as sent. One key with two
    /// fingerprints is [`Problem::idempotency_key_reused`].
    ///
    /// It is XXH3-64 with XXH3-64 of the method as its seed, the same in every version and on every machine, so it
    /// may be stored. It tells mistakes apart, not attacks: whoever constructs two requests of one fingerprint gets
    /// the reply of the first for the second, and harms nobody else.
    pub fingerprint: u64,
    /// How long its reply is wanted, from the header `Idempotency-Retention`; `None`: as long as the server keeps them.
    pub retention: Option<Duration>,
    /// When the gateway that made it got the request, in milliseconds since 1970, from the header `Idempotency-Since`.
    pub since: Option<u64>,
}

/// The request's key, if it has one.
///
/// The header's value is a string of RFC 8941 (`"8e03978e-40d5"`); the bare `8e03978e-40d5`, which most clients send,
/// means the same key.
///
/// # Errors
/// [`crate::problem::kinds::MALFORMED`] when the header is there more than once or is not a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Idempotency(pub Option<RequestKey>);

impl Idempotency {
    /// A number that all copies of one request share: of those that a gateway sends, under a key that it made for the
    /// purpose, to several replicas because one did not answer. `None` where there is no such key; a client's own key
    /// may come again for another try.
    #[must_use]
    pub fn shared_number(&self) -> Option<u128> {
        let key = self.0.as_ref().filter(|key| key.retention.is_some())?;
        Some(xxh3_128(key.key.as_bytes()))
    }

    /// A number that all requests under one key share, whoever made it.
    #[must_use]
    pub fn number(&self) -> Option<u128> {
        self.0.as_ref().map(|key| xxh3_128(key.key.as_bytes()))
    }

    /// When the request was first asked, in milliseconds since 1970, where whoever sends its copies says so.
    #[must_use]
    pub fn since(&self) -> Option<u64> {
        self.0.as_ref()?.since
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Idempotency {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(key) = key_in(&parts.headers)? else {
            return Ok(Self(None));
        };
        let key = match parts.extensions.get::<KeySpace>() {
            Some(KeySpace(prefix)) => format_smolstr!("{prefix}{key}"),
            None => key,
        };
        let fingerprint = fingerprint(&parts.method, &parts.uri);
        let retention = retention_in(&parts.headers)?;
        let since = since_in(&parts.headers)?;
        Ok(Self(Some(RequestKey { key, fingerprint, retention, since })))
    }
}

fn key_in(headers: &HeaderMap) -> Result<Option<SmolStr>, Problem> {
    let mut values = headers.get_all(&HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(malformed("is there more than once"));
    }
    parse(value).map(Some).map_err(malformed)
}

fn retention_in(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let mut values = headers.get_all(&RETENTION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u64>() {
        Ok(seconds) if is_number && (1..=RETENTION_SECONDS_MAX).contains(&seconds) && values.next().is_none() => {
            Ok(Some(Duration::from_secs(seconds)))
        }
        _ => Err(Problem::malformed("the Idempotency-Retention header has to be a number of seconds from 1 to 86400")
            .with("header", "Idempotency-Retention")),
    }
}

fn since_in(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let mut values = headers.get_all(&SINCE).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let milliseconds = value.to_str().ok().and_then(milliseconds).filter(|_| values.next().is_none());
    milliseconds.map(Some).ok_or_else(|| {
        Problem::malformed("the Idempotency-Since header has to be a number of seconds with at most three decimals")
            .with("header", "Idempotency-Since")
    })
}

/// The milliseconds in a number of seconds such as `1700000000.123`.
fn milliseconds(text: &str) -> Option<u64> {
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(seconds) || !is_number(decimals) || decimals.len() > 3 {
        return None;
    }
    let thousandths: u64 = format!("{decimals:0<3}").parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(thousandths)
}

fn parse(value: &HeaderValue) -> Result<SmolStr, &'static str> {
    let text = value.to_str().map_err(|_| "has characters outside ASCII")?.trim_ascii();
    let key = match text.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None if text.contains(['"', '\\', ',', ';']) => return Err("has to be in double quotes"),
        None => SmolStr::new(text),
    };
    if key.is_empty() {
        return Err("is empty");
    }
    if key.len() > IDEMPOTENCY_KEY_CHARS_MAX {
        return Err("has more than 128 characters");
    }
    if key.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err("has a space in it");
    }
    Ok(key)
}

/// What is between the quotes, where `rest` starts after the opening one: `\"` and `\\` are the only escapes.
fn unquote(rest: &str) -> Result<SmolStr, &'static str> {
    let mut key = SmolStrBuilder::new();
    let mut characters = rest.chars();
    loop {
        match characters.next() {
            None => return Err("has no closing quote"),
            Some('"') if characters.as_str().is_empty() => return Ok(key.finish()),
            Some('"') => return Err("goes on after the closing quote"),
            Some('\\') => match characters.next() {
                Some(escaped @ ('"' | '\\')) => key.push(escaped),
                _ => return Err("has an unknown escape"),
            },
            Some(character) => key.push(character),
        }
    }
}

#[cold]
fn malformed(complaint: &str) -> Problem {
    Problem::malformed(format!("the Idempotency-Key header {complaint}")).with("header", "Idempotency-Key")
}

fn fingerprint(method: &Method, uri: &Uri) -> u64 {
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    xxh3_64_with_seed(path.as_bytes(), xxh3_64(method.as_str().as_bytes()))
}
