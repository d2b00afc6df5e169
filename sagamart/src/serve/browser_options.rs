//! What the command line says about browsers.

use clap::Args;
use web::{
    Browsers,
    browsers::{AllowedHost, Origin},
};

/// Which requests of browsers are answered.
#[derive(Args, Clone, Debug)]
pub(crate) struct BrowserOptions {
    /// Another host by which this process is known; repeat it, or separate several by commas; * is any. Where it listens on
    /// loopback, requests to other hosts than localhost and loopback's addresses are refused; beyond it, only if some are named
    #[arg(long = "allowed-host", value_name = "HOST", value_delimiter = ',', env = "SAGAMART_ALLOWED_HOSTS")]
    allowed_hosts: Vec<AllowedHost>,

    /// An origin whose pages may ask for the shop (CORS); repeat it, or separate several by commas. Pages of all others
    /// are refused
    #[arg(long = "cors-origin", value_name = "ORIGIN", value_delimiter = ',', env = "SAGAMART_CORS_ORIGINS")]
    cors_origins: Vec<Origin>,
}

impl BrowserOptions {
    /// For clients.
    pub(crate) fn of_shop(&self, behind_gateway: bool) -> Browsers {
        Browsers { hosts: self.allowed_hosts.clone(), origins: self.cors_origins.clone(), any_host: behind_gateway }
    }

    /// For operators, whose pages are all here.
    pub(crate) fn of_operators(&self) -> Browsers {
        Browsers { hosts: self.allowed_hosts.clone(), ..Browsers::default() }
    }
}
