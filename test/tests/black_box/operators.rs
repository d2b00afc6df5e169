//! What processes say of themselves to operators, and let them do.

use std::{collections::BTreeMap, process::Command};

use hyper::Method;
use sagamart_black_box::{
    Apart, Client, Exit, Fixture, Market, Outcome, Settings, audit_apart, binary, exposition::Exposition,
};
use serde_json::Value;

use crate::history::{ask, lines, until};

fn text<'value>(value: &'value Value, name: &str) -> &'value str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_else(|| panic!("{name}: {value}"))
}

fn list<'value>(value: &'value Value, name: &str) -> &'value [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Every partition that a process knows, with the name of its service.
async fn partitions(operators: &Client) -> Vec<(String, Value)> {
    let services: Value = operators.get("/services").await.json();
    let of = |service: &Value| {
        let name = text(service, "service").to_owned();
        list(service, "partitions").iter().map(|partition| (name.clone(), partition.clone())).collect::<Vec<_>>()
    };
    list(&services, "services").iter().flat_map(of).collect()
}

#[tokio::test]
async fn a_process_says_what_its_partitions_are_like() {
    let fixture = Fixture::with(Settings::partitions(2)).await;
    let (server, shop) = (fixture.server(), &fixture.shop);
    let operators = Client::new(server.admin().expect("it lets operators in"));
    for _ in 0..8 {
        let order = shop.order_of(&shop.user_with(3).await, &[(&shop.item_with(3, 1).await, 1)]).await;
        assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
    }
    until("everybody has consumed everything", async || {
        let consumers = |(_, partition): &(String, Value)| list(partition, "consumers").to_vec();
        let all = partitions(&operators).await;
        all.iter().flat_map(consumers).all(|consumer| number(&consumer, "lag") == 0)
    })
    .await;
    let all = partitions(&operators).await;
    let names: Vec<_> =
        all.iter().map(|(name, partition)| format!("{name}/{}", number(partition, "partition"))).collect();
    assert_eq!(names, ["order/0", "order/1", "stock/0", "stock/1", "payment/0", "payment/1", "observer/0"]);
    for (name, partition) in &all {
        assert_eq!(partition.get("is_owned").and_then(Value::as_bool), Some(true), "{name}: {partition}");
        assert!(list(partition, "reasons").is_empty() && number(partition, "head") > 0, "{name}: {partition}");
        for count in ["in_flight", "stuck", "held", "parked", "waiting", "lag"] {
            assert_eq!(number(partition, count), 0, "{name}: {partition}");
        }
        let consumers: Vec<_> = list(partition, "consumers").iter().map(|consumer| text(consumer, "service")).collect();
        let expected: &[&str] = match name.as_str() {
            "order" => &["observer", "payment", "stock"],
            "stock" => &["observer", "order", "payment", "stock"],
            "payment" => &["observer", "order"],
            _ => &[],
        };
        assert_eq!(consumers, expected, "{name}");
        let gate = partition.get("gate").expect("a gate");
        assert!(number(gate, "committed") > 0 && number(gate, "durable") > 0, "{gate}");
    }
    let detail: Value = operators.get("/services/payment/partitions/1").await.json();
    let named = |source: &Value| format!("{}/{}", text(source, "service"), number(source, "partition"));
    let sources: Vec<_> = list(&detail, "sources").iter().map(named).collect();
    assert_eq!(sources, ["order/0", "order/1", "stock/0", "stock/1"]);
    for path in ["/services/payment/partitions/2", "/services/shipping/partitions/0"] {
        assert_eq!(operators.get(path).await.problem().slug, "not-found", "{path}");
    }
    assert_eq!(operators.get("/services/payment/partitions/-1").await.problem().slug, "malformed");
    let document: Value = operators.get("/openapi.json").await.json();
    let paths = document.get("paths").and_then(Value::as_object).expect("paths");
    for path in ["/services", "/services/{service}/partitions/{partition}", "/history", "/orders/{order_id}/why"] {
        assert!(paths.contains_key(path), "{path}");
    }
    assert_eq!(shop.client.get("/services").await.problem().slug, "no-such-route", "it is not for the public");

    let shown = lines(server, &["status", "--shop", &format!("http://{}", server.address()), "--partitions"]);
    for name in names {
        assert!(shown.iter().any(|line| line.trim_start().starts_with(&name)), "{name}: {shown:#?}");
    }
    assert!(shown.iter().all(|line| line.chars().count() <= 100), "{shown:#?}");
}

#[tokio::test]
async fn a_process_that_keeps_no_history_says_what_it_is_like_all_the_same() {
    let arguments = vec!["--history-hours".to_owned(), "0".to_owned()];
    let fixture = Fixture::with(Settings { arguments, ..Settings::default() }).await;
    assert!(fixture.server().said().contains("operators: http://"), "{}", fixture.server().said());
    let operators = fixture.server().operators();
    let all = partitions(&operators).await;
    assert!(all.iter().any(|(name, _)| name == "order") && all.iter().all(|(name, _)| name != "observer"), "{all:?}");
    assert_eq!(operators.get("/history").await.status, 404);
}

#[tokio::test]
async fn a_replica_says_who_else_is_there_and_what_it_lacks() {
    let apart = Apart::start(60, 2).await;
    for (part, name) in [(&apart.order, "order"), (&apart.stock, "stock"), (&apart.payment, "payment")] {
        let services: Value = part.operators().get("/services").await.json();
        let [service] = list(&services, "services") else { panic!("one service: {services}") };
        assert_eq!(text(service, "service"), name);
        assert_eq!(text(service, "durability"), "none: kept in memory");
        let replicas = service.get("replicas").expect("there may be several");
        assert_eq!(text(replicas, "address"), part.internal());
        let members: Vec<_> = list(replicas, "members").iter().map(|member| text(member, "address")).collect();
        assert_eq!(members, [part.internal()], "{replicas}");
        for partition in list(service, "partitions") {
            assert_eq!(text(partition, "owner"), part.internal(), "{partition}");
        }
    }
    let history = apart.observer.admin();
    let status = || {
        let shop = format!("http://{}", apart.order.shop().client.address());
        let mut command = Command::new(binary::path());
        command.args(["status", "--shop", &shop, "--admin", &history, "--replica", &apart.order.admin()]);
        let output = command.output().expect("the binary runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // It says with its next heartbeat that it is fit.
    let owner = format!("order: owner of 2 of 2 partitions, as {}", apart.order.internal());
    until("all is well", async || {
        let (code, said) = status();
        code == Some(0) && said.contains(&owner)
    })
    .await;

    apart.payment.freeze();
    until("order lacks payment", async || {
        let (code, said) = status();
        code == Some(1) && said.contains("order: ") && said.contains("payment")
    })
    .await;
    apart.payment.thaw();
}

#[tokio::test]
async fn a_process_that_says_nothing_of_itself_is_no_replica() {
    let fixture = Fixture::new().await;
    let server = fixture.server();
    let shop = format!("http://{}", server.address());
    let exit = ask(server, &["status", "--shop", &shop, "--replica", &shop]);
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    assert!(exit.stdout.contains("it says nothing of itself"), "{exit:?}");
}

#[tokio::test]
async fn logs_are_read_again_where_the_owner_is_told_to() {
    let apart = Apart::start(60, 1).await;
    let redeliver = |admin: &str, words: &[&str]| command(admin, &[&["redeliver"], words].concat());
    let admin = apart.stock.admin();
    let (words, said) = (["stock", "0", "--because", "a try"], "order/0 after event 0 (0 behind)");
    let dry = redeliver(&admin, &[&words[..], &["--dry-run"]].concat());
    assert!(dry.status.success() && dry.stdout.contains("would read") && dry.stdout.contains(said), "{dry:?}");
    assert!(!apart.stock.said().contains("an operator"), "nothing was done");
    let done = redeliver(&admin, &words);
    assert!(done.status.success() && done.stdout.contains(said), "{done:?}");
    until("the log says who and why", async || {
        let log = apart.stock.said();
        log.contains("an operator") && log.contains("alice") && log.contains("a try")
    })
    .await;
    let history = apart.observer.operators();
    let acts = async || history.get("/acts").await.json::<Value>();
    until("the history says who and why", async || !list(&acts().await, "acts").is_empty()).await;
    let acts = acts().await;
    let [act] = list(&acts, "acts") else { panic!("what was only tried is none: {acts}") };
    let said_of = ["act", "service", "by", "because"].map(|name| text(act, name));
    assert_eq!((said_of, number(act, "partition")), (["redelivered", "stock", "alice", "a try"], 0));
    let events = command(&apart.observer.admin(), &["events"]).stdout;
    assert!(events.contains("Redelivered by=alice because=a try"), "{events}");
    for (words, said) in [
        (["stock", "1", "--because", "a try"], "no partition stock/1 runs in this process"),
        (["order", "0", "--because", "a try"], "no partition order/0 runs in this process"),
        (["stock", "0", "--because", ""], "because: it is empty"),
    ] {
        let exit = redeliver(&admin, &words);
        assert!(exit.status.code() == Some(1) && exit.stderr.contains(said), "{exit:?}");
    }
}

/// What a command of an operator comes to.
fn command(admin: &str, arguments: &[&str]) -> Exit {
    let output = Command::new(binary::path()).args(arguments).args(["--admin", admin]).env("USER", "alice").output();
    let output = output.expect("the binary runs");
    Exit {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[tokio::test]
async fn an_operator_ends_a_checkout_that_is_not_decided_and_all_of_it_is_given_back() {
    // Longer than anything here takes: the deadline decides nothing.
    let apart = Apart::start(3000, 2).await;
    let (orders, stock, payment) = (apart.order.shop(), apart.stock.shop(), apart.payment.shop());
    let (user, item) = (payment.user_with(10).await, stock.item_with(3, 5).await);
    let order = orders.order_of(&user, &[(&item, 2)]).await;
    let (admin, because) = (apart.order.admin(), ["--because", "no longer wanted"]);
    let cancel = |order: &str, more: &[&str]| command(&admin, &[&["cancel", order], &because[..], more].concat());
    let held = async || {
        let all = partitions(&apart.stock.operators()).await;
        all.iter().map(|(_, partition)| number(partition, "held")).sum::<u64>()
    };
    let refused = |exit: &Exit, said: &str| {
        assert!(exit.status.code() == Some(1) && exit.stderr.contains(said) && exit.stdout.is_empty(), "{exit:?}");
    };
    refused(&cancel(&order, &[]), "the order is not being checked out");
    refused(&cancel(&order, &["--dry-run"]), "the order is not being checked out");
    refused(&cancel("nobodys", &["--dry-run"]), "there is no order nobodys");
    refused(&cancel("nobodys", &[]), "there is no order nobodys");

    apart.payment.freeze();
    let waiting = tokio::spawn({
        let (orders, order) = (orders.clone(), order.clone());
        async move { orders.checkout(&order).await }
    });
    until("stock holds the units", async || held().await == 1 || waiting.is_finished()).await;
    assert!(!waiting.is_finished(), "{:?}", waiting.await);
    let dry = cancel(&order, &["--dry-run"]);
    assert!(
        dry.status.success() && dry.stdout.contains(&format!("would cancel its checkout of 6 by user {user}")),
        "{dry:?}"
    );
    refused(&command(&admin, &["cancel", &order, "--because", " "]), "because: it is empty");
    let path = format!("/orders/{order}/cancel?by=mallory&because=fun");
    let from_a_page = apart.order.operators().send(Method::POST, &path, &[("origin", "http://a.example")]).await;
    assert_eq!(from_a_page.expect("an answer").problem().slug, "cross-origin");
    assert_eq!(
        apart.order.operators().post(&format!("/orders/{order}/cancel?by=bob")).await.problem().slug,
        "malformed"
    );
    assert_eq!(orders.client.post(&path).await.problem().slug, "no-such-route", "it is not for the public");
    assert!(!waiting.is_finished() && held().await == 1, "nothing was changed");

    let done = cancel(&order, &[]);
    assert!(done.status.success() && done.stdout.contains("its checkout was cancelled"), "{done:?}");
    assert_eq!(waiting.await.expect("no panic").slug(), "cancelled-by-operator");
    assert_eq!(stock.stock(&item).await, 5, "the units are back");
    refused(&cancel(&order, &[]), "the order is not being checked out");
    let metrics = Exposition::parse(&apart.order.operators().get("/metrics").await.text());
    assert_eq!(metrics.sum("sagamart_sagas_total", &[("outcome", "cancelled_by_operator")]), Some(1.0));

    apart.payment.thaw();
    assert_eq!(orders.checkout(&order).await, Outcome::Succeeded);
    refused(&cancel(&order, &[]), "the order was checked out before");
    refused(&cancel(&order, &["--dry-run"]), "the order was checked out before");
    assert_eq!((stock.stock(&item).await, payment.credit(&user).await), (3, 4));

    let history = apart.observer.admin();
    until("the history says who did it and why", async || {
        command(&history, &["why", &order]).stdout.contains("decided: cancelled, alice ended it: no longer wanted")
    })
    .await;
    let listed = command(&history, &["ls", "--reason", "cancelled-by-operator", "--json"]).stdout;
    assert!(listed.lines().count() == 1 && listed.contains(&order), "{listed}");
    let attempts = apart.observer.operators().get(&format!("/orders/{order}/checkouts")).await.text();
    assert!(attempts.contains(r#""by":"alice","because":"no longer wanted""#), "{attempts}");
    let acts: Value = apart.observer.operators().get("/acts").await.json();
    let [act] = list(&acts, "acts") else { panic!("one: {acts}") };
    assert_eq!(
        ["act", "order_id", "by", "because"].map(|name| text(act, name)),
        ["cancelled", &order, "alice", because[1]]
    );
}

/// What the document of the operators' listener says is there, and is what it says.
#[tokio::test]
async fn every_route_of_the_operators_listener_is_documented_and_there() {
    let fixture = Fixture::new().await;
    let operators = Client::new(fixture.server().admin().expect("operators are let in"));
    let item = fixture.shop.item_with(1, 1).await;
    let user = fixture.shop.user_with(1).await;
    let order = fixture.shop.order_of(&user, &[(&item, 1)]).await;
    assert_eq!(fixture.shop.checkout(&order).await, Outcome::Succeeded);
    until("it is in the history", async || operators.get(&format!("/orders/{order}/why")).await.status == 200).await;
    let document: Value = operators.get("/openapi.json").await.json();
    let paths = document.get("paths").and_then(Value::as_object).expect("paths");
    let mut pages = Vec::new();
    for (path, operations) in paths {
        let asked = path.replace("{order_id}", &order).replace("{item_id}", &item).replace("{user_id}", &user);
        let asked = asked.replace("{service}", "stock").replace("{partition}", "0").replace("{slug}", "busy");
        for (method, operation) in operations.as_object().expect("operations") {
            let parameters = operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
            let in_path =
                parameters.iter().filter(|parameter| parameter.get("in").is_some_and(|place| place == "path")).count();
            assert_eq!(in_path, path.matches('{').count(), "{method} {path}");
            let content = operation.pointer("/responses/200/content").and_then(Value::as_object);
            let kinds: Vec<_> = content.into_iter().flatten().map(|(kind, _)| kind.as_str()).collect();
            if path.starts_with("/console") {
                pages.push(path.as_str());
            }
            // What follows events does not end soon.
            if method != "get" || kinds == ["text/event-stream"] {
                continue;
            }
            let answer = operators.get(&asked).await;
            let kind = answer.header("content-type").unwrap_or_default();
            assert!(
                answer.status == 200 && kinds.iter().any(|said| kind.starts_with(said)),
                "{asked}: {answer:?}, not {kinds:?}"
            );
        }
    }
    let expected = [
        "/console",
        "/console/checkouts",
        "/console/items/{item_id}",
        "/console/orders/{order_id}",
        "/console/proof",
        "/console/script.js",
        "/console/style.css",
        "/console/users/{user_id}",
    ];
    assert_eq!(pages, expected);
    for (path, status) in
        [("/console/checkouts?reason=x", 400), ("/console/items/nothing", 404), ("/console/orders/nothing", 404)]
    {
        let answer = operators.get(path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, Some("text/html; charset=utf-8")),
            "{path}"
        );
    }
}

/// What cancels came to, by order.
async fn cancel_all(admin: &str, orders: &[String]) -> BTreeMap<String, bool> {
    let mut cancelled = BTreeMap::new();
    for order in orders {
        let (admin, words) = (admin.to_owned(), ["cancel", order, "--because", "a sale ends"].map(str::to_owned));
        let run = move || command(&admin, &words.each_ref().map(String::as_str));
        let exit = tokio::task::spawn_blocking(run).await.expect("no panic");
        let refused = ["is not being checked out", "was checked out before"];
        let is_refused = exit.status.code() == Some(1) && refused.iter().any(|said| exit.stderr.contains(said));
        assert!(exit.status.success() || is_refused, "{exit:?}");
        cancelled.insert(order.clone(), exit.status.success());
    }
    cancelled
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkouts_that_operators_end_under_load_are_ended_as_a_whole_and_nothing_is_lost() {
    /// Checkouts that are open at once, of which so many are ended while none can go on, and so many while all may.
    const AT_ONCE: usize = 40;
    const OF_THEM: usize = 12;
    // Longer than anything here takes: the deadline decides nothing.
    let apart = Apart::start(3000, 2).await;
    let (orders, stock, payment) = (apart.order.shop(), apart.stock.shop(), apart.payment.shop());
    let mut market = Market::default();
    let items = market.add_items(&stock, 6, 2, 10_000).await;
    let users = market.add_users(&payment, 12, 10_000).await;
    let open = async || {
        let all = partitions(&apart.order.operators()).await;
        all.iter().map(|(_, partition)| number(partition, "in_flight")).sum::<u64>()
    };
    let mut ended = BTreeMap::new();
    for _ in 0..3 {
        let wanted = users.iter().cycle().zip(items.iter().cycle().zip(items.iter().cycle().skip(1))).take(160);
        let wanted = wanted.map(|(user, (one, other))| (user.clone(), vec![(one.clone(), 1), (other.clone(), 2)]));
        let first = market.place(&orders, wanted.collect()).await;
        let placed: Vec<_> = market.orders.iter().skip(first).map(|placed| placed.order.clone()).collect();
        // What is held stays so as long as payment does not go on.
        apart.payment.freeze();
        let operator = async {
            until("they are open", async || open().await >= AT_ONCE as u64).await;
            let (while_frozen, rest) = placed.split_at(OF_THEM);
            let done = cancel_all(&apart.order.admin(), while_frozen).await;
            assert!(done.values().all(|is_ended| *is_ended), "all of them were open: {done:?}");
            apart.payment.thaw();
            let (racing, _) = rest.split_at(OF_THEM);
            done.into_iter().chain(cancel_all(&apart.order.admin(), racing).await).collect::<BTreeMap<_, _>>()
        };
        let (_, done) = tokio::join!(market.check_out(&orders, first, AT_ONCE), operator);
        ended.extend(done);
    }
    let mut told = 0;
    for placed in &market.orders {
        let is_ended = ended.get(&placed.order).copied().unwrap_or(false);
        let answer = placed.answers.last().map(Outcome::slug);
        assert_eq!(answer, Some(if is_ended { "cancelled-by-operator" } else { "succeeded" }), "{placed:?}");
        told += usize::from(is_ended);
    }
    assert!(told >= 3 * OF_THEM, "{told}");
    let paid = audit_apart([&orders, &stock, &payment], &market).await;
    assert_eq!(paid, market.orders.len() - told);
    // What was ended may be checked out again, and is taken once.
    market.check_out(&orders, 0, AT_ONCE).await;
    assert_eq!(audit_apart([&orders, &stock, &payment], &market).await, market.orders.len());
    let history = apart.observer.admin();
    until("the history has each of them once", async || {
        let listed = command(&history, &["ls", "--reason", "cancelled-by-operator", "--all", "--json"]).stdout;
        listed.lines().count() == told && listed.matches(r#""because":"a sale ends""#).count() == told
    })
    .await;
}
