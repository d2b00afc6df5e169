//! First-time checkouts through the gateway while something fails, audited at the end; and reads that notice outages.

use std::{
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::Method;
use sagamart_black_box::{Client, binary};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::sleep};

use crate::project::Project;

/// What a small machine carries beside ten or twenty containers.
const RATE_PER_SECOND: u64 = 150;
/// Whose checkout shows that the load is under way: one of the first.
const ORDER_EARLY: u64 = 20;
const PREPARED_TIMEOUT: Duration = Duration::from_secs(120);

/// A bench that runs.
pub(crate) struct Load {
    child: Child,
    folder: TempDir,
}

/// What the clients of a load were answered. The audit was clean, or there would be none.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) succeeded: u64,
    /// By reason.
    pub(crate) refused: Vec<(String, u64)>,
    /// Neither: a 5xx, or no whole answer; by cause.
    pub(crate) unknown: Vec<(String, u64)>,
}

impl Load {
    /// Starts an open loop of checkouts, each of an order of its own, and waits until some have been answered.
    ///
    /// # Panics
    /// That does not happen.
    pub(crate) async fn start(project: &Project, seconds: u64) -> Self {
        // What the load before left paid must not be mistaken for this one's.
        let client = project.client();
        make_unpaid(&client).await;
        let mut load = Self::spawn(project, seconds);
        load.await_under_way(&client).await;
        load
    }

    fn spawn(project: &Project, seconds: u64) -> Self {
        let folder = tempfile::tempdir().expect("a directory can be made");
        let child = Command::new(binary::path())
            .args(["bench", "--overwrite", "--url", &format!("http://{}", project.address())])
            .args(["--rate", &RATE_PER_SECOND.to_string(), "--seconds", &seconds.to_string()])
            .args(["--warm-up-seconds", "0", "--connections", "32", "--items", "500", "--users", "500"])
            // Above the deadline of a checkout.
            .args(["--settle-seconds", "6"])
            .arg("--json")
            .arg(folder.path().join("report.json"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the bench starts");
        Self { child, folder }
    }

    async fn await_under_way(&mut self, client: &Client) {
        let path = format!("/orders/find/{ORDER_EARLY}");
        let deadline = Instant::now() + PREPARED_TIMEOUT;
        loop {
            let answer = client.get(&path).await;
            if answer.text().contains(r#""paid":true"#) {
                return;
            }
            if Instant::now() > deadline || self.child.try_wait().expect("the bench can be asked").is_some() {
                panic!("the load did not get under way; the last answer was {answer:?}");
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// The audit found something, or the bench could not do its work.
    pub(crate) fn finish(self) -> Answers {
        let output = self.child.wait_with_output().expect("the bench is waited for");
        let shown = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&shown));
        let text = std::fs::read_to_string(self.folder.path().join("report.json")).expect("the report was written");
        let report: Value = serde_json::from_str(&text).expect("the report is JSON");
        let counts = |name: &str| {
            let counts = report.pointer(&format!("/checkouts/outcomes/{name}")).and_then(Value::as_object);
            let counts = counts.unwrap_or_else(|| panic!("{name}: {report}")).iter();
            counts.map(|(reason, count)| (reason.clone(), count.as_u64().unwrap_or_default())).collect()
        };
        let succeeded = report.pointer("/checkouts/outcomes/succeeded").and_then(Value::as_u64);
        Answers {
            succeeded: succeeded.unwrap_or_else(|| panic!("{report}")),
            refused: counts("refused"),
            unknown: counts("unknown"),
        }
    }
}

/// The first orders anew. What a fault before has upset may still be recovering.
async fn make_unpaid(client: &Client) {
    let path = format!("/orders/batch_init/{}/1/1/1", ORDER_EARLY + 1);
    let deadline = Instant::now() + PREPARED_TIMEOUT;
    loop {
        let answer = client.post(&path).await;
        if answer.status == 200 {
            return;
        }
        assert!(matches!(answer.status, 503 | 504) && Instant::now() < deadline, "{answer:?}");
        sleep(Duration::from_millis(200)).await;
    }
}

/// Reads of each service, again and again, that note what was not answered with a 200.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    readers: Vec<JoinHandle<Vec<Miss>>>,
}

/// A read that was not answered with a 200.
#[derive(Clone, Debug)]
pub(crate) struct Miss {
    /// When it was sent.
    pub(crate) sent: Instant,
    /// Which it was and what came back.
    pub(crate) what: String,
}

/// Things that every load prepares.
const READS: [&str; 3] = ["/orders/find/0", "/stock/find/0", "/payment/find_user/0"];

impl Watch {
    /// Starts to read.
    pub(crate) fn start(project: &Project) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let readers = READS.map(|path| tokio::spawn(read(path, project.client(), Arc::clone(&stop))));
        Self { stop, readers: readers.into() }
    }

    /// Stops reading.
    pub(crate) async fn stop(self) -> Vec<Miss> {
        self.stop.store(true, Ordering::Relaxed);
        let mut misses = Vec::new();
        for reader in self.readers {
            misses.extend(reader.await.expect("a reader does not panic"));
        }
        misses
    }
}

async fn read(path: &'static str, client: Client, stop: Arc<AtomicBool>) -> Vec<Miss> {
    let mut misses = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let what = match client.send(Method::GET, path, &[]).await {
            Ok(answer) if answer.status == 200 => None,
            Ok(answer) => Some(format!("{path}: {} {}", answer.status, answer.text())),
            Err(none) => Some(format!("{path}: {none}")),
        };
        misses.extend(what.map(|what| Miss { sent, what }));
        sleep(Duration::from_millis(20)).await;
    }
    misses
}
