//! Processes of a shop that show each other that they know its secret.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use sagamart_black_box::{Apart, Outcome, Shop, binary};
use test_servers::{Process, free_port};
use tokio::time::sleep;

use crate::history::until;

fn make(path: &Path) -> Output {
    Command::new(binary::path()).arg("secret").arg(path).output().expect("it runs")
}

#[test]
fn a_secret_is_made_once_and_only_its_owner_can_read_it() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("secret");
    let made = make(&path);
    assert!(made.status.success() && String::from_utf8_lossy(&made.stdout).ends_with("has a new secret\n"), "{made:?}");
    let secret = fs::read_to_string(&path).expect("it is there");
    assert!(secret.len() == 65 && secret.trim_end().bytes().all(|byte| byte.is_ascii_hexdigit()), "{secret}");
    let mode = fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = make(&path);
    assert!(
        again.status.success() && String::from_utf8_lossy(&again.stdout).ends_with("is there already\n"),
        "{again:?}"
    );
    assert_eq!(fs::read_to_string(&path).expect("it is there"), secret);
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1, "nothing else is left");
    let other = directory.path().join("other");
    assert!(make(&other).status.success());
    assert_ne!(fs::read_to_string(&other).expect("it is there"), secret);
    let nowhere = make(&directory.path().join("nowhere/secret"));
    assert!(
        !nowhere.status.success() && String::from_utf8_lossy(&nowhere.stderr).contains("nowhere/secret"),
        "{nowhere:?}"
    );
}

#[test]
fn several_are_made_at_once_and_a_draft_that_was_left_is_in_nobodys_way() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let [first, second] = ["first", "second"].map(|name| directory.path().join(name));
    fs::write(&first, "it is there").expect("a file can be written");
    for (arguments, said) in [(["--group"], "has a new secret"), (["--group"], "is there already")] {
        let mut command = Command::new(binary::path());
        let output = command.arg("secret").args(arguments).args([&first, &second]).output().expect("it runs");
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && lines.lines().count() == 2, "{output:?}");
        assert!(lines.starts_with(&format!("{} is there already\n", first.display())), "{lines}");
        assert!(lines.ends_with(&format!("{} {said}\n", second.display())), "{lines}");
    }
    let mode = fs::metadata(&second).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o640, "its group can read it, and not write");
    assert_eq!(fs::read_to_string(&first).expect("it is there"), "it is there");
}

#[test]
fn beyond_loopback_no_internal_port_is_opened_without_a_secret() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        for part in ["order", "stock", "payment", "observe"] {
            let mut command = Command::new(binary::path());
            command.args([part, "--store", "memory:", "--listen", "127.0.0.1:0", "--internal-listen", address]);
            command.args(["--advertise", "127.0.0.1:1"]);
            let peers: &[&str] = match part {
                "order" => &["stock", "payment"],
                "stock" => &["order"],
                "payment" => &["order", "stock"],
                _ => &["order", "stock", "payment"],
            };
            command.args(peers.iter().flat_map(|peer| ["--peer".to_owned(), format!("{peer}=127.0.0.1:1")]));
            let output = command.output().expect("it runs");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{part} {address}: {said}");
            for wanted in
                ["--internal-listen", "sagamart secret FILE", "--peer-secret-file", "SAGAMART_PEER_SECRET_FILE"]
            {
                assert!(said.contains(wanted), "{part} {address} says nothing of {wanted}: {said}");
            }
        }
    }
}

/// A process of the shop's stock service, as a stranger would start it to get at the orders.
fn stranger(apart: &Apart, log: &Path, secret: Option<&Path>) -> (u16, Process) {
    let (public, internal) = (free_port(), free_port());
    let mut command = Command::new(binary::path());
    command.args([
        "stock",
        "--store",
        "memory:",
        "--partitions",
        "1",
        "--peer",
        &format!("order={}", apart.order.internal()),
    ]);
    command.args(["--listen", &format!("127.0.0.1:{public}"), "--internal-listen", &format!("127.0.0.1:{internal}")]);
    command.args(secret.map(|_| "--peer-secret-file")).args(secret);
    (public, Process::start(command, log))
}

async fn buys(apart: &Apart) -> Outcome {
    let (payment, stock, orders): (Shop, Shop, Shop) = (apart.payment.shop(), apart.stock.shop(), apart.order.shop());
    let (user, item) = (payment.user_with(10).await, stock.item_with(3, 5).await);
    let order = orders.order_of(&user, &[(&item, 2)]).await;
    orders.checkout(&order).await
}

#[tokio::test]
async fn a_process_that_does_not_know_the_secret_is_not_let_in_and_says_why() {
    let apart = Apart::start(5, 1).await;
    assert_eq!(buys(&apart).await, Outcome::Succeeded);
    let directory = tempfile::tempdir().expect("a directory can be made");
    let wrong = directory.path().join("wrong");
    fs::write(&wrong, "the secret of a stranger").expect("a file can be written");
    for (number, secret) in [None, Some(wrong.as_path())].into_iter().enumerate() {
        let (public, process) = stranger(&apart, &directory.path().join(format!("log-{number}")), secret);
        let client = sagamart_black_box::Client::new(([127, 0, 0, 1], public).into());
        until("it says why it is not ready", async || {
            let answer = client.send(hyper::Method::GET, "/readyz", &[]).await;
            answer.is_ok_and(|answer| answer.status == 503 && answer.text().contains("the secret of the shop"))
        })
        .await;
        assert!(apart.order.said().contains("rejected a peer's handshake"), "{}", process.output());
        assert_eq!(buys(&apart).await, Outcome::Succeeded, "the shop goes on");
    }
}

#[tokio::test]
async fn a_secret_is_replaced_while_the_shop_serves() {
    let mut apart = Apart::start(5, 1).await;
    let old = fs::read_to_string(apart.secret()).expect("it has one");
    for secrets in [
        format!("{old}the next secret of the shop"),
        format!("the next secret of the shop\n{old}"),
        "the next secret of the shop\n".to_owned(),
    ] {
        fs::write(apart.secret(), secrets).expect("a file can be written");
        // Whoever is started now connects with what the file says now, to those who were started with what it said then.
        apart.restart_observer().await;
        assert_eq!(buys(&apart).await, Outcome::Succeeded);
        sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_secret_that_is_none_is_said_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("secret");
    for (content, wrong) in [(None, "No such file"), (Some(""), "there is no secret"), (Some("short"), "16 characters")]
    {
        if let Some(content) = content {
            fs::write(&path, content).expect("a file can be written");
        }
        let mut command = Command::new(binary::path());
        command.args(["payment", "--store", "memory:", "--listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"]);
        command.args(["--peer", "order=127.0.0.1:1,stock=127.0.0.1:1", "--peer-secret-file"]).arg(&path);
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("--peer-secret-file") && said.contains(wrong), "{said}");
    }
}
