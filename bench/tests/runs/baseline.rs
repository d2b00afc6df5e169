//! The comparison with real processes: this crate's example, which has the same subcommands as the shop's binary.

use std::{path::PathBuf, time::Duration};

use sagamart_bench::Options;

use crate::{bench, report::assert_described};

/// The example's program, which cargo builds beside this test.
fn executable() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let example = test.ancestors().nth(2).expect("target/…/deps/").join("examples/bench");
    assert!(
        example.exists(),
        "{} is missing: run the tests of the whole package, or `cargo build --package sagamart-bench --examples` first",
        example.display()
    );
    example
}

fn options(data: &tempfile::TempDir) -> Options {
    Options {
        start_server: true,
        executable: Some(executable()),
        data_dir: Some(data.path().to_owned()),
        connections: 4,
        seconds: Duration::from_millis(600),
        warm_up_seconds: Duration::from_millis(50),
        items: 100,
        users: 100,
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkouts_are_compared_with_servers_of_its_own_and_nothing_is_left_behind() {
    let data = tempfile::tempdir().unwrap();
    let options = Options { baseline: true, ..options(&data) };
    let (result, output) = bench(&options).await;
    let report = result.unwrap();
    assert_described(&report);
    assert!(report.server.started_by_bench);
    assert_eq!(report.server.durability.as_deref(), Some("none: kept in memory"));
    let baseline = report.baseline.unwrap();
    let yardsticks: Vec<_> =
        baseline.yardsticks.iter().map(|yardstick| (yardstick.kind.as_str(), yardstick.threads)).collect();
    assert_eq!(yardsticks, [("bare", 1), ("bare", 2), ("durable", 1), ("durable", 2)]);
    for yardstick in &baseline.yardsticks {
        assert_eq!(yardstick.requests.rounds_succeeded_per_second.len(), 3);
        assert_eq!(yardstick.requests.outcomes.total(), yardstick.requests.outcomes.succeeded);
        assert!(yardstick.requests.succeeded_per_second > 0.0 && yardstick.ratio > 0.0);
        assert!(output.contains(&format!("{} HTTP, {} thread", yardstick.kind, yardstick.threads)), "{output}");
    }
    assert!(baseline.ratio_to_bare > 0.0 && baseline.ratio_to_durable > 0.0);
    assert_eq!(data.path().read_dir().unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_its_own_can_be_measured_alone() {
    let data = tempfile::tempdir().unwrap();
    let report = bench(&options(&data)).await.0.unwrap();
    assert!(report.server.started_by_bench && report.baseline.is_none());
    assert!(report.checkouts.outcomes.succeeded > 0);
    assert_eq!(data.path().read_dir().unwrap().count(), 0);
}

/// A run that is ended early must not leave servers running or data lying about.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_run_stops_its_servers_and_removes_their_data() {
    let data = tempfile::tempdir().unwrap();
    let mut benchmark = tokio::process::Command::new(executable())
        .args(["bench", "--start-server", "--baseline", "--seconds", "60", "--orders", "1000000"])
        .arg("--data-dir")
        .arg(data.path())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // The yardsticks' directory comes after the shop's, when everything has been started but the load.
    let entries = || data.path().read_dir().unwrap().count();
    let waiting = tokio::time::timeout(Duration::from_secs(60), async {
        while entries() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waiting.await.unwrap();
    let pid = i32::try_from(benchmark.id().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let children = children_of(pid);
    assert!(!children.is_empty());
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(60), benchmark.wait()).await;
    assert_eq!(ended.unwrap().unwrap().code(), Some(130));
    assert_eq!(entries(), 0);
    for child in children {
        let gone = tokio::time::timeout(Duration::from_secs(10), async {
            while rustix::process::test_kill_process(child).is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        gone.await.expect("a server was left running");
    }
}

/// The processes that a process has started, from the fourth field of each one's `stat`: its parent.
#[cfg(target_os = "linux")]
fn children_of(pid: rustix::process::Pid) -> Vec<rustix::process::Pid> {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter(|number| {
            // One that ended meanwhile has none; the second field may hold spaces, but ends with the last bracket.
            let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
            let parent = stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(1));
            parent.is_some_and(|parent| parent.parse() == Ok(pid.as_raw_nonzero().get()))
        })
        .filter_map(rustix::process::Pid::from_raw)
        .collect()
}
