//! Where traces are sent, and one exchange with it: OTLP over HTTP/1.1, in protobuf.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Request, StatusCode, Uri,
    client::conn::http1,
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::{net::TcpStream, time::timeout};

#[cfg(test)]
mod tests;

/// What OpenTelemetry's own exporters wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer says no more than how many spans it rejects, and why.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What comes after the base of an endpoint, for traces.
const PATH: &str = "v1/traces";

/// Why traces can not be sent there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The address is none.
    #[error("`{0}` is no endpoint of OTLP over HTTP, such as http://127.0.0.1:4318")]
    Address(String),
    /// It wants encryption.
    #[error("`{0}` wants TLS, which is not spoken here: send to a collector beside this process, over http://")]
    Encrypted(String),
    /// Headers to send along are malformed; they are not repeated, for they may hold secrets.
    #[error("headers for the endpoint are NAME=VALUE, separated by commas, with values in percent-encoding")]
    Headers,
}

/// Somewhere that takes traces.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Host and port, to connect to.
    authority: String,
    host: HeaderValue,
    path: String,
    headers: HeaderMap,
}

/// Why an exchange failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It may pass.
    Passing(String),
    /// It will be so again.
    Refused(String),
}

impl Endpoint {
    /// The one below the base that this address is, as OTLP's exporters understand it, with `headers` (`NAME=VALUE,…`) for it.
    ///
    /// # Errors
    /// What is wrong with either.
    pub fn new(address: &str, headers: Option<&str>) -> Result<Self, Error> {
        let wrong = || Error::Address(address.to_owned());
        let uri: Uri = address.parse().map_err(|_| wrong())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(Error::Encrypted(address.to_owned())),
            _ => return Err(wrong()),
        }
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?;
        if uri.query().is_some() || authority.host().is_empty() {
            return Err(wrong());
        }
        let authority = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80));
        let path = format!("{}/{PATH}", uri.path().trim_end_matches('/'));
        Ok(Self { authority, host, path, headers: headers_in(headers.unwrap_or_default()).ok_or(Error::Headers)? })
    }

    /// Sends `body`, and returns what it is answered with.
    pub(crate) async fn post(&self, body: Bytes) -> Result<Bytes, Failure> {
        match timeout(PATIENCE, self.exchange(body)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Passing(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    async fn exchange(&self, body: Bytes) -> Result<Bytes, Failure> {
        fn passing(error: impl ToString) -> Failure {
            Failure::Passing(error.to_string())
        }
        let stream = TcpStream::connect(&self.authority).await.map_err(passing)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(passing)?;
        let mut request = Request::post(&self.path).body(Full::new(body)).map_err(passing)?;
        let headers = request.headers_mut();
        headers.extend(self.headers.clone());
        headers.insert(header::HOST, self.host.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let answering = async {
            let (head, body) = sender.send_request(request).await.map_err(passing)?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(passing)?;
            Ok((head.status, body.to_bytes()))
        };
        let mut answering = std::pin::pin!(answering);
        let (status, body) = tokio::select! {
            answer = &mut answering => answer?,
            ended = connection => match ended {
                // The last of the answer may be on its way still.
                Ok(()) => answering.await?,
                Err(error) => return Err(passing(error)),
            },
        };
        match status {
            status if status.is_success() => Ok(body),
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(Failure::Passing(format!("answered {status}"))),
            status => Err(Failure::Refused(format!("answered {status}"))),
        }
    }
}

fn headers_in(text: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        headers.append(name.trim().parse::<HeaderName>().ok()?, value);
    }
    Some(headers)
}
