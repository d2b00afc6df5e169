//! Encryption of a listener: a certificate and its key, which are read again when they are replaced.

use std::{fmt, io, path::PathBuf, sync::Arc, task::Context};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{pin::Pin, task::Poll};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::watched::Watched;

/// What a client may agree on by ALPN: all that is spoken here.
const PROTOCOL: &[u8] = b"http/1.1";

/// A certificate with its chain, and its key. Clones share them.
#[derive(Clone)]
pub struct Tls(Arc<Watched<TlsAcceptor, Error>>);

/// What is wrong with a certificate or its key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not what it should be.
    #[error("{}: {cause}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: rustls::pki_types::pem::Error,
    },
    /// There is no certificate.
    #[error("{} has no certificate", .0.display())]
    Empty(PathBuf),
    /// They do not fit together.
    #[error("the certificate and its key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

impl Tls {
    /// Reads a certificate, followed by those that vouch for it, and its key; both in PEM.
    ///
    /// # Errors
    /// They cannot be read, or do not fit together.
    pub fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, Error> {
        Watched::open("the certificate and its key", vec![certificate, key], read).map(Arc::new).map(Self)
    }

    /// Why an older certificate is shown, if it is.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.0.trouble()
    }

    /// Agrees with a client on how to go on.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<Transport> {
        let accepted = self.0.current().accept(stream).await?;
        Ok(Transport::Encrypted(Box::new(accepted)))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tls")
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Tls {}

fn read(files: &[PathBuf]) -> Result<TlsAcceptor, Error> {
    let [certificate, key] = files else { unreachable!("it is opened with two") };
    let of = |path: &PathBuf| {
        let path = path.clone();
        move |cause| Error::File { path, cause }
    };
    let chain = CertificateDer::pem_file_iter(certificate).map_err(of(certificate))?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(of(certificate))?;
    if chain.is_empty() {
        return Err(Error::Empty(certificate.clone()));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(of(key))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth();
    let mut config = config.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What the bytes of a connection go through.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
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
