//! The binary, started with the very environment of the manifests: it takes every value, and answers every probe.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    time::{Duration, Instant},
};

use hyper::Method;
use sagamart_black_box::{Client, Server, Settings, binary};
use sagamart_deployment_tests::{Container, Object, object, rendered};
use serde_json::Value;
use tempfile::TempDir;
use test_servers::{Kind, Options, Process, free_port};
use tokio::time::sleep;

/// Far above what a service takes to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Serves with exactly what the manifest says, except for where it listens and keeps its data, which only a pod has.
#[tokio::test]
async fn what_the_embedded_manifest_says_serves_and_answers_every_probe() {
    let objects = rendered::overlay("embedded");
    let workload = object::named(&objects, "StatefulSet", "sagamart");
    let containers = workload.containers();
    let container = *containers.first().expect("a container");
    let values = container.at("/env").as_array().cloned().unwrap_or_default();
    let (mut settings, metrics) = (Settings::default(), SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
    for entry in values {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        if text("name") == "SAGAMART_METRICS_LISTEN" {
            settings.environment.push(("SAGAMART_METRICS_LISTEN", metrics.to_string()));
        } else if !matches!(text("name").as_str(), "SAGAMART_LISTEN" | "SAGAMART_DATA") {
            settings.environment.push((text("name").leak(), text("value")));
        }
    }
    let data = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(&settings, data.path()).await;
    let client = server.client();
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let path = container.text(&format!("/{probe}/httpGet/path"));
        let answer = client.get(path).await;
        assert_eq!(answer.status, 200, "{probe}: {path}");
    }
    assert_eq!(Client::new(metrics).get("/metrics").await.status, 200, "what the ServiceMonitor reads");
    let document = client.get("/openapi.json").await;
    let document: Value = serde_json::from_str(&document.text()).expect("a document");
    let paths = document.get("paths").and_then(Value::as_object).expect("paths");
    let prefixes: BTreeSet<&str> = paths.keys().filter_map(|path| path.split('/').nth(1)).collect();
    for prefix in ["orders", "stock", "payment"] {
        assert!(prefixes.contains(prefix), "every way in leads /{prefix} to the shop, which serves {prefixes:?}");
    }
}

/// The gateway gives a request without a key one, in these headers; the second of two equal ones must change nothing.
#[tokio::test]
async fn the_headers_that_the_gateway_adds_make_a_repetition_harmless() {
    let cluster = rendered::overlay("cluster");
    let route = object::named(&cluster, "HTTPRoute", "sagamart");
    let mut set =
        route.list("/spec/rules").iter().filter_map(|rule| rule.pointer("/filters/0/requestHeaderModifier/set"));
    let set = set.next().and_then(Value::as_array).expect("headers");
    let text = |header: &Value, key: &str| header.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    // What Envoy puts in that place.
    let unique = |value: String| value.replace("%UNIQUE_ID%", "6f1d1c0e-2a3b-4c5d-8e9f-0a1b2c3d4e5f");
    let headers: Vec<(String, String)> =
        set.iter().map(|header| (text(header, "name"), unique(text(header, "value")))).collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(headers.len(), 2, "{headers:?}");
    let data = tempfile::tempdir().expect("a temporary directory");
    let server = Server::start(&Settings::default(), data.path()).await;
    let client = server.client();
    let created = client.send(Method::POST, "/payment/create_user", &headers).await.expect("an answer");
    let again = client.send(Method::POST, "/payment/create_user", &headers).await.expect("an answer");
    assert_eq!((created.status, created.text()), (200, again.text()), "one user, told twice");
    let other = client.post("/payment/create_user").await;
    assert_ne!(other.text(), created.text());
    // A gateway does not look at the method: a GET has the headers too.
    let user: Value = created.json();
    let path = format!("/payment/find_user/{}", user.get("user_id").and_then(Value::as_str).expect("an id"));
    assert_eq!(client.send(Method::GET, &path, &headers).await.expect("an answer").status, 200);
}

const PASSWORD: &str = "0123abcd";
const SECRET: &str = "0123456789abcdef";

/// The services, and their observer.
const PARTS: [&str; 4] = ["order", "stock", "payment", "observer"];

/// One container of a service, as a process of this machine.
struct Pod<'a> {
    service: &'static str,
    operators: Client,
    metrics: Client,
    container: Container<'a>,
    client: Client,
    process: Process,
    _folder: TempDir,
}

/// Starts one replica of each service with the arguments and values of its manifest, but for what only a pod has: its address, its
/// database's name and password, and the names of the others.
fn start<'a>(objects: &'a [Object], store: &str) -> Vec<Pod<'a>> {
    let address = || SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let internal: BTreeMap<&str, SocketAddr> = PARTS.iter().map(|service| (*service, address())).collect();
    let start = |service: &'static str| {
        let workload = object::named(objects, "Deployment", service);
        let container = workload.containers().into_iter().next().expect("a container");
        let (public, metrics, admin) = (address(), address(), address());
        let own = internal.get(service).expect("its address").to_string();
        let folder = tempfile::tempdir().expect("a temporary directory");
        let secret = folder.path().join("secret");
        fs::write(&secret, SECRET).expect("a file can be written");
        let secret = secret.to_str().expect("a path that is text").to_owned();
        let mut environment = Vec::new();
        for entry in container.at("/env").as_array().into_iter().flatten() {
            let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let peer = text("name").strip_prefix("SAGAMART_PEER_").map(str::to_lowercase);
            let value = match (text("name").as_str(), peer) {
                ("POD_IP", _) => continue,
                ("SAGAMART_PEER_SECRET_FILE", _) => secret.clone(),
                ("SAGAMART_LISTEN", _) => public.to_string(),
                ("SAGAMART_ADMIN_LISTEN", _) => admin.to_string(),
                ("SAGAMART_METRICS_LISTEN", _) => metrics.to_string(),
                ("SAGAMART_INTERNAL_LISTEN", _) => own.clone(),
                ("SAGAMART_STORE", _) => store.to_owned(),
                ("SAGAMART_STORE_PASSWORD", _) => PASSWORD.to_owned(),
                (_, Some(peer)) => internal.get(peer.as_str()).expect("a service").to_string(),
                _ => text("value").replace("$(POD_IP):9000", &own),
            };
            environment.push((text("name"), value));
        }
        let mut command = Command::new(binary::path());
        command.args(container.words("/args")).env_clear().envs(environment);
        let process = Process::start(command, &folder.path().join("log"));
        let [operators, metrics, client] = [admin, metrics, public].map(Client::new);
        Pod { service, operators, metrics, container, client, process, _folder: folder }
    };
    PARTS.into_iter().map(start).collect()
}

fn database() -> test_servers::Server {
    let options = Options { password: Some(PASSWORD.to_owned()), ..Options::default() };
    test_servers::Server::start(Kind::Valkey8, options)
}

#[tokio::test]
async fn what_the_manifests_say_of_each_service_starts_it_and_answers_every_probe() {
    let objects = rendered::plain();
    let database = database();
    let mut explained = BTreeSet::new();
    let mut pods = start(&objects, &database.url());
    for Pod { service, operators, metrics, container, client, process, .. } in &mut pods {
        wait_for(client, process, "/readyz", 200).await;
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            let path = container.text(&format!("/{probe}/httpGet/path"));
            assert_eq!(client.get(path).await.status, 200, "{service}: {probe}: {path}");
        }
        assert_eq!(metrics.get("/metrics").await.status, 200, "{service}: what the ServiceMonitor reads");
        if *service == "observer" {
            // Neither for the monitoring nor for who else reaches that port.
            assert_eq!(client.get("/history").await.status, 404);
            assert_eq!(client.get("/console").await.status, 404);
            assert_eq!(operators.get("/history").await.status, 200);
            assert_eq!(operators.get("/console").await.status, 200);
            continue;
        }
        let document: Value = client.get("/openapi.json").await.json();
        let paths = document.get("paths").and_then(Value::as_object).expect("paths");
        let prefix = if *service == "order" { "/orders/" } else { &format!("/{service}/") };
        assert!(
            paths.keys().any(|path| path.starts_with(prefix)),
            "{service} does not serve {prefix}, where every way in leads to it"
        );
        // Every way in leads /problems to order, which comes first here.
        let text = client.get("/problems").await.text();
        let words = text.split(|letter: char| !(letter.is_ascii_lowercase() || matches!(letter, '/' | '-')));
        let kinds: BTreeSet<String> = words.filter(|word| word.starts_with("/problems/")).map(str::to_owned).collect();
        if *service == "order" {
            explained.clone_from(&kinds);
        }
        assert!(!kinds.is_empty() && kinds.is_subset(&explained), "order does not explain all of {service}: {kinds:?}");
    }
}

/// Asks as a kubelet does, a hundred times as often: as many failures in a row as a probe allows end the container.
#[tokio::test]
async fn a_service_that_waits_for_its_database_is_not_killed_and_then_becomes_ready() {
    let objects = rendered::plain();
    let mut database = database();
    database.kill();
    let mut pods = start(&objects, &database.url());
    for Pod { service, container, client, process, .. } in &mut pods {
        for probe in ["startupProbe", "livenessProbe"] {
            let path = container.text(&format!("/{probe}/httpGet/path"));
            let number = |name: &str| container.number(&format!("/{probe}/{name}"));
            let (period, failures_max) = (number("periodSeconds"), number("failureThreshold"));
            let mut failures = 0;
            for _ in 0..2 * failures_max {
                sleep(Duration::from_millis(10 * period)).await;
                let answer = client.send(Method::GET, path, &[]).await;
                failures = if answer.is_ok_and(|answer| answer.status == 200) { 0 } else { failures + 1 };
                assert!(failures < failures_max, "{service}: {probe} ends it:\n{}", process.output());
                assert_eq!(process.ended(), None, "{service} ended:\n{}", process.output());
            }
        }
        let answer = client.get(container.text("/readinessProbe/httpGet/path")).await;
        assert!(answer.status == 503 && answer.text().contains("waiting for the database"), "{service}: {answer:?}");
    }
    database.restart();
    for Pod { container, client, process, .. } in &mut pods {
        wait_for(client, process, container.text("/readinessProbe/httpGet/path"), 200).await;
    }
}

async fn wait_for(client: &Client, process: &mut Process, path: &str, status: u16) {
    let deadline = Instant::now() + START_TIMEOUT;
    while !client.send(Method::GET, path, &[]).await.is_ok_and(|answer| answer.status == status) {
        assert_eq!(process.ended(), None, "it ended:\n{}", process.output());
        assert!(Instant::now() < deadline, "{path} is not {status}:\n{}", process.output());
        sleep(POLL).await;
    }
}
