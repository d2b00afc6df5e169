//! Opening a store: what is checked, and what is said when it is not right.

use std::time::Duration;

use saga::{Member, Members, Store};
use saga_store_redis::{Login, OpenError, Options, Promise, RedisStore, Secret};
use test_servers::{Fsync, Kind, Server, free_port};

use crate::steps::{append, texts};

fn server(options: test_servers::Options) -> Server {
    Server::start(Kind::Valkey8, options)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_partitions_is_fixed_when_the_data_are_made() {
    let server = server(test_servers::Options::default());
    let store = RedisStore::open(Options::new(server.url(), "order", 4)).await.expect("opens");
    append(&store, "a").await.expect("works");
    for wrong in [1, 3, 5] {
        let error = RedisStore::open(Options::new(server.url(), "order", wrong)).await.expect_err("another number");
        assert!(matches!(error, OpenError::Partitions { found: 4, .. }), "{error}");
    }
    let again = RedisStore::open(Options::new(server.url(), "order", 4)).await.expect("opens");
    assert_eq!(texts(&again).await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_a_format_that_is_not_known_are_left_alone() {
    let server = server(test_servers::Options::default());
    let () = server.ask(&["SET", "{order:0}:store", "saga-store 999 partitions 4"]);
    let error = RedisStore::open(Options::new(server.url(), "order", 4)).await.expect_err("another format");
    assert!(matches!(&error, OpenError::Format { found, .. } if found.contains("saga-store 999")), "{error}");
    assert_eq!(server.ask::<u64>(&["DBSIZE"]), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_password_opens_a_store() {
    let password = Some("open sesame".to_owned());
    let server = server(test_servers::Options { password: password.clone(), ..test_servers::Options::default() });
    let options = |password: Option<String>| {
        let login = Login { password: password.map(Secret::Value), ..Login::default() };
        Options { login, ..Options::new(server.url(), "order", 1) }
    };
    for wrong in [None, Some("guess".to_owned())] {
        let error = RedisStore::open(options(wrong)).await.expect_err("refused");
        assert!(matches!(error, OpenError::Denied(_)), "{error}");
        assert!(!error.to_string().contains("guess"), "{error}");
    }
    let store = RedisStore::open(options(password)).await.expect("opens");
    append(&store, "a").await.expect("works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_the_rights_that_the_readme_names_is_enough() {
    let readme = include_str!("../../README.md");
    let (_, after) = readme.split_once("ACL SETUSER ").expect("the README has the command");
    let rights = after.lines().next().expect("a line").split_whitespace();
    let server = server(test_servers::Options::default());
    let words: Vec<&str> = ["ACL", "SETUSER"].into_iter().chain(rights).collect();
    let () = server.ask(&words);
    let login = Login { username: Some("order".to_owned()), password: Some(Secret::Value("PASSWORD".to_owned())) };
    for promise in [Promise::Always, Promise::Replicated] {
        let options = Options { login: login.clone(), promise, ..Options::new(server.url(), "order", 2) };
        let store = RedisStore::open(options).await.expect("opens");
        append(&store, "a").await.expect("works");
        texts(&store).await;
        let me = Member { id: 1, address: "here:1".to_owned(), is_fit: true };
        store.beat(&me, Duration::from_secs(9)).await.expect("works");
        store.leave(1).await.expect("works");
    }
    let options = Options { login, ..Options::new(server.url(), "stock", 1) };
    assert!(RedisStore::open(options).await.is_err(), "another service's data");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_would_break_the_promise_is_refused() {
    let everysec = server(test_servers::Options { appendfsync: Fsync::Everysec, ..test_servers::Options::default() });
    let open =
        |server: &Server, promise| RedisStore::open(Options { promise, ..Options::new(server.url(), "order", 1) });
    let error = open(&everysec, Promise::Always).await.expect_err("it flushes later");
    assert!(error.to_string().contains("appendfsync always"), "{error}");
    open(&everysec, Promise::Everysec).await.expect("which is what that promises");
    let forgetful = server(test_servers::Options { appendonly: false, ..test_servers::Options::default() });
    for promise in [Promise::Always, Promise::Replicated, Promise::Everysec] {
        let error = open(&forgetful, promise).await.expect_err("it keeps nothing");
        assert!(error.to_string().contains("appendonly yes"), "{error}");
    }
    let settings = [("maxmemory", "100mb"), ("maxmemory-policy", "allkeys-lru")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cache = server(test_servers::Options { settings, ..test_servers::Options::default() });
    let error = open(&cache, Promise::Always).await.expect_err("it throws data away");
    assert!(error.to_string().contains("noeviction"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_make_no_sense_are_refused() {
    let error = |options| async move { RedisStore::open(options).await.expect_err("refused").to_string() };
    let url = format!("redis://127.0.0.1:{}", free_port());
    assert!(error(Options::new(url.clone(), "order", 0)).await.contains("at least one partition"));
    assert!(error(Options::new(url.clone(), "or}der", 1)).await.contains("letters"));
    assert!(error(Options::new("order", "order", 1)).await.contains("redis://[USER@]HOST:PORT"));
    assert!(error(Options::new(url, "order", 1)).await.contains("cannot be reached"));
    assert!("sometimes".parse::<Promise>().is_err());
    assert_eq!("replicated".parse(), Ok(Promise::Replicated));
}

#[tokio::test(flavor = "multi_thread")]
async fn services_and_databases_on_one_server_are_apart() {
    let server = server(test_servers::Options::default());
    let mut stores = Vec::new();
    for (url, service) in [(server.url(), "order"), (server.url(), "stock"), (format!("{}/3", server.url()), "order")] {
        stores.push(RedisStore::open(Options::new(url, service, 1)).await.expect("opens"));
    }
    for (index, store) in stores.iter().enumerate() {
        append(store, &format!("of {index}")).await.expect("works");
    }
    for (index, store) in stores.iter().enumerate() {
        assert_eq!(texts(store).await, [format!("of {index}")]);
        assert_eq!(store.load(0, &[]).await.expect("works").head, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_open_a_new_store_at_the_same_time_agree() {
    let server = server(test_servers::Options::default());
    let open = || tokio::spawn(RedisStore::open(Options::new(server.url(), "order", 4)));
    let opening: Vec<_> = (0..8).map(|_| open()).collect();
    for opened in opening {
        opened.await.expect("no panic").expect("opens");
    }
}
