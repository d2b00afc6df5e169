//! A real Prometheus that scrapes real processes: the whole shop as one, and replicas of each service with their databases.

use std::{
    io::Write as _,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sagamart_black_box::{Fixture, Fleet, Market, Observers, Prometheus, Shop, prometheus::promtool};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{path, text};

/// Far above what anything here takes; it only ends a wait for what will never be.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The deadline of a checkout, in seconds.
const CHECKOUT_TIMEOUT: u32 = 2;

/// How many checkouts are to time out: well above a twentieth of those that the load does meanwhile.
const ORDERS: usize = 200;

/// Alerts whose fault would take longer than a test may: sagamart.test.yml has each of them come, and here what it compares
/// has data.
const NOT_PRODUCED: [&str; 8] = [
    // Thousands of events behind, or half a minute undecided.
    "SagamartLagGrows",
    "SagamartSagasStuck",
    "SagamartHistoryLags",
    // Logs that were trimmed before the observer came: test/tests/fleet/observer.rs has one, and what it is shown as.
    "SagamartHistoryGap",
    // All of a process's descriptors.
    "SagamartDescriptorsNearlyOut",
    // A database that went back, and another shop's: saga/tests/identity.rs has them, and what they are counted as.
    "SagamartDataLost",
    "SagamartStrangers",
    // Another host.
    "SagamartClockDiffers",
];

/// A small load on a shop until it is told to end: one order that is paid for two that are refused, and some reads.
struct Load {
    ends: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Load {
    async fn on(shop: Shop) -> Self {
        let (rich, poor) = (shop.user_with(1_000_000).await, shop.create_user().await);
        let (item, rare) = (shop.item_with(1, 1_000_000).await, shop.create_item(1).await);
        let ends = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&ends);
        let task = tokio::spawn(async move {
            while !ended.load(Ordering::Acquire) {
                for (user, item) in [(&rich, &item), (&poor, &item), (&rich, &rare)] {
                    let path = format!("/orders/create/{user}");
                    let answer = shop.client.post_with_key(&path, &format!("key-{}", rand::random::<u64>())).await;
                    if let Ok(created) = serde_json::from_slice::<Value>(&answer.body)
                        && let Some(order) = created.get("order_id").and_then(Value::as_str)
                    {
                        shop.attempt(&format!("/orders/addItem/{order}/{item}/1")).await;
                        shop.checkout(order).await;
                    }
                }
                shop.client.get(&format!("/payment/find_user/{rich}")).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Self { ends, task }
    }

    async fn end(self) {
        self.ends.store(true, Ordering::Release);
        self.task.await.unwrap();
    }
}

/// The shipped configuration, but for where the replicas are, and every second.
async fn prometheus(fleet: &Fleet, observers: &Observers, whole: &Fixture) -> Prometheus {
    let mut configuration = text("monitoring/prometheus.yml");
    for (index, replica) in fleet.replicas.iter().enumerate() {
        let name = format!("{}-service-{}:8020", ["order", "stock", "payment"][replica.service], index / 3 + 1);
        assert!(configuration.contains(&name), "{name} is not scraped");
        configuration = configuration.replace(&name, &fleet.operators(index).address().to_string());
    }
    for index in [0, 1] {
        let name = format!("observer-service-{}:8020", index + 1);
        assert!(configuration.contains(&name), "{name} is not scraped");
        configuration = configuration.replace(&name, &observers.operators(index).address().to_string());
    }
    configuration = configuration.replace("interval: 5s", "interval: 1s");
    configuration.push_str(&format!("          - {}\n", whole.server().operators().address()));
    let rules = text("monitoring/sagamart.rules.yml");
    Prometheus::start(&configuration, &[("sagamart.rules.yml", rules)]).await
}

/// Every expression of the dashboard, with its panel.
fn dashboard() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&text("monitoring/grafana/sagamart.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets
            .into_iter()
            .map(|target| (panel["title"].as_str().unwrap().to_owned(), target["expr"].as_str().unwrap().to_owned()))
    });
    targets.map(|(title, expression)| (title, expression.replace("$__rate_interval", "10s"))).collect()
}

/// An expression without what it compares with: what is left has data whether the alert comes or not.
fn without_comparisons(expression: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut all = expression.split(' ');
    while let Some(word) = all.next() {
        if !["==", ">"].contains(&word) {
            words.push(word.to_owned());
            continue;
        }
        let bound = all.next().unwrap();
        let after = bound.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        words.last_mut().unwrap().push_str(after);
    }
    words.join(" ")
}

/// Names and expressions of the alerts, as Prometheus has them.
async fn alerts(prometheus: &Prometheus) -> Vec<(String, String)> {
    let rules = prometheus.rules().await;
    let alerts = rules.iter().filter(|rule| rule["type"] == "alerting");
    alerts.map(|rule| (rule["name"].as_str().unwrap().to_owned(), rule["query"].as_str().unwrap().to_owned())).collect()
}

async fn names_are_well_formed(fleet: &Fleet, observers: &Observers, whole: &Fixture) {
    let replicas = (0..3).map(|index| fleet.operators(index));
    for client in replicas.chain([observers.operators(0), whole.server().operators()]) {
        let metrics = client.get("/metrics").await.text();
        let mut check = promtool(&path("."));
        check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = check.spawn().unwrap();
        running.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
        let output = running.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && said.is_empty(), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_dashboard_and_the_rules_ask_for_is_there_and_faults_show() {
    let mut fleet = Fleet::start(CHECKOUT_TIMEOUT).await;
    let mut observers = Observers::of(&fleet);
    observers.start(0);
    observers.start(1);
    observers.ready().await;
    let whole = Fixture::new().await;
    let (load, other_load) = (Load::on(fleet.shop()).await, Load::on(whole.shop.clone()).await);
    let prometheus = prometheus(&fleet, &observers, &whole).await;
    names_are_well_formed(&fleet, &observers, &whole).await;
    prometheus.await_data("count(up == 1) == 9", TIMEOUT).await;

    for (panel, expression) in dashboard() {
        let found = prometheus.await_data(&expression, TIMEOUT).await;
        assert!(found.iter().all(|series| series.value.is_finite()), "{panel}: {expression}: {found:?}");
    }
    let alerts = alerts(&prometheus).await;
    for (name, expression) in &alerts {
        let compared = without_comparisons(expression);
        assert_ne!(compared, *expression, "{name} compares nothing");
        prometheus.await_data(&compared, TIMEOUT).await;
        let comes = prometheus.query(expression).await;
        assert!(comes.is_empty() || name == "SagamartRefusalsHigh", "{name} on a healthy shop: {comes:?}");
    }

    let comes = async |name: &str| {
        let (_, expression) =
            alerts.iter().find(|(alert, _)| alert == name).unwrap_or_else(|| panic!("no alert {name}"));
        prometheus.await_data(expression, TIMEOUT).await
    };
    let mut produced = NOT_PRODUCED.to_vec();
    let mut see = async |names: &[&'static str]| {
        for name in names {
            comes(name).await;
            produced.push(name);
        }
    };
    see(&["SagamartRefusalsHigh"]).await;
    other_load.end().await;
    let (mut market, shop) = (Market::default(), fleet.shop());
    let (users, items) = (market.add_users(&shop, 1, 1000).await, market.add_items(&shop, 1, 1, 1000).await);
    let wanted = vec![(users[0].clone(), vec![(items[0].clone(), 1)]); ORDERS];
    let first = market.place(&shop, wanted).await;
    let () = fleet.databases[1].ask(&["CONFIG", "SET", "maxmemory", "1"]);
    see(&["SagamartStoreFull"]).await;
    let () = fleet.databases[1].ask(&["CONFIG", "SET", "maxmemory", "0"]);
    observers.database.kill();
    see(&["SagamartHistoryAway"]).await;
    // A night's sleep is worth more than the history.
    for page in ["SagamartStoreNotWorking", "SagamartNoOwner"] {
        let (_, expression) = alerts.iter().find(|(name, _)| name == page).expect("an alert");
        assert!(prometheus.query(expression).await.is_empty(), "{page} for the observer's database");
    }
    // Payment loses its database, and then one of its two replicas: nobody can take over what that one looked after.
    fleet.databases[2].kill();
    fleet.kill_replica(2);
    see(&["SagamartReplicaDown", "SagamartStoreNotWorking", "SagamartNotReady", "SagamartNoOwner"]).await;
    market.check_out(&shop, first, ORDERS).await;
    assert_eq!(market.count(first, "timeout"), ORDERS);
    see(&["SagamartErrors", "SagamartCheckoutsGivenUp", "SagamartCheckoutsSlow"]).await;
    let unseen: Vec<_> = alerts.iter().filter(|(name, _)| !produced.contains(&name.as_str())).collect();
    assert!(unseen.is_empty(), "neither seen nor excused: {unseen:?}");

    for rule in prometheus.rules().await {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    load.end().await;
}
