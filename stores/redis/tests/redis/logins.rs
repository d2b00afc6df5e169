//! Users, passwords, certificates: what lets a store in, and what it says of what does not.

use std::fs;

use saga::Store;
use saga_store_redis::{Login, OpenError, Options, RedisStore, Secret, TlsFiles};
use test_servers::{Certificates, Kind, Sentinels, Server};

use crate::steps::{append, append_in_the_end, texts, until};

fn server(options: test_servers::Options) -> Server {
    Server::start(Kind::Valkey8, options)
}

fn encrypted() -> (Certificates, test_servers::Options) {
    let certificates = Certificates::make();
    let options =
        test_servers::Options { certificates: Some(certificates.clone()), ..test_servers::Options::default() };
    (certificates, options)
}

fn login(username: &str, password: &str) -> Login {
    Login { username: Some(username.to_owned()), password: Some(Secret::Value(password.to_owned())) }
}

async fn denied(options: Options) -> String {
    match RedisStore::open(options).await {
        Err(error @ OpenError::Denied(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Waits until the store says that it does not work, in such words.
async fn trouble(store: &RedisStore, words: &[&str]) -> String {
    let says = |reason: &String| words.iter().all(|word| reason.contains(word));
    until(&format!("{words:?}"), || store.trouble().as_ref().is_some_and(says)).await;
    store.trouble().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_replaced_in_its_file_is_used_at_the_next_connection() {
    let password = Some("first".to_owned());
    let server = server(test_servers::Options { password, ..test_servers::Options::default() });
    let mut admin = server.connect().expect("with the first password");
    let mut ask = |words: &[&str]| {
        let answer: redis::RedisResult<redis::Value> = redis::cmd(words[0]).arg(&words[1..]).query(&mut admin);
        answer.expect("works");
    };
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("password");
    fs::write(&file, "first\n").expect("writes");
    let login = Login { password: Some(Secret::File(file.clone())), ..Login::default() };
    let store = RedisStore::open(Options { login, ..Options::new(server.url(), "order", 1) }).await.expect("opens");
    append(&store, "a").await.expect("works");
    ask(&["CONFIG", "SET", "requirepass", "second"]);
    append(&store, "b").await.expect("who is connected stays so");
    ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let file_name = file.display().to_string();
    let reason = trouble(&store, &["does not accept the password", "WRONGPASS", &file_name]).await;
    assert!(!reason.contains("first"), "{reason}");
    fs::write(&file, "second").expect("writes");
    append_in_the_end(&store, "c").await;
    assert_eq!(texts(&store).await, ["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_store_out_is_called_by_its_name() {
    let server = server(test_servers::Options::default());
    let () = server.ask(&["ACL", "SETUSER", "order", "on", ">right", "~*", "+@all", "-fcall"]);
    let () = server.ask(&["ACL", "SETUSER", "off", "off", ">right", "~*", "+@all"]);
    let options = |login| Options { login, ..Options::new(server.url(), "order", 1) };
    let reason = denied(options(login("order", "wrong"))).await;
    assert!(reason.contains("password of user order") && reason.contains("WRONGPASS"), "{reason}");
    assert!(denied(options(login("off", "right"))).await.contains("password of user off"));
    let reason = denied(options(login("order", "right"))).await;
    assert!(reason.contains("no permissions") && reason.contains("fcall") && reason.contains("rights"), "{reason}");
    let reason = denied(Options::new(format!("{}/99", server.url()), "order", 1)).await;
    assert!(reason.contains("no database 99"), "{reason}");
    let absent = Login { password: Some(Secret::File("/no/such/file".into())), ..Login::default() };
    assert!(denied(options(absent)).await.contains("/no/such/file"));
    let () = server.ask(&["CONFIG", "SET", "requirepass", "something"]);
    assert!(denied(options(Login::default())).await.contains("NOAUTH"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_taken_away_are_named_and_their_return_is_noticed() {
    let server = server(test_servers::Options::default());
    let () = server.ask(&["ACL", "SETUSER", "order", "on", ">right", "~*", "+@all"]);
    let url = server.url().replace("://", "://order@");
    let login = Login { password: Some(Secret::Value("right".to_owned())), ..Login::default() };
    let store = RedisStore::open(Options { login, ..Options::new(url, "order", 1) }).await.expect("opens");
    append(&store, "a").await.expect("works");
    let () = server.ask(&["ACL", "SETUSER", "order", "-fcall"]);
    trouble(&store, &["may not do", "User order has no permissions"]).await;
    let refused = append(&store, "b").await.expect_err("not allowed").to_string();
    assert!(refused.contains("no permissions to run the 'fcall'"), "{refused}");
    let () = server.ask(&["ACL", "SETUSER", "order", "+fcall"]);
    append_in_the_end(&store, "c").await;
    // A user that is gone takes its connections with it.
    let () = server.ask(&["ACL", "DELUSER", "order"]);
    trouble(&store, &["password of user order"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_store_believes_its_authority_only() {
    let (certificates, options) = encrypted();
    let server = server(options);
    let with = |tls: TlsFiles, url: String| Options { tls, ..Options::new(url, "order", 1) };
    let tls = TlsFiles { authority: Some(certificates.authority()), ..TlsFiles::default() };
    let store = RedisStore::open(with(tls.clone(), server.encrypted_url())).await.expect("opens");
    append(&store, "a").await.expect("works");
    assert_eq!(texts(&store).await, ["a"]);

    // The system's authorities, and one of somebody else's.
    let others = Certificates::make();
    let stranger = TlsFiles { authority: Some(others.authority()), ..TlsFiles::default() };
    for wrong in [TlsFiles::default(), stranger] {
        let reason = denied(with(wrong, server.encrypted_url())).await;
        assert!(reason.contains("certificate"), "{reason}");
    }
    let absent = TlsFiles { authority: Some("/no/such/file".into()), ..TlsFiles::default() };
    assert!(denied(with(absent, server.encrypted_url())).await.contains("/no/such/file"));
    let error = RedisStore::open(with(tls, server.url())).await.expect_err("for nothing");
    assert!(matches!(&error, OpenError::Options(reason) if reason.contains("rediss")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_a_certificate_gets_one() {
    let (certificates, options) = encrypted();
    let server = server(test_servers::Options { wants_certificates: true, ..options });
    let identity = |certificates: &Certificates| Some((certificates.certificate(), certificates.key()));
    let open = |identity| {
        let tls = TlsFiles { authority: Some(certificates.authority()), identity };
        Options { tls, ..Options::new(server.encrypted_url(), "order", 1) }
    };
    let store = RedisStore::open(open(identity(&certificates))).await.expect("opens");
    append(&store, "a").await.expect("works");
    let others = Certificates::make();
    for wrong in [None, identity(&others)] {
        let reason = denied(open(wrong)).await;
        assert!(reason.contains("certificate"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_have_logins_and_encryption_of_their_own() {
    let (certificates, options) = encrypted();
    let options = test_servers::Options {
        password: Some("of the data".to_owned()),
        sentinel_password: Some("of-the-sentinels".to_owned()),
        ..options
    };
    let mut group = Sentinels::start(Kind::Valkey8, 1, &options);
    let first = group.primary_port();
    let login = Login { password: Some(Secret::Value("of the data".to_owned())), ..Login::default() };
    let sentinel_login = self::login("watcher", "of-the-sentinels");
    let tls = TlsFiles { authority: Some(certificates.authority()), ..TlsFiles::default() };
    let right = Options { login, sentinel_login, tls, ..Options::new(group.url(), "order", 1) };
    let reason = denied(Options { sentinel_login: Login::default(), ..right.clone() }).await;
    assert!(reason.contains("no sentinel") && reason.contains("NOAUTH"), "{reason}");
    let reason = denied(Options { sentinel_login: self::login("watcher", "wrong"), ..right.clone() }).await;
    assert!(reason.contains("password of user watcher"), "{reason}");
    let reason = denied(Options { login: Login::default(), ..right.clone() }).await;
    assert!(reason.contains("NOAUTH") && !reason.contains("no sentinel"), "{reason}");

    let store = RedisStore::open(right).await.expect("opens");
    append(&store, "a").await.expect("works");
    let replicas: u64 = group.primary().ask(&["WAIT", "1", "10000"]);
    assert_eq!(replicas, 1);
    group.primary().kill();
    let _ = group.wait_for_failover_from(first);
    append_in_the_end(&store, "b").await;
    assert_eq!(texts(&store).await, ["a", "b"]);
    assert!(store.durability().poisoned().is_none());
}
