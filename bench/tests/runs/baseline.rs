//! The comparison with real processes: this crate's example, which has the same subcommands as the shop's binary.

use std::{path::PathBuf, time::Duration};

use sagamart_bench::Options;

use crate::bench;

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
