//! More connections than there is room for, and clients that do not read.

use std::{fs, net::SocketAddr, time::Duration};

use tokio::time::{Instant, sleep};
use web::server::Settings;

use crate::client::{Connection, Server, request};

const LONG: Duration = Duration::from_secs(60);

async fn serve_for(connections_max: usize, per_address_max: usize) -> Server {
    let settings =
        Settings { connections_max, connections_per_address_max: Some(per_address_max), ..Settings::default() };
    Server::start_with(settings, Duration::ZERO).await
}

async fn is_answered(connection: &mut Connection) -> bool {
    connection.try_send(request("GET /livez")).await && connection.status_or_end().await == Some(200)
}

#[tokio::test]
async fn silent_connections_shut_nobody_out() {
    let server = serve_for(50, 1000).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(server.connect().await);
    }
    let mut regular = server.connect().await;
    assert!(is_answered(&mut regular).await);
    for _ in 0..200 {
        let mut other = server.connect().await;
        assert!(is_answered(&mut other).await);
        silent.push(other);
    }
    // All that came since asked for something too, and were silent for longer.
    assert!(server.counted("sagamart_http_connections_closed_total{reason=\"pressure\"}") >= 150);
    assert!(server.counted("sagamart_http_connections") <= 50);
    assert!(silent[0].closes_within(LONG).await, "the first that never asked has gone");
}

#[tokio::test]
async fn a_connection_with_a_running_request_is_not_closed_for_another() {
    let server = serve_for(3, 1000).await;
    let mut running = Vec::new();
    for _ in 0..3 {
        let mut connection = server.connect().await;
        connection.send(request("GET /toy/wait/1500")).await;
        running.push(connection);
    }
    sleep(Duration::from_millis(300)).await;
    // It has to wait for one of them, and then takes its place.
    let mut other = server.connect().await;
    assert!(is_answered(&mut other).await);
    for connection in &mut running {
        assert_eq!(connection.reply().await.text(), "waited");
    }
}

#[tokio::test]
async fn one_address_has_its_bound_and_the_others_their_room() {
    let server = serve_for(20, 5).await;
    let mut own = Vec::new();
    for _ in 0..5 {
        let mut connection = server.connect().await;
        assert!(is_answered(&mut connection).await);
        own.push(connection);
    }
    for _ in 0..3 {
        assert!(server.connect().await.closes_within(LONG).await, "one too many");
    }
    assert_eq!(server.counted("sagamart_http_connections_closed_total{reason=\"address\"}"), 3);
    assert!(is_answered(&mut server.connect_from([127, 0, 0, 2]).await).await);
    assert!(is_answered(&mut own[0]).await, "those that it has stay");
    drop(own.pop());
    let mut next = server.connect().await;
    let deadline = Instant::now() + LONG;
    while !is_answered(&mut next).await {
        assert!(Instant::now() < deadline);
        next = server.connect().await;
    }
}

/// How many bytes the kernel keeps that one side has sent and the other has not taken in, by `/proc/net/tcp`.
fn unread_bytes(from: SocketAddr, to: SocketAddr) -> usize {
    let port = |address: SocketAddr| format!(":{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let line = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|fields| {
        fields.get(1).is_some_and(|local| local.ends_with(&port(from)))
            && fields.get(2).is_some_and(|remote| remote.ends_with(&port(to)))
    });
    let queues = line.expect("the connection is in the table")[4].to_owned();
    usize::from_str_radix(queues.split(':').next().unwrap(), 16).unwrap()
}

#[tokio::test]
async fn replies_that_nobody_reads_are_bounded_in_the_kernel_too() {
    let server = Server::start().await;
    // Only then does it surely serve: the kernel may take connections before.
    server.ask("GET /livez").await;
    let mut connection = server.connect().await;
    let client = connection.local_address();
    let (sender, _receiver) = connection.split();
    let asking = tokio::time::timeout(Duration::from_secs(4), async {
        for _ in 0..5000 {
            sender.send(request("GET /openapi.json")).await;
        }
    });
    let _ = asking.await;
    let unread = unread_bytes(server.address, client);
    assert!(unread > 0, "all was read, so this tests nothing");
    assert!(unread <= 256 * 1024, "{unread}");
}
