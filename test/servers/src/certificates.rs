//! An authority of a test's own, and what it signed.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority and a certificate that it signed, for 127.0.0.1 and `localhost`, that is good for servers and for clients.
/// Clones share the files, which are removed with the last of them.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<TempDir>);

impl Certificates {
    /// Makes new ones, which no other certificates have to do with.
    ///
    /// # Panics
    /// No directory can be made.
    #[must_use]
    pub fn make() -> Self {
        let mut authority = CertificateParams::default();
        // Another name than the certificate's, which else would look as if it were its own authority.
        authority.distinguished_name.push(DnType::CommonName, "an authority for tests");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key"));
        let authority = authority.expect("a certificate of its own");
        let names = ["127.0.0.1", "localhost"].map(str::to_owned).to_vec();
        let mut params = CertificateParams::new(names).expect("names that a certificate may have");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &authority).expect("a certificate");
        let made = Self(Arc::new(tempfile::tempdir().expect("a directory can be made")));
        for (path, text) in [
            (made.authority(), authority.pem()),
            (made.certificate(), certificate.pem()),
            (made.key(), key.serialize_pem()),
        ] {
            fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        made
    }

    /// The authority's certificate, as PEM.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.path().join("authority.pem")
    }

    /// The certificate that it signed, as PEM.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.path().join("certificate.pem")
    }

    /// The key of that certificate, as PEM.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.path().join("key.pem")
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// What a server's file of settings says of them.
    pub(crate) fn settings(&self, wants_certificates: bool) -> [(&'static str, String); 5] {
        let path = |path: PathBuf| path.display().to_string();
        [
            ("tls-ca-cert-file", path(self.authority())),
            ("tls-cert-file", path(self.certificate())),
            ("tls-key-file", path(self.key())),
            ("tls-auth-clients", if wants_certificates { "yes" } else { "no" }.to_owned()),
            ("tls-replication", "yes".to_owned()),
        ]
    }
}
