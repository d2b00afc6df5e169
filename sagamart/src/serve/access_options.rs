//! What the command line says about who may ask.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf};

use clap::Args;
use web::{
    Access, AuditLog,
    access::{AccessError, AccessSettings, IssuerSettings},
    server::Tls,
};

use super::Error;

/// Who may ask for what.
#[derive(Args, Clone, Debug)]
pub(crate) struct AccessOptions {
    /// A file of tokens (`sagamart token` makes them), one of which everybody who asks has to send, on all listeners. It is read
    /// again when it changes [default: whoever reaches a listener may do what it offers]
    #[arg(long, value_name = "FILE", env = "SAGAMART_TOKENS")]
    tokens: Option<PathBuf>,

    /// An OpenID Connect issuer whose tokens (JWT) are for this shop, too, as it calls itself in `iss`
    #[arg(long, value_name = "URL", env = "SAGAMART_OIDC_ISSUER", requires_all = ["oidc_audience", "oidc_keys"])]
    oidc_issuer: Option<String>,

    /// What that issuer calls this shop, in `aud`
    #[arg(long, value_name = "NAME", env = "SAGAMART_OIDC_AUDIENCE", requires = "oidc_issuer")]
    oidc_audience: Option<String>,

    /// A file with the issuer's public keys (a JWK set: what its `jwks_uri` answers). It is read again when it changes
    #[arg(long, value_name = "FILE", env = "SAGAMART_OIDC_KEYS", requires = "oidc_issuer")]
    oidc_keys: Option<PathBuf>,

    /// The claim of a token that names the only user for whom it speaks; one without it then speaks for no user [default: the
    /// issuer's tokens speak for every user]
    #[arg(long, value_name = "NAME", env = "SAGAMART_OIDC_USER_CLAIM", requires = "oidc_issuer")]
    oidc_user_claim: Option<String>,

    /// Listen beyond loopback without --tokens or --oidc-issuer: whoever reaches the listeners may do everything
    #[arg(long, env = "SAGAMART_INSECURE")]
    insecure: bool,

    /// How many requests a second the owner of each token may send [default: any number]
    #[arg(long, value_name = "N", env = "SAGAMART_REQUESTS_PER_TOKEN")]
    requests_per_token: Option<NonZeroU32>,

    /// A file to which each act of operators and each bulk request is added before it is carried out, as a line with a hash over it and
    /// the one before (`sagamart audit-log verify` compares them) [default: the log says it]
    #[arg(long, value_name = "FILE", env = "SAGAMART_AUDIT_LOG")]
    audit_log: Option<PathBuf>,

    /// The certificate with which all listeners encrypt, followed by those that vouch for it, in PEM. It is read again when it
    /// changes [default: they do not encrypt]
    #[arg(long, value_name = "FILE", env = "SAGAMART_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// Its key, in PEM
    #[arg(long, value_name = "FILE", env = "SAGAMART_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Whether /orders/batch_init and its like, which make money out of nothing, are at --listen, too, and not at
    /// --admin-listen alone [default: only where --listen is an address of loopback]
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        env = "SAGAMART_PUBLIC_BULK",
    )]
    public_bulk: Option<bool>,
}

impl AccessOptions {
    /// Who may ask, if it is not everybody.
    pub(crate) fn access(&self) -> Result<Option<Access>, Error> {
        let (tokens, keys) = (given(self.tokens.as_ref()).cloned(), given(self.oidc_keys.as_ref()).cloned());
        let issuer = match (keys, &self.oidc_issuer, &self.oidc_audience) {
            (Some(keys), Some(issuer), Some(audience)) => {
                let (issuer, audience, user_claim) = (issuer.clone(), audience.clone(), self.oidc_user_claim.clone());
                Some(IssuerSettings { issuer, audience, keys, user_claim })
            }
            _ => None,
        };
        if tokens.is_none() && issuer.is_none() {
            return Ok(None);
        }
        let requests_per_second = self.requests_per_token;
        let access = Access::open(AccessSettings { tokens, issuer, requests_per_second }).map_err(|error| {
            let option = if matches!(error, AccessError::Tokens(_)) { "--tokens" } else { "--oidc-keys" };
            Error::Options(format!("{option}: {error}"))
        })?;
        Ok(Some(access))
    }

    /// Where it is written down what operators do.
    pub(crate) fn audit(&self) -> Result<Option<AuditLog>, Error> {
        let Some(file) = given(self.audit_log.as_ref()) else { return Ok(None) };
        AuditLog::open(file).map(Some).map_err(|error| Error::Options(format!("--audit-log: {error}")))
    }

    /// With what the listeners encrypt.
    pub(crate) fn tls(&self) -> Result<Option<Tls>, Error> {
        let (Some(certificate), Some(key)) = (given(self.tls_cert.as_ref()), given(self.tls_key.as_ref())) else {
            return Ok(None);
        };
        let unusable = |error| Error::Options(format!("--tls-cert and --tls-key: {error}"));
        Tls::open(certificate.clone(), key.clone()).map(Some).map_err(unusable)
    }

    /// Whether the listeners encrypt.
    pub(crate) fn encrypts(&self) -> bool {
        given(self.tls_cert.as_ref()).is_some()
    }

    /// Refuses to listen where others get to that everybody may change.
    pub(crate) fn check(&self, option: &str, address: SocketAddr, access: Option<&Access>) -> Result<(), Error> {
        if access.is_some() || self.insecure || address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(Error::Options(format!(
            "{option} {address} is reached from other machines, and nobody who asks has to say who they are: name a file of tokens \
             with --tokens (`sagamart token` makes one), listen on 127.0.0.1, or, where whoever gets there may do everything, say \
             --insecure (SAGAMART_INSECURE=true)"
        )))
    }

    /// Whether bulk requests are answered where clients ask.
    pub(crate) fn has_public_bulk(&self, listen: SocketAddr) -> bool {
        self.public_bulk.unwrap_or_else(|| listen.ip().to_canonical().is_loopback())
    }
}

/// What is empty is not there: manifests like to set everything.
fn given(file: Option<&PathBuf>) -> Option<&PathBuf> {
    file.filter(|file| !file.as_os_str().is_empty())
}
