//! What `--profile monitoring` adds, but for Grafana, whose image is not made here.

use std::time::{Duration, Instant};

use sagamart_black_box::Client;
use serde_json::Value;
use tokio::time::sleep;

use crate::{docker::run, faults::assert_hardened, project::Project};

/// Some of the intervals in which Prometheus scrapes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Prometheus comes with the profile, reaches every replica by the name of the file, takes the rules, and goes again.
pub(crate) async fn prometheus_reaches_every_replica(project: &Project) {
    run(&mut project.compose(&["--profile", "monitoring", "up", "--detach", "--no-build", "prometheus"]));
    project.await_healthy(&[project.container("prometheus")]);
    assert_hardened(&project.container("prometheus"));
    let client = Client::new(project.prometheus());
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let answer: Value = client.get("/api/v1/targets?state=active").await.json();
        let targets = answer.pointer("/data/activeTargets").and_then(Value::as_array).expect("targets");
        if targets.len() == 8 && targets.iter().all(|target| target.get("health").is_some_and(|health| health == "up"))
        {
            break;
        }
        assert!(Instant::now() < deadline, "not all replicas are reached: {answer}");
        sleep(Duration::from_millis(200)).await;
    }
    let answer: Value = client.get("/api/v1/rules?type=alert").await.json();
    let groups = answer.pointer("/data/groups").and_then(Value::as_array).expect("groups");
    let alerts: usize = groups.iter().filter_map(|group| group.get("rules")?.as_array()).map(Vec::len).sum();
    assert!(alerts > 10, "{answer}");
    run(&mut project.compose(&["--profile", "monitoring", "rm", "--force", "--stop", "prometheus"]));
}
