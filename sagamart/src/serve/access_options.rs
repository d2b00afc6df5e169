//! What the command line says about who may ask.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use web::Access;

use super::Error;

/// Who may ask for what.
#[derive(Args, Clone, Debug)]
pub(crate) struct AccessOptions {
    /// A file of tokens (`sagamart token` makes them), one of which everybody who asks has to send, on all listeners. It is read
    /// again when it changes [default: whoever reaches a listener may do what it offers]
    #[arg(long, value_name = "FILE", env = "SAGAMART_TOKENS")]
    tokens: Option<PathBuf>,

    /// Listen beyond loopback without --tokens: whoever reaches the listeners may do everything
    #[arg(long, env = "SAGAMART_INSECURE")]
    insecure: bool,

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
        // What is empty is not there: manifests like to set everything.
        let Some(file) = self.tokens.clone().filter(|file| !file.as_os_str().is_empty()) else { return Ok(None) };
        let access = Access::with_tokens(file).map_err(|error| Error::Options(format!("--tokens: {error}")))?;
        Ok(Some(access))
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
