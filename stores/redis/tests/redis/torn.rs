//! Partitions whose keys contradict each other, as a database that was put together from two histories has them.

use saga::{
    Store,
    store::{
        Error, Visibility,
        position::{epoch_of, follows},
    },
};
use saga_store_redis::{Examination, Options, RedisStore, Verdict};
use test_servers::{Kind, Server};

use crate::steps::{append, append_in_the_end, event, log, texts, until};

const META: &str = "{order:0}:meta";
const LOG: &str = "{order:0}:log";

fn options(server: &Server) -> Options {
    Options::new(server.url(), "order", 2)
}

/// A server, and a store with three events in partition 0.
async fn three_events() -> (Server, RedisStore) {
    let server = Server::start(Kind::Valkey8, test_servers::Options::default());
    let store = RedisStore::open(options(&server)).await.expect("opens");
    for text in ["a", "b", "c"] {
        append(&store, text).await.expect("works");
    }
    (server, store)
}

fn torn(result: Result<impl std::fmt::Debug, Error>, what: &str) {
    match result {
        Err(Error::Failed(reason)) => {
            assert!(reason.contains("contradicts itself") && reason.contains("order:0"), "{what}: {reason}");
            assert!(reason.contains("check-database"), "{what}: {reason}");
        }
        other => panic!("{what}: {other:?}"),
    }
}

/// Nothing is done with partition 0, everything with partition 1; `numbers` are those that contradict each other.
async fn is_left_alone(server: &Server, numbers: [&str; 2]) {
    let before: (Vec<String>, u64) = (server.ask(&["HGETALL", "{order:0}:records"]), server.ask(&["XLEN", LOG]));
    let store = RedisStore::open(options(server)).await.expect("opens for the other partitions");
    let trouble = store.trouble().expect("and says what is wrong");
    assert!(numbers.iter().all(|number| trouble.contains(number)), "{trouble}");
    store.load(1, &[]).await.expect("the other partition works");
    // The server was started again, so nobody has been here since.
    torn(store.load(0, &[]).await, "load");
    torn(store.residents(0).await, "residents");
    torn(store.read_log(0, 0, 9, Visibility::Committed).await, "read");
    for head in [2, 3, 4] {
        // A head that is not the partition's is a conflict whatever else is wrong with it.
        match store.commit(0, event(head, "x")).await {
            Err(Error::Conflict) => {}
            refused => torn(refused, "commit"),
        }
    }
    assert_eq!(before, (server.ask(&["HGETALL", "{order:0}:records"]), server.ask(&["XLEN", LOG])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_goes_on_where_meta_ends_is_refused_with_both_numbers_and_can_be_finished() {
    let (mut server, store) = three_events().await;
    // What a commit does, but for its last step.
    let () = server.ask(&["HSET", META, "head", "2", "end", "2"]);
    torn(store.commit(0, event(2, "x")).await, "a commit at the same home");
    torn(store.read_log(0, 0, 9, Visibility::Committed).await, "a reader at the same home");
    drop(store);
    server.restart();
    is_left_alone(&server, ["0-2", "0-3"]).await;

    let examination = Examination::open(options(&server)).await.expect("opens").expect("there are data");
    let state = examination.state(0).await.expect("answers");
    assert_eq!((state.verdict, state.end, state.log_end, state.right), (Verdict::Finish, 2, (0, 3), (3, 3)));
    assert_eq!(examination.state(1).await.expect("answers").verdict, Verdict::Whole);
    let store = RedisStore::open(options(&server)).await.expect("opens");
    assert_eq!(examination.repair(0).await.expect("answers").verdict, Verdict::Finish);
    assert_eq!(examination.state(0).await.expect("answers").verdict, Verdict::Whole);
    // The store that was there all the time goes on by itself.
    append_in_the_end(&store, "d").await;
    assert_eq!(texts(&store).await, ["a", "b", "c", "d"]);
    let fourth = log(&store).await[3].position;
    assert!(epoch_of(fourth) > 0 && follows(3, fourth), "who had consumed all goes on");
    until("the store works again", || store.trouble().is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_nothing_else_knows_of_can_be_dropped() {
    let (mut server, store) = three_events().await;
    drop(store);
    let () = server.ask(&["XADD", LOG, "0-4", "e", "never committed"]);
    let () = server.ask(&["XADD", LOG, "0-6", "e", "never committed", "e", "never committed"]);
    server.restart();
    is_left_alone(&server, ["0-3", "0-6"]).await;
    let examination = Examination::open(options(&server)).await.expect("opens").expect("there are data");
    assert_eq!(examination.repair(0).await.expect("answers").verdict, Verdict::Drop);
    let store = RedisStore::open(options(&server)).await.expect("opens");
    append(&store, "d").await.expect("works");
    assert_eq!(texts(&store).await, ["a", "b", "c", "d"]);
    let fourth = log(&store).await[3].position;
    assert!(follows(3, fourth) && !follows(4, fourth), "who had consumed what was dropped notices");
    server.restart();
    append_in_the_end(&store, "e").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_gone_are_not_made_up() {
    let (mut server, store) = three_events().await;
    drop(store);
    let () = server.ask(&["XDEL", LOG, "0-3"]);
    server.restart();
    is_left_alone(&server, ["0-3", "0-2"]).await;
    let examination = Examination::open(options(&server)).await.expect("opens").expect("there are data");
    let before: Vec<String> = server.ask(&["HGETALL", META]);
    assert_eq!(examination.repair(0).await.expect("answers").verdict, Verdict::Lost);
    assert_eq!(server.ask::<Vec<String>>(&["HGETALL", META]), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_decides_is_left_alone() {
    let (mut server, store) = three_events().await;
    drop(store);
    // Records of the fifth commit, a log of the fourth, meta of the third.
    let () = server.ask(&["XADD", LOG, "0-4", "e", "d"]);
    let () = server.ask(&["HSET", "{order:0}:cursors", "=/0", "5", "=/1", "5"]);
    server.restart();
    is_left_alone(&server, ["0-3", "0-4"]).await;
    let examination = Examination::open(options(&server)).await.expect("opens").expect("there are data");
    let before: Vec<String> = server.ask(&["HGETALL", META]);
    assert_eq!(examination.repair(0).await.expect("answers").verdict, Verdict::Unknown);
    assert_eq!(server.ask::<Vec<String>>(&["HGETALL", META]), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_whose_meta_is_gone_is_not_made_anew() {
    let (mut server, store) = three_events().await;
    drop(store);
    let () = server.ask(&["DEL", META]);
    server.restart();
    let store = RedisStore::open(options(&server)).await.expect("opens for the other partition");
    assert!(store.trouble().expect("says what is wrong").contains("{order:0}:meta is gone"));
    assert!(append(&store, "d").await.is_err());
    assert_eq!(server.ask::<u64>(&["EXISTS", META]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_trimmed_need_not_be_there() {
    let (mut server, store) = three_events().await;
    let trim = saga::store::Commit { trim: 3, expected_head: 3, ..Default::default() };
    store.commit(0, trim).await.expect("works");
    let () = server.ask(&["DEL", LOG]);
    server.restart();
    append_in_the_end(&store, "d").await;
    assert_eq!(texts(&store).await, ["d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_examination_shows_every_record_and_event_and_makes_nothing() {
    let (server, store) = three_events().await;
    let resident = saga::store::Write { key: "*r".into(), value: Some("resident".into()) };
    let commit = saga::store::Commit { expected_head: 3, writes: vec![resident], ..Default::default() };
    store.commit(0, commit).await.expect("works");
    let examination = Examination::open(options(&server)).await.expect("opens").expect("there are data");
    assert_eq!(examination.partitions(), 2);
    let (mut records, mut events) = (Vec::new(), Vec::new());
    examination.records(0, |key, value| records.push((key.clone(), value.clone()))).await.expect("answers");
    assert_eq!(records, [("last".into(), "c".into()), ("*r".into(), "resident".into())]);
    examination.events(0, |position, event| events.push((position, event.clone()))).await.expect("answers");
    assert_eq!(events, [(1, "a".into()), (2, "b".into()), (3, "c".into())]);
    let keys: u64 = server.ask(&["DBSIZE"]);
    assert!(Examination::open(Options::new(server.url(), "stock", 1)).await.expect("answers").is_none());
    assert_eq!(server.ask::<u64>(&["DBSIZE"]), keys);
}
