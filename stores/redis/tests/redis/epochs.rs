//! Epochs: what restarts and promotions do to heads and to the numbers of events.

use bytes::Bytes;
use saga::{
    Store,
    store::{
        Commit, Error, Visibility,
        position::{epoch_of, follows, sequence_of},
    },
};
use test_servers::{Kind, Options, Server};

use crate::{
    deployment::Deployment,
    steps::{append, append_in_the_end, event, load_in_the_end, log},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_loses_nothing_and_begins_an_epoch_that_goes_on_counting() {
    let mut deployment = Deployment::single(Kind::Valkey8);
    let store = deployment.open("order", 1).await.expect("opens");
    for text in ["a", "b"] {
        append(&store, text).await.expect("works");
    }
    let before = store.load(0, &[]).await.expect("works");
    assert_eq!((before.head, before.log_end), (2, 2), "the first epoch is 0");
    deployment.crash();
    let after = load_in_the_end(&store).await;
    assert!(epoch_of(after.head) > 0);
    assert_eq!(epoch_of(after.head), epoch_of(after.log_end));
    assert_eq!((sequence_of(after.head), sequence_of(after.log_end)), (2, 2));
    append(&store, "c").await.expect("works");
    let log = log(&store).await;
    assert_eq!(log.iter().map(|entry| entry.event.clone()).collect::<Vec<Bytes>>(), ["a", "b", "c"]);
    assert_eq!(log[1].position, 2);
    assert_eq!(log[2].position, after.log_end + 1);
    assert!(follows(log[1].position, log[2].position));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_seen_in_the_old_epoch_may_not_be_built_on() {
    let mut deployment = Deployment::single(Kind::Redis7);
    let store = deployment.open("order", 1).await.expect("opens");
    let head = append(&store, "a").await.expect("works").head;
    deployment.crash();
    // Not loaded before: the commit itself has to notice. The first answers may be that the connection is gone.
    let answer = loop {
        match store.commit(0, event(head, "stale")).await {
            Err(Error::Failed(_)) => {}
            answer => break answer,
        }
    };
    assert!(matches!(answer, Err(Error::Conflict)), "{answer:?}");
    assert!(matches!(store.commit(0, event(head, "stale")).await, Err(Error::Conflict)));
    let now = store.load(0, &["last".into()]).await.expect("works");
    assert_eq!(now.records, [Some("a".into())]);
    assert!(store.commit(0, event(now.head, "fresh")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trim_in_a_later_epoch_takes_the_events_of_earlier_ones() {
    let mut deployment = Deployment::single(Kind::Valkey8);
    let store = deployment.open("order", 1).await.expect("opens");
    for text in ["a", "b"] {
        append(&store, text).await.expect("works");
    }
    deployment.crash();
    append_in_the_end(&store, "c").await;
    let last = append(&store, "d").await.expect("works");
    let third = log(&store).await[2].position;
    let trim = Commit { expected_head: last.head, trim: 1, ..Commit::default() };
    let trimmed = store.commit(0, trim).await.expect("works");
    assert_eq!(log(&store).await.len(), 3, "a trim in the old epoch takes nothing of the new one");
    let trim = Commit { expected_head: trimmed.head, trim: third, ..Commit::default() };
    store.commit(0, trim).await.expect("works");
    let left = log(&store).await;
    assert_eq!(left.iter().map(|entry| entry.event.clone()).collect::<Vec<Bytes>>(), ["d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_becomes_a_replica_is_neither_written_nor_read() {
    let server = Server::start(Kind::Valkey8, Options::default());
    let deployment = Deployment::Single(server);
    let store = deployment.open("order", 1).await.expect("opens");
    append(&store, "a").await.expect("works");
    let other = Server::start(Kind::Valkey8, Options::default());
    let Deployment::Single(server) = &deployment else { unreachable!() };
    let () = server.ask(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
    assert!(matches!(store.load(0, &[]).await, Err(Error::Failed(_))));
    assert!(matches!(store.commit(0, event(1, "b")).await, Err(Error::Failed(_))));
    assert!(matches!(store.read_log(0, 0, 1, Visibility::Committed).await, Err(Error::Failed(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_emptied_is_never_taken_for_a_new_one() {
    let deployment = Deployment::single(Kind::Valkey8);
    let store = deployment.open("order", 1).await.expect("opens");
    append(&store, "a").await.expect("works");
    let Deployment::Single(server) = &deployment else { unreachable!() };
    let () = server.ask(&["FLUSHALL"]);
    // Until the store is opened anew, on purpose.
    assert!(matches!(store.commit(0, event(1, "b")).await, Err(Error::Poisoned(_))));
    assert!(matches!(store.load(0, &[]).await, Err(Error::Poisoned(_))));
}
