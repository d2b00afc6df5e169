//! A primary, its replicas, and the sentinels that replace it when it is gone.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    Kind, Options, Process, Server, free_port,
    process::POLL,
    server::{TIMEOUT, ask},
};

/// How many of them watch; two have to agree.
const SENTINELS: usize = 3;

/// A primary, its replicas, and three sentinels that promote a replica once the primary was silent for a second.
#[derive(Debug)]
pub struct Sentinels {
    /// The servers; the first one was the primary in the beginning.
    pub servers: Vec<Server>,
    sentinels: Vec<Sentinel>,
}

#[derive(Debug)]
struct Sentinel {
    process: Process,
    port: u16,
    /// Where clients reach it: another one where connections are encrypted.
    client_port: u16,
    password: Option<String>,
    _dir: TempDir,
}

impl Sentinels {
    /// The name that the sentinels know the primary by.
    pub const NAME: &str = "main";

    /// Starts all of them, and waits until the replicas are in step and the sentinels know everybody.
    ///
    /// # Panics
    /// They do not get there.
    #[must_use]
    pub fn start(kind: Kind, replicas: usize, options: &Options) -> Self {
        Self::start_patient(kind, replicas, options, Duration::from_secs(1))
    }

    /// The same with sentinels that give a silent primary so much time before they promote a replica.
    ///
    /// # Panics
    /// They do not get there.
    #[must_use]
    pub fn start_patient(kind: Kind, replicas: usize, options: &Options, patience: Duration) -> Self {
        let primary = Server::start(kind, options.clone());
        let port = primary.peer_port();
        let mut servers = vec![primary];
        for _ in 0..replicas {
            let replica = Server::start(kind, Options { replica_of: Some(port), ..options.clone() });
            replica.wait_for_info("master_link_status", "up");
            servers.push(replica);
        }
        let sentinels = (0..SENTINELS).map(|_| Sentinel::start(kind, port, options, patience)).collect();
        let group = Self { servers, sentinels };
        group.wait_until(|sentinel| sentinel.knows(replicas, SENTINELS - 1));
        group
    }

    /// `redis-sentinel://127.0.0.1:PORT,…/main`, with `rediss` where the servers have certificates.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses: Vec<_> =
            self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.client_port)).collect();
        let encrypted =
            if self.sentinels.iter().any(|sentinel| sentinel.client_port != sentinel.port) { "s" } else { "" };
        format!("redis{encrypted}-sentinel://{}/{}", addresses.join(","), Self::NAME)
    }

    /// The port of the primary, as the first sentinel knows it.
    #[must_use]
    pub fn primary_port(&self) -> u16 {
        self.sentinels.first().and_then(Sentinel::primary).unwrap_or_default()
    }

    /// The server that is the primary now, as the sentinels see it.
    ///
    /// # Panics
    /// It is none of the servers.
    pub fn primary(&mut self) -> &mut Server {
        let port = self.primary_port();
        self.servers.iter_mut().find(|server| server.peer_port() == port).expect("the primary is one of the servers")
    }

    /// Waits until all sentinels say that the primary is another one than that on `port`; returns its port.
    ///
    /// # Panics
    /// None is within 20 seconds.
    #[must_use]
    pub fn wait_for_failover_from(&self, port: u16) -> u16 {
        self.wait_until(|sentinel| sentinel.primary().is_some_and(|primary| primary != port));
        self.primary_port()
    }

    fn wait_until(&self, condition: impl Fn(&Sentinel) -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        while !self.sentinels.iter().all(&condition) {
            let logs = || self.sentinels.iter().map(|sentinel| sentinel.process.output()).collect::<String>();
            assert!(Instant::now() < deadline, "the sentinels do not get there:\n{}", logs());
            thread::sleep(POLL * 10);
        }
    }
}

impl Sentinel {
    fn start(kind: Kind, primary: u16, options: &Options, patience: Duration) -> Self {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let port = free_port();
        let name = Sentinels::NAME;
        let mut settings = format!(
            "port {port}\nbind 127.0.0.1\ndir \"{}\"\nsentinel monitor {name} 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds {name} {}\nsentinel failover-timeout {name} 5000\n",
            dir.path().display(),
            patience.as_millis()
        );
        if let Some(password) = &options.password {
            settings += &format!("sentinel auth-pass {name} \"{password}\"\n");
        }
        if let Some(password) = &options.sentinel_password {
            settings += &format!(
                "requirepass {password}\nsentinel sentinel-pass {password}\n\
                 user watcher on >{password} ~* &* +auth +ping +sentinel|get-master-addr-by-name\n"
            );
        }
        let mut client_port = port;
        if let Some(certificates) = &options.certificates {
            client_port = free_port();
            settings += &format!("tls-port {client_port}\n");
            for (name, value) in certificates.settings(options.wants_certificates) {
                settings += &format!("{name} {value}\n");
            }
        }
        let file = dir.path().join("sentinel.conf");
        fs::write(&file, settings).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let program = kind.install().unwrap_or_else(|reason| panic!("no {kind}: {reason}"));
        let mut command = program.command();
        command.arg(&file).arg("--sentinel").current_dir(dir.path());
        let process = Process::start(command, &dir.path().join("sentinel.log"));
        Self { process, port, client_port, password: options.sentinel_password.clone(), _dir: dir }
    }

    fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> Option<T> {
        let password = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        let client = redis::Client::open(format!("redis://{password}127.0.0.1:{}", self.port)).ok()?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(1)).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        ask(&mut connection, words).ok()
    }

    fn primary(&self) -> Option<u16> {
        let address: (String, u16) = self.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Sentinels::NAME])?;
        Some(address.1)
    }

    fn knows(&self, replicas: usize, sentinels: usize) -> bool {
        let lists = [("REPLICAS", replicas), ("SENTINELS", sentinels)];
        lists.into_iter().all(|(list, wanted)| {
            let known: Option<Vec<redis::Value>> = self.ask(&["SENTINEL", list, Sentinels::NAME]);
            known.is_some_and(|known| known.len() == wanted)
        })
    }
}
