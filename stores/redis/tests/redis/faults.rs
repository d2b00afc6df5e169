//! Servers that die, freeze, or whose answers are lost.

use std::time::Duration;

use saga::{
    Store,
    store::{Commit, Error, Visibility},
};
use saga_store_redis::{Options, RedisStore};
use test_servers::{Kind, Proxy, Server};

use crate::steps::{append, append_in_the_end, event, load_in_the_end, texts, until};

fn server() -> Server {
    Server::start(Kind::Valkey8, test_servers::Options::default())
}

async fn open(url: String) -> RedisStore {
    let mut options = Options::new(url, "order", 2);
    // So that a test with a silent server takes no longer than it must.
    options.response_timeout = Duration::from_millis(500);
    RedisStore::open(options).await.expect("opens")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_a_passing_fault_and_everything_acknowledged_is_there_afterwards() {
    let mut server = server();
    let store = open(server.url()).await;
    append(&store, "a").await.expect("works");
    assert_eq!(store.trouble(), None);
    server.kill();
    assert!(matches!(store.load(0, &[]).await, Err(Error::Failed(_))));
    assert!(matches!(store.commit(0, event(1, "b")).await, Err(Error::Failed(_))));
    assert!(matches!(store.read_log(0, 0, 9, Visibility::Durable).await, Err(Error::Failed(_))));
    assert!(!store.is_certain(), "a commit that failed may have been applied");
    until("the store says that it has no answer", || store.trouble().is_some()).await;
    server.restart();
    append_in_the_end(&store, "c").await;
    assert_eq!(texts(&store).await, ["a", "c"]);
    until("the store says that it has answers again", || store.trouble().is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_fails_calls_in_time_and_may_apply_them_when_it_wakes() {
    let server = server();
    let store = open(server.url()).await;
    let head = append(&store, "a").await.expect("works").head;
    server.freeze();
    assert!(matches!(store.commit(0, event(head, "late")).await, Err(Error::Failed(_))));
    server.thaw();
    let now = load_in_the_end(&store).await;
    // It was on its way: the head says whether it arrived, and it cannot arrive after another commit.
    let late = now.head > head;
    assert_eq!(now.records, [Some(if late { "late" } else { "a" }.into())]);
    append_in_the_end(&store, "b").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(texts(&store).await.last().map(AsRef::as_ref), Some(&b"b"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_failed_and_not_conflicting() {
    let server = server();
    let proxy = Proxy::to(server.port());
    let store = open(format!("redis://127.0.0.1:{}", proxy.port())).await;
    let head = append(&store, "a").await.expect("works").head;
    proxy.cut_answers();
    assert!(matches!(store.commit(0, event(head, "applied")).await, Err(Error::Failed(_))));
    proxy.mend();
    let now = load_in_the_end(&store).await;
    assert_eq!((now.head, now.records), (head + 1, vec![Some("applied".into())]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_no_log_poisons_the_store() {
    let server = server();
    let store = open(server.url()).await;
    let head = append(&store, "a").await.expect("works").head;
    let () = server.ask(&["SET", "{order:0}:log", "what is this"]);
    assert!(matches!(store.read_log(0, 0, 9, Visibility::Committed).await, Err(Error::Poisoned(_))));
    assert!(matches!(store.commit(0, event(head, "b")).await, Err(Error::Poisoned(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_the_service_does_not_have_is_poison() {
    let server = server();
    let store = open(server.url()).await;
    assert!(matches!(store.load(2, &[]).await, Err(Error::Poisoned(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_somebody_removed_are_loaded_again() {
    let server = server();
    let store = open(server.url()).await;
    append(&store, "a").await.expect("works");
    let () = server.ask(&["FUNCTION", "FLUSH"]);
    append(&store, "b").await.expect("works all the same");
    assert_eq!(texts(&store).await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_trimmed_stays_small_on_the_server() {
    let server = server();
    let store = open(server.url()).await;
    for head in 0..600 {
        store.commit(0, Commit { trim: head, ..event(head, "event") }).await.expect("works");
    }
    assert_eq!(texts(&store).await.len(), 1, "the last event, which was not trimmed");
    // Whole blocks of the stream are dropped, of a hundred entries each.
    let entries: u64 = server.ask(&["XLEN", "{order:0}:log"]);
    assert!(entries <= 200, "{entries} entries are left");
}
