//! How many requests one may send, and what is written down of what operators do.

use std::{
    fs,
    process::{Command, Output},
};

use hyper::Method;
use sagamart_black_box::{Fixture, Settings, Store, binary};
use serde_json::Value;

fn with(words: &[&str]) -> Settings {
    Settings {
        arguments: words.iter().map(|word| (*word).to_owned()).collect(),
        store: Store::Memory,
        ..Settings::default()
    }
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_when_it_may_again() {
    let fixture = Fixture::with(with(&["--requests-per-address", "50"])).await;
    let client = &fixture.shop.client;
    let mut refused = None;
    for _ in 0..5000 {
        let answer = client.get("/stock/find/nothing").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 404);
    }
    let refused = refused.expect("five thousand are more than fifty a second");
    assert_eq!((refused.header("retry-after"), refused.problem().slug.as_str()), (Some("1"), "too-many-requests"));
    let metrics = fixture.metrics().await;
    assert!(metrics.sum("sagamart_http_requests_refused_total", &[("status", "429")]) >= Some(1.0));
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(client.get("/stock/find/nothing").await.status, 404, "and then it may");
}

#[tokio::test]
async fn the_owner_of_a_token_that_asks_too_often_stands_in_nobody_elses_way() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("tokens").display().to_string();
    let [fast, other] = ["fast", "other"].map(|name| {
        let mut command = Command::new(binary::path());
        let made = command.args(["token", name, "--scopes", "stock.read", "--file", &file]).output().expect("it runs");
        format!("Bearer {}", String::from_utf8(made.stdout).expect("text").trim_end())
    });
    let fixture = Fixture::with(with(&["--tokens", &file, "--requests-per-token", "50"])).await;
    let ask = async |token: &str| {
        let headers = [("authorization", token)];
        fixture.shop.client.send(Method::GET, "/stock/find/nothing", &headers).await.expect("an answer")
    };
    let mut refused = None;
    for _ in 0..5000 {
        let answer = ask(&fast).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 404);
    }
    let refused = refused.expect("five thousand are more than fifty a second");
    assert_eq!((refused.header("retry-after"), refused.problem().slug.as_str()), (Some("1"), "too-many-requests"));
    assert_eq!(ask(&other).await.status, 404, "another has its own");
}

fn verify(file: &str, more: &[&str]) -> Output {
    Command::new(binary::path()).args(["audit-log", "verify", file]).args(more).output().expect("the binary runs")
}

/// What a log says of each act: event, caller, the act as far as its query, and status.
fn acts(file: &str) -> Vec<(String, Option<String>, String, Option<u64>)> {
    let text = fs::read_to_string(file).expect("it is there");
    let read = |line: &str| {
        let act: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |name: &str| act.get(name).and_then(Value::as_str).map(str::to_owned);
        assert_eq!(text("from").as_deref(), Some("127.0.0.1"), "{line}");
        assert!(text("at").is_some() && text("request_id").is_some(), "{line}");
        let what = text("act").expect("what was done");
        let what = what.split('?').next().unwrap_or_default().to_owned();
        (text("event").expect("an event"), text("caller"), what, act.get("status").and_then(Value::as_u64))
    };
    text.lines().map(read).collect()
}

#[tokio::test]
async fn what_operators_do_is_written_down_and_nobody_changes_it_unseen() {
    let folder = tempfile::tempdir().expect("a directory");
    let [file, tokens] = ["audit", "tokens"].map(|name| folder.path().join(name).display().to_string());
    let mut command = Command::new(binary::path());
    let made =
        command.args(["token", "anna", "--scopes", "admin.repair,bulk", "--file", &tokens]).output().expect("it runs");
    let token = format!("Bearer {}", String::from_utf8(made.stdout).expect("text").trim_end());
    let mut fixture = Fixture::with(with(&["--audit-log", &file, "--tokens", &tokens])).await;
    let operators = fixture.server().operators();
    let cancel = "/orders/nothing/cancel?by=anna&because=a%20%22try%22";
    let headers = [("authorization", token.as_str())];
    for (path, headers, status) in
        [("/stock/batch_init/3/4/5", &headers[..], 200), (cancel, &headers, 404), (cancel, &[], 401)]
    {
        let answer = operators.send(Method::POST, path, headers).await.expect("an answer");
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    // To look is no act.
    assert_eq!(operators.send(Method::GET, "/services", &headers).await.expect("an answer").status, 403);
    let (anna, bulk, ends) = (Some("anna".to_owned()), "POST /stock/batch_init/3/4/5", "POST /orders/nothing/cancel");
    let expected = [
        ("asked", anna.clone(), bulk, None),
        ("answered", anna.clone(), bulk, Some(200)),
        ("asked", anna.clone(), ends, None),
        ("answered", anna, ends, Some(404)),
        ("refused", None, ends, Some(401)),
    ];
    let expected = expected.map(|(event, caller, act, status)| (event.to_owned(), caller, act.to_owned(), status));
    assert_eq!(acts(&file), expected);
    let whole = verify(&file, &[]);
    let said = String::from_utf8_lossy(&whole.stdout).into_owned();
    assert!(whole.status.success() && said.contains("5 lines, as they were written"), "{whole:?}");
    let head = said.trim_end().rsplit(' ').next().expect("a hash").to_owned();

    // It goes on where it ended, and a second process gets none of it.
    fixture.restart().await;
    let operators = fixture.server().operators();
    assert_eq!(operators.send(Method::POST, cancel, &headers).await.expect("an answer").status, 404);
    let whole = verify(&file, &["--contains", &head]);
    assert!(whole.status.success() && String::from_utf8_lossy(&whole.stdout).contains("7 lines"), "{whole:?}");
    let second = sagamart_black_box::Server::refused_start(&fixture.settings, fixture.data()).await;
    assert!(second.stderr.contains("--audit-log: ") && second.stderr.contains("another process"), "{}", second.stderr);
    fixture.kill();

    let text = fs::read_to_string(&file).expect("it is there");
    fs::write(&file, text.replace("\"anna\"", "\"otto\"")).expect("it can be written");
    let changed = verify(&file, &[]);
    assert!(!changed.status.success() && String::from_utf8_lossy(&changed.stderr).contains("line 1: "), "{changed:?}");
    let refused = sagamart_black_box::Server::refused_start(&fixture.settings, fixture.data()).await;
    assert!(refused.stderr.contains("not what was written"), "{}", refused.stderr);
    let cut: String = text.split_inclusive('\n').take(3).collect();
    fs::write(&file, cut).expect("it can be written");
    assert!(verify(&file, &[]).status.success(), "by itself nothing is wrong with it");
    let cut = verify(&file, &["--contains", &head]);
    assert!(!cut.status.success() && String::from_utf8_lossy(&cut.stdout).contains("cut off"), "{cut:?}");
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("audit").display().to_string();
    let strace = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO"];
    let settings = Settings { wrapper: strace.map(str::to_owned).to_vec(), ..with(&["--audit-log", &file]) };
    let fixture = Fixture::with(settings).await;
    for client in [fixture.server().operators(), fixture.shop.client.clone()] {
        let refused = client.post("/stock/batch_init/1/8/5").await;
        assert_eq!((refused.status, refused.problem().slug.as_str()), (503, "unavailable"));
    }
    assert_eq!(fixture.shop.client.get("/stock/find/0").await.status, 404, "nothing was done");
    // What is no operator's goes on.
    fixture.shop.create_user().await;
    assert_eq!(acts(&file), []);
    assert!(verify(&file, &[]).status.success());
}
