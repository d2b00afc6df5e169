//! One Valkey or Redis server.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use redis::{Connection, FromRedisValue, RedisResult};
use tempfile::TempDir;

use crate::{Certificates, Kind, Process, SlowDisk, free_port, process::POLL};

/// How long a server may take until it answers, and to answer. Far above what it takes, for busy machines.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// How often a port that somebody else took meanwhile is replaced.
const PORT_TRIES: u32 = 5;

/// The file of settings in a server's directory.
const FILE: &str = "server.conf";

/// What a server says whose port somebody else has.
const TAKEN: &str = "Address already in use";

/// When a server flushes its append-only file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// Before it answers.
    #[default]
    Always,
    /// Once a second.
    Everysec,
    /// When the system likes to.
    No,
}

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether it keeps an append-only file.
    pub appendonly: bool,
    /// When it flushes that.
    pub appendfsync: Fsync,
    /// What clients must know, and a replica's primary too.
    pub password: Option<String>,
    /// Where its data are, instead of a temporary directory that is removed in the end.
    pub dir: Option<PathBuf>,
    /// The port of its primary.
    pub replica_of: Option<u16>,
    /// As a node of a cluster. [`Cluster`](crate::Cluster) makes whole ones.
    pub cluster: bool,
    /// Encrypted connections are taken too, on a port of their own; replicas and sentinels then use no others.
    pub certificates: Option<Certificates>,
    /// Clients must show a certificate of the same authority on encrypted connections.
    pub wants_certificates: bool,
    /// What clients must know to ask the sentinels, if [`Sentinels`](crate::Sentinels) are started with these options. The
    /// user `watcher` may ask them with the same password.
    pub sentinel_password: Option<String>,
    /// Further settings, by name.
    pub settings: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            appendonly: true,
            appendfsync: Fsync::Always,
            password: None,
            dir: None,
            replica_of: None,
            cluster: false,
            certificates: None,
            wants_certificates: false,
            sentinel_password: None,
            settings: Vec::new(),
        }
    }
}

impl Options {
    /// The default, as the replica of the server on `port`.
    #[must_use]
    pub fn replica_of(port: u16) -> Self {
        Self { replica_of: Some(port), ..Self::default() }
    }
}

/// A server that can be killed, frozen and started again. It is killed when dropped.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    options: Options,
    ports: Ports,
    dir: PathBuf,
    process: Process,
    /// Removed after the process is gone.
    _temporary: Option<TempDir>,
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
struct Ports {
    plain: u16,
    encrypted: u16,
    /// For the other nodes of its cluster.
    bus: u16,
}

impl Server {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    /// It is not installed and cannot be fetched, or does not answer.
    #[must_use]
    pub fn start(kind: Kind, options: Options) -> Self {
        let temporary = options.dir.is_none().then(|| tempfile::tempdir().expect("a directory can be made"));
        let dir = options.dir.clone().or_else(|| temporary.as_ref().map(|dir| dir.path().to_owned()));
        let dir = dir.unwrap_or_default();
        for tries in 1.. {
            let ports = Ports { plain: free_port(), encrypted: free_port(), bus: free_port() };
            configure(kind, &options, &dir, ports);
            let process = launch(kind, &dir);
            let mut server =
                Self { kind, options: options.clone(), ports, dir: dir.clone(), process, _temporary: None };
            match server.wait_until_it_answers() {
                Ok(()) => return Self { _temporary: temporary, ..server },
                Err(_) if tries < PORT_TRIES && server.log().contains(TAKEN) => {}
                Err(error) => panic!("{kind} does not answer: {error}\n{}", server.log()),
            }
        }
        unreachable!("the last try returns or panics")
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.plain
    }

    pub(crate) fn bus_port(&self) -> u16 {
        self.ports.bus
    }

    /// The port where other servers reach it.
    #[must_use]
    pub fn peer_port(&self) -> u16 {
        if self.options.certificates.is_some() { self.ports.encrypted } else { self.ports.plain }
    }

    /// `rediss://127.0.0.1:PORT`, without the password.
    ///
    /// # Panics
    /// It was started without certificates.
    #[must_use]
    pub fn encrypted_url(&self) -> String {
        assert!(self.options.certificates.is_some(), "the server has no certificates");
        format!("rediss://127.0.0.1:{}", self.ports.encrypted)
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.plain)
    }

    /// `redis://127.0.0.1:PORT`, without the password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Its file of settings, which is read at each start.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// What kind of server it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where its data are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its process id.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL; returns once it is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGSTOP: it answers nothing any more, but its connections stay, until [`Self::thaw`].
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// Makes every flush of its files take `delay` longer, until what is returned is dropped.
    ///
    /// # Panics
    /// There is no `strace`, or it may not attach to the server.
    #[must_use]
    pub fn slow_disk(&self, delay: Duration) -> SlowDisk {
        SlowDisk::under(self, delay)
    }

    /// Kills it if it still runs, and starts it again with the same data on the same port.
    ///
    /// # Panics
    /// It does not answer.
    pub fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let logged = self.log().len();
            self.process = launch(self.kind, &self.dir);
            let Err(error) = self.wait_until_it_answers() else { return };
            let log = self.log();
            // A child that the killed process had forked a moment before may still hold its port.
            let is_taken = log.get(logged..).is_some_and(|log| log.contains(TAKEN));
            assert!(is_taken && Instant::now() < deadline, "{} does not come back: {error}\n{log}", self.kind);
            thread::sleep(POLL);
        }
    }

    /// Everything it has logged, also before restarts.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// Sends a command on a connection of its own.
    ///
    /// # Errors
    /// What the server, or the way to it, says.
    pub fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        ask(&mut self.connect()?, words)
    }

    /// Sends a command that works.
    ///
    /// # Panics
    /// It does not.
    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).unwrap_or_else(|error| panic!("{words:?}: {error}\n{}", self.log()))
    }

    /// One line of what INFO tells, such as `master_link_status` or `role`.
    ///
    /// # Panics
    /// The server does not answer, or has no such line.
    #[must_use]
    pub fn info(&self, name: &str) -> String {
        let info: String = self.ask(&["INFO", "everything"]);
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_else(|| panic!("INFO has no {name}:\n{info}")).to_owned()
    }

    /// Waits until a line of INFO has this value.
    ///
    /// # Panics
    /// It has not within 20 seconds.
    pub fn wait_for_info(&self, name: &str, value: &str) {
        let deadline = Instant::now() + TIMEOUT;
        while self.info(name) != value {
            assert!(Instant::now() < deadline, "{name} still is {}, not {value}\n{}", self.info(name), self.log());
            thread::sleep(POLL);
        }
    }

    /// A connection.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn connect(&self) -> RedisResult<Connection> {
        let password = self.options.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        let client = redis::Client::open(format!("redis://{password}{}", self.address()))?;
        let connection = client.get_connection_with_timeout(TIMEOUT)?;
        connection.set_read_timeout(Some(TIMEOUT))?;
        connection.set_write_timeout(Some(TIMEOUT))?;
        Ok(connection)
    }

    fn wait_until_it_answers(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            // Until its data are loaded it answers with an error.
            let error = match self.try_ask::<String>(&["PING"]) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if let Some(status) = self.process.ended() {
                return Err(format!("it ended with {status}"));
            }
            if Instant::now() >= deadline {
                return Err(error.to_string());
            }
            thread::sleep(POLL);
        }
    }
}

pub(crate) fn ask<T: FromRedisValue>(connection: &mut Connection, words: &[&str]) -> RedisResult<T> {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    command.query(connection)
}

pub(crate) fn launch(kind: Kind, dir: &Path) -> Process {
    let program = kind.install().unwrap_or_else(|reason| panic!("no {kind}: {reason}"));
    let mut command = program.command();
    command.arg(dir.join(FILE)).current_dir(dir);
    Process::start(command, &dir.join("server.log"))
}

/// Writes the file of settings; a file, because sentinels and clusters make servers rewrite theirs.
fn configure(kind: Kind, options: &Options, dir: &Path, ports: Ports) {
    fs::create_dir_all(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut settings: Vec<(&str, String)> = vec![
        ("port", ports.plain.to_string()),
        ("bind", "127.0.0.1".to_owned()),
        ("dir", dir.display().to_string()),
        ("save", String::new()),
        ("appendonly", if options.appendonly { "yes" } else { "no" }.to_owned()),
        ("appendfsync", fsync(options.appendfsync).to_owned()),
        // What replicas wait for before a full synchronisation, in case that more of them come.
        ("repl-diskless-sync-delay", "0".to_owned()),
    ];
    if let Some(password) = &options.password {
        settings.extend([("requirepass", password.clone()), ("masterauth", password.clone())]);
    }
    if let Some(primary) = options.replica_of {
        settings.push(("replicaof", format!("127.0.0.1 {primary}")));
    }
    if options.cluster {
        settings.extend([("cluster-enabled", "yes".to_owned()), ("cluster-port", ports.bus.to_string())]);
        settings.push(("cluster-node-timeout", "2000".to_owned()));
    }
    if let Some(certificates) = &options.certificates {
        settings.push(("tls-port", ports.encrypted.to_string()));
        settings.extend(certificates.settings(options.wants_certificates));
    }
    settings.extend(options.settings.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let lines: String = settings.iter().map(|(name, value)| line(name, value)).collect();
    let file = dir.join(FILE);
    fs::write(&file, lines).unwrap_or_else(|error| panic!("{kind}: {}: {error}", file.display()));
}

/// A value is quoted where it may be empty or hold anything, and not where it is several words.
fn line(name: &str, value: &str) -> String {
    match name {
        "save" | "requirepass" | "masterauth" | "dir" => format!("{name} \"{value}\"\n"),
        _ => format!("{name} {value}\n"),
    }
}

fn fsync(fsync: Fsync) -> &'static str {
    match fsync {
        Fsync::Always => "always",
        Fsync::Everysec => "everysec",
        Fsync::No => "no",
    }
}
