//! Connections to servers of the shop that encrypt (`https`).

use std::{env, io, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Where the certificates are that vouch for the shop's, instead of those that this machine knows.
const CA_FILE: &str = "SAGAMART_CA_FILE";

/// Connects to HOST:PORT and makes sure that it is who it says.
pub(crate) async fn connect(authority: &str) -> io::Result<TlsStream<TcpStream>> {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots()?)
        .with_no_client_auth();
    let stream = TcpStream::connect(authority).await?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn roots() -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match env::var_os(CA_FILE).filter(|file| !file.is_empty()) {
        Some(file) => {
            let wrong = |error| io::Error::other(format!("{CA_FILE}: {error}"));
            for certificate in CertificateDer::pem_file_iter(file).map_err(wrong)? {
                roots.add(certificate.map_err(wrong)?).map_err(io::Error::other)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}
