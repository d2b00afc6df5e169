//! Where the servers are.

use crate::OpenError;

/// One server's name, or IP address, and port.
pub(crate) type Host = (String, u16);

/// What a URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// Always the same server.
    Single { host: Host, database: i64 },
    /// The server that the sentinels call the primary.
    Sentinel { sentinels: Vec<Host>, name: String },
    /// The servers that share the slots; some of them, to ask for the others.
    Cluster { seeds: Vec<Host> },
}

/// What follows each scheme, for whoever gets it wrong.
const FORMS: &str =
    "redis://HOST:PORT[/DATABASE], redis-sentinel://HOST:PORT,HOST:PORT/NAME or redis-cluster://HOST:PORT,HOST:PORT";

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, OpenError> {
        let wrong = |what: &str| OpenError::Address(format!("{what}; it should be {FORMS}"));
        if url.contains('@') {
            // A URL ends up in logs and in process lists.
            return Err(wrong("a user or a password does not belong into the address of the store"));
        }
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("the address of the store has no scheme"))?;
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (hosts, default_port) = (hosts.split(','), if scheme == "redis-sentinel" { 26_379 } else { 6379 });
        let hosts: Option<Vec<Host>> = hosts.map(|host| parse_host(host, default_port)).collect();
        let mut hosts =
            hosts.ok_or_else(|| wrong("the address of the store has no host, or no port, where one should be"))?;
        match (scheme, path) {
            ("redis", database) if hosts.len() == 1 => {
                let database =
                    if database.is_empty() { Some(0) } else { database.parse().ok().filter(|number| *number >= 0) };
                let database =
                    database.ok_or_else(|| wrong("the database in the address of the store is no number"))?;
                let host = hosts.pop().ok_or_else(|| wrong("the address of the store has no host"))?;
                Ok(Self::Single { host, database })
            }
            ("redis", _) => Err(wrong("the address of the store names several hosts")),
            ("redis-sentinel", "") => Err(wrong("the address of the store lacks the name that the sentinels watch")),
            ("redis-sentinel", name) => Ok(Self::Sentinel { sentinels: hosts, name: name.to_owned() }),
            ("redis-cluster", "") => Ok(Self::Cluster { seeds: hosts }),
            ("redis-cluster", _) => Err(wrong("a cluster has one database only")),
            _ => Err(wrong(&format!("the address of the store has the scheme {scheme}, which is unknown"))),
        }
    }
}

/// `name:port`, `name`, `[v6]:port`, `[v6]`.
fn parse_host(text: &str, default_port: u16) -> Option<Host> {
    let (name, port) = match text.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?,
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        None if port.is_empty() => default_port,
        None => return None,
    };
    (!name.is_empty()).then(|| (name.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Host {
        (name.to_owned(), port)
    }

    #[test]
    fn each_scheme_says_what_it_is() {
        let single = |host, database| Address::Single { host, database };
        assert_eq!(Address::parse("redis://db:1234").expect("good"), single(host("db", 1234), 0));
        assert_eq!(Address::parse("redis://db/7").expect("good"), single(host("db", 6379), 7));
        assert_eq!(Address::parse("redis://[::1]:99/").expect("good"), single(host("::1", 99), 0));
        let sentinel = Address::Sentinel { sentinels: vec![host("a", 1), host("b", 26_379)], name: "main".to_owned() };
        assert_eq!(Address::parse("redis-sentinel://a:1,b/main").expect("good"), sentinel);
        let cluster = Address::Cluster { seeds: vec![host("a", 1), host("b", 2)] };
        assert_eq!(Address::parse("redis-cluster://a:1,b:2").expect("good"), cluster);
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for (url, what) in [
            ("db:1234", "no scheme"),
            ("mysql://db", "unknown"),
            ("redis://", "no host"),
            ("redis://a,b", "several hosts"),
            ("redis://a:x", "no port"),
            ("redis://a:0", "no port"),
            ("redis://a/x", "no number"),
            ("redis://a/-1", "no number"),
            ("redis://:secret@a", "password"),
            ("redis-sentinel://a:1", "lacks the name"),
            ("redis-cluster://a:1/2", "one database"),
        ] {
            let error = Address::parse(url).expect_err(url).to_string();
            assert!(error.contains(what), "{url}: {error}");
        }
    }
}
