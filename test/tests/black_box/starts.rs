//! From the first moment to the last: a process that is starting answers and can be ended, and so can one that is ending.

use std::{
    net::TcpListener,
    path::Path,
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sagamart_black_box::{Answer, Client, Server, Settings, binary};
use tempfile::TempDir;
use test_servers::{Process, free_port};
use tokio::time::sleep;

/// Far above what anything here takes, for busy machines.
const PATIENCE: Duration = Duration::from_secs(30);

/// How soon a process ends that is told to end at once: far less than what it would wait for.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A process of which it is not known when it will be ready, if ever.
struct Started {
    process: Process,
    client: Client,
    operators: Client,
    _folder: TempDir,
}

impl Started {
    /// Starts the binary with these arguments and a port to listen on, by way of `wrapper`.
    fn with(wrapper: &[&str], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let [port, operators] = [free_port(), free_port()];
        let mut words = wrapper.iter().map(|word| Path::new(*word)).chain([binary::path()]);
        let mut command = Command::new(words.next().unwrap_or_else(|| binary::path()));
        command.args(words).args(arguments).args(["--port", &port.to_string()]);
        command.args(["--admin-listen", &format!("127.0.0.1:{operators}")]);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SAGAMART_") {
                command.env_remove(name);
            }
        }
        let process = Process::start(command, &folder.path().join("log"));
        let [client, operators] = [port, operators].map(|port| Client::new(([127, 0, 0, 1], port).into()));
        Self { process, client, operators, _folder: folder }
    }

    /// One of stock with this database, and nobody else.
    fn stock(store: &str) -> Self {
        Self::with(&[], &["stock", "--store", store, "--peer", "order=127.0.0.1:1", "--internal-listen", "0"])
    }

    /// The answer to a GET, once it is as it should be.
    async fn answer(&mut self, path: &str, is_right: impl Fn(&Answer) -> bool) -> Answer {
        let client = self.client.clone();
        self.answer_of(&client, path, is_right).await
    }

    /// The same for what operators ask.
    async fn operated(&mut self, path: &str, is_right: impl Fn(&Answer) -> bool) -> Answer {
        let operators = self.operators.clone();
        self.answer_of(&operators, path, is_right).await
    }

    async fn answer_of(&mut self, client: &Client, path: &str, is_right: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = client.send(hyper::Method::GET, path, &[]).await;
            match answer {
                Ok(answer) if is_right(&answer) => return answer,
                answer => assert!(Instant::now() < deadline, "{path}: {answer:?}\n{}", self.process.output()),
            }
            assert_eq!(self.process.ended(), None, "it ended:\n{}", self.process.output());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// How it ends after a signal, at once.
    async fn ends_at_once(&mut self, signal: Signal) -> ExitStatus {
        let told = Instant::now();
        self.process.signal(signal);
        loop {
            if let Some(status) = self.process.ended() {
                return status;
            }
            assert!(told.elapsed() < AT_ONCE, "{signal:?} is not heeded:\n{}", self.process.output());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// While a process starts it says so, to everybody.
async fn says_that_it_starts(started: &mut Started, why: &str) {
    started.answer("/livez", |answer| answer.status == 200).await;
    started.answer("/readyz", |answer| answer.status == 503 && answer.text().contains(why)).await;
    for path in ["/stock/find/1", "/nothing", "/"] {
        let answer = started.client.get(path).await;
        assert_eq!((answer.status, answer.problem().slug.as_str()), (503, "starting"), "{path}");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    let metrics = started.operators.get("/metrics").await.text();
    assert!(
        metrics.contains("sagamart_store_works 0") && metrics.contains("sagamart_http_requests_total"),
        "{metrics}"
    );
    // The first process of a container gets only those signals that it listens to.
    let status = std::fs::read_to_string(format!("/proc/{}/status", started.process.id())).expect("a process");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("signals that are caught");
    let caught = u64::from_str_radix(caught.trim(), 16).expect("a set of signals");
    for signal in [Signal::TERM, Signal::INT] {
        assert!(caught >> (signal.as_raw() - 1) & 1 == 1, "{signal:?} is not listened to");
    }
}

#[tokio::test]
async fn a_process_that_opens_its_data_says_so_and_ends_when_it_is_told_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(&Settings::default(), directory.path()).await;
    let user = server.shop().user_with(7).await;
    server.kill();
    let store = format!("embedded:{}", directory.path().display());
    // What was written before the end is flushed once more before it is believed, and so are directories.
    let slow = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync,fdatasync:delay_enter=3000000"];
    for signal in [Signal::TERM, Signal::INT] {
        let mut started = Started::with(&slow, &["serve", "--store", &store]);
        says_that_it_starts(&mut started, "the data are being opened").await;
        let status = started.ends_at_once(signal).await;
        let said = started.process.output();
        assert!(status.code() == Some(0) && !said.contains("listens on"), "it did not wait: {said}");
    }
    let server = Server::start(&Settings::default(), directory.path()).await;
    assert_eq!(server.shop().credit(&user).await, 7, "nothing was lost by it");
}

#[tokio::test]
async fn a_process_that_waits_for_its_database_says_so_and_ends_when_it_is_told_to() {
    // The system takes connections for it, and nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent_port = silent.local_addr().expect("its address").port();
    for (port, signal) in [(free_port(), Signal::TERM), (silent_port, Signal::INT)] {
        let mut started = Started::stock(&format!("redis://127.0.0.1:{port}"));
        says_that_it_starts(&mut started, "store: ").await;
        let is_named = |answer: &Answer| answer.text().contains(&format!("127.0.0.1:{port} does not answer"));
        started.answer("/readyz", is_named).await;
        // It goes on trying, and does not go on about it.
        sleep(Duration::from_secs(1)).await;
        let said = started.process.output();
        assert_eq!(said.matches("waiting for the database").count(), 1, "{said}");
        let status = started.ends_at_once(signal).await;
        assert_eq!(status.code(), Some(0), "{}", started.process.output());
    }
}

#[tokio::test]
async fn a_second_signal_ends_a_process_that_is_ending() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM)] {
        let mut started = Started::with(&[], &["serve", "--store", "memory:", "--drain-notice", "60"]);
        started.answer("/readyz", |answer| answer.status == 200).await;
        started.process.signal(first);
        started.answer("/readyz", |answer| answer.text().contains("draining")).await;
        let status = started.ends_at_once(second).await;
        let said = started.process.output();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("second signal"), "{said}");
    }
}

#[tokio::test]
async fn running_requests_have_the_drain_timeout_to_end_in() {
    let directory = tempfile::tempdir().expect("a directory");
    Server::start(&Settings::default(), directory.path()).await.terminate().await;
    let store = format!("embedded:{}", directory.path().display());
    let slow = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:delay_enter=4000000"];
    let mut started = Started::with(&slow, &["serve", "--store", &store, "--drain-timeout", "1"]);
    started.answer("/readyz", |answer| answer.status == 200).await;
    let client = started.client.clone();
    let running = tokio::spawn(async move { client.send(hyper::Method::POST, "/payment/create_user", &[]).await });
    let in_flight = |answer: &Answer| answer.text().contains("sagamart_http_requests_in_flight 2");
    started.operated("/metrics", in_flight).await;
    started.process.signal(Signal::TERM);
    let cut = running.await.expect("no panic");
    assert!(cut.is_err(), "{cut:?}");
    let deadline = Instant::now() + PATIENCE;
    while started.process.ended().is_none() {
        assert!(Instant::now() < deadline, "{}", started.process.output());
        sleep(Duration::from_millis(10)).await;
    }
    assert!(started.process.output().contains("cut off 1 requests"), "{}", started.process.output());
}
