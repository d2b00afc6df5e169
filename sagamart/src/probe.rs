//! `sagamart probe`: asks a server whether it is well, for container health checks in images without another client.

use std::{io, time::Duration};

use clap::Args;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::encrypted;

/// Longer than a server that is well takes, shorter than health checks wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks a server whether it is ready; exits with 0 if it is, and else says why not
#[derive(Args, Debug)]
pub(crate) struct Probe {
    /// What to ask
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8000/readyz", env = "SAGAMART_PROBE")]
    url: String,
}

/// Why a server is not taken to be well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}: the URL to ask looks like http://HOST:PORT/PATH")]
    Url(String),
    #[error("{url} cannot be reached: {cause}")]
    Unreachable { url: String, cause: io::Error },
    #[error("{0} does not answer")]
    Silent(String),
    #[error("{url} answers: {answer}")]
    Unwell { url: String, answer: String },
}

impl Probe {
    /// Asks once.
    pub(crate) async fn run(self) -> Result<(), Error> {
        let is_encrypted = self.url.strip_prefix("https://");
        let rest = self.url.strip_prefix("http://").or(is_encrypted).ok_or_else(|| Error::Url(self.url.clone()))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let request = format!("GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
        let asking = async {
            match is_encrypted {
                Some(_) => ask(encrypted::connect(authority).await?, &request).await,
                None => ask(TcpStream::connect(authority).await?, &request).await,
            }
        };
        let asked = timeout(PATIENCE, asking).await.map_err(|_| Error::Silent(self.url.clone()))?;
        let answer = asked.map_err(|cause| Error::Unreachable { url: self.url.clone(), cause })?;
        let answer = String::from_utf8_lossy(&answer);
        let mut words = answer.split_ascii_whitespace();
        if words.nth(1) == Some("200") {
            return Ok(());
        }
        let body = answer.split_once("\r\n\r\n").map_or(answer.as_ref(), |(_, body)| body);
        Err(Error::Unwell { url: self.url, answer: body.trim().to_owned() })
    }
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}
