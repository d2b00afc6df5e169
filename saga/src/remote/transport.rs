//! How processes reach each other: over TCP, or over whatever a simulator puts in its place.

use std::{fmt, future::Future, io, pin::Pin};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, lookup_host},
};

/// A connection's two directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A stream of any kind.
pub type BoxStream = Box<dyn Stream>;

/// The future of a transport's method.
pub type Reaching<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// The way to other processes.
pub trait Transport: Send + Sync + 'static {
    /// All addresses that a name stands for now.
    fn resolve<'a>(&'a self, name: &'a str) -> Reaching<'a, Vec<String>>;

    /// Connects to an address.
    fn connect<'a>(&'a self, address: &'a str) -> Reaching<'a, BoxStream>;
}

/// Where other processes connect to.
pub trait Listen: Send + 'static {
    /// The next connection. Errors are those of a single connection: listening goes on.
    fn accept(&mut self) -> Reaching<'_, BoxStream>;
}

/// TCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Transport for Tcp {
    fn resolve<'a>(&'a self, name: &'a str) -> Reaching<'a, Vec<String>> {
        Box::pin(async move { Ok(lookup_host(name).await?.map(|address| address.to_string()).collect()) })
    }

    fn connect<'a>(&'a self, address: &'a str) -> Reaching<'a, BoxStream> {
        Box::pin(async move { unbuffered(TcpStream::connect(address).await?) })
    }
}

impl Listen for TcpListener {
    fn accept(&mut self) -> Reaching<'_, BoxStream> {
        Box::pin(async move { unbuffered(TcpListener::accept(self).await?.0) })
    }
}

fn unbuffered(stream: TcpStream) -> io::Result<BoxStream> {
    // Messages are written as many at a time as there are: holding them back for more gains nothing.
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

impl fmt::Debug for dyn Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Transport")
    }
}
