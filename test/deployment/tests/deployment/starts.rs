//! The binary, started with the very environment of the manifests: it takes every value, and answers every probe.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use hyper::Method;
use sagamart_black_box::{Client, Server, Settings, binary};
use sagamart_deployment_tests::{Container, object};
use serde_json::Value;
use test_servers::{Kind, Options, Process, free_port};

/// Far above what a service takes to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Serves with exactly what the manifest says, except for where it listens and keeps its data, which only a pod has.
#[tokio::test]
async fn what_the_embedded_manifest_says_serves_and_answers_every_probe() {
    let objects = object::overlay("embedded");
    let workload = object::named(&objects, "StatefulSet", "sagamart");
    let containers = workload.containers();
    let container = *containers.first().expect("a container");
    let values = container.at("/env").as_array().cloned().unwrap_or_default();
    let mut settings = Settings::default();
    for entry in values {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        if !matches!(text("name").as_str(), "SAGAMART_LISTEN" | "SAGAMART_DATA") {
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
    assert_eq!(client.get("/metrics").await.status, 200, "what the ServiceMonitor reads");
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
    let cluster = object::overlay("cluster");
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

/// Values as a pod gets them, but for what only a pod has: its address, its database's name, and its password.
fn environment(
    container: Container<'_>,
    address: SocketAddr,
    internal: SocketAddr,
    store: &str,
) -> Vec<(String, String)> {
    let entries = container.at("/env").as_array().into_iter().flatten();
    let mut environment = Vec::new();
    for entry in entries {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let value = match text("name").as_str() {
            "POD_IP" => continue,
            "SAGAMART_LISTEN" => address.to_string(),
            "SAGAMART_INTERNAL_LISTEN" => internal.to_string(),
            "SAGAMART_STORE" => store.to_owned(),
            "SAGAMART_STORE_PASSWORD" => PASSWORD.to_owned(),
            _ => text("value").replace("$(POD_IP):9000", &internal.to_string()),
        };
        environment.push((text("name"), value));
    }
    environment
}

const PASSWORD: &str = "0123abcd";

#[tokio::test]
async fn what_the_manifests_say_of_each_service_starts_it_and_answers_every_probe() {
    let objects = object::plain();
    let database = test_servers::Server::start(
        Kind::Valkey8,
        Options { password: Some(PASSWORD.to_owned()), ..Options::default() },
    );
    for service in ["order", "stock", "payment"] {
        let workload = object::named(&objects, "Deployment", service);
        let containers = workload.containers();
        let container = *containers.first().expect("a container");
        let [address, internal] = [free_port(), free_port()].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(binary::path());
        command.args(container.words("/args")).env_clear().envs(environment(
            container,
            address,
            internal,
            &database.url(),
        ));
        let mut process = Process::start(command, &folder.path().join("log"));
        let client = Client::new(address);
        let deadline = Instant::now() + START_TIMEOUT;
        while !client.is_ready().await {
            assert_eq!(process.ended(), None, "{service} ended:\n{}", process.output());
            assert!(Instant::now() < deadline, "{service} is not ready:\n{}", process.output());
            thread::sleep(POLL);
        }
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            let path = container.text(&format!("/{probe}/httpGet/path"));
            assert_eq!(client.get(path).await.status, 200, "{service}: {probe}: {path}");
        }
        assert_eq!(client.get("/metrics").await.status, 200, "{service}: what the ServiceMonitor reads");
        let document: Value = client.get("/openapi.json").await.json();
        let paths = document.get("paths").and_then(Value::as_object).expect("paths");
        let prefix = if service == "order" { "/orders/" } else { &format!("/{service}/") };
        assert!(
            paths.keys().any(|path| path.starts_with(prefix)),
            "{service} does not serve {prefix}, where every way in leads to it"
        );
        process.terminate(START_TIMEOUT);
    }
}
