//! A client that sends bytes and reads bytes, so that what is wrong on the wire can be sent too.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use web::{
    Readiness,
    server::{self, Front, Metrics, Settings, serve},
};

use crate::toy;

/// No answer in these tests takes longer, except where one is not to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A toy service on a port of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) readiness: Readiness,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) ended: JoinHandle<Result<(), server::Error>>,
    metrics: Registry,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(Settings::default(), Duration::ZERO).await
    }

    /// `notice` is how long the server goes on accepting after it was told to stop.
    pub(crate) async fn start_with(settings: Settings, notice: Duration) -> Self {
        let readiness = Readiness::new();
        readiness.ready();
        let (router, _) = toy::site(readiness.clone());
        Self::start_router(router, readiness, settings, notice).await
    }

    pub(crate) async fn start_router(
        router: impl Into<Front>,
        readiness: Readiness,
        settings: Settings,
        notice: Duration,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let signal = async {
            let _ = stopped.await;
        };
        let shutdown = readiness.clone().drain_after(signal, notice);
        let (metrics, mut registry) = (Metrics::default(), Registry::default());
        metrics.register(&mut registry);
        let ended = tokio::spawn(serve(listener, router.into(), settings, metrics, shutdown));
        Self { address, readiness, stop, ended, metrics: registry }
    }

    /// How many requests were refused with this status before they got to a route.
    pub(crate) fn refused(&self, status: u16) -> u64 {
        self.counted(&format!("sagamart_http_requests_refused_total{{status=\"{status}\"}}"))
    }

    /// The value of a series, 0 where there is none.
    pub(crate) fn counted(&self, series: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }

    pub(crate) async fn connect(&self) -> Connection {
        self.connect_from([127, 0, 0, 1]).await
    }

    /// Connects from another address of this machine.
    pub(crate) async fn connect_from(&self, address: [u8; 4]) -> Connection {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (stream, sender) = stream.into_split();
        let receiver = Receiver { stream, received: Vec::new() };
        Connection { sender: Sender(sender), receiver }
    }

    /// Sends one request on a connection of its own. `head` is what stands before the `Host` header.
    pub(crate) async fn ask(&self, head: &str) -> Reply {
        let mut connection = self.connect().await;
        connection.send(request(head)).await;
        connection.reply().await
    }
}

/// A request without a body: `head` is the request's line and its headers, separated by line feeds.
pub(crate) fn request(head: &str) -> Vec<u8> {
    let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
    let mut request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n");
    for header in headers.lines() {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request.into_bytes()
}

pub(crate) struct Connection {
    sender: Sender,
    receiver: Receiver,
}

/// The writing half of a connection.
pub(crate) struct Sender(OwnedWriteHalf);

/// The reading half of a connection.
pub(crate) struct Receiver {
    stream: OwnedReadHalf,
    received: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// The slug of the problem that this reply is, checked to be one in every respect.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status);
        assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
        let slug = body["type"].as_str().and_then(|kind| kind.strip_prefix("/problems/"));
        slug.expect("a type below /problems/").to_owned()
    }
}

impl Connection {
    pub(crate) fn split(&mut self) -> (&mut Sender, &mut Receiver) {
        (&mut self.sender, &mut self.receiver)
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.sender.send(bytes).await;
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.sender.0.local_addr().unwrap()
    }

    /// Closes the side that sends.
    pub(crate) async fn finish(&mut self) {
        self.sender.0.shutdown().await.unwrap();
    }

    /// Sends what may find the connection closed.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.sender.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// The next reply, with the body that its `Content-Length` promises.
    pub(crate) async fn reply(&mut self) -> Reply {
        self.receiver.reply().await
    }

    /// The next reply to a HEAD request.
    pub(crate) async fn reply_without_body(&mut self) -> Reply {
        self.receiver.next(false).await
    }

    /// The status of the next reply, or `None` when the server closes without one.
    pub(crate) async fn status_or_end(&mut self) -> Option<u16> {
        let receiver = &mut self.receiver;
        while !receiver.received.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            if receiver.receive().await == 0 {
                return None;
            }
        }
        Some(receiver.next(false).await.status)
    }

    /// Everything until the server closes or resets the connection.
    pub(crate) async fn rest(&mut self) -> String {
        while self.receiver.receive().await > 0 {}
        String::from_utf8(std::mem::take(&mut self.receiver.received)).unwrap()
    }

    /// Whether the server sends nothing within `patience` and keeps the connection.
    pub(crate) async fn stays_silent_for(&mut self, patience: Duration) -> bool {
        assert_eq!(self.receiver.received, b"", "bytes nobody asked for");
        timeout(patience, self.receiver.receive()).await.is_err()
    }

    /// Whether the server closes the connection within `patience` without sending anything more.
    pub(crate) async fn closes_within(&mut self, patience: Duration) -> bool {
        assert_eq!(self.receiver.received, b"", "bytes nobody asked for");
        timeout(patience, self.receiver.receive()).await.is_ok_and(|bytes| bytes == 0)
    }
}

impl Sender {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }
}

impl Receiver {
    pub(crate) async fn reply(&mut self) -> Reply {
        self.next(true).await
    }

    async fn next(&mut self, with_body: bool) -> Reply {
        let head_bytes = loop {
            if let Some(end) = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(self.receive().await > 0, "closed instead of a reply: {:?}", self.received);
        };
        let head: Vec<u8> = self.received.drain(..head_bytes).collect();
        let mut reply = parse_head(std::str::from_utf8(&head).unwrap());
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        if with_body {
            while self.received.len() < length {
                assert!(self.receive().await > 0, "closed inside a body");
            }
            reply.body = self.received.drain(..length).collect();
        }
        reply
    }

    /// Reads more; 0 when the server closed or reset the connection.
    async fn receive(&mut self) -> usize {
        let read = self.stream.read_buf(&mut self.received);
        timeout(PATIENCE, read).await.expect("an answer in time").unwrap_or(0)
    }
}

fn parse_head(head: &str) -> Reply {
    let mut lines = head.lines();
    let mut status_line = lines.next().unwrap().split(' ');
    let version = status_line.next().unwrap().to_owned();
    let status = status_line.next().unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Reply { version, status, headers, body: Vec::new() }
}
