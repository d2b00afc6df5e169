//! The observer's replicas: whom they answer, and what their loss costs whom.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use sagamart_black_box::{Outcome, Shop, binary};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    docker::{command, inspect, run},
    project::Project,
};

/// Far above what it takes to hear of an event, or to take a partition over.
const TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// What operators are shown, and may do, by all processes of the shop.
const FOR_OPERATORS: [&str; 12] = [
    "/console",
    "/console/orders/0",
    "/proof",
    "/services",
    "/services/order/partitions/0",
    "/history",
    "/checkouts",
    "/events",
    "/items/0/account",
    "/users/0/account",
    "/orders/0/why",
    "/orders/0/checkouts",
];

/// The gateway shows operators' pages to nobody, and Docker publishes them on loopback alone.
pub(crate) async fn operators_are_let_in_on_loopback_alone(project: &Project) {
    let client = project.client();
    for path in FOR_OPERATORS {
        assert_eq!(client.get(path).await.problem().slug, "no-such-route", "{path}");
    }
    for path in ["/orders/0/cancel", "/services/order/partitions/0/redeliver"] {
        assert_eq!(client.post(path).await.problem().slug, "no-such-route", "{path}");
    }
    for number in [1, 2] {
        let state = inspect(&project.container(&format!("observer-service-{number}")));
        let published = state.pointer("/HostConfig/PortBindings").and_then(Value::as_object).expect("ports");
        assert_eq!(published.keys().collect::<Vec<_>>(), ["8010/tcp"], "health and metrics are for the network");
        let page = project.operators(number).get("/console").await;
        assert_eq!(page.status, 200, "{page:?}");
    }
}

/// A checkout of an order of one unit.
async fn paid(shop: &Shop, item: &str) -> String {
    let user = shop.user_with(1).await;
    let order = shop.order_of(&user, &[(item, 1)]).await;
    assert_eq!(shop.checkout(&order).await, Outcome::Succeeded, "{order}");
    order
}

/// `sagamart why ORDER`, of a replica.
fn why(project: &Project, number: usize, order: &str) -> Output {
    let admin = format!("http://{}", project.operators(number).address());
    let mut why = Command::new(binary::path());
    why.args(["why", order, "--admin", &admin]).output().expect("the binary runs")
}

/// Waits until a replica explains a checkout in these words.
async fn explains(project: &Project, number: usize, order: &str, words: &str) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let Output { status, stdout, stderr } = why(project, number, order);
        let said = String::from_utf8_lossy(&stdout);
        if status.success() && said.contains(order) && said.contains(words) {
            return;
        }
        let log = project.log(&project.container(&format!("observer-service-{number}")));
        assert!(Instant::now() < deadline, "{order}: {said}{}\n{log}", String::from_utf8_lossy(&stderr));
        sleep(POLL).await;
    }
}

/// How many checkouts were paid, as the history has it, up to one that is made now.
///
/// # Panics
/// It missed something: the logs keep far more for it than any test here writes while it is away.
pub(crate) async fn completed(project: &Project) -> u64 {
    let shop = Shop::new(project.client());
    let item = shop.item_with(1, 1).await;
    let now = paid(&shop, &item).await;
    explains(project, 1, &now, "decided: paid").await;
    let span: Value = project.operators(1).get("/history").await.json();
    let number = |name: &str| span.get(name).and_then(Value::as_u64).unwrap_or_else(|| panic!("{name}: {span}"));
    assert_eq!(number("missed"), 0, "{span}");
    number("completed")
}

/// Either replica explains what was bought through the gateway and what was refused.
pub(crate) async fn what_was_checked_out_is_explained(project: &Project) {
    let shop = Shop::new(project.client());
    let item = shop.item_with(1, 1).await;
    let bought = paid(&shop, &item).await;
    let user = shop.user_with(1).await;
    let refused = shop.order_of(&user, &[(&item, 1)]).await;
    assert_eq!(shop.checkout(&refused).await.slug(), "out-of-stock");
    for number in [1, 2] {
        explains(project, number, &bought, "decided: paid").await;
        explains(project, number, &refused, "is out of stock").await;
    }
}

/// One replica is killed: the other goes on with the history, and the shop notices nothing.
pub(crate) async fn one_replica_is_enough(project: &Project) {
    let shop = Shop::new(project.client());
    let item = shop.item_with(1, 10).await;
    for (killed, other) in [(1, 2), (2, 1)] {
        let container = project.container(&format!("observer-service-{killed}"));
        run(&mut command(&["kill", &container]));
        let order = paid(&shop, &item).await;
        explains(project, other, &order, "decided: paid").await;
        project.start(&container);
    }
}

/// The history is out of reach: checkouts go on, and are told of once it is back, or counted as missed.
pub(crate) async fn checkouts_go_on_without_the_history_which_catches_up(project: &Project) {
    let shop = Shop::new(project.client());
    let item = shop.item_with(1, 100).await;
    let database = project.container("observer-db");
    run(&mut command(&["kill", &database]));
    let mut orders = Vec::new();
    for _ in 0..10 {
        orders.push(paid(&shop, &item).await);
    }
    let last = orders.last().expect("orders");
    assert!(!why(project, 1, last).status.success(), "{last} is in a history whose database is down");
    run(&mut command(&["start", &database]));
    let observers = ["observer-service-1", "observer-service-2"].map(|service| project.container(service));
    project.await_healthy(&[vec![database], observers.to_vec()].concat());
    // The last: what one partition says is heard of in its order.
    let deadline = Instant::now() + TIMEOUT;
    let missed = loop {
        let span: Value = project.operators(1).get("/history").await.json();
        let missed = span.get("missed").and_then(Value::as_u64);
        if missed.is_some_and(|missed| missed > 0) || why(project, 1, last).status.success() {
            break missed.unwrap_or_default();
        }
        assert!(Instant::now() < deadline, "{last} is neither told of nor missed: {span}");
        sleep(POLL).await;
    };
    // The logs keep far more than this.
    assert_eq!(missed, 0);
    for order in &orders {
        explains(project, 2, order, "decided: paid").await;
    }
}
