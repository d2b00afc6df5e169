//! Databases that have no memory left, break what they promised while the services run, or are not there when they start.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use sagamart_black_box::{
    Fleet, binary,
    fleet::{REPLICAS, SERVICES},
};
use test_servers::{Kind, Options, Process, Server as Database};
use tokio::time::sleep;

/// How long a service may take to notice. Far above what it takes, for busy machines.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "{what} never happens");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_memory_takes_no_new_work_and_ends_what_runs() {
    let fleet = Fleet::start(5).await;
    let shop = fleet.shop();
    let user = shop.user_with(100).await;
    let item = shop.item_with(10, 9).await;
    let order = shop.order_of(&user, &[(&item, 1)]).await;
    let [orders, stock, _] = fleet.databases.as_slice() else { panic!("three databases") };
    // On a busy machine an answer may come too late, which says nothing.
    let is_refused = async |path: &str| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = shop.client.post(path).await;
            match answer.status {
                503 => return true,
                200 => return false,
                _ => assert!(Instant::now() < deadline, "{path}: {answer:?}"),
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    // Each replica looks by itself.
    let is_limited = async |replica: usize| fleet.replica(replica).get("/readyz").await.text().contains("limits");
    let all = async |service: usize, limited: bool| {
        for replica in (0..REPLICAS).map(|replica| replica * SERVICES.len() + service) {
            until("every replica notices", async || is_limited(replica).await == limited).await;
        }
    };

    let () = stock.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let create = "/stock/item/create/5";
    all(1, true).await;
    assert!(is_refused(create).await, "stock takes no new items");
    assert!(is_refused(&format!("/stock/add/{item}/1")).await);
    assert_eq!(shop.stock(&item).await, 9, "reads go on");
    // The checkout is order's to begin, and order has memory: stock holds the unit and takes it.
    shop.succeed(&format!("/orders/checkout/{order}")).await;
    assert_eq!(shop.stock(&item).await, 8);
    let () = stock.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    all(1, false).await;
    assert!(!is_refused(create).await, "stock takes new items again");

    let order = shop.order_of(&user, &[(&item, 1)]).await;
    let () = orders.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let checkout = format!("/orders/checkout/{order}");
    all(0, true).await;
    assert!(is_refused(&format!("/orders/create/{user}")).await, "order takes no new orders");
    assert!(is_refused(&checkout).await, "and begins no checkouts");
    assert!(!shop.order(&order).await.paid, "reads go on, and nothing was done");
    let () = orders.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    all(0, false).await;
    assert!(!is_refused(&checkout).await, "order begins checkouts again");
    assert_eq!((shop.stock(&item).await, shop.credit(&user).await), (7, 80));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_no_longer_flushes_is_not_used_until_it_does() {
    let mut fleet = Fleet::start(5).await;
    let shop = fleet.shop();
    let user = shop.user_with(100).await;
    let payment = 2;
    let () = fleet.databases[payment].ask(&["CONFIG", "SET", "appendfsync", "everysec"]);
    for replica in (0..REPLICAS).map(|replica| replica * SERVICES.len() + payment) {
        let client = fleet.replica(replica);
        until("every replica says what is wrong", async || {
            let answer = client.get("/readyz").await;
            answer.status == 503 && answer.text().contains("set `appendfsync always`")
        })
        .await;
        assert!(fleet.operators(replica).get("/metrics").await.text().contains("sagamart_store_works 0"));
        // Known a moment before it is written.
        until("its log says so", async || fleet.said(replica).contains("the store does not work")).await;
        let lines = fleet.said(replica).matches("the store does not work").count();
        assert_eq!(lines, 1, "said once:\n{}", fleet.said(replica));
    }
    let path = format!("/payment/add_funds/{user}/1");
    let answer = shop.client.post(&path).await;
    assert!([503, 504].contains(&answer.status), "{answer:?}");
    let () = fleet.databases[payment].ask(&["CONFIG", "SET", "appendfsync", "always"]);
    fleet.ready().await;
    shop.succeed(&path).await;
    assert!(shop.credit(&user).await >= 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_wait_for_a_database_that_comes_late() {
    let mut fleet = Fleet::start(5).await;
    let shop = fleet.shop();
    let item = shop.item_with(10, 9).await;
    let stock = [1, 1 + SERVICES.len()];
    stock.iter().for_each(|index| fleet.terminate_replica(*index));
    fleet.databases[1].kill();
    stock.iter().for_each(|index| fleet.start_replica(*index));
    for index in stock {
        let client = fleet.replica(index);
        until("it says what it waits for", async || {
            let answer = client.send(hyper::Method::GET, "/readyz", &[]).await;
            answer.is_ok_and(|answer| answer.status == 503 && answer.text().contains("waiting for the database"))
        })
        .await;
        assert_eq!(client.get("/livez").await.status, 200);
        let refused = client.get(&format!("/stock/find/{item}")).await;
        assert_eq!((refused.status, refused.problem().slug.as_str()), (502, "starting"));
    }
    // Far longer than it takes to try, and as long as it takes.
    sleep(Duration::from_secs(10)).await;
    fleet.databases[1].restart();
    fleet.ready().await;
    assert_eq!(shop.stock(&item).await, 9);
    for index in stock {
        let said = fleet.said(index);
        assert_eq!(said.matches("waiting for the database").count(), 1, "{said}");
    }
}

/// As replicas that run do: nobody has to start them again once it is put right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_waits_for_a_database_that_does_not_keep_the_promise_to_be_put_right() {
    let mut fleet = Fleet::start(5).await;
    let shop = fleet.shop();
    let item = shop.item_with(10, 9).await;
    let stock = 1;
    fleet.terminate_replica(stock);
    let () = fleet.databases[stock].ask(&["CONFIG", "SET", "appendfsync", "everysec"]);
    fleet.start_replica(stock);
    let client = fleet.replica(stock);
    until("it says what is to be set", async || {
        let answer = client.send(hyper::Method::GET, "/readyz", &[]).await;
        answer.is_ok_and(|answer| answer.status == 503 && answer.text().contains("set `appendfsync always`"))
    })
    .await;
    assert_eq!(client.get("/livez").await.status, 200);
    let () = fleet.databases[stock].ask(&["CONFIG", "SET", "appendfsync", "always"]);
    fleet.ready().await;
    assert_eq!(shop.stock(&item).await, 9);
    let said = fleet.said(stock);
    assert_eq!(said.matches("waiting for the database").count(), 1, "{said}");
}

#[tokio::test]
async fn what_waiting_cannot_mend_ends_the_process_with_a_word() {
    let database = Database::start(Kind::Valkey8, Options::default());
    let run = |partitions: &str| {
        let mut command = Command::new(binary::path());
        command.args(["stock", "--store", &database.url(), "--peer", "order=127.0.0.1:1", "--port", "0"]);
        command.args(["--internal-listen", "0", "--partitions", partitions]);
        command
    };
    let folder = tempfile::tempdir().expect("a directory");
    let log = folder.path().join("log");
    let mut first = Process::start(run("4"), &log);
    until("the data are described", async || {
        let keys: usize = database.ask(&["DBSIZE"]);
        keys > 0
    })
    .await;
    first.terminate(PATIENCE);
    let mut other = run("3");
    let output = tokio::task::spawn_blocking(move || other.output()).await.expect("no panic").expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("have 4 partitions, not 3"), "{said}");
}
