//! Requests that no well-behaved client would send, byte for byte.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use hyper::{HeaderMap, header::HeaderName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::Answer;

/// How long the server may take to answer or to close.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(20);

/// Sends `POST` with these bytes as its target.
///
/// # Panics
/// As [`exchange`].
pub async fn post(address: SocketAddr, target: &[u8]) -> Answer {
    let request =
        [b"POST ", target, b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"].concat();
    exchange(address, &request).await.unwrap_or_else(|| panic!("{} got no answer", target.escape_ascii()))
}

/// Sends `GET` with these bytes as its target.
///
/// # Panics
/// As [`exchange`].
pub async fn get(address: SocketAddr, target: &[u8]) -> Answer {
    let request = [b"GET ", target, b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"].concat();
    exchange(address, &request).await.unwrap_or_else(|| panic!("{} got no answer", target.escape_ascii()))
}

/// Sends `bytes` on a connection of its own and reads until the server closes it. `None` where it closed without an
/// answer.
///
/// # Panics
/// The server cannot be reached, sends what is no HTTP, or neither answers nor closes within 20 seconds.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Option<Answer> {
    let talk = async {
        let mut stream = TcpStream::connect(address).await.expect("the server accepts connections");
        // A server may close before it has read all; what it answered is then still there to be read.
        let _ = stream.write_all(bytes).await;
        let mut received = Vec::new();
        let _ = stream.read_to_end(&mut received).await;
        received
    };
    let received = timeout(EXCHANGE_TIMEOUT, talk)
        .await
        .unwrap_or_else(|_| panic!("neither answered nor closed after {}", bytes.escape_ascii()));
    (!received.is_empty()).then(|| parsed(&received))
}

fn parsed(received: &[u8]) -> Answer {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(received) {
        Ok(httparse::Status::Complete(length)) => length,
        other => panic!("no HTTP response ({other:?}): {}", received.escape_ascii()),
    };
    let mut map = HeaderMap::new();
    for header in response.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).expect("a header's name");
        map.append(name, header.value.try_into().expect("a header's value"));
    }
    assert!(!map.contains_key("transfer-encoding"), "answers have a known length: {}", received.escape_ascii());
    Answer {
        status: response.code.expect("a complete response has a status"),
        headers: map,
        body: Bytes::copy_from_slice(received.get(length..).unwrap_or_default()),
    }
}
