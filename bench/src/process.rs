//! Servers that the benchmark starts for itself, each in a process of its own.

use std::{
    collections::VecDeque,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinHandle,
};

use referee::quote;

use crate::{Error, Result};

/// How long a server may take until it says where it listens.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a server may take to drain before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of what it wrote is quoted when it fails.
const LINES_KEPT: usize = 12;

type Tail = Arc<Mutex<VecDeque<String>>>;

/// A server's process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    child: Child,
    url: String,
    tail: Tail,
    readers: Vec<JoinHandle<()>>,
    executable: PathBuf,
    arguments: Vec<OsString>,
}

impl Server {
    /// Starts `executable` and waits until it has written the URL that it listens on to its standard output.
    pub(crate) async fn start(name: &str, executable: &Path, arguments: &[OsString]) -> Result<Self> {
        let mut child = Command::new(executable)
            .args(arguments)
            // Kept open: a yardstick ends when it closes, which it does even if this process is killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::io(format!("cannot start {}", executable.display())))?;
        let tail = Tail::default();
        let (sender, listening) = tokio::sync::oneshot::channel();
        let mut readers = Vec::new();
        if let Some(output) = child.stdout.take() {
            readers.push(tokio::spawn(read_lines(output, Arc::clone(&tail), Some(sender))));
        }
        if let Some(errors) = child.stderr.take() {
            readers.push(tokio::spawn(read_lines(errors, Arc::clone(&tail), None)));
        }
        let mut server = Self {
            name: name.to_owned(),
            child,
            url: String::new(),
            tail,
            readers,
            executable: executable.to_owned(),
            arguments: arguments.to_vec(),
        };
        match tokio::time::timeout(START_TIMEOUT, listening).await {
            Ok(Ok(url)) => {
                server.url = url;
                Ok(server)
            }
            Ok(Err(_closed)) => Err(server.died().await),
            Err(_elapsed) => Err(server.failed("it did not say where it listens")),
        }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its process, while it was not waited for.
    pub(crate) fn pid(&self) -> Option<Pid> {
        self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }

    /// Waits for a process that was killed, and starts it again at the address where it was.
    pub(crate) async fn restart(mut self) -> Result<Self> {
        self.child.start_kill().map_err(Error::io("cannot kill the server"))?;
        self.child.wait().await.map_err(Error::io("cannot wait for the server"))?;
        let address: OsString = self.url.trim_start_matches("http://").into();
        let mut arguments = self.arguments.clone();
        if let Some(place) = arguments.iter().position(|argument| argument == "--listen") {
            arguments.get_mut(place + 1).into_iter().for_each(|listen| listen.clone_from(&address));
        }
        Self::start(&self.name, &self.executable, &arguments).await
    }

    /// Asks it to stop, by SIGTERM, and waits until it has drained.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let Some(pid) = self.pid() else {
            return Err(self.died().await);
        };
        kill_process(pid, Signal::TERM).map_err(|error| self.failed(&format!("cannot be stopped: {error}")))?;
        match tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(_status) => Ok(()),
            Err(_elapsed) => Err(self.failed("it did not stop when asked, and was killed")),
        }
    }

    async fn died(&mut self) -> Error {
        let status = tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await;
        for reader in self.readers.drain(..) {
            // What it wrote last says why; it panics nowhere.
            drop(reader.await);
        }
        match status {
            Ok(Ok(status)) => self.failed(&format!("it ended: {status}")),
            Ok(Err(error)) => self.failed(&error.to_string()),
            Err(_elapsed) => self.failed("it closed its output"),
        }
    }

    fn failed(&self, reason: &str) -> Error {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: String = tail.iter().map(|line| format!("\n  | {line}")).collect();
        Error::Process { name: self.name.clone(), reason: format!("{reason}{lines}") }
    }
}

/// Reads to the end, so that the process never waits for a full pipe; keeps the last lines and reports the first URL.
async fn read_lines(
    output: impl AsyncRead + Unpin,
    tail: Tail,
    mut listening: Option<tokio::sync::oneshot::Sender<String>>,
) {
    let mut lines = BufReader::new(output).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = quote(&line);
        if let Some(url) = url_in(&line)
            && let Some(listening) = listening.take()
        {
            // Nobody waits any more when starting was given up.
            drop(listening.send(url.to_owned()));
        }
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == LINES_KEPT {
            tail.pop_front();
        }
        tail.push_back(line);
    }
}

fn url_in(line: &str) -> Option<&str> {
    let url = line.get(line.find("http://")?..)?;
    let end = url
        .find(|character: char| !(character.is_ascii_alphanumeric() || "-.:/[]_".contains(character)))
        .unwrap_or(url.len());
    url.get(..end).map(|url| url.trim_end_matches(['.', ':', '/']))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str) -> Result<Server> {
        Server::start("a script", Path::new("/bin/sh"), &["-c".into(), script.into()]).await
    }

    #[test]
    fn the_url_is_found_in_whatever_line_a_server_prints() {
        for (line, url) in [
            ("listening on http://127.0.0.1:8000", Some("http://127.0.0.1:8000")),
            ("Shop at http://127.0.0.1:8000/, data in ./x", Some("http://127.0.0.1:8000")),
            ("\u{1b}[1mhttp://[::1]:80\u{1b}[0m", Some("http://[::1]:80")),
            ("starting", None),
        ] {
            assert_eq!(url_in(line), url, "{line:?}");
        }
    }

    #[tokio::test]
    async fn a_server_is_started_and_stopped() {
        let script =
            "echo starting; echo listening on http://127.0.0.1:9; trap 'exit 0' TERM; while :; do sleep 0.05; done";
        let server = shell(script).await.unwrap();
        assert_eq!(server.url(), "http://127.0.0.1:9");
        server.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_dies_while_starting_says_why() {
        let error = shell("echo no disk left >&2; exit 7").await.unwrap_err().to_string();
        assert!(error.contains("a script") && error.contains('7') && error.contains("no disk left"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_died_since_cannot_be_stopped_silently() {
        let server = shell("echo http://127.0.0.1:9; exit 3").await.unwrap();
        let mut server = server;
        server.child.wait().await.unwrap();
        let error = server.stop().await.unwrap_err().to_string();
        assert!(error.contains('3'), "{error}");
    }

    #[tokio::test]
    async fn an_executable_that_is_not_there_is_an_error() {
        let error = Server::start("nothing", Path::new("/nowhere/nothing"), &[]).await.unwrap_err();
        assert!(matches!(error, Error::Io { .. }));
    }
}
