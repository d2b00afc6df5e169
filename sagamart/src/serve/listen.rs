//! Where to listen, as the command line says it.

use std::{
    fmt,
    io::{self, ErrorKind},
    str::FromStr,
};

use tokio::net::TcpListener;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress {
    host: String,
    port: u16,
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!(
                "{what}: write HOST:PORT, such as 127.0.0.1:8000, localhost:8000, [::1]:8000 or, for every address of this \
                 machine, 0.0.0.0:8000; or a port alone, such as 8000, for 127.0.0.1"
            )
        };
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (host, port) = match text.rsplit_once(':') {
            Some(("", _)) => return Err(wrong("there is no host before the colon")),
            Some((host, port)) => (host, port),
            None if is_number(text) => ("127.0.0.1", text),
            None => return Err(wrong("there is no port")),
        };
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(bare) => bare,
            None if host.contains(':') => return Err(wrong("an IPv6 address stands in brackets")),
            None => host,
        };
        let port = port.parse().ok().filter(|_| is_number(port));
        let port = port.ok_or_else(|| wrong("a port is a number up to 65535"))?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(formatter, "[{host}]:{port}") } else { write!(formatter, "{host}:{port}") }
    }
}

/// Why nothing is listened to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{address} is in use by another process: give another address with {option}")]
    InUse { address: ListenAddress, option: &'static str },
    #[error("cannot listen on {address}, as {option} says: {cause}")]
    Other { address: ListenAddress, option: &'static str, cause: io::Error },
}

impl ListenAddress {
    /// The same host with another port.
    pub(crate) fn with_port(self, port: Option<u16>) -> Self {
        Self { port: port.unwrap_or(self.port), ..self }
    }

    /// Listens there; `option` is where it comes from.
    pub(crate) async fn listen(self, option: &'static str) -> Result<TcpListener, Error> {
        let listening = TcpListener::bind((self.host.as_str(), self.port)).await;
        listening.map_err(|cause| match cause.kind() {
            ErrorKind::AddrInUse => Error::InUse { address: self, option },
            _ => Error::Other { address: self, option, cause },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_or_a_port_alone() {
        for (text, meant) in [
            ("127.0.0.1:8055", "127.0.0.1:8055"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("localhost:8055", "localhost:8055"),
            ("[::1]:8055", "[::1]:8055"),
            ("8055", "127.0.0.1:8055"),
        ] {
            assert_eq!(
                text.parse::<ListenAddress>().map(|address| address.to_string()),
                Ok(meant.to_owned()),
                "{text}"
            );
        }
        let address: ListenAddress = "localhost:1".parse().expect("an address");
        assert_eq!(address.with_port(Some(2)).to_string(), "localhost:2");
    }

    #[test]
    fn what_is_no_address_is_told_what_to_write() {
        for (text, wrong) in [
            ("nowhere", "no port"),
            ("", "no port"),
            (":8055", "no host"),
            ("localhost:", "a number"),
            ("localhost:http", "a number"),
            ("localhost:+80", "a number"),
            ("127.0.0.1:65536", "a number"),
            ("70000", "a number"),
            ("::1:80", "brackets"),
        ] {
            let error = text.parse::<ListenAddress>().expect_err(text);
            assert!(error.contains(wrong) && error.contains("localhost:8000"), "{text}: {error}");
        }
    }
}
