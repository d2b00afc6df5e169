//! The chart: what it refuses, and that it says the same as the plain manifests.

use sagamart_deployment_tests::{Object, chart, object, rendered, tools};
use serde_json::{Value, json};

use crate::apply;

#[test]
fn helm_finds_nothing_to_say_against_the_chart() {
    let said = tools::output(tools::helm().args(["lint", "--strict", chart::PATH]));
    assert!(said.contains("1 chart(s) linted, 0 chart(s) failed"), "{said}");
    let chart = tools::yaml(&tools::text("charts/sagamart/Chart.yaml"));
    let chart = chart.first().expect("a document");
    assert_eq!(chart.get("dependencies"), None, "no sub-charts");
}

#[test]
fn wrong_values_are_refused_by_name() {
    for (value, named) in [
        ("store.mode=mongo", "/store/mode"),
        ("store.redis.durability=never", "/store/redis/durability"),
        ("store.redis.durability=replicated", "store.redis.replicas"),
        ("store.redis.replicas=0", "/store/redis/replicas"),
        ("store.redis.order.url=redis://:secret@order-db:6379", "/store/redis/order/url"),
        ("store.redis.stock.url=http://stock-db", "/store/redis/stock/url"),
        ("store.redis.payment.url=", "/store/redis/payment"),
        ("store.redis.order.urlSecret.name=a", "/store/redis/order/urlSecret"),
        ("store.redis.order.password=secret", "password"),
        ("access.insecure=false", "access.tokensSecret.name"),
        ("access.tokensSecret.name=a", "/access/tokensSecret"),
        ("replicas=0", "/replicas"),
        ("settings.partitions=0", "/settings/partitions"),
        ("settings.log=xml", "/settings/log"),
        ("expose.kind=loadBalancer", "/expose/kind"),
        ("expose.httpRoute.idempotencyKey=nginx", "/expose/httpRoute/idempotencyKey"),
        ("monitoring.interval=often", "/monitoring/interval"),
        ("monitoring.rules.enabled=often", "/monitoring/rules/enabled"),
        ("observe.enabled=often", "/observe/enabled"),
        ("observe.historyHours=0", "/observe/historyHours"),
        ("observe.historyMib=0", "/observe/historyMib"),
        ("store.redis.observer.url=", "/store/redis/observer"),
        ("networkPolicy.monitoringNamespaces=", "/networkPolicy/monitoringNamespaces"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("peers.secret=0123456789abcdef", "secret"),
        ("peers.key=", "/peers/key"),
        ("replica=3", "replica"),
    ] {
        let output = chart::template(&[value]).output().expect("helm starts");
        let said = tools::said(&output.stderr);
        assert!(!output.status.success() && said.contains(named), "{value}: {said}");
    }
}

#[test]
fn every_value_has_its_line_in_the_schema() {
    let values = tools::yaml(&tools::text("charts/sagamart/values.yaml")).remove(0);
    let schema: Value = serde_json::from_str(&tools::text("charts/sagamart/values.schema.json")).expect("JSON");
    assert_described(&values, &schema, "");
}

/// Walks down both, as far as the schema names properties.
fn assert_described(values: &Value, schema: &Value, path: &str) {
    let (Some(values), Some(properties)) = (values.as_object(), schema.get("properties")) else {
        return;
    };
    assert_eq!(schema.get("additionalProperties"), Some(&json!(false)), "{path}: a misspelt value would pass");
    for (key, value) in values {
        let path = format!("{path}.{key}");
        let inner = properties.get(key).unwrap_or_else(|| panic!("{path} is not in the schema"));
        assert_described(value, inner, &path);
    }
}

#[test]
fn urls_and_passwords_come_from_the_secrets_that_are_named() {
    let objects = chart::rendered(&[
        "store.redis.order.url=",
        "store.redis.order.urlSecret.name=managed",
        "store.redis.order.urlSecret.key=address",
        "store.redis.order.passwordSecret.name=managed",
        "store.redis.order.passwordSecret.key=token",
    ]);
    let workload = object::named(&objects, "Deployment", "shop-sagamart-order");
    let containers = workload.containers();
    let container = containers.first().expect("a container");
    let secret = |name: &str| container.variable_entry(name).and_then(|entry| entry.pointer("/valueFrom/secretKeyRef"));
    assert_eq!(secret("SAGAMART_STORE"), Some(&json!({"name": "managed", "key": "address"})));
    assert_eq!(secret("SAGAMART_STORE_PASSWORD"), Some(&json!({"name": "managed", "key": "token"})));
}

#[test]
fn monitoring_is_there_only_when_asked_for_and_reads_the_metrics_of_every_part_once() {
    assert_eq!(object::of_kind(&chart::rendered(&[]), "ServiceMonitor").count(), 0);
    let objects = chart::rendered(&["monitoring.enabled=true"]);
    let monitor = object::named(&objects, "ServiceMonitor", "shop-sagamart");
    assert_eq!(
        (monitor.text("/spec/endpoints/0/port"), monitor.text("/spec/endpoints/0/path")),
        ("metrics", "/metrics")
    );
    let wanted = monitor.at("/spec/selector/matchLabels").as_object().expect("labels");
    let chosen: Vec<&str> = object::of_kind(&objects, "Service")
        .filter(|service| wanted.iter().all(|(key, value)| service.at("/metadata/labels").get(key) == Some(value)))
        .map(Object::name)
        .collect();
    assert_eq!(chosen, ["order", "stock", "payment", "observer"].map(|service| format!("shop-sagamart-{service}")));
}

#[test]
fn rules_and_dashboard_are_those_of_the_repository_and_find_what_the_service_monitor_reads() {
    let none = chart::rendered(&["monitoring.enabled=true"]);
    assert_eq!(object::of_kind(&none, "PrometheusRule").count(), 0);
    assert!(object::of_kind(&none, "ConfigMap").all(|object| !object.name().contains("dashboard")));
    let objects = chart::rendered(&[
        "monitoring.enabled=true",
        "monitoring.rules.enabled=true",
        "monitoring.dashboard.enabled=true",
        "monitoring.labels.release=prometheus",
    ]);
    let rules = object::named(&objects, "PrometheusRule", "shop-sagamart");
    let ours = tools::yaml(&tools::text("monitoring/sagamart.rules.yml")).remove(0);
    assert_eq!(rules.at("/spec"), &ours, "run `cargo xtask render-manifests`");
    assert_eq!(rules.text("/metadata/labels/release"), "prometheus");
    let dashboard = object::named(&objects, "ConfigMap", "shop-sagamart-dashboard");
    assert_eq!(dashboard.text("/metadata/labels/grafana_dashboard"), "1");
    let ours: Value = serde_json::from_str(&tools::text("monitoring/grafana/sagamart.json")).expect("JSON");
    let theirs: Value = serde_json::from_str(dashboard.text("/data/sagamart.json")).expect("JSON");
    assert_eq!(theirs, ours, "run `cargo xtask render-manifests`");
    // The job that the rules name is the value of the label that the ServiceMonitor names, at each Service that it chooses.
    let monitor = object::named(&objects, "ServiceMonitor", "shop-sagamart");
    let label = monitor.text("/spec/jobLabel").replace('/', "~1");
    for service in object::of_kind(&objects, "Service") {
        assert_eq!(service.text(&format!("/metadata/labels/{label}")), "sagamart", "{}", service.name());
    }
    assert_eq!(monitor.at("/spec/endpoints/0/honorLabels"), &json!(true), "`service` is a label of the metrics");
}

/// What a pod is told and asked, without the names that a release brings along.
fn essence(workload: &Object, release: &str) -> Value {
    let containers = workload.containers();
    let container = containers.first().expect("a container");
    let mut environment = container.at("/env").as_array().cloned().unwrap_or_default();
    environment.sort_by_key(|entry| entry.get("name").map(ToString::to_string));
    let probes = ["startupProbe", "readinessProbe", "livenessProbe"].map(|probe| container.at(&format!("/{probe}")));
    let text = json!({
        "args": container.at("/args"), "environment": environment, "image": container.at("/image"), "ports": container.at("/ports"),
        "probes": probes,
        "lifecycle": container.at("/lifecycle"), "grace": workload.at("/spec/template/spec/terminationGracePeriodSeconds"),
        "security": container.at("/securityContext"), "mounts": container.at("/volumeMounts"), "resources": container.at("/resources"),
    });
    // Names in the namespace `market` are those in `sagamart`.
    serde_json::from_str(&text.to_string().replace(release, "").replace(".market", ".sagamart")).expect("JSON")
}

/// Of the Secret that the chart makes.
fn peers(objects: &[Object]) -> String {
    object::named(objects, "Secret", "shop-sagamart-peers").text("/data/secret").to_owned()
}

#[test]
fn the_secret_of_the_shop_is_made_for_each_release_unless_one_is_named() {
    let (first, second) = (peers(&chart::rendered(&[])), peers(&chart::rendered(&[])));
    assert!(first.len() >= 64 && first != second, "{first}, {second}");
    for values in [&["peers.existingSecret=mine"] as &[&str], &["store.mode=embedded"]] {
        assert_eq!(object::of_kind(&chart::rendered(values), "Secret").count(), 0, "{values:?}");
    }
}

/// helm asks the cluster what is there, as an upgrade does.
#[test]
fn an_upgrade_keeps_the_secret_of_the_shop() {
    let there = json!({
        "apiVersion": "v1", "kind": "Secret", "data": {"secret": "b2xk"},
        "metadata": {
            "name": "shop-sagamart-peers", "namespace": "market", "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "market"},
        },
    });
    let objects = chart::rendered(&[]);
    let upgrade = |there: &[Value]| {
        let mut command = chart::template(&[]);
        command.args([
            "--disable-openapi-validation",
            "--dry-run=server",
            "--kube-apiserver",
            &apply::server_for(&objects, there),
        ]);
        peers(&object::parse(&tools::output(&mut command)))
    };
    assert_eq!(upgrade(&[there]), "b2xk");
    assert!(upgrade(&[]).len() >= 64, "none is there");
}

#[test]
fn a_release_with_the_defaults_runs_what_the_plain_manifests_run() {
    let (plain, release) = (rendered::plain(), chart::rendered(&[]));
    for service in ["order", "stock", "payment", "observer"] {
        let ours = object::named(&plain, "Deployment", service);
        let theirs = object::named(&release, "Deployment", &format!("shop-sagamart-{service}"));
        assert_eq!(essence(ours, "shop-sagamart-"), essence(theirs, "shop-sagamart-"), "{service}");
        assert_eq!(ours.at("/spec/replicas"), theirs.at("/spec/replicas"), "{service}");
    }
}

#[test]
fn without_an_observer_nothing_is_kept_for_it() {
    let lag = |objects: &[Object], service: &str| {
        let workload = object::named(objects, "Deployment", &format!("shop-sagamart-{service}"));
        let containers = workload.containers();
        let container = containers.first().expect("a container");
        container
            .variable_entry("SAGAMART_OBSERVER_LAG")
            .map(|_| container.variable("SAGAMART_OBSERVER_LAG").to_owned())
    };
    let (with, without) = (chart::rendered(&[]), chart::rendered(&["observe.enabled=false"]));
    for service in ["order", "stock", "payment"] {
        assert_eq!(lag(&with, service), None, "{service}: as the binary does it");
        assert_eq!(lag(&without, service).as_deref(), Some("0"), "{service}");
    }
    let of_observer = |objects: &[Object]| objects.iter().filter(|object| object.name().contains("observer")).count();
    // Deployment, two Services, PodDisruptionBudget, NetworkPolicy.
    assert_eq!((of_observer(&with), of_observer(&without)), (5, 0));
    for (value, hours) in [("observe.historyHours=12", "12"), ("observe.enabled=false", "0")] {
        let objects = chart::rendered(&["store.mode=embedded", value]);
        let workload = object::named(&objects, "StatefulSet", "shop-sagamart-shop");
        let containers = workload.containers();
        assert_eq!(containers.first().expect("a container").variable("SAGAMART_HISTORY_HOURS"), hours, "{value}");
    }
}

#[test]
fn names_stay_within_what_kubernetes_allows() {
    let long = "a".repeat(53);
    let mut command = tools::helm();
    let text = tools::output(command.args([
        "template",
        &long,
        chart::PATH,
        "--set",
        "autoscaling.enabled=true,access.insecure=true",
    ]));
    for object in object::parse(&text) {
        assert!(object.name().len() <= 63, "{} {}", object.kind(), object.name());
    }
}
