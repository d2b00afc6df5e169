//! Which requests of browsers are answered. Every page that somebody opens can have the browser send requests to servers on
//! that person's machine and network, and most changes here are a POST without a body, which a browser sends to any origin
//! unasked. Two things in a request are the browser's own, and no page can forge them: which host it believes to talk to, and
//! on whose behalf it asks.
//!
//! | of a request | is refused | what it would be |
//! | --- | --- | --- |
//! | `Host`, where the listener is one of loopback, or hosts are named | unless it is loopback's, or named (421) | DNS rebinding: a foreign name that leads here |
//! | `Sec-Fetch-Site` ([Fetch Metadata]) | if another site or origin asks, but for following a link (403) | a request across origins |
//! | `Origin`, where a browser does not send the former | if it is not the `Host` (403) | the same |
//!
//! Origins that are named may ask (CORS). Who is no browser sends none of it, and is not kept from anything.
//!
//! [Fetch Metadata]: https://www.w3.org/TR/fetch-metadata/

use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

use axum::{
    Router,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header},
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{Problem, idempotency, problem::kinds, request_name};

#[cfg(test)]
mod tests;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// How long a browser may remember that an origin may ask.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);

/// Which hosts a server is known as, and which origins may ask it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Browsers {
    /// Hosts beside those of loopback. With none, a listener beyond loopback is known as any host.
    pub hosts: Vec<AllowedHost>,
    /// Origins beside the server's own.
    pub origins: Vec<Origin>,
    /// Whether somebody in front has looked at the host already.
    pub any_host: bool,
}

/// A host by which a server is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHost {
    /// Whatever it is called.
    Any,
    /// A name or an address, in lower case and without a port.
    Named(String),
}

impl FromStr for AllowedHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let is_name = |name: &str| {
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) && !name.is_empty()
        };
        match text {
            "*" => Ok(Self::Any),
            _ if is_name(bare) || bare.parse::<IpAddr>().is_ok() => Ok(Self::Named(bare.to_ascii_lowercase())),
            _ => {
                Err("a host is a name or an address without scheme and port, such as shop.example; * is any".to_owned())
            }
        }
    }
}

/// An origin as browsers write it: scheme, host and, unless it is the scheme's own, port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "an origin is SCHEME://HOST or SCHEME://HOST:PORT, such as https://app.example".to_owned();
        let lower = text.to_ascii_lowercase();
        let (authority, port) = match lower.split_once("://") {
            Some(("https", authority)) => (authority, ":443"),
            Some(("http", authority)) => (authority, ":80"),
            _ => return Err(wrong()),
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if authority.is_empty() || !authority.bytes().all(is_plain) {
            return Err(wrong());
        }
        let origin = lower.strip_suffix(port).unwrap_or(&lower);
        HeaderValue::from_str(origin).map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.to_str().unwrap_or_default())
    }
}

impl Browsers {
    /// The rules of a listener.
    pub(crate) fn at(self, listener: IpAddr) -> Gate {
        Gate { is_local: listener.to_canonical().is_loopback(), browsers: self }
    }

    /// A router that answers pages of the named origins in a way that their browsers let them read (CORS).
    pub(crate) fn cors(&self, router: Router) -> Router {
        if self.origins.is_empty() {
            return router;
        }
        let origins = self.origins.iter().map(|Origin(origin)| origin.clone());
        let cors = CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([
                header::ACCEPT,
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                idempotency::HEADER.clone(),
                request_name::HEADER.clone(),
                TRACE_PARENT,
            ])
            .expose_headers([header::RETRY_AFTER, request_name::HEADER.clone(), TRACE_PARENT])
            .max_age(PREFLIGHT_AGE);
        router.layer(cors)
    }
}

/// The rules of one listener.
#[derive(Debug)]
pub(crate) struct Gate {
    is_local: bool,
    browsers: Browsers,
}

impl Gate {
    /// Whether the request is to be answered, or what to say instead.
    pub(crate) fn check<B>(&self, request: &Request<B>) -> Result<(), Problem> {
        let headers = request.headers();
        let authority = request.uri().authority().map(|authority| authority.as_str());
        let host = authority.or_else(|| text(headers, &header::HOST)).unwrap_or_default();
        if !self.is_known_as(without_port(host)) {
            let detail = "this server is not known by the host of the request";
            return Err(Problem::new(&kinds::HOST_NOT_SERVED, detail).with("host", host));
        }
        if is_foreign(request.method(), headers, host) && !self.may_ask(headers) {
            let origin = text(headers, &header::ORIGIN).unwrap_or("another site");
            let detail = format!("a page of {origin} asks, which is not the shop's own");
            return Err(Problem::new(&kinds::CROSS_ORIGIN, detail));
        }
        Ok(())
    }

    fn is_known_as(&self, host: &str) -> bool {
        let Browsers { hosts, any_host, .. } = &self.browsers;
        if *any_host || (!self.is_local && hosts.is_empty()) {
            return true;
        }
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            // An address is no name that leads elsewhere tomorrow: those who check whether a replica is well use it.
            return !self.is_local || address.to_canonical().is_loopback() || is_among(hosts, &address.to_string());
        }
        // A browser always says a host.
        host.is_empty() || is_loopback_name(host) || is_among(hosts, host)
    }

    fn may_ask(&self, headers: &HeaderMap) -> bool {
        headers.get(header::ORIGIN).is_some_and(|asks| self.browsers.origins.iter().any(|Origin(may)| may == asks))
    }
}

fn is_among(hosts: &[AllowedHost], host: &str) -> bool {
    hosts.iter().any(|allowed| match allowed {
        AllowedHost::Any => true,
        AllowedHost::Named(name) => name.eq_ignore_ascii_case(host.strip_suffix('.').unwrap_or(host)),
    })
}

/// RFC 6761, 6.3: browsers resolve these to loopback whatever a name server says.
fn is_loopback_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let top = host.rsplit('.').next().unwrap_or(host);
    top.eq_ignore_ascii_case("localhost")
}

/// Whether a page of another origin asks, as far as the browser says so.
fn is_foreign(method: &Method, headers: &HeaderMap, host: &str) -> bool {
    let is = |name: &HeaderName, value: &str| headers.get(name).is_some_and(|there| there == value);
    if headers.contains_key(SEC_FETCH_SITE) {
        // `none`: the person asks, not a page. Of a link that a person follows, the page it is on sees nothing.
        let is_link = || method == Method::GET && is(&SEC_FETCH_MODE, "navigate") && is(&SEC_FETCH_DEST, "document");
        return !is(&SEC_FETCH_SITE, "same-origin") && !is(&SEC_FETCH_SITE, "none") && !is_link();
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    authority.is_none_or(|(_, authority)| !authority.eq_ignore_ascii_case(host))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The host of a host and a port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => {
            // Of an IPv6 address in brackets, the last colon is the port's only behind them.
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    }
}
