//! A small HTTP client that says of each request whether it was answered, and by what.

use std::{fmt, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{HeaderMap, Method, Request};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// Above every bound that the server sets itself, so that only a server that hangs reaches it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What all requests are called that a test gives no name, so that what is answered alike is alike.
const REQUEST_ID: &str = "of-a-test";

/// What the server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// A request that got no (whole) answer: whether it had an effect is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer(pub String);

impl fmt::Display for NoAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "no answer: {}", self.0)
    }
}

impl Answer {
    /// The body as text; JSON is always UTF-8.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// One header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body of a 200 as JSON of exactly this shape.
    ///
    /// # Panics
    /// It is another answer.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// A client with connections of its own, kept alive between requests. Clones share them.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    http: legacy::Client<HttpConnector, Empty<Bytes>>,
}

impl Client {
    /// A client of the server at `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Self { address, http }
    }

    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request without a body.
    ///
    /// # Errors
    /// The connection could not be made, broke, or no answer came within a minute.
    ///
    /// # Panics
    /// `path` or a header cannot be sent by a well-behaved client; [`crate::raw`] is for those.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Result<Answer, NoAnswer> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("x-request-id")) {
            request = request.header("x-request-id", REQUEST_ID);
        }
        let request = request.body(Empty::new()).expect("a well-formed request");
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| NoAnswer(format!("{error:?}")))?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| NoAnswer(format!("{error:?}")))?;
            Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes() })
        };
        timeout(ANSWER_TIMEOUT, exchange).await.unwrap_or_else(|_| Err(NoAnswer("a minute went by".to_owned())))
    }

    /// A `GET` that must be answered.
    ///
    /// # Panics
    /// It is not.
    pub async fn get(&self, path: &str) -> Answer {
        answered(path, self.send(Method::GET, path, &[]).await)
    }

    /// A `POST` that must be answered.
    ///
    /// # Panics
    /// It is not.
    pub async fn post(&self, path: &str) -> Answer {
        answered(path, self.send(Method::POST, path, &[]).await)
    }

    /// A `POST` with an idempotency key that must be answered.
    ///
    /// # Panics
    /// It is not.
    pub async fn post_with_key(&self, path: &str, key: &str) -> Answer {
        answered(path, self.try_post_with_key(path, key).await)
    }

    /// A `POST` with an idempotency key.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn try_post_with_key(&self, path: &str, key: &str) -> Result<Answer, NoAnswer> {
        self.send(Method::POST, path, &[("Idempotency-Key", key)]).await
    }

    /// Whether the server says that it is ready.
    pub async fn is_ready(&self) -> bool {
        self.send(Method::GET, "/readyz", &[]).await.is_ok_and(|answer| answer.status == 200)
    }
}

fn answered(path: &str, outcome: Result<Answer, NoAnswer>) -> Answer {
    outcome.unwrap_or_else(|none| panic!("{path}: {none}"))
}
