//! One connection to one server.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _, Pipeline,
    RedisConnectionInfo, aio::MultiplexedConnection,
};

use crate::{OpenError, Options, Promise, address::Host, error::Failure};

/// How servers are connected to, and what they must be able to do.
pub(crate) struct Connector {
    login: RedisConnectionInfo,
    connect_timeout: Duration,
    response_timeout: Duration,
    promise: Promise,
}

/// A connection that many tasks use at the same time; clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    multiplexed: MultiplexedConnection,
    /// Whether the server knows WAITAOF.
    pub(crate) waits_for_disks: bool,
}

impl Connector {
    pub(crate) fn new(options: &Options, database: i64) -> Self {
        let mut login = RedisConnectionInfo::default().set_db(database);
        if let Some(username) = &options.username {
            login = login.set_username(username);
        }
        if let Some(password) = options.password.as_ref().filter(|password| !password.is_empty()) {
            login = login.set_password(password);
        }
        Self {
            login,
            connect_timeout: options.connect_timeout,
            response_timeout: options.response_timeout,
            promise: options.promise,
        }
    }

    /// Connects to a server of data and sees whether it can keep the promise.
    pub(crate) async fn connect(&self, host: &Host) -> Result<Connection, Failure> {
        self.connect_with(host, self.response_timeout).await
    }

    /// The same, for commands that wait on the server for up to `waiting`.
    pub(crate) async fn connect_to_wait(&self, host: &Host, waiting: Duration) -> Result<Connection, Failure> {
        self.connect_with(host, self.response_timeout + waiting).await
    }

    async fn connect_with(&self, host: &Host, response_timeout: Duration) -> Result<Connection, Failure> {
        let multiplexed = self.open(host, self.login.clone(), response_timeout).await?;
        let mut connection = Connection { multiplexed, waits_for_disks: false };
        self.inspect(&mut connection, host).await?;
        Ok(connection)
    }

    /// Asks a server that holds no data, such as a sentinel, on a connection for this one question.
    pub(crate) async fn ask_once<T: FromRedisValue>(&self, host: &Host, command: &Cmd) -> Result<T, Failure> {
        let mut connection = self.open(host, RedisConnectionInfo::default(), self.connect_timeout).await?;
        command.query_async(&mut connection).await.map_err(Failure::from)
    }

    async fn open(
        &self,
        (name, port): &Host,
        login: RedisConnectionInfo,
        response_timeout: Duration,
    ) -> Result<MultiplexedConnection, Failure> {
        let at = |error: redis::RedisError| Failure::Lost(format!("{name}:{port}: {error}"));
        let info = ConnectionAddr::Tcp(name.clone(), *port).into_connection_info().map_err(at)?;
        // Without it, the end of a big command waits for the acknowledgement of its beginning.
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let client = Client::open(info.set_tcp_settings(tcp).set_redis_settings(login)).map_err(at)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(response_timeout));
        client.get_multiplexed_async_connection_with_config(&config).await.map_err(at)
    }

    /// Refuses a server whose settings break the promise, where it lets its settings be seen.
    async fn inspect(&self, connection: &mut Connection, host: &Host) -> Result<(), Failure> {
        let server: String = connection.ask(redis::cmd("INFO").arg("server")).await?;
        let version = version_in(&server).ok_or_else(|| Failure::unexpected("INFO names no version"))?;
        if version < (7, 0) {
            let (major, minor) = version;
            return Err(Failure::Unfit(format!(
                "the server at {}:{} is version {major}.{minor}, 7.0 is needed",
                host.0, host.1
            )));
        }
        connection.waits_for_disks = version >= (7, 2);
        let names = ["appendonly", "appendfsync", "maxmemory", "maxmemory-policy"];
        let settings: Vec<String> = match connection.ask(redis::cmd("CONFIG").arg("GET").arg(&names)).await {
            Ok(settings) => settings,
            Err(Failure::Refused(reason)) => {
                tracing::warn!(host = host.0, port = host.1, promise = %self.promise, reason,
                    "the server does not tell its settings: whether it flushes as promised is not known");
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        let value = |name: &str| {
            let mut pairs = settings.chunks_exact(2);
            pairs
                .find_map(|pair| match pair {
                    [key, value] if key == name => Some(value.as_str()),
                    _ => None,
                })
                .unwrap_or_default()
        };
        let unfit = |what: &str| Err(Failure::Unfit(format!("the server at {}:{} {what}", host.0, host.1)));
        // Without WAITAOF the primary's own flush is known by its answer only.
        let must_flush_first = match self.promise {
            Promise::Always => true,
            Promise::Replicated => !connection.waits_for_disks,
            Promise::Everysec => false,
        };
        if value("appendonly") != "yes" {
            return unfit("keeps no append-only file: set `appendonly yes`");
        }
        if must_flush_first && value("appendfsync") != "always" {
            let promise = self.promise;
            return unfit(&format!(
                "does not flush before it answers, which durability {promise} needs: set `appendfsync always`"
            ));
        }
        if value("maxmemory") != "0" && value("maxmemory-policy").starts_with("allkeys") {
            return unfit("may throw away data when memory is short: set `maxmemory-policy noeviction`");
        }
        Ok(())
    }
}

impl Connection {
    pub(crate) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Failure> {
        command.query_async(&mut self.multiplexed).await.map_err(Failure::from)
    }

    /// Sends commands together; those that the server refuses do not keep it from the others.
    pub(crate) async fn ask_all<T: FromRedisValue>(&mut self, pipeline: &Pipeline) -> Result<T, Failure> {
        pipeline.query_async(&mut self.multiplexed).await.map_err(Failure::from)
    }
}

/// Of Redis, or the version of Redis that Valkey says it is compatible with.
fn version_in(info: &str) -> Option<(u32, u32)> {
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"))?;
    let mut parts = version.trim().split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
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
    fn the_version_is_the_one_that_commands_depend_on() {
        assert_eq!(version_in("# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\n"), Some((7, 2)));
        assert_eq!(version_in("redis_version:7.0.15"), Some((7, 0)));
        assert_eq!(version_in("nothing"), None);
    }

    #[test]
    fn a_service_whose_name_would_break_a_key_is_refused() {
        for name in ["", "a}b", "a:b", "a b", "ä"] {
            assert!(check_service(name).is_err(), "{name:?}");
        }
        assert!(check_service("order_2-b").is_ok());
    }
}
