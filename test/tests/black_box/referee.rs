//! `sagamart bench --mix` and `sagamart audit`: a shop that is killed again and again while it is under load is found
//! clean, and a history that says what did not happen is not.

use std::{path::Path, process::Command};

use sagamart_black_box::{Fixture, Settings, binary};
use tokio::task::spawn_blocking;

async fn run(arguments: Vec<String>) -> (Option<i32>, String) {
    let outcome = spawn_blocking(move || Command::new(binary::path()).args(arguments).output()).await;
    let output = outcome.expect("it is waited for").expect("it runs");
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    (output.status.code(), text)
}

fn arguments(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A mixed load of a few seconds, on few records.
fn mix(history: &Path, more: &[&str]) -> Vec<String> {
    let history = history.display().to_string();
    let load = ["bench", "--mix", "--connections", "24", "--mix-records", "60", "--settle-seconds", "1"];
    arguments(&[&load[..], &["--history", &history], more].concat())
}

async fn audit(history: &Path, more: &[&str]) -> (Option<i32>, String) {
    let history = history.display().to_string();
    run(arguments(&[&["audit", "--history", &history][..], more].concat())).await
}

#[tokio::test]
async fn a_shop_that_is_killed_again_and_again_under_a_mixed_load_is_clean() {
    let directory = tempfile::tempdir().expect("a directory");
    let (history, page) = (directory.path().join("history.jsonl"), directory.path().join("report.html"));
    let (data, shown) = (directory.path().display().to_string(), page.display().to_string());
    let faults = ["--start-server", "--kill", "server", "--every", "0.7", "--down-for", "0.1"];
    let rest = ["--seconds", "6", "--data-dir", &data, "--report", &shown];
    let (code, text) = run(mix(&history, &[&faults[..], &rest].concat())).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("referee      clean"), "{text}");
    let recorded = std::fs::read_to_string(&history).expect("a history");
    let killed = recorded.lines().filter(|line| line.starts_with(r#"{"fault":"killed""#)).count();
    assert!(killed >= 3 && !recorded.contains(r#""fault":"failed""#), "{killed} kills");
    assert!(recorded.contains(r#""outcome":"unknown""#), "the kills hit running requests");
    let page = std::fs::read_to_string(page).expect("a report");
    assert!(page.contains("<h1>Clean</h1>") && page.contains(r#"class="outage""#));
    // The same from the file alone.
    let (code, text) = audit(&history, &[]).await;
    assert_eq!(code, Some(0), "{text}");
}

#[tokio::test]
async fn what_a_history_says_falsely_is_found_by_its_operations() {
    let fixture = Fixture::with(Settings::partitions(2)).await;
    let directory = tempfile::tempdir().expect("a directory");
    let history = directory.path().join("history.jsonl");
    let url = format!("http://{}", fixture.server().address());
    let (code, text) = run(mix(&history, &["--url", &url, "--seconds", "2"])).await;
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = audit(&history, &["--url", &url]).await;
    assert_eq!(code, Some(0), "by the server's own state: {text}");
    let recorded = std::fs::read_to_string(&history).expect("a history");
    let forged = directory.path().join("forged.jsonl");
    for (from, to, named) in [
        // An addition that was answered, of one unit more.
        (r#""op":"add_stock""#, None, "stock_lost"),
        // A paid order that is not paid any more.
        (r#""final":"order""#, Some((r#""paid":true"#, r#""paid":false"#)), "succeeded_but_unpaid"),
    ] {
        let mut done = false;
        let lines = recorded.lines().map(|line| {
            let forge = !done && line.contains(from) && line.contains(to.map_or(r#""amount":1}"#, |(old, _)| old));
            done |= forge;
            match to {
                Some((old, new)) if forge => line.replace(old, new),
                None if forge => line.replace(r#""amount":1}"#, r#""amount":2}"#),
                _ => line.to_owned(),
            }
        });
        let text: String = lines.map(|line| line + "\n").collect();
        assert_ne!(text, recorded, "something was forged");
        std::fs::write(&forged, text).expect("written");
        let (code, text) = audit(&forged, &[]).await;
        assert_eq!(code, Some(3), "{text}");
        assert!(text.contains(named), "{named}: {text}");
    }
}

#[tokio::test]
async fn what_cannot_be_judged_is_said_to_be_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let (code, text) = audit(&directory.path().join("nothing"), &[]).await;
    assert_eq!(code, Some(1), "{text}");
    let (code, text) = run(arguments(&["bench", "--kill", "server", "--seconds", "1"])).await;
    assert_eq!(code, Some(2), "{text}");
    for target in ["0", "1", "-9", "a b"] {
        let (code, text) = run(arguments(&["bench", "--kill", target])).await;
        assert_eq!(code, Some(2), "{target}: {text}");
    }
}
