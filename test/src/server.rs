//! A server process that a test starts, asks, stops, kills and starts again.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::{Client, Shop, binary};

/// How long a server may take until it is ready. Far above what it takes, for machines that do something else too.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a server may take to end once it was told to. It may finish checkouts of its longest deadline.
const EXIT_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a condition that has no event is looked at.
const POLL: Duration = Duration::from_millis(5);

/// Which store the server keeps its data in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// On disk.
    Embedded,
    /// Nowhere: gone when the process ends.
    Memory,
    /// Wherever the other arguments, or the environment, say.
    Unsaid,
}

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `--listen`.
    pub listen: String,
    /// `--store`.
    pub store: Store,
    /// `--partitions`, or the server's default.
    pub partitions: Option<u16>,
    /// `--checkout-timeout`, in seconds, or the server's default.
    pub checkout_timeout_seconds: Option<u32>,
    /// `--admin-listen`, or the server's default.
    pub admin_listen: Option<String>,
    /// More arguments of `serve`.
    pub arguments: Vec<String>,
    /// Environment variables, by name.
    pub environment: Vec<(&'static str, String)>,
    /// A program and its arguments that starts the server in its turn, such as `prlimit`.
    pub wrapper: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // A free port, so that tests run beside each other.
            listen: "127.0.0.1:0".to_owned(),
            store: Store::Embedded,
            partitions: None,
            checkout_timeout_seconds: None,
            admin_listen: Some("127.0.0.1:0".to_owned()),
            arguments: Vec::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
        }
    }
}

impl Settings {
    /// The default with this many partitions for each service.
    #[must_use]
    pub fn partitions(partitions: u16) -> Self {
        Self { partitions: Some(partitions), ..Self::default() }
    }

    /// The command that serves from `data` as they say.
    fn command(&self, data: &Path) -> Command {
        let mut words: Vec<_> = self.wrapper.iter().map(Into::into).collect();
        words.push(binary::path().as_os_str().to_owned());
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command.args(["serve", "--listen", &self.listen]);
        match self.store {
            Store::Embedded => drop(command.args(["--store", &format!("embedded:{}", data.display())])),
            Store::Memory => drop(command.args(["--store", "memory:"])),
            Store::Unsaid => {}
        }
        if let Some(partitions) = self.partitions {
            command.args(["--partitions", &partitions.to_string()]);
        }
        if let Some(seconds) = self.checkout_timeout_seconds {
            command.args(["--checkout-timeout", &seconds.to_string()]);
        }
        if let Some(address) = &self.admin_listen {
            command.args(["--admin-listen", address]);
        }
        command.args(&self.arguments);
        // What the person who runs the tests has set for a server of their own must not reach this one.
        for (name, _) in std::env::vars_os() {
            if ["SAGAMART_", "OTEL_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// How a server ended, and all it said.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Its exit code or the signal that ended it.
    pub status: ExitStatus,
    /// Everything on its standard output.
    pub stdout: String,
    /// Everything on its standard error.
    pub stderr: String,
}

impl Exit {
    /// Both outputs, for a message.
    #[must_use]
    pub fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A running server. It is killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    stdout: Captured,
    stderr: Captured,
}

impl Server {
    /// Starts a server and waits until it is ready.
    ///
    /// # Panics
    /// It ended instead, or did not become ready within 30 seconds.
    pub async fn start(settings: &Settings, data: &Path) -> Self {
        match Self::try_start(settings, data).await {
            Ok(server) => server,
            Err(exit) => panic!("the server ended with {} instead of serving:\n{}", exit.status, exit.output()),
        }
    }

    /// Starts a server and waits until it is ready, or has ended.
    ///
    /// # Errors
    /// It ended.
    ///
    /// # Panics
    /// It neither ended nor became ready within 30 seconds.
    pub async fn try_start(settings: &Settings, data: &Path) -> Result<Self, Exit> {
        let mut starting = Starting::spawn(settings, data);
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            if let Some(exit) = starting.exited() {
                return Err(exit);
            }
            // It is ready a moment before it has said where operators connect.
            if let Some(address) = starting.address()
                && Client::new(address).is_ready().await
                && starting.stdout.text().contains("stop: Ctrl-C\n")
            {
                return Ok(starting.into_server(address));
            }
            assert!(Instant::now() < deadline, "the server is not ready:\n{}", starting.said());
            sleep(POLL).await;
        }
    }

    /// Runs a server that is expected to end by itself.
    ///
    /// # Panics
    /// It became ready, or did neither within 30 seconds.
    pub async fn refused_start(settings: &Settings, data: &Path) -> Exit {
        match Self::try_start(settings, data).await {
            Err(exit) => exit,
            Ok(server) => panic!("the server serves although it must not:\n{}", server.said()),
        }
    }

    /// Starts a server and kills it after `life`, in whatever it is doing then.
    ///
    /// # Panics
    /// It cannot be started.
    pub async fn start_and_kill(settings: &Settings, data: &Path, life: Duration) {
        let mut starting = Starting::spawn(settings, data);
        sleep(life).await;
        starting.kill();
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it lets operators in, if it does.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        let said = self.stdout.text();
        address_after("history: ", &said).or_else(|| address_after("operators: ", &said))
    }

    /// A new client of what it lets operators see.
    ///
    /// # Panics
    /// It lets none in.
    #[must_use]
    pub fn operators(&self) -> Client {
        Client::new(self.admin().expect("it lets operators in"))
    }

    /// A new client of it, with connections of its own.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// A new typed client of it.
    #[must_use]
    pub fn shop(&self) -> Shop {
        Shop::new(self.client())
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has said so far.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout.text(), self.stderr.text())
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// It was already waited for.
    pub fn signal(&self, signal: Signal) {
        send(&self.child, signal);
    }

    /// Ends it with no warning, as a power cut does to a process.
    pub fn kill(mut self) {
        kill(&mut self.child);
    }

    /// Asks it to end (`SIGTERM`) and waits until it has.
    ///
    /// # Panics
    /// It is still there after 30 seconds.
    pub async fn terminate(self) -> Exit {
        self.signal(Signal::TERM);
        self.exit().await
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// It is still there after 30 seconds.
    pub async fn exit(mut self) -> Exit {
        let deadline = Instant::now() + EXIT_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                return ended(status, &self.stdout, &self.stderr);
            }
            assert!(Instant::now() < deadline, "the server does not end:\n{}", self.said());
            sleep(POLL).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill(&mut self.child);
        if thread::panicking() {
            let mut said = String::from("the server said:\n");
            // Writing to a String cannot fail.
            let _ = writeln!(said, "{}", self.said());
            eprint_last(&said);
        }
    }
}

/// A server of which it is not yet known whether it will serve.
#[derive(Debug)]
struct Starting {
    child: Option<Child>,
    stdout: Captured,
    stderr: Captured,
}

impl Starting {
    fn spawn(settings: &Settings, data: &Path) -> Self {
        let mut command = settings.command(data);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stdout = Captured::of(child.stdout.take().expect("its output is piped"));
        let stderr = Captured::of(child.stderr.take().expect("its errors are piped"));
        Self { child: Some(child), stdout, stderr }
    }

    fn exited(&mut self) -> Option<Exit> {
        let status = self.child.as_mut()?.try_wait().expect("the child can be waited for")?;
        self.child = None;
        Some(ended(status, &self.stdout, &self.stderr))
    }

    /// The address in the line that says where it listens.
    fn address(&self) -> Option<SocketAddr> {
        address_after("listens on ", &self.stdout.text())
    }

    fn said(&self) -> String {
        format!("{}{}", self.stdout.text(), self.stderr.text())
    }

    fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            kill(child);
        }
    }

    fn into_server(mut self, address: SocketAddr) -> Server {
        Server {
            child: self.child.take().expect("it has not ended"),
            address,
            stdout: self.stdout.clone(),
            stderr: self.stderr.clone(),
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The loopback address of the URL that follows `words`.
fn address_after(words: &str, text: &str) -> Option<SocketAddr> {
    let (_, after) = text.split_once(words)?.1.split_once("http://127.0.0.1:")?;
    // Without the line's end the port might be half written.
    let line = after.split_once('\n')?.0;
    let port: String = line.chars().take_while(char::is_ascii_digit).collect();
    Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?)))
}

fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("the server takes signals");
}

fn kill(child: &mut Child) {
    // An error means that it has ended already, which is what is wanted.
    let _ = child.kill();
    let _ = child.wait();
}

fn ended(status: ExitStatus, stdout: &Captured, stderr: &Captured) -> Exit {
    Exit { status, stdout: stdout.finished(), stderr: stderr.finished() }
}

/// Shows the end of a server's output beside a failed test; all of it could be megabytes of log.
#[expect(clippy::print_stderr, reason = "a failed test shows what its server said")]
fn eprint_last(text: &str) {
    const LINES_MAX: usize = 60;
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(LINES_MAX);
    eprintln!("… {skipped} lines …");
    for line in lines.iter().skip(skipped) {
        eprintln!("{line}");
    }
}

/// One output of a process, read to its end by a thread, so that a full pipe never stops the process.
#[derive(Clone, Debug)]
struct Captured {
    text: Arc<Mutex<(String, bool)>>,
}

impl Captured {
    fn of(source: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new((String::new(), false)));
        let sink = Arc::clone(&text);
        thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                sink.0.push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
            sink.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        });
        Self { text }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// The whole text of a process that has ended; its last lines may still be on their way through the pipe.
    fn finished(&self) -> String {
        let deadline = Instant::now() + Duration::from_secs(2);
        while !self.text.lock().unwrap_or_else(PoisonError::into_inner).1 && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        self.text()
    }
}
