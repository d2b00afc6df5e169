//! How servers are connected to, and what they must be able to do.

use std::{fs, path::Path, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _,
    TlsCertificates,
};

use crate::{
    OpenError, Options, Promise,
    address::{Host, Url},
    connection::Connection,
    error::Failure,
    options::{Login, Secret, TlsFiles},
    settings::{Inspection, inspect},
};

/// Connects to the servers of one store.
pub(crate) struct Connector {
    login: Login,
    sentinel_login: Login,
    /// Where connections are encrypted.
    tls: Option<TlsFiles>,
    database: i64,
    connect_timeout: Duration,
    response_timeout: Duration,
    /// `None` for who only looks at the data.
    promise: Option<Promise>,
}

impl Connector {
    pub(crate) fn new(options: &Options, url: &Url) -> Result<Self, OpenError> {
        let mut login = options.login.clone();
        if url.username.is_some() && login.username.is_some() && url.username != login.username {
            return Err(OpenError::Options("the address of the store names one user, the options another".to_owned()));
        }
        login.username = login.username.or_else(|| url.username.clone());
        let wants_tls = options.tls != TlsFiles::default();
        if wants_tls && !url.is_encrypted {
            let reason =
                "certificates are for encrypted connections: the address of the store should begin with rediss";
            return Err(OpenError::Options(reason.to_owned()));
        }
        for login in [&login, &options.sentinel_login] {
            if login.username.is_some() && login.password.is_none() {
                return Err(OpenError::Options("a user of the database needs a password".to_owned()));
            }
        }
        if url.is_encrypted {
            // Only fails where somebody chose another one before, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        Ok(Self {
            login,
            sentinel_login: options.sentinel_login.clone(),
            tls: url.is_encrypted.then(|| options.tls.clone()),
            database: url.address.database(),
            connect_timeout: options.connect_timeout,
            response_timeout: options.response_timeout,
            promise: Some(options.promise),
        })
    }

    /// The same for who only looks at the data.
    pub(crate) fn without_promise(self) -> Self {
        Self { promise: None, ..self }
    }

    /// Connects to a server of data.
    pub(crate) async fn connect(&self, host: &Host) -> Result<Connection, Failure> {
        self.connect_to_wait(host, Duration::ZERO).await
    }

    /// The same, for commands that wait on the server for up to `waiting`.
    pub(crate) async fn connect_to_wait(&self, host: &Host, waiting: Duration) -> Result<Connection, Failure> {
        let mut connection = self.open(host, &self.login, self.response_timeout + waiting).await?;
        if self.database != 0 {
            let selected = connection.ask(redis::cmd("SELECT").arg(self.database)).await;
            let () = selected.map_err(|failure| match failure {
                Failure::Lost(_) => at(host, failure),
                other => Failure::Denied(format!(
                    "the database server at {}:{} has no database {} for this user: {}",
                    host.0,
                    host.1,
                    self.database,
                    other.text()
                )),
            })?;
        }
        Ok(connection)
    }

    /// Sees whether a server can keep the promise. One that does not tell its settings is asked no more.
    pub(crate) async fn inspect(
        &self,
        connection: &mut Connection,
        host: &Host,
        had_file: bool,
        tells: &mut bool,
    ) -> Result<Inspection, Failure> {
        let told = *tells;
        let mut found =
            inspect(connection, self.promise, had_file, tells).await.map_err(|failure| at(host, failure))?;
        if told && !*tells {
            tracing::warn!(
                host = host.0,
                port = host.1,
                "CONFIG GET is not permitted: cannot verify that the server flushes as --durability promises"
            );
        }
        for reason in [&mut found.unfit, &mut found.full].into_iter().flatten() {
            *reason = format!("the database server at {}:{} {reason}", host.0, host.1);
        }
        Ok(found)
    }

    /// Asks a sentinel on a connection for this one question.
    pub(crate) async fn ask_sentinel<T: FromRedisValue>(&self, host: &Host, command: &Cmd) -> Result<T, Failure> {
        let mut connection = self.open(host, &self.sentinel_login, self.connect_timeout).await?;
        connection.ask(command).await.map_err(|failure| at(host, failure))
    }

    async fn open(&self, host: &Host, login: &Login, response_timeout: Duration) -> Result<Connection, Failure> {
        let (name, port) = host;
        let client = self.client(host)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(response_timeout));
        let opened = client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = Connection(opened.map_err(|error| at(host, Failure::from(error)))?);
        // By hand, because the server's own words say best what is wrong.
        if let Some(password) = login.password.as_ref().map(Secret::read).transpose()?.filter(|text| !text.is_empty()) {
            let mut command = redis::cmd("AUTH");
            command.arg(login.username.as_ref()).arg(password);
            let () = connection.ask(&command).await.map_err(|failure| match failure {
                Failure::Lost(_) => at(host, failure),
                Failure::Denied(text) if text.contains("certificate") => at(host, Failure::Denied(text)),
                other => Failure::Denied(format!(
                    "the database server at {name}:{port} does not accept the {}: {}",
                    login.describe(),
                    other.text()
                )),
            })?;
        }
        Ok(connection)
    }

    fn client(&self, host: &Host) -> Result<Client, Failure> {
        let (name, port) = host.clone();
        let address = match self.tls {
            Some(_) => ConnectionAddr::TcpTls { host: name, port, insecure: false, tls_params: None },
            None => ConnectionAddr::Tcp(name, port),
        };
        let wrong = |error: redis::RedisError| Failure::Denied(format!("{}:{}: {error}", host.0, host.1));
        let info = address.into_connection_info().map_err(wrong)?;
        // Without it, the end of a big command waits for the acknowledgement of its beginning.
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let info = info.set_tcp_settings(tcp);
        match &self.tls {
            Some(files) if *files != TlsFiles::default() => Client::build_with_tls(info, files.read()?)
                .map_err(|error| Failure::Denied(format!("{files:?}: {error}"))),
            _ => Client::open(info).map_err(wrong),
        }
    }
}

impl TlsFiles {
    fn read(&self) -> Result<TlsCertificates, Failure> {
        let read = |path: &Path| {
            fs::read(path).map_err(|error| Failure::Denied(format!("{} cannot be read: {error}", path.display())))
        };
        let client_tls = match &self.identity {
            Some((certificate, key)) => {
                Some(ClientTlsConfig { client_cert: read(certificate)?, client_key: read(key)? })
            }
            None => None,
        };
        Ok(TlsCertificates { client_tls, root_cert: self.authority.as_deref().map(read).transpose()? })
    }
}

impl Login {
    fn describe(&self) -> String {
        let user = self.username.as_ref().map(|user| format!(" of user {user}")).unwrap_or_default();
        let file = match &self.password {
            Some(Secret::File(path)) => format!(" (from {})", path.display()),
            _ => String::new(),
        };
        format!("password{user}{file}")
    }
}

/// With the server that it is about.
fn at(host: &Host, failure: Failure) -> Failure {
    let (name, port) = host;
    match failure {
        Failure::Lost(text) => Failure::Lost(format!("the database server at {name}:{port} does not answer: {text}")),
        Failure::Denied(text) => Failure::Denied(format!("the database server at {name}:{port} refuses: {text}")),
        other => other,
    }
}

/// The service's name is part of keys, where braces, colons and spaces have a meaning.
pub(crate) fn check_service(name: &str) -> Result<(), OpenError> {
    let good = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if good {
        Ok(())
    } else {
        Err(OpenError::Options(format!("a service cannot be called {name:?}: letters, digits, - and _")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_whose_name_would_break_a_key_is_refused() {
        for name in ["", "a}b", "a:b", "a b", "ä"] {
            assert!(check_service(name).is_err(), "{name:?}");
        }
        assert!(check_service("order_2-b").is_ok());
    }
}
