//! Servers whose settings break the promise, when a store is opened or while it runs, and servers without memory.

use std::time::Duration;

use saga::{Member, Members, Store, store::Error};
use saga_store_redis::{Options, Promise, RedisStore};
use test_servers::{Kind, Server};

use crate::steps::{append, append_in_the_end, event, texts, until};

fn server(settings: &[(&str, &str)]) -> Server {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Server::start(Kind::Valkey8, test_servers::Options { settings, ..test_servers::Options::default() })
}

async fn open(server: &Server, promise: Promise) -> Result<RedisStore, String> {
    let opened = RedisStore::open(Options { promise, ..Options::new(server.url(), "order", 1) }).await;
    opened.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_flush_while_it_rewrites_is_refused_where_that_breaks_the_promise() {
    let lazy = server(&[("no-appendfsync-on-rewrite", "yes")]);
    let error = open(&lazy, Promise::Always).await.expect_err("not always flushed");
    assert!(error.contains("set `no-appendfsync-on-rewrite no`"), "{error}");
    // Which asks for each flush, and promises none.
    open(&lazy, Promise::Replicated).await.expect("opens");
    open(&lazy, Promise::Everysec).await.expect("opens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_throw_something_away_is_refused() {
    for policy in ["allkeys-lru", "allkeys-random", "volatile-ttl"] {
        let error = open(&server(&[("maxmemory-policy", policy)]), Promise::Always).await.expect_err(policy);
        assert!(error.contains("set `maxmemory-policy noeviction`"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_that_is_broken_while_the_store_runs_stops_it_until_it_is_kept_again() {
    for (name, broken, right) in [
        ("appendfsync", "everysec", "always"),
        ("no-appendfsync-on-rewrite", "yes", "no"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
        ("appendonly", "no", "yes"),
    ] {
        let server = server(&[]);
        let store = open(&server, Promise::Always).await.expect("opens");
        append(&store, "a").await.expect("works");
        let () = server.ask(&["CONFIG", "SET", name, broken]);
        until("the store says what is wrong", || store.trouble().is_some()).await;
        let reason = store.trouble().expect("a reason");
        assert!(reason.contains(&format!("set `{name} {right}`")), "{reason}");
        let refused = append(&store, "not durable").await.expect_err("nothing is acknowledged");
        assert!(matches!(&refused, Error::Failed(said) if *said == reason), "{refused}");
        // Nor for who would come now.
        assert_eq!(open(&server, Promise::Always).await.expect_err("refused"), reason);
        let () = server.ask(&["CONFIG", "SET", name, right]);
        until("the store works again", || store.trouble().is_none()).await;
        append(&store, "b").await.expect("works again");
        assert_eq!(texts(&store).await, ["a", "b"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_only_file_counts_once_it_holds_everything() {
    // Slow enough to be seen: two seconds for the few keys that there are.
    let server = server(&[("rdb-key-save-delay", "500000")]);
    let store = open(&server, Promise::Always).await.expect("opens");
    append(&store, "a").await.expect("works");
    let () = server.ask(&["CONFIG", "SET", "appendonly", "no"]);
    until("the store says what is wrong", || store.trouble().is_some()).await;
    let () = server.ask(&["CONFIG", "SET", "appendonly", "yes"]);
    assert_eq!(server.info("aof_rewrite_in_progress"), "1");
    until("the store sees that the file is being written", || {
        let reason = store.trouble();
        assert!(reason.is_some() || server.info("aof_rewrite_in_progress") == "0", "it works too early");
        reason.is_none_or(|reason| reason.contains("does not hold everything yet"))
    })
    .await;
    append_in_the_end(&store, "b").await;
    assert_eq!(server.info("aof_rewrite_in_progress"), "0");
}

/// Values that fill the server's memory until it takes no more.
fn fill(server: &Server) -> usize {
    let value = "x".repeat(64 * 1024);
    let full = |index: &usize| server.try_ask::<()>(&["SET", &format!("filler {index}"), &value]).is_err();
    (0..1000).find(full).expect("it gets full")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_memory_is_said_to_be_full_and_goes_on_with_what_runs() {
    let server = server(&[("maxmemory", "10mb")]);
    let store = open(&server, Promise::Always).await.expect("opens");
    let mut head = append(&store, "a").await.expect("works").head;
    assert_eq!(store.room(), Ok(()));
    let fillers = fill(&server);
    until("the store says that there is no room", || store.room().is_err()).await;
    assert!(store.room().expect_err("full").contains("maxmemory"));
    // The filler that was refused left a little room.
    let () = server.ask(&["CONFIG", "SET", "maxmemory", "5mb"]);
    assert!(server.try_ask::<()>(&["SET", "k", "v"]).is_err(), "nobody else gets any");
    // More than full: commits of what runs, expiry, the list of replicas, and replicas that start.
    for _ in 0..20 {
        head = store.commit(0, event(head, &"y".repeat(1024))).await.expect("goes on").head;
    }
    let trim = saga::store::Commit { trim: head - 1, expected_head: head, ..Default::default() };
    store.commit(0, trim).await.expect("trims");
    assert_eq!(texts(&store).await.len(), 1);
    store.residents(0).await.expect("reads");
    store
        .beat(&Member { id: 1, address: "here:1".to_owned(), is_fit: true }, Duration::from_secs(9))
        .await
        .expect("beats");
    store.leave(1).await.expect("leaves");
    let other = open(&server, Promise::Always).await.expect("opens");
    assert!(other.room().is_err());
    assert_eq!((store.trouble(), other.trouble()), (None, None));
    assert_eq!(store.load(0, &[]).await.expect("reads").head, head + 1);
    let () = server.ask(&["CONFIG", "SET", "maxmemory", "10mb"]);
    for index in 0..fillers {
        let () = server.ask(&["DEL", &format!("filler {index}")]);
    }
    until("there is room again", || store.room().is_ok()).await;
}
