//! A connection's bytes, encrypted or not.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How connections to one server are encrypted.
#[derive(Clone, Debug)]
pub(super) struct Encryption {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

impl Encryption {
    /// Trusts what the system trusts, or, where the environment has `SSL_CERT_FILE`, what that file holds.
    pub(super) fn of_host(host: &str) -> Result<Self, String> {
        let server = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let trusted = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(trusted.certs);
        if added == 0 {
            let reasons: Vec<String> = trusted.errors.iter().map(ToString::to_string).collect();
            return Err(format!("no certificate authority is trusted here: {}", reasons.join(", ")));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), server })
    }
}

#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(super) async fn open(stream: TcpStream, encryption: Option<&Encryption>) -> io::Result<Self> {
        let Some(Encryption { config, server }) = encryption else { return Ok(Self::Plain(stream)) };
        let stream = TlsConnector::from(Arc::clone(config)).connect(server.clone(), stream).await?;
        Ok(Self::Encrypted(Box::new(stream)))
    }

    /// Whether it has neither been closed by the server nor received bytes nobody asked for. Costs no system call unless
    /// the runtime has been told of something to read.
    pub(super) fn is_idle(&mut self) -> bool {
        let mut unexpected = [0];
        match self {
            Self::Plain(stream) => {
                matches!(stream.try_read(&mut unexpected), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            // What was received may be the server's own affair, such as a ticket for later sessions: this reads it.
            Self::Encrypted(stream) => {
                let mut context = Context::from_waker(Waker::noop());
                Pin::new(stream).poll_read(&mut context, &mut ReadBuf::new(&mut unexpected)).is_pending()
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
