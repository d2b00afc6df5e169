//! What the command line says of the way into a redis store.

use std::path::PathBuf;

use clap::Args;
use store_redis::{Login, Options, Secret, TlsFiles};

/// How to be let in.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DatabaseOptions {
    /// The user of a redis store, unless --store names one before an @ [default: the database's default user]
    #[arg(long, value_name = "USER", env = "SAGAMART_STORE_USERNAME")]
    store_username: Option<String>,

    /// The password of a redis store; on a command line everybody on this machine can read it, so rather in the environment or
    /// in a file
    #[arg(long, value_name = "PASSWORD", env = "SAGAMART_STORE_PASSWORD", hide_env_values = true)]
    store_password: Option<String>,

    /// A file with the password, read again for every connection: so a new password needs no restart
    #[arg(long, value_name = "FILE", env = "SAGAMART_STORE_PASSWORD_FILE", conflicts_with = "store_password")]
    store_password_file: Option<PathBuf>,

    /// For rediss:// addresses: certificates (PEM) of the authorities to believe, instead of the system's
    #[arg(long, value_name = "FILE", env = "SAGAMART_STORE_CA_FILE")]
    store_ca_file: Option<PathBuf>,

    /// For rediss:// servers that want one: the certificate (PEM) to show
    #[arg(long, value_name = "FILE", env = "SAGAMART_STORE_CERTIFICATE_FILE", requires = "store_key_file")]
    store_certificate_file: Option<PathBuf>,

    /// The key (PEM) of that certificate
    #[arg(long, value_name = "FILE", env = "SAGAMART_STORE_KEY_FILE", requires = "store_certificate_file")]
    store_key_file: Option<PathBuf>,

    /// The user of the sentinels, whose users are their own
    #[arg(long, value_name = "USER", env = "SAGAMART_SENTINEL_USERNAME")]
    sentinel_username: Option<String>,

    /// The password of the sentinels
    #[arg(long, value_name = "PASSWORD", env = "SAGAMART_SENTINEL_PASSWORD", hide_env_values = true)]
    sentinel_password: Option<String>,

    /// A file with the password of the sentinels, read again for every connection
    #[arg(long, value_name = "FILE", env = "SAGAMART_SENTINEL_PASSWORD_FILE", conflicts_with = "sentinel_password")]
    sentinel_password_file: Option<PathBuf>,
}

impl DatabaseOptions {
    /// Whether any of them was given, which makes no sense for other stores.
    pub(crate) fn are_given(&self) -> bool {
        let texts = [&self.store_username, &self.store_password, &self.sentinel_username, &self.sentinel_password];
        let files = [
            &self.store_password_file,
            &self.store_ca_file,
            &self.store_certificate_file,
            &self.store_key_file,
            &self.sentinel_password_file,
        ];
        texts.into_iter().flatten().any(|text| !text.is_empty()) || files.into_iter().any(Option::is_some)
    }

    /// `options` with them.
    pub(crate) fn adapt(&self, options: Options) -> Options {
        let identity = self.store_certificate_file.clone().zip(self.store_key_file.clone());
        Options {
            login: login(self.store_username.as_ref(), self.store_password.as_ref(), self.store_password_file.as_ref()),
            sentinel_login: login(
                self.sentinel_username.as_ref(),
                self.sentinel_password.as_ref(),
                self.sentinel_password_file.as_ref(),
            ),
            tls: TlsFiles { authority: self.store_ca_file.clone(), identity },
            ..options
        }
    }
}

/// What is empty is not there: manifests like to set everything.
fn login(username: Option<&String>, password: Option<&String>, file: Option<&PathBuf>) -> Login {
    let value = password.filter(|password| !password.is_empty()).cloned().map(Secret::Value);
    Login {
        username: username.filter(|username| !username.is_empty()).cloned(),
        password: value.or_else(|| file.cloned().map(Secret::File)),
    }
}
