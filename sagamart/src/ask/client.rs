//! A request of a server of the shop.

use std::{env, fmt, fs, io, str::FromStr, sync::LazyLock, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use crate::encrypted;

/// Longer than any question takes that the history answers from a bounded number of pages.
const PATIENCE: Duration = Duration::from_secs(10);

/// How whoever runs the command says who it is. Never in an argument: those are in the list of processes for everybody.
static TOKEN: LazyLock<Result<Option<HeaderValue>, String>> = LazyLock::new(|| {
    let given = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let text = match (given("SAGAMART_TOKEN"), given("SAGAMART_TOKEN_FILE")) {
        (Some(token), _) => token,
        (None, Some(file)) => fs::read_to_string(&file).map_err(|error: io::Error| format!("{file}: {error}"))?,
        (None, None) => return Ok(None),
    };
    let mut header = HeaderValue::from_str(&format!("Bearer {}", text.trim())).map_err(|error| error.to_string())?;
    header.set_sensitive(true);
    Ok(Some(header))
});

/// Where a server listens: `http://HOST:PORT`, or `https`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    authority: String,
    is_encrypted: bool,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (is_encrypted, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, Some(rest)),
            (None, rest) => (true, rest),
        };
        match rest.and_then(|rest| rest.trim_end_matches('/').rsplit_once(':')) {
            Some((host, port)) if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() => {
                Ok(Self { authority: format!("{host}:{port}"), is_encrypted })
            }
            _ => Err("it looks like http://HOST:PORT".to_owned()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http{}://{}", if self.is_encrypted { "s" } else { "" }, self.authority)
    }
}

/// A server did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{address} is not reached: {cause}")]
pub(crate) struct Unreached {
    address: Address,
    cause: Box<dyn std::error::Error + Send + Sync>,
}

/// An answer as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Address {
    pub(super) fn unreached(&self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Unreached {
        Unreached { address: self.clone(), cause: cause.into() }
    }

    /// Asks, and waits for the whole answer.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, Unreached> {
        self.ask(Method::GET, path).await
    }

    /// Has something done, and waits for the whole answer.
    pub(super) async fn post(&self, path: &str) -> Result<Answer, Unreached> {
        self.ask(Method::POST, path).await
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Answer, Unreached> {
        let asking = async {
            let response = self.open(method, path, None).await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.map_err(|error| self.unreached(error))?;
            Ok(Answer { status, body: String::from_utf8_lossy(&body.to_bytes()).into_owned() })
        };
        timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(self.unreached("it does not answer")))
    }

    /// Asks for a stream of events, those after `last` if it is known; its body is still to come.
    pub(super) async fn follow(&self, path: &str, last: Option<&str>) -> Result<Response<Incoming>, Unreached> {
        timeout(PATIENCE, self.open(Method::GET, path, last))
            .await
            .unwrap_or_else(|_| Err(self.unreached("it does not answer")))
    }

    async fn speak<S>(&self, connected: io::Result<S>) -> Result<SendRequest<Empty<Bytes>>, Unreached>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = connected.map_err(|error| self.unreached(error))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| self.unreached(error))?;
        // It ends with the answer, or with the process.
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn open(&self, method: Method, path: &str, last: Option<&str>) -> Result<Response<Incoming>, Unreached> {
        let mut sender = match self.is_encrypted {
            true => self.speak(encrypted::connect(&self.authority).await).await?,
            false => self.speak(TcpStream::connect(&self.authority).await).await?,
        };
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.authority);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        if let Some(token) = TOKEN.as_ref().map_err(|error| self.unreached(error.as_str()))? {
            request = request.header(header::AUTHORIZATION, token);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| self.unreached(error))?;
        sender.send_request(request).await.map_err(|error| self.unreached(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, shown) in [
            ("http://127.0.0.1:8010", "http://127.0.0.1:8010"),
            ("http://shop.example:80/", "http://shop.example:80"),
            ("http://[::1]:8010", "http://[::1]:8010"),
            ("https://shop.example:443", "https://shop.example:443"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for text in
            ["127.0.0.1:8010", "https://a", "ftp://a:1", "http://a", "http://:1", "http://a:b", "http://a/b:1", ""]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
