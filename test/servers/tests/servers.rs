//! The servers do what tests rely on.

use std::{
    env,
    io::{BufRead, BufReader},
    net::TcpStream,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use test_servers::{Cluster, Kind, Options, Proxy, Sentinels, Server};

#[test]
fn every_kind_starts_and_is_the_version_that_it_says() {
    for (kind, version) in [(Kind::Valkey8, "valkey_version"), (Kind::Redis7, "redis_version")] {
        let server = Server::start(kind, Options::default());
        let (major, _) =
            server.info(version).split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a dot");
        assert_eq!(major, if kind == Kind::Valkey8 { "8" } else { "7" });
    }
}

#[test]
fn a_killed_server_comes_back_with_its_data_on_its_port() {
    let mut server = Server::start(Kind::Valkey8, Options::default());
    let port = server.port();
    let () = server.ask(&["SET", "key", "value"]);
    server.kill();
    assert!(server.try_ask::<String>(&["GET", "key"]).is_err());
    server.restart();
    assert_eq!(server.port(), port);
    assert_eq!(server.ask::<String>(&["GET", "key"]), "value");
}

#[test]
fn a_frozen_server_answers_once_it_is_thawed() {
    let server = Server::start(Kind::Valkey8, Options::default());
    let mut connection = server.connect().expect("it runs");
    server.freeze();
    connection.set_read_timeout(Some(Duration::from_millis(100))).expect("can be set");
    assert!(redis::cmd("PING").query::<String>(&mut connection).is_err());
    server.thaw();
    assert_eq!(server.ask::<String>(&["PING"]), "PONG");
}

#[test]
fn a_server_with_a_password_wants_it() {
    let options = Options { password: Some("hush hush".to_owned()), ..Options::default() };
    let server = Server::start(Kind::Redis7, options);
    assert_eq!(server.ask::<String>(&["PING"]), "PONG");
    let client = redis::Client::open(server.url()).expect("an address");
    let refused = client.get_connection().and_then(|mut bare| redis::cmd("PING").query::<String>(&mut bare));
    assert!(refused.is_err());
}

#[test]
fn sentinels_promote_the_replica_of_a_killed_primary() {
    let mut group = Sentinels::start(Kind::Valkey8, 1, &Options::default());
    let before = group.primary_port();
    assert_eq!(before, group.servers[0].port());
    group.primary().kill();
    let after = group.wait_for_failover_from(before);
    assert_eq!(after, group.servers[1].port());
    group.primary().wait_for_info("role", "master");
}

#[test]
fn a_cluster_serves_every_slot() {
    let cluster = Cluster::start(Kind::Valkey8, &Options::default());
    assert_eq!(cluster.primaries.len(), 3);
    // Two keys of which one is the first node's and one is not.
    assert_eq!(cluster.primaries[0].ask::<u16>(&["CLUSTER", "KEYSLOT", "b"]), 3300);
    let () = cluster.primaries[0].ask(&["SET", "b", "1"]);
    let moved = cluster.primaries[0].try_ask::<()>(&["SET", "a", "1"]).expect_err("another node's key");
    assert!(moved.to_string().to_lowercase().contains("moved"), "{moved}");
}

#[test]
fn a_cut_proxy_loses_what_is_sent_and_works_again_once_mended() {
    let server = Server::start(Kind::Valkey8, Options::default());
    let proxy = Proxy::to(server.port());
    let set = |value: &str| {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", proxy.port()))?;
        let mut connection = client.get_connection_with_timeout(Duration::from_millis(200))?;
        connection.set_read_timeout(Some(Duration::from_millis(200)))?;
        redis::cmd("SET").arg("key").arg(value).query::<()>(&mut connection)
    };
    set("whole").expect("nothing is cut");
    proxy.cut();
    assert!(set("cut").is_err());
    assert_eq!(server.ask::<String>(&["GET", "key"]), "whole");
    proxy.mend();
    thread::sleep(Duration::from_millis(50));
    set("mended").expect("works again");
}

/// Set in the process that the next test starts: the same program once more, to be killed.
const CHILD: &str = "TEST_SERVERS_CHILD";

#[test]
fn a_server_ends_with_a_test_that_is_killed() {
    if env::var_os(CHILD).is_some() {
        let server = Server::start(Kind::Valkey8, Options::default());
        println!("\nport {}", server.port());
        // It is killed long before.
        thread::sleep(Duration::from_secs(60));
        return;
    }
    let mut child = Command::new(env::current_exe().expect("a test is a program"))
        .args(["--exact", "a_server_ends_with_a_test_that_is_killed", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started again");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut ports = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("port ")?.parse::<u16>().ok());
    let port = ports.next().expect("the child starts a server");
    TcpStream::connect(("127.0.0.1", port)).expect("the server runs");
    child.kill().expect("it runs");
    child.wait().expect("it has been killed");
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_ok() {
        assert!(started.elapsed() < Duration::from_secs(20), "the server still runs");
        thread::sleep(Duration::from_millis(10));
    }
}
