//! The data directory of a shop that has stopped, read by operators: nothing in it is changed, and it says what a server would.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use sagamart_black_box::{
    Client, Exit, Fixture, Market, Outcome, Server, Settings, binary,
    damage::{files, flip, snapshot, used_length},
};
use serde_json::Value;
use tokio::time::sleep;

use crate::history::{ask, lines, until};

/// Runs a command that reads a directory. A server that the environment names is not meant then.
fn read(data: &Path, arguments: &[&str]) -> Exit {
    let (mut command, temporary) = (Command::new(binary::path()), tempfile::tempdir().expect("a directory"));
    command.args(arguments).arg("--data").arg(data).env("TMPDIR", temporary.path());
    command.env("SAGAMART_ADMIN", "http://127.0.0.1:1").env("SAGAMART_SHOP", "http://127.0.0.1:1");
    let output = command.output().expect("the binary runs");
    assert_eq!(fs::read_dir(temporary.path()).expect("a directory").count(), 0, "something was left behind");
    Exit {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The lines of a command that ends well and has nothing to remark.
fn read_lines(data: &Path, arguments: &[&str]) -> Vec<String> {
    let exit = read(data, arguments);
    assert!(exit.status.success() && exit.stderr.is_empty(), "{arguments:?}: {exit:?}");
    exit.stdout.lines().map(str::to_owned).collect()
}

fn read_objects(data: &Path, arguments: &[&str]) -> Vec<Value> {
    read_lines(data, arguments).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn text<'value>(value: &'value Value, name: &str) -> &'value str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Every file with its content, and when it was written.
fn as_it_is(data: &Path) -> (BTreeMap<PathBuf, Vec<u8>>, Vec<SystemTime>) {
    let written = files(data).into_iter().map(|path| fs::metadata(path).and_then(|meta| meta.modified()));
    (snapshot(data), written.collect::<Result<_, _>>().expect("times"))
}

#[tokio::test]
async fn a_shop_that_was_stopped_says_from_its_directory_what_it_said_itself() {
    let mut fixture = Fixture::with(Settings::partitions(2)).await;
    let shop = &fixture.shop;
    let mut market = Market::default();
    let items = market.add_items(shop, 4, 2, 30).await;
    let users = market.add_users(shop, 8, 40).await;
    let wanted = users.iter().cycle().zip(items.iter().cycle().skip(1)).take(120);
    let wanted = wanted.map(|(user, item)| (user.clone(), vec![(item.clone(), 2)])).collect();
    market.place(shop, wanted).await;
    market.check_out(shop, 0, 16).await;
    let (item, user) = (items.first().expect("items").as_str(), users.first().expect("users").as_str());
    let orders: Vec<_> = market.orders.iter().map(|placed| placed.order.as_str()).step_by(17).collect();
    let mut commands = vec![
        vec!["ls", "--all", "--json"],
        vec!["ls", "--limit", "7"],
        vec!["ls", "--state", "cancelled", "--reason", "out-of-stock", "--json"],
        vec!["account", "item", item, "--all"],
        vec!["account", "user", user, "--json"],
        vec!["events"],
        vec!["events", "--json", "--after", "0-9"],
    ];
    commands.extend(orders.iter().map(|order| vec!["why", order]));
    let server = fixture.server();
    until("the history has all", async || lines(server, &["ls", "--all", "--json"]).len() == 120).await;
    let operators = Client::new(server.admin().expect("it lets operators in"));
    until("everybody has consumed everything", async || {
        let services: Value = operators.get("/services").await.json();
        let lists = |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let partitions = lists(&services, "services").into_iter().flat_map(|service| lists(&service, "partitions"));
        let consumers: Vec<_> = partitions.flat_map(|partition| lists(&partition, "consumers")).collect();
        !consumers.is_empty() && consumers.iter().all(|consumer| consumer.get("lag") == Some(&0.into()))
    })
    .await;
    let said: Vec<_> = commands.iter().map(|command| lines(server, command)).collect();
    assert!(market.count(0, "out-of-stock") > 0 && market.count(0, "succeeded") > 0, "there is something to explain");
    let exit = fixture.take_server().terminate().await;
    assert!(exit.status.success(), "{exit:?}");

    let (data, before) = (fixture.data(), as_it_is(fixture.data()));
    for (command, said) in commands.iter().zip(&said) {
        assert_eq!(&read_lines(data, command), said, "{command:?}");
    }
    let status = read_lines(data, &["status"]);
    let cancelled = 120 - market.count(0, "succeeded");
    let counted = format!("{} completed, {cancelled} cancelled, 0 open", market.count(0, "succeeded"));
    assert!(status.iter().any(|line| line.contains(&counted)), "{status:#?}");
    assert!(status.iter().any(|line| line.ends_with(": closed in order")), "{status:#?}");
    for service in ["order", "stock", "payment", "observer"] {
        assert!(status.iter().any(|line| line.trim_start().starts_with(service)), "{service}: {status:#?}");
    }
    let partitions = read_lines(data, &["status", "--partitions"]);
    assert!(partitions.iter().any(|line| line.trim_start().starts_with("stock/1 ")), "{partitions:#?}");
    assert!(as_it_is(data) == before, "something was changed");
    fixture.restart().await;
}

#[tokio::test]
async fn a_shop_that_was_killed_says_from_its_directory_what_became_of_every_checkout() {
    let mut fixture = Fixture::with(Settings::partitions(2)).await;
    let mut market = Market::default();
    let items = market.add_items(&fixture.shop, 6, 1, 100_000).await;
    let users = market.add_users(&fixture.shop, 6, 900).await;
    let (mut open, mut added) = (0, false);
    for round in 0..4_u64 {
        let wanted = users.iter().cycle().zip(items.iter().cycle().skip(1)).take(400);
        let wanted = wanted.map(|(user, item)| (user.clone(), vec![(item.clone(), 1)])).collect();
        let first = market.place(&fixture.shop, wanted).await;
        let shop = fixture.shop.clone();
        let killer = async {
            sleep(Duration::from_millis(30 + 25 * round)).await;
            fixture.kill();
        };
        tokio::join!(market.check_out(&shop, first, 32), killer);
        let before = as_it_is(fixture.data());
        let listed = read_objects(fixture.data(), &["ls", "--all", "--json"]);
        let known: BTreeMap<_, _> = listed.iter().map(|one| (text(one, "order_id"), one)).collect();
        for placed in market.orders.iter().skip(first) {
            let known = known.get(placed.order.as_str()).map(|one| (text(one, "state"), text(one, "reason")));
            match placed.answers.last().expect("each was asked for") {
                Outcome::Succeeded => assert_eq!(known, Some(("completed", "")), "{placed:?}"),
                Outcome::Refused(problem) => assert_eq!(known, Some(("cancelled", problem.slug.as_str()))),
                Outcome::Unknown(_) => open += 1,
            }
        }
        for (kind, ids) in [("item", &items), ("user", &users)] {
            let id = ids.first().expect("some");
            let exit = read(fixture.data(), &["account", kind, id, "--all"]);
            let verdict = exit.stdout.lines().last().unwrap_or_default();
            assert!(exit.status.success() && verdict.starts_with("it adds up"), "{verdict}: {:?}", exit.stderr);
        }
        let status = read_lines(fixture.data(), &["status"]);
        assert!(status.iter().any(|line| line.contains("not closed in order")), "{status:#?}");
        added |= status.iter().any(|line| line.contains("had not heard of yet were read from the logs"));
        assert!(as_it_is(fixture.data()) == before, "something was changed");
        fixture.restart().await;
        // What was decided by then is what the history says for good.
        let decided: Vec<_> = listed.into_iter().filter(|one| text(one, "state") != "open").collect();
        let server = fixture.server();
        until("the history has it all", async || {
            let now: Vec<Value> = lines(server, &["ls", "--all", "--json"])
                .iter()
                .map(|line| serde_json::from_str(line).expect("JSON"))
                .collect();
            let now: BTreeMap<_, _> = now.iter().map(|one| (text(one, "order_id"), one)).collect();
            decided.iter().all(|one| now.get(text(one, "order_id")).is_some_and(|known| outcome(known) == outcome(one)))
        })
        .await;
    }
    assert!(open > 0, "the kills hit running checkouts");
    assert!(added, "some of what had happened was in the logs alone");
}

fn outcome(one: &Value) -> [&str; 3] {
    ["state", "reason", "checkout_id"].map(|name| text(one, name))
}

#[tokio::test]
async fn a_write_that_was_cut_off_is_named_and_not_counted() {
    let mut fixture = Fixture::new().await;
    let shop = &fixture.shop;
    for _ in 0..20 {
        let order = shop.order_of(&shop.user_with(3).await, &[(&shop.item_with(3, 1).await, 1)]).await;
        assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
    }
    fixture.kill();
    let is_journal = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "journal");
    let journal = files(fixture.data()).into_iter().find(is_journal).expect("there is a journal");
    flip(&journal, used_length(&journal) - 1, 3);
    let before = as_it_is(fixture.data());
    let listed = read(fixture.data(), &["ls", "--all", "--json"]);
    assert!(listed.status.success(), "{listed:?}");
    assert!(listed.stderr.contains("was being written when the process ended"), "{listed:?}");
    let count = listed.stdout.lines().count();
    assert!((18..=20).contains(&count), "all but for what the last frame had: {count}");
    assert!(as_it_is(fixture.data()) == before, "something was changed");
    fixture.restart().await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_read_is_refused_in_words() {
    let mut fixture = Fixture::new().await;
    let refused = |data: &Path, arguments: &[&str], code: i32, said: &[&str]| {
        let exit = read(data, arguments);
        assert_eq!(exit.status.code(), Some(code), "{exit:?}");
        assert!(said.iter().all(|said| exit.stderr.contains(said)) && exit.stdout.is_empty(), "{said:?}: {exit:?}");
        assert_eq!(exit.stderr.lines().count(), 1, "{exit:?}");
    };
    let data = fixture.data().to_owned();
    let id = format!("another process ({})", fixture.server().pid());
    for command in [&["ls"] as &[&str], &["why", "a"], &["account", "item", "a"], &["events"], &["status"]] {
        refused(&data, command, 2, &["is in use by", &id, "--admin URL", &data.to_string_lossy()]);
    }
    let exit = fixture.take_server().terminate().await;
    assert!(exit.status.success(), "{exit:?}");

    refused(&data, &["why", "nobodys"], 1, &["no checkout of order nobodys is in the history"]);
    refused(&data, &["account", "item", "nobodys"], 1, &["there is no item nobodys"]);
    let nowhere = data.join("nowhere");
    refused(&nowhere, &["ls"], 2, &["there is no directory", &nowhere.to_string_lossy()]);
    assert!(!nowhere.exists(), "it was not made");
    let elsewhere = tempfile::tempdir().expect("a directory");
    fs::write(elsewhere.path().join("thesis.tex"), "forty-two").expect("a file");
    refused(elsewhere.path(), &["ls"], 2, &["is no database", &elsewhere.path().to_string_lossy()]);
    assert_eq!(files(elsewhere.path()).len(), 1, "nothing was made there");
    refused(&elsewhere.path().join("thesis.tex"), &["ls"], 2, &["is no database"]);

    let meta = data.join("META");
    let known = fs::read_to_string(&meta).expect("the file that names the format");
    fs::write(&meta, known.replacen(" 4\n", " 999\n", 1)).expect("it can be written");
    refused(&data, &["ls"], 2, &["\"999\"", "knows format"]);
    fs::write(&meta, &known).expect("it can be written");
    flip(&meta, 30, 2);
    refused(&data, &["ls"], 2, &["META", "corrupt", "check-data"]);
    fs::write(&meta, &known).expect("it can be written");

    for arguments in [
        &["ls", "--admin", "http://127.0.0.1:8010"] as &[&str],
        &["status", "--shop", "http://127.0.0.1:8000"],
        &["events", "--follow"],
    ] {
        let exit = read(&data, arguments);
        assert!(exit.status.code() == Some(2) && exit.stderr.contains("cannot be used with"), "{exit:?}");
    }
    // Several may read at once, and whoever serves comes after them.
    let readers: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn({
                let data = data.clone();
                move || read(&data, &["ls"])
            })
        })
        .collect();
    for reader in readers {
        let exit = reader.join().expect("no panic");
        assert!(exit.status.success(), "{exit:?}");
    }
    fixture.restart().await;
    assert!(ask(fixture.server(), &["ls"]).status.success());
}

#[tokio::test]
async fn a_directory_without_a_history_says_so_and_what_else_it_knows() {
    let arguments = vec!["--history-hours".to_owned(), "0".to_owned()];
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(&Settings { arguments, ..Settings::default() }, directory.path()).await;
    server.shop().user_with(5).await;
    server.terminate().await;
    for command in [&["ls"] as &[&str], &["why", "a"], &["account", "item", "a"], &["events"]] {
        let exit = read(directory.path(), command);
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        assert!(exit.stderr.contains("was kept without a history (--history-hours 0)"), "{exit:?}");
    }
    let exit = read(directory.path(), &["status"]);
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    assert!(exit.stdout.contains("without a history") && exit.stdout.contains("  payment  "), "{exit:?}");
}
