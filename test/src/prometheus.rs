//! A real Prometheus that scrapes what a test has started.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;
use test_servers::{Kind, Process, free_port};
use tokio::time::sleep;

use crate::Client;

/// How long it may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running Prometheus. It is killed when dropped.
#[derive(Debug)]
pub struct Prometheus {
    client: Client,
    // In this order they are dropped: the process before its data.
    process: Process,
    _directory: TempDir,
}

/// One series that a query returned.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels, as JSON.
    pub labels: Value,
    /// Its value at that moment.
    pub value: f64,
}

impl Prometheus {
    /// Starts one with this configuration, beside which it finds the other files, by name.
    ///
    /// # Panics
    /// It cannot be had, or does not listen.
    pub async fn start(configuration: &str, files: &[(&str, String)]) -> Self {
        let program = Kind::Prometheus.install().unwrap_or_else(|advice| panic!("{advice}"));
        let directory = tempfile::tempdir().expect("a directory can be made");
        let write =
            |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("a file can be written");
        write("prometheus.yml", configuration);
        files.iter().for_each(|(name, text)| write(name, text));
        let port = free_port();
        let mut command = program.command();
        command.current_dir(directory.path());
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"]);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process = Process::start(command, &directory.path().join("log"));
        let client = Client::new(([127, 0, 0, 1], port).into());
        let mut prometheus = Self { client, process, _directory: directory };
        let deadline = Instant::now() + START_TIMEOUT;
        while !prometheus.listens().await {
            let said = prometheus.process.output();
            assert!(
                prometheus.process.ended().is_none() && Instant::now() < deadline,
                "Prometheus does not listen:\n{said}"
            );
            sleep(Duration::from_millis(50)).await;
        }
        prometheus
    }

    async fn listens(&self) -> bool {
        self.client.send(hyper::Method::GET, "/-/ready", &[]).await.is_ok_and(|answer| answer.status == 200)
    }

    /// What an expression evaluates to now: nothing where it has no data.
    ///
    /// # Panics
    /// It is no expression, or one of something else than series and numbers.
    pub async fn query(&self, expression: &str) -> Vec<Series> {
        let path = format!("/api/v1/query?query={}", utf8_percent_encode(expression, NON_ALPHANUMERIC));
        let answer: Value = self.client.get(&path).await.json();
        let result = answer.pointer("/data/result").and_then(Value::as_array);
        let result = result.unwrap_or_else(|| panic!("{expression}: {answer}"));
        result.iter().map(|series| Self::series(series).unwrap_or_else(|| panic!("{expression}: {series}"))).collect()
    }

    fn series(series: &Value) -> Option<Series> {
        let value = series.pointer("/value/1")?.as_str()?.parse().ok()?;
        Some(Series { labels: series.get("metric")?.clone(), value })
    }

    /// Waits until an expression has data, and returns them.
    ///
    /// # Panics
    /// It has none in time.
    pub async fn await_data(&self, expression: &str, timeout: Duration) -> Vec<Series> {
        let deadline = Instant::now() + timeout;
        loop {
            let found = self.query(expression).await;
            if !found.is_empty() {
                return found;
            }
            assert!(Instant::now() < deadline, "no data in {timeout:?}: {expression}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The rules as Prometheus has them: name, type, health and what went wrong.
    pub async fn rules(&self) -> Vec<Value> {
        let answer: Value = self.client.get("/api/v1/rules").await.json();
        let groups = answer.pointer("/data/groups").and_then(Value::as_array).expect("groups");
        groups.iter().filter_map(|group| group.get("rules")?.as_array().cloned()).flatten().collect()
    }
}

/// `promtool`, run in `directory`.
///
/// # Panics
/// It cannot be had.
#[must_use]
pub fn promtool(directory: &Path) -> Command {
    let program = Kind::Prometheus.install().unwrap_or_else(|advice| panic!("{advice}"));
    let mut command = program.companion("promtool");
    command.current_dir(directory);
    command
}
