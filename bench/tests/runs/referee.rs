//! The referee against a shop that goes wrong between requests: each way is named, and a correct shop is found clean.

use std::{collections::BTreeSet, path::Path, time::Duration};

use referee::{
    AnomalyKind::{self, *},
    AuditOptions, history,
};
use sagamart_bench::{CheckOptions, Error, MixOptions, Options, check, run_any};
use tempfile::TempDir;

use crate::racy::{self, Race};

async fn start(race: Race) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, racy::router(race)).await });
    format!("http://{address}")
}

/// A mixed load on a few records, with everything hot.
fn options(url: String, directory: &Path) -> Options {
    Options {
        url: Some(url),
        connections: 12,
        // Ends with the operations and not with the time, however busy the machine is.
        seconds: Duration::from_secs(120),
        settle_seconds: Duration::ZERO,
        history: Some(directory.join("history.jsonl")),
        report: Some(directory.join("report.html")),
        mix: MixOptions {
            mix: true,
            mix_operations: Some(5_000),
            mix_records: 20,
            mix_hot: 3,
            mix_hot_percent: 70,
            ..MixOptions::default()
        },
        ..Options::default()
    }
}

async fn play(race: Race, change: impl FnOnce(Options) -> Options) -> (Result<(), Error>, String, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let options = change(options(start(race).await, directory.path()));
    let mut output = Vec::new();
    let result = Box::pin(run_any(&options, &mut output)).await;
    (result, String::from_utf8(output).expect("text"), directory)
}

/// What is named in a shop with this fault, after checking that everything says so.
async fn named(race: Race) -> BTreeSet<AnomalyKind> {
    let (result, output, directory) = play(race, |options| options).await;
    let error = result.expect_err("a wrong shop is found out");
    assert_eq!(error.exit_code(), 3, "{race:?}: {error}");
    assert!(output.contains("FAILED"), "{output}");
    let history = history::read(&directory.path().join("history.jsonl")).expect("a history");
    let verdict = referee::judge(&history);
    let page = std::fs::read_to_string(directory.path().join("report.html")).expect("a report");
    let kinds: BTreeSet<AnomalyKind> = verdict.findings.iter().map(|finding| finding.kind).collect();
    for kind in &kinds {
        assert!(output.contains(kind.name()) && page.contains(&kind.name().replace('_', " ")), "{kind:?}: {output}");
    }
    assert!(verdict.findings.iter().any(|finding| !finding.operations.is_empty()), "{verdict:?}");
    kinds
}

fn assert_names(kinds: &BTreeSet<AnomalyKind>, expected: &[AnomalyKind]) {
    assert!(expected.iter().all(|kind| kinds.contains(kind)), "{expected:?} in {kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correct_shop_is_clean() {
    let (result, output, directory) = play(Race::None, |options| options).await;
    result.expect("clean");
    assert!(output.contains("clean"), "{output}");
    let history = history::read(&directory.path().join("history.jsonl")).expect("a history");
    let kinds: BTreeSet<&str> = history.operations.iter().filter_map(|found| found.reason.as_deref()).collect();
    // Everything that the referee judges did happen.
    assert!(kinds.contains("out-of-stock") && kinds.contains("not-enough-credit"), "{kinds:?}");
    let page = std::fs::read_to_string(directory.path().join("report.html")).expect("a report");
    assert!(page.contains("<h1>Clean</h1>"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_updates_are_named() {
    assert_names(&named(Race::ReadModifyWrite).await, &[LostUpdate]);
    let kinds = named(Race::ForgetsAdditions).await;
    assert_names(&kinds, &[LostUpdate, StockLost, CreditLost]);
    assert!(!kinds.contains(&SucceededButUnpaid), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_applied_twice_is_named() {
    assert_names(&named(Race::AddsTwice).await, &[AppliedTwice, StockInvented, CreditInvented]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overselling_is_named() {
    assert_names(&named(Race::ChecksThenTakes).await, &[Oversold]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_reads_are_named_and_nothing_is_said_to_be_lost() {
    let kinds = named(Race::ReadsACopy).await;
    assert_names(&kinds, &[StaleRead]);
    assert!(
        [StockLost, CreditLost, StockInvented, CreditInvented].iter().all(|kind| !kinds.contains(kind)),
        "{kinds:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_200_that_is_not_true_is_named() {
    let kinds = named(Race::ForgetsSales).await;
    assert_names(&kinds, &[SucceededButUnpaid]);
    assert!([StockLost, CreditLost].iter().all(|kind| !kinds.contains(kind)), "nothing was taken for it: {kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_4xx_that_left_something_is_named() {
    let kinds = named(Race::KeepsWhatItRefuses).await;
    assert_names(&kinds, &[StockLost]);
    assert!(!kinds.contains(&CreditLost), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_what_is_refused_is_named() {
    let kinds = named(Race::ShowsWhatItRefuses).await;
    assert_names(&kinds, &[DirtyRead]);
    assert!([StockLost, StockInvented].iter().all(|kind| !kinds.contains(kind)), "everything is given back: {kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkout_that_shows_in_parts_is_named() {
    let kinds = named(Race::TearsCheckouts).await;
    assert!(kinds.contains(&TornCheckout) || kinds.contains(&NotSerializable), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_without_reason_is_named() {
    assert_eq!(named(Race::RefusesWithoutReason).await, BTreeSet::from([RefusedWrongly]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_measurement_of_checkouts_is_recorded_and_judged_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options {
        mix: MixOptions::default(),
        items: 100,
        users: 100,
        orders: Some(500),
        warm_up_seconds: Duration::from_millis(50),
        ..options(crate::start(crate::shop::Fault::None).await, directory.path())
    };
    let mut output = Vec::new();
    Box::pin(run_any(&options, &mut output)).await.expect("clean");
    let output = String::from_utf8(output).expect("text");
    assert!(output.contains("audit: clean") && output.contains("referee      clean"), "{output}");
    let history = history::read(&directory.path().join("history.jsonl")).expect("a history");
    // Also those of the warm-up.
    assert_eq!(history.operations.len(), 500);
    assert_eq!(referee::judge(&history).sales, 500);
}

fn to_check(directory: &Path) -> CheckOptions {
    let history = directory.join("history.jsonl");
    CheckOptions { audit: AuditOptions { history, state: None, report: None, json: None }, url: None }
}

async fn checked(options: &CheckOptions) -> Result<(), Error> {
    check(options, &mut Vec::new()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_is_judged_again_from_its_file_with_the_state_of_a_file_or_a_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = start(Race::None).await;
    Box::pin(run_any(&options(url.clone(), directory.path()), &mut Vec::new())).await.expect("clean");
    let own = to_check(directory.path());
    checked(&own).await.expect("clean by the state at its end");
    let of_server = CheckOptions { url: Some(url.clone()), ..own.clone() };
    checked(&of_server).await.expect("clean by the server's state");
    let of_file = CheckOptions {
        audit: AuditOptions { state: Some(own.audit.history.clone()), ..own.audit.clone() },
        ..own.clone()
    };
    checked(&of_file).await.expect("clean by a file's state");
    // Somebody takes a unit that no operation explains.
    let target = std::sync::Arc::new(sagamart_bench::client::Target::resolve(&url).await.expect("a target"));
    let mut connection = sagamart_bench::client::Connection::new(target, Duration::from_secs(10));
    connection.ensure_open().await.expect("a connection");
    let path = |path: &mut Vec<u8>| path.extend_from_slice(b"/stock/add/0/1");
    let answer = connection.exchange(sagamart_bench::client::Method::Post, path).await.expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(checked(&of_server).await.expect_err("found").exit_code(), 3);
    checked(&own).await.expect("still clean by its own state");
}

#[tokio::test]
async fn a_history_without_a_state_cannot_be_judged() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = to_check(directory.path());
    assert_eq!(checked(&options).await.expect_err("no file").exit_code(), 1);
    let preface = r#"{"history":1,"version":"0","started_unix_seconds":0,"url":"http://a","machine":{"cores":1,"operating_system":"","architecture":""},"load":{},"items":1,"stock":1,"price":1,"users":1,"credit":1,"orders":0}"#;
    std::fs::write(&options.audit.history, format!("{preface}\n")).expect("written");
    let error = checked(&options).await.expect_err("no state");
    assert!(matches!(error, Error::Referee(referee::Error::NotJudged(_))) && error.exit_code() == 1, "{error}");
    for other in ["", "{}", "{\"openapi\":\"3.1.0\"}", "a,b,c\n1,2,3"] {
        std::fs::write(&options.audit.history, format!("{other}\n")).expect("written");
        let said = checked(&options).await.expect_err("no history").to_string();
        assert!(said.contains("no history") || said.contains("empty"), "{other:?}: {said}");
    }
}
