//! The history says of every checkout what became of it and why, of every account what was added and taken, and goes on
//! over crashes.

use std::{collections::BTreeMap, net::TcpListener, process::Command, time::Duration};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use sagamart_black_box::{Client, Exit, Fixture, Market, Outcome, Server, Settings, Store, binary};
use serde_json::Value;
use tokio::time::sleep;

/// A client of what lets operators in.
pub(crate) fn admin(server: &Server) -> Client {
    Client::new(server.admin().expect("it lets operators in"))
}

/// Runs a command that asks the server's history.
pub(crate) fn ask(server: &Server, arguments: &[&str]) -> Exit {
    let address = format!("http://{}", server.admin().expect("it lets operators in"));
    let output = Command::new(binary::path()).args(arguments).env("SAGAMART_ADMIN", address).output();
    let output = output.expect("the binary runs");
    Exit {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The lines of a command that ends well.
pub(crate) fn lines(server: &Server, arguments: &[&str]) -> Vec<String> {
    let exit = ask(server, arguments);
    assert!(exit.status.success() && exit.stderr.is_empty(), "{arguments:?}: {exit:?}");
    exit.stdout.lines().map(str::to_owned).collect()
}

/// Its lines as the JSON that they are.
fn objects(server: &Server, arguments: &[&str]) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    lines(server, arguments).iter().map(parse).collect()
}

fn text<'value>(value: &'value Value, name: &str) -> &'value str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, name: &str) -> Option<u64> {
    value.get(name).and_then(Value::as_u64)
}

/// Waits until it is so, which is a moment after the answer at most.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..2400 {
        if holds().await {
            return;
        }
        sleep(Duration::from_millis(25)).await;
    }
    panic!("a minute later it is still not so: {what}");
}

/// How far the history goes.
async fn span(server: &Server) -> Value {
    admin(server).get("/history").await.json()
}

async fn decided(server: &Server, count: u64) {
    let all = async || {
        let span = span(server).await;
        number(&span, "completed").zip(number(&span, "cancelled")).map(|(completed, cancelled)| completed + cancelled)
            == Some(count)
    };
    until("the history has all checkouts", all).await;
}

#[tokio::test]
async fn each_refusal_is_explained_with_what_was_wanted_and_what_was_there() {
    let fixture = Fixture::new().await;
    let (shop, server) = (&fixture.shop, fixture.server());
    // Orders of items and users that nobody knows are made in a batch only.
    shop.succeed("/orders/batch_init/4/2/2/5").await;
    let unknown_item = "0".to_owned();
    let (rich, poor) = (shop.user_with(1000).await, shop.user_with(7).await);
    let item = shop.item_with(5, 3).await;
    let bought = shop.order_of(&rich, &[(&item, 1)]).await;
    let too_many = shop.order_of(&rich, &[(&item, 4)]).await;
    let too_dear = shop.order_of(&poor, &[(&item, 2)]).await;
    for (order, slug) in [
        (&bought, "succeeded"),
        (&too_many, "out-of-stock"),
        (&too_dear, "not-enough-credit"),
        (&unknown_item, "not-found"),
    ] {
        assert_eq!(shop.checkout(order).await.slug(), slug, "{order}");
    }
    shop.succeed("/stock/batch_init/2/50/5").await;
    let unknown_user = "1".to_owned();
    assert_eq!(shop.checkout(&unknown_user).await.slug(), "not-found");
    decided(server, 5).await;
    for (order, reason, said) in [
        (&too_many, "out-of-stock", format!("item {item} is out of stock (4 wanted, 2 there)")),
        (&too_dear, "not-enough-credit", "the user has not enough credit (10 wanted, 7 there)".to_owned()),
        (&unknown_item, "unknown-item", "there is no item ".to_owned()),
        (&unknown_user, "unknown-user", "there is no such user".to_owned()),
    ] {
        let why = lines(server, &["why", order]);
        let api: Value = admin(server).get(&format!("/orders/{order}/why")).await.json();
        assert_eq!(api.get("lines"), Some(&serde_json::json!(why)), "the command prints what the API says");
        assert!(why.last().is_some_and(|last| last.starts_with("cancelled") && last.contains(&said)), "{why:#?}");
        let listed = objects(server, &["ls", "--reason", reason, "--json"]);
        assert_eq!(listed.iter().map(|one| text(one, "order_id")).collect::<Vec<_>>(), [order], "{listed:#?}");
        let all = objects(server, &["ls", "--order", order, "--state", "cancelled", "--json"]);
        assert_eq!(all, listed);
    }
    let last = lines(server, &["why", &too_many]).pop().unwrap_or_default();
    assert!(last.contains(&format!("went to order {bought}")) && last.ends_with("it held nothing"), "{last}");
    let last = lines(server, &["why", &too_dear]).pop().unwrap_or_default();
    assert!(last.ends_with("what it held was given back"), "{last}");
    assert!(lines(server, &["why", &bought]).last().is_some_and(|last| last.starts_with("paid after")));
    assert_eq!(objects(server, &["ls", "--state", "completed", "--json"]).len(), 1);
    assert_eq!(objects(server, &["ls", "--user", &rich, "--json"]).len(), 2);
    assert_eq!(objects(server, &["ls", "--item", &item, "--limit", "2", "--json"]).len(), 2);
    assert!(objects(server, &["ls", "--older", "1h", "--json"]).is_empty());
    assert_eq!(objects(server, &["ls", "--since", "1h", "--json"]).len(), 5);
}

#[tokio::test]
async fn what_many_were_told_at_once_is_what_the_history_says_and_those_who_waited_say_for_what() {
    let fixture = Fixture::new().await;
    let (shop, server) = (&fixture.shop, fixture.server());
    let mut market = Market::default();
    let item = market.add_items(shop, 1, 1, 50).await.remove(0);
    let mut users = market.add_users(shop, 400, 1).await;
    users.extend(market.add_users(shop, 200, 0).await);
    let wanted = users.into_iter().map(|user| (user, vec![(item.clone(), 1)])).collect();
    market.place(shop, wanted).await;
    market.check_out(shop, 0, 600).await;
    decided(server, 600).await;

    let listed = objects(server, &["ls", "--all", "--json"]);
    let told: BTreeMap<_, _> = market.orders.iter().map(|placed| (&placed.order, placed.answers.last())).collect();
    assert_eq!((listed.len(), told.len()), (600, 600));
    for one in &listed {
        let slug = told.get(&text(one, "order_id").to_owned()).copied().flatten().map(Outcome::slug);
        let known = if text(one, "state") == "completed" { "succeeded" } else { text(one, "reason") };
        assert_eq!(slug, Some(known), "{one:#}");
    }
    let events = |one: &Value| one.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
    let waited = |one: &&Value| events(one).iter().any(|event| text(event, "event") == "StockParked");
    let parked: Vec<_> = listed.iter().filter(waited).collect();
    assert!(!parked.is_empty(), "some of 600 have to wait for 50 units");
    for one in parked.iter().take(3) {
        let why = lines(server, &["why", text(one, "order_id")]);
        let wait = why.iter().find(|line| line.contains(&format!("waits for item {item}: wants 1, 0 are free")));
        assert!(wait.is_some_and(|wait| wait.contains("held then by order")), "{why:#?}");
        assert!(why.last().is_some_and(|last| last.contains("of which it waited")), "{why:#?}");
    }
    let statement = lines(server, &["account", "item", &item, "--all"]);
    assert!(statement.first().is_some_and(|first| first.ends_with(": 0 now")), "{statement:#?}");
    assert!(statement.last().is_some_and(|last| last.starts_with("it adds up")), "{statement:#?}");
    // A head of two, 50 checkouts, what was added, its creation, and the verdict.
    assert_eq!(statement.len(), 2 + 50 + 2 + 1);
}

#[tokio::test]
async fn a_statement_adds_up_after_many_changes_of_every_kind() {
    let fixture = Fixture::with(Settings::partitions(2)).await;
    let (shop, server) = (&fixture.shop, fixture.server());
    let (user, item) = (shop.create_user().await, shop.create_item(3).await);
    let mut random = SmallRng::seed_from_u64(7);
    let (mut of_item, mut of_user) = (1, 1);
    for _ in 0..500 {
        let amount = random.random_range(1..=20);
        let (path, items, users) = match random.random_range(0..6) {
            0 | 1 => (format!("/stock/add/{item}/{amount}"), 1, 0),
            2 => (format!("/stock/subtract/{item}/{amount}"), 1, 0),
            3 => (format!("/payment/add_funds/{user}/{}", amount * 3), 0, 1),
            4 => (format!("/payment/pay/{user}/{amount}"), 0, 1),
            _ => (format!("/orders/checkout/{}", shop.order_of(&user, &[(&item, amount)]).await), 1, 1),
        };
        match shop.attempt(&path).await {
            Outcome::Succeeded => (of_item, of_user) = (of_item + items, of_user + users),
            Outcome::Refused(_) => {}
            Outcome::Unknown(why) => panic!("{path}: {why}"),
        }
    }
    for (kind, id, count, now) in
        [("item", &item, of_item, shop.stock(&item).await), ("user", &user, of_user, shop.credit(&user).await)]
    {
        let account = ["account", kind, id, "--all"];
        until("all changes are there", async || objects(server, &[&account[..], &["--json"]].concat()).len() == count)
            .await;
        let statement = lines(server, &account);
        assert_eq!(statement.first(), Some(&format!("{kind} {id}: {now} now")));
        assert!(statement.last().is_some_and(|last| last.starts_with("it adds up")), "{:?}", statement.last());
        let rows = objects(server, &[&account[..], &["--json"]].concat());
        assert_eq!(rows.first().and_then(|row| number(row, "balance")), Some(now));
        for (row, before) in rows.iter().zip(rows.iter().skip(1)) {
            let balance = |row: &Value| row.get("balance").and_then(Value::as_i64).expect("a balance");
            let change = row.get("change").and_then(Value::as_i64).expect("a change");
            assert_eq!(balance(row), balance(before) + change, "{row:#}");
        }
        assert_eq!(rows.last().map(|row| text(row, "kind")), Some("created"));
        let part = lines(server, &["account", kind, id, "--limit", "2"]);
        assert!(part.len() == 5 && part.last().is_some_and(|last| last.contains("--all")), "{part:#?}");
    }
}

#[tokio::test]
async fn the_history_goes_on_after_crashes_and_knows_what_every_checkout_came_to() {
    let mut random = SmallRng::seed_from_u64(11);
    let mut fixture = Fixture::with(Settings::partitions(2)).await;
    let mut market = Market::default();
    market.add_items(&fixture.shop, 10, 1, 100_000).await;
    let items: Vec<String> = market.stock.keys().cloned().collect();
    let users = market.add_users(&fixture.shop, 10, 300).await;
    for _ in 0..6 {
        let mut pick = |ids: &[String]| ids.get(random.random_range(0..ids.len())).cloned().expect("one of them");
        let wanted = (0..400).map(|_| (pick(&users), vec![(pick(&items), 1), (pick(&items), 1)])).collect();
        let first = market.place(&fixture.shop, wanted).await;
        let shop = fixture.shop.clone();
        let life = Duration::from_millis(random.random_range(20..150));
        let killer = async {
            sleep(life).await;
            fixture.kill();
        };
        tokio::join!(market.check_out(&shop, first, 32), killer);
        fixture.restart().await;
    }
    let (server, shop) = (fixture.server(), &fixture.shop);
    until("all is decided", async || number(&span(server).await, "undecided") == Some(0)).await;
    let mut paid = 0;
    for placed in &market.orders {
        paid += u64::from(shop.order(&placed.order).await.paid);
    }
    until("every paid order is known", async || number(&span(server).await, "completed") == Some(paid)).await;
    let span = span(server).await;
    assert_eq!(number(&span, "missed"), Some(0), "{span}");
    let listed = objects(server, &["ls", "--all", "--json"]);
    let states: BTreeMap<_, _> = listed.iter().map(|one| (text(one, "order_id"), one)).collect();
    assert_eq!(states.len(), listed.len(), "one attempt each, and none is there twice");
    let mut open = 0;
    for placed in &market.orders {
        let known = states.get(placed.order.as_str());
        let state = known.map(|one| (text(one, "state"), text(one, "reason")));
        match placed.answers.last().expect("each was asked for") {
            Outcome::Succeeded => assert_eq!(state, Some(("completed", ""))),
            Outcome::Refused(problem) => assert_eq!(state, Some(("cancelled", problem.slug.as_str()))),
            Outcome::Unknown(_) => {
                open += 1;
                let is_paid = shop.order(&placed.order).await.paid;
                assert_eq!(state.is_some_and(|(state, _)| state == "completed"), is_paid, "{known:#?}");
            }
        }
        assert!(known.is_none_or(|one| one.get("has_begun") == Some(&true.into())), "{known:#?}");
    }
    let counted = number(&span, "completed").zip(number(&span, "cancelled")).map_or(0, |(one, other)| one + other);
    assert_eq!(counted, listed.len() as u64, "{span}");
    assert!(open > 0 && paid > 0, "the kills hit running checkouts");
}

#[tokio::test]
async fn none_is_kept_where_none_is_wanted() {
    let arguments = vec!["--history-hours".to_owned(), "0".to_owned()];
    let fixture = Fixture::with(Settings { arguments, ..Settings::default() }).await;
    assert!(!fixture.server().said().contains("history: "), "{}", fixture.server().said());
    let order =
        fixture.shop.order_of(&fixture.shop.user_with(5).await, &[(&fixture.shop.item_with(5, 1).await, 1)]).await;
    assert_eq!(fixture.shop.checkout(&order).await, Outcome::Succeeded);
    let metrics = fixture.server().operators().get("/metrics").await.text();
    assert!(metrics.contains("service=\"payment\"") && !metrics.contains("service=\"observer\""), "{metrics}");
}

#[tokio::test]
async fn a_second_shop_on_a_machine_does_without_operators_and_says_so() {
    // Where it is not to be had, somebody else has it, which is what is wanted.
    let _taken = TcpListener::bind("127.0.0.1:8010");
    let fixture = Fixture::with(Settings { admin_listen: None, store: Store::Memory, ..Settings::default() }).await;
    let said = fixture.server().said();
    assert!(fixture.server().admin().is_none() && said.contains("--admin-listen"), "{said}");
    assert_eq!(fixture.shop.credit(&fixture.shop.user_with(5).await).await, 5);
}
