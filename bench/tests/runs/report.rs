//! The JSON file: whole, and described in the README.

use sagamart_bench::{Options, Report};
use serde_json::Value;

use crate::{bench, options, shop::Fault, start};

/// Collects the paths of all members, such as `checkouts.latency.succeeded.p50_ms`; elements of lists are `[]`.
fn paths(value: &Value, path: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                paths(member, &path, into);
                into.push(path);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| paths(element, &format!("{path}[]"), into)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_json_file_holds_the_whole_report() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.json");
    let options = Options {
        json: Some(file.clone()),
        rate: Some(1_000),
        seconds: std::time::Duration::from_millis(300),
        ..options(start(Fault::LosesACredit).await)
    };
    // Also when the audit fails: that is when it is needed most.
    let error = bench(&options).await.0.unwrap_err();
    let written: Report = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(written.audit.anomalies, error.anomalies());
    assert_eq!(written.load.rate_per_second, Some(1_000));
    assert_eq!(written.checkouts.outcomes.total(), 300);
}

/// Checks that the README describes every member that this report has.
pub(crate) fn assert_described(report: &Report) {
    let readme = include_str!("../../README.md");
    let mut members = Vec::new();
    paths(&serde_json::to_value(report).expect("a report is JSON"), "", &mut members);
    assert!(members.len() > 50);
    let missing: Vec<_> = members
        .iter()
        .map(|path| path.rsplit('.').next().unwrap_or(path))
        .filter(|name| !readme.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "not described: {missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_of_the_json_file_is_described_in_the_readme() {
    let closed = options(start(Fault::None).await);
    assert_described(&bench(&closed).await.0.unwrap());
    let open = Options {
        rate: Some(10_000),
        seconds: std::time::Duration::from_millis(100),
        ..options(start(Fault::None).await)
    };
    assert_described(&bench(&open).await.0.unwrap());
}
