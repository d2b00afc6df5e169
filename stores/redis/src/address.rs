//! Where the servers are.

use crate::OpenError;

/// One server's name, or IP address, and port.
pub(crate) type Host = (String, u16);

/// What a URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) address: Address,
    /// Whether all connections are encrypted.
    pub(crate) is_encrypted: bool,
    /// Who to log in as where the data are.
    pub(crate) username: Option<String>,
}

/// Which servers.
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
const FORMS: &str = "redis://[USER@]HOST:PORT[/DATABASE], redis-sentinel://[USER@]HOST:PORT,HOST:PORT/NAME or \
                     redis-cluster://[USER@]HOST:PORT,HOST:PORT, encrypted with rediss for redis";

fn wrong(what: &str) -> OpenError {
    OpenError::Address(format!("{what}; it should be {FORMS}"))
}

/// Whether an address of a store makes sense, without asking anybody.
///
/// # Errors
/// It does not; says what it should be.
pub fn check_url(url: &str) -> Result<(), OpenError> {
    Url::parse(url).map(drop)
}

impl Url {
    pub(crate) fn parse(url: &str) -> Result<Self, OpenError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("the address of the store has no scheme"))?;
        let (username, rest) = match rest.rsplit_once('@') {
            // A URL ends up in logs and in process lists.
            Some((user, _)) if user.contains(':') => {
                return Err(wrong("a password does not belong into the address of the store"));
            }
            Some(("", _)) => return Err(wrong("the address of the store has no user before its @")),
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, rest),
        };
        let kind =
            scheme.strip_prefix("redis").map(|rest| rest.strip_prefix('s').map_or((false, rest), |rest| (true, rest)));
        let (is_encrypted, kind) =
            kind.ok_or_else(|| wrong(&format!("the address of the store has the scheme {scheme}, which is unknown")))?;
        Ok(Self { address: Address::parse(scheme, kind, rest)?, is_encrypted, username })
    }
}

impl Address {
    fn parse(scheme: &str, kind: &str, rest: &str) -> Result<Self, OpenError> {
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (hosts, default_port) = (hosts.split(','), if kind == "-sentinel" { 26_379 } else { 6379 });
        let hosts: Option<Vec<Host>> = hosts.map(|host| parse_host(host, default_port)).collect();
        let mut hosts =
            hosts.ok_or_else(|| wrong("the address of the store has no host, or no port, where one should be"))?;
        match (kind, path) {
            ("", database) if hosts.len() == 1 => {
                let database =
                    if database.is_empty() { Some(0) } else { database.parse().ok().filter(|number| *number >= 0) };
                let database =
                    database.ok_or_else(|| wrong("the database in the address of the store is no number"))?;
                let host = hosts.pop().ok_or_else(|| wrong("the address of the store has no host"))?;
                Ok(Self::Single { host, database })
            }
            ("", _) => Err(wrong("the address of the store names several hosts")),
            ("-sentinel", "") => Err(wrong("the address of the store lacks the name that the sentinels watch")),
            ("-sentinel", name) => Ok(Self::Sentinel { sentinels: hosts, name: name.to_owned() }),
            ("-cluster", "") => Ok(Self::Cluster { seeds: hosts }),
            ("-cluster", _) => Err(wrong("a cluster has one database only")),
            _ => Err(wrong(&format!("the address of the store has the scheme {scheme}, which is unknown"))),
        }
    }

    /// The number of the database where the data are.
    pub(crate) fn database(&self) -> i64 {
        if let Self::Single { database, .. } = self { *database } else { 0 }
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

    fn address(url: &str) -> Address {
        let url = Url::parse(url).expect("good");
        assert!(!url.is_encrypted);
        assert_eq!(url.username, None);
        url.address
    }

    #[test]
    fn each_scheme_says_what_it_is() {
        let single = |host, database| Address::Single { host, database };
        assert_eq!(address("redis://db:1234"), single(host("db", 1234), 0));
        assert_eq!(address("redis://db/7"), single(host("db", 6379), 7));
        assert_eq!(address("redis://[::1]:99/"), single(host("::1", 99), 0));
        let sentinel = Address::Sentinel { sentinels: vec![host("a", 1), host("b", 26_379)], name: "main".to_owned() };
        assert_eq!(address("redis-sentinel://a:1,b/main"), sentinel);
        let cluster = Address::Cluster { seeds: vec![host("a", 1), host("b", 2)] };
        assert_eq!(address("redis-cluster://a:1,b:2"), cluster);
    }

    #[test]
    fn an_s_encrypts_and_a_user_may_be_named() {
        let rest = ["://db:1/7", "-sentinel://a:1/main", "-cluster://a:1"];
        for rest in rest {
            let plain = Url::parse(&format!("redis{rest}")).expect("good");
            let named = format!("rediss{rest}").replace("://", "://order@");
            let url = Url::parse(&named).expect("good");
            assert_eq!(url, Url { is_encrypted: true, username: Some("order".to_owned()), ..plain });
        }
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for (url, what) in [
            ("db:1234", "no scheme"),
            ("mysql://db", "unknown"),
            ("redis-ring://db", "unknown"),
            ("redisss://db", "unknown"),
            ("redis://", "no host"),
            ("redis://a,b", "several hosts"),
            ("redis://a:x", "no port"),
            ("redis://a:0", "no port"),
            ("redis://a/x", "no number"),
            ("redis://a/-1", "no number"),
            ("redis://:secret@a", "password"),
            ("redis://order:secret@a", "password"),
            ("redis://@a", "no user"),
            ("redis-sentinel://a:1", "lacks the name"),
            ("redis-cluster://a:1/2", "one database"),
        ] {
            let error = Url::parse(url).expect_err(url).to_string();
            assert!(error.contains(what), "{url}: {error}");
            assert!(!error.contains("secret"), "{url}: {error}");
        }
    }
}
