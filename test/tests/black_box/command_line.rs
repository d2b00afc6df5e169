//! The command line, as a person meets it.

use std::{net::TcpListener, process::Command};

use sagamart_black_box::{Exit, Fixture, Outcome, Server, Settings, Store, binary};

fn run(arguments: &[&str]) -> Exit {
    let output = Command::new(binary::path()).args(arguments).output().expect("the binary runs");
    Exit {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn help_names_every_option_with_its_variable() {
    let help = run(&["serve", "--help"]);
    assert!(help.status.success(), "{help:?}");
    for (option, variable) in [
        ("--listen", "SAGAMART_LISTEN"),
        ("--store", "SAGAMART_STORE"),
        ("--drain-timeout", "SAGAMART_DRAIN_TIMEOUT"),
        ("--checkout-timeout", "SAGAMART_CHECKOUT_TIMEOUT"),
        ("--partitions", "SAGAMART_PARTITIONS"),
        ("--threads", "SAGAMART_THREADS"),
        ("--engine-threads", "SAGAMART_ENGINE_THREADS"),
        ("--log", "SAGAMART_LOG"),
    ] {
        assert!(help.stdout.contains(option) && help.stdout.contains(variable), "{option}: {}", help.stdout);
    }
    assert!(help.stdout.contains("127.0.0.1:8000") && help.stdout.contains("./sagamart-data"), "{}", help.stdout);
    let overview = run(&["--help"]);
    assert!(overview.status.success() && overview.stdout.contains("serve"), "{overview:?}");
}

#[test]
fn the_version_is_told() {
    let version = run(&["--version"]);
    assert!(version.status.success());
    let numbers = version.stdout.trim().strip_prefix("sagamart ").expect("name and version").split('.');
    assert!(numbers.count() == 3 && version.stdout.ends_with('\n'), "{version:?}");
}

#[test]
fn a_wrong_option_is_named_and_nothing_is_started() {
    for arguments in [
        &["serve", "--listen", "nowhere"] as &[&str],
        &["serve", "--listen", ":8055"],
        &["serve", "--port", "http"],
        &["stock", "--store", "memory:", "--peer", "warehouse=127.0.0.1:1"],
        &["stock", "--store", "memory:", "--peer", "127.0.0.1:1"],
        &["serve", "--store", "floppy"],
        &["serve", "--partitions", "0"],
        &["serve", "--partitions", "many"],
        &["serve", "--checkout-timeout", "0"],
        &["serve", "--checkout-timeout", "-1"],
        &["sell"],
    ] {
        let exit = run(arguments);
        assert_eq!(exit.status.code(), Some(2), "{arguments:?}: {exit:?}");
        let wrong = arguments.last().expect("arguments");
        let named = exit.stderr.contains(wrong) || arguments.iter().any(|word| exit.stderr.contains(word));
        assert!(named && exit.stdout.is_empty(), "{arguments:?}: {exit:?}");
    }
}

#[tokio::test]
async fn an_address_in_use_is_named_and_the_data_left_alone() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address").to_string();
    let directory = tempfile::tempdir().expect("a directory");
    let settings = Settings { listen: address.clone(), ..Settings::default() };
    let exit = Server::refused_start(&settings, directory.path()).await;
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    assert!(exit.stderr.contains(&address) && exit.stderr.contains("--listen"), "{exit:?}");
    let internal = run(&[
        "stock",
        "--store",
        "memory:",
        "--peer",
        "order=127.0.0.1:1",
        "--port",
        "0",
        "--internal-listen",
        &address,
    ]);
    assert_eq!(internal.status.code(), Some(1), "{internal:?}");
    assert!(internal.stderr.contains(&address) && internal.stderr.contains("--internal-listen"), "{internal:?}");
}

#[test]
fn options_that_contradict_each_other_or_lack_something_are_named() {
    let stock = ["stock", "--store", "memory:"];
    for (arguments, said) in [
        (
            [stock.as_slice(), &["--peer", "order=127.0.0.1:1,payment=127.0.0.1:1"]].concat(),
            "no use for a peer payment",
        ),
        (
            [stock.as_slice(), &["--peer-stock", "127.0.0.1:1", "--peer-order", "127.0.0.1:1"]].concat(),
            "no use for a peer stock",
        ),
        (stock.to_vec(), "needs --peer order="),
        (
            [stock.as_slice(), &["--peer", "order=a:1", "--durability", "everysec"]].concat(),
            "--durability is for redis",
        ),
        ([stock.as_slice(), &["--peer", "order=a:1", "--store-password", "x"]].concat(), "for redis stores"),
        (vec!["stock", "--store", "embedded", "--peer", "order=a:1"], "embedded:DIRECTORY"),
        (vec!["serve", "--store", "redis://127.0.0.1:1"], "sagamart order"),
        (vec!["serve", "--store", "embedded:./a", "--data", "./b"], "./b"),
        (vec!["repair", "accept-loss", "order", "--store", "memory:"], "nothing to repair"),
        (vec!["check-database", "embedded:./a"], "check-data"),
    ] {
        let exit = run(&arguments);
        assert_eq!(exit.status.code(), Some(1), "{arguments:?}: {exit:?}");
        assert!(exit.stderr.contains(said) && exit.stdout.is_empty(), "{arguments:?}: {exit:?}");
    }
    let missing = run(&["stock", "--peer", "order=a:1"]);
    assert!(missing.status.code() == Some(2) && missing.stderr.contains("--store"), "{missing:?}");
}

#[test]
fn a_password_on_the_command_line_is_warned_of() {
    let arguments = ["stock", "--store", "memory:", "--peer", "order=a:1", "--store-password", "hunter2"];
    let exit = run(&arguments);
    assert!(exit.stderr.contains("--store-password-file") && exit.stderr.contains("visible"), "{exit:?}");
    assert!(!exit.stderr.contains("hunter2"), "{exit:?}");
    let output = Command::new(binary::path()).args(&arguments[..5]).env("SAGAMART_STORE_PASSWORD", "hunter2").output();
    let said = String::from_utf8_lossy(&output.expect("the binary runs").stderr).into_owned();
    assert!(!said.contains("visible"), "{said}");
}

/// A directory and the store can still be named as they once were.
#[tokio::test]
async fn the_directory_can_be_named_apart_from_the_store() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let data = |name: &str| ["--data".to_owned(), place(name)].to_vec();
    let stored = |name: &str| ["--store".to_owned(), "embedded".to_owned(), "--data".to_owned(), place(name)].to_vec();
    let environment = |name| vec![("SAGAMART_DATA", place(name)), ("SAGAMART_STORE", "embedded".to_owned())];
    for (name, arguments, environment) in [
        ("a", data("a"), Vec::new()),
        ("b", stored("b"), Vec::new()),
        ("c", Vec::new(), environment("c")),
        ("d", Vec::new(), environment("d").into_iter().take(1).collect()),
    ] {
        let settings = Settings { store: Store::Unsaid, arguments, environment, ..Settings::default() };
        let server = Server::start(&settings, directory.path()).await;
        assert!(directory.path().join(name).join("META").is_file(), "{name}");
        // Only then is all that it said sure to have come through the pipe.
        let exit = server.terminate().await;
        assert!(exit.status.success() && exit.stdout.contains(&place(name)), "{exit:?}");
    }
}

#[tokio::test]
async fn a_port_alone_is_an_address_and_can_be_given_apart() {
    let directory = tempfile::tempdir().expect("a directory");
    for (listen, arguments) in [("0", vec![]), ("127.0.0.1:1", vec!["--port".to_owned(), "0".to_owned()])] {
        let settings = Settings { listen: listen.to_owned(), arguments, store: Store::Memory, ..Settings::default() };
        let server = Server::start(&settings, directory.path()).await;
        assert!(server.terminate().await.status.success(), "{listen}");
    }
}

#[tokio::test]
async fn options_come_from_the_environment_too_and_the_command_line_wins() {
    let environment = vec![
        ("SAGAMART_LISTEN", "127.0.0.1:1".to_owned()),
        ("SAGAMART_STORE", "floppy".to_owned()),
        ("SAGAMART_CHECKOUT_TIMEOUT", "3".to_owned()),
        ("SAGAMART_PARTITIONS", "3".to_owned()),
        ("SAGAMART_LOG", "json".to_owned()),
    ];
    let fixture = Fixture::with(Settings { environment, ..Settings::default() }).await;
    // `--listen` and `--store` were given on the command line; the number of partitions was not, and is fixed now.
    let other = Server::refused_start(&Settings::partitions(2), fixture.data()).await;
    assert!(!other.status.success());
    let data = fixture.data().to_owned();
    let mut fixture = fixture;
    fixture.kill();
    let other = Server::refused_start(&Settings::partitions(2), &data).await;
    assert!(other.stderr.contains('3') && other.stderr.contains('2'), "{other:?}");
    fixture.settings = Settings::default();
    fixture.restart().await;
    let user = fixture.shop.user_with(1).await;
    assert_eq!(fixture.shop.credit(&user).await, 1);
}

#[tokio::test]
async fn what_it_suggests_to_try_works_as_printed() {
    let fixture = Fixture::new().await;
    let said = fixture.server().said();
    let (address, data) = (fixture.server().address().to_string(), fixture.data().to_string_lossy().into_owned());
    assert!(said.contains(&address), "{said}");
    assert!(said.contains(&data), "{said}");
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(lines.len(), 3, "{said}");
    for line in lines {
        let url = line.split_whitespace().find_map(|word| word.split_once(&address)).expect("the server's own address");
        let path = url.1.trim_end_matches(['\'', '"']);
        let answer = if line.contains("-X POST") {
            fixture.shop.client.post(path).await
        } else {
            fixture.shop.client.get(path).await
        };
        assert_eq!(answer.status, 200, "{line}: {answer:?}");
    }
}

#[tokio::test]
async fn the_memory_store_sells_as_well_and_keeps_nothing() {
    for partitions in [1, 4] {
        let mut fixture = Fixture::with(Settings { store: Store::Memory, ..Settings::partitions(partitions) }).await;
        let shop = fixture.shop.clone();
        let (user, item) = (shop.user_with(10).await, shop.item_with(3, 5).await);
        let order = shop.order_of(&user, &[(&item, 2)]).await;
        assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
        assert_eq!((shop.stock(&item).await, shop.credit(&user).await), (3, 4));
        let written = std::fs::read_dir(fixture.data()).expect("the directory").count();
        assert_eq!(written, 0, "nothing is written");
        fixture.restart().await;
        let answer = fixture.shop.client.get(&format!("/orders/find/{order}")).await;
        assert_eq!(answer.status, 404);
        let exit = fixture.take_server().terminate().await;
        assert!(exit.status.success(), "{exit:?}");
    }
}

#[tokio::test]
async fn the_shop_sells_on_the_threads_it_is_given_and_ends_in_order() {
    for (http, engine) in [(1, 0), (2, 0), (1, 1), (2, 3)] {
        let arguments = ["--threads", &http.to_string(), "--engine-threads", &engine.to_string()].map(str::to_owned);
        let settings = Settings { arguments: arguments.into(), ..Settings::partitions(2) };
        let mut fixture = Fixture::with(settings).await;
        let shop = fixture.shop.clone();
        let (user, item) = (shop.user_with(10).await, shop.item_with(3, 5).await);
        let order = shop.order_of(&user, &[(&item, 2)]).await;
        assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
        let names = threads_of(fixture.server().pid());
        let count = |name: &str| names.iter().filter(|other| other.trim() == name).count();
        assert_eq!((count("http"), count("engine")), (http, engine), "{names:?}");
        let exit = fixture.take_server().terminate().await;
        assert!(exit.status.success(), "{exit:?}");
        fixture.restart().await;
        assert_eq!((fixture.shop.stock(&item).await, fixture.shop.credit(&user).await), (3, 4));
    }
}

fn threads_of(pid: u32) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process");
    let paths = threads.map(|thread| thread.expect("a thread").path().join("comm"));
    paths.map(|path| std::fs::read_to_string(path).expect("a name")).collect()
}
