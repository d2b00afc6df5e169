//! The yardsticks answer what the load expects, and the durable one answers all who share a flush.

use std::time::Duration;

use super::*;
use crate::client::{Connection, Method, Target};

async fn connect(appender: Option<Appender>) -> Connection {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, appender));
    let target = Arc::new(Target::resolve(&url).await.unwrap());
    Connection::new(target, Duration::from_secs(10))
}

async fn checkout(mut connection: Connection) -> (u16, String) {
    connection.ensure_open().await.unwrap();
    let path = |path: &mut Vec<u8>| path.extend_from_slice(b"/orders/checkout/7");
    let answer = connection.exchange(Method::Post, path).await.unwrap();
    (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_bare_server_answers_a_checkout_with_a_constant() {
    assert_eq!(checkout(connect(None).await).await, (200, ANSWER.to_owned()));
}

#[tokio::test]
async fn the_durable_server_answers_a_checkout_with_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let appender = Appender::create(directory.path()).unwrap();
    assert_eq!(checkout(connect(Some(appender)).await).await, (200, ANSWER.to_owned()));
}

#[tokio::test]
async fn everyone_who_waits_for_a_flush_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let appender = Arc::new(Appender::create(directory.path()).unwrap());
    // More than the file's length in all, so that it is written round.
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16 {
        let appender = Arc::clone(&appender);
        tasks.spawn(async move {
            let record = vec![task; 512 * 1024];
            for _ in 0..12 {
                appender.append(&record).await.unwrap();
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    assert!(matches!(Appender::create(&missing), Err(Error::Io { .. })));
}
