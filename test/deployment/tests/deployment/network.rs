//! Who may reach whom: each port from those who need it, and nobody else.

use sagamart_deployment_tests::{Object, chart, object, rendered};
use serde_json::{Value, json};

const SERVICES: [&str; 3] = ["order", "stock", "payment"];
/// They, and the observer of all three.
const PARTS: [&str; 4] = ["order", "stock", "payment", "observer"];

/// Whether a `podSelector` (labels and expressions) chooses these labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = selector.get("matchLabels").and_then(Value::as_object);
    let equal = equal.is_none_or(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)));
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    equal
        && expressions.into_iter().flatten().all(|expression| {
            assert_eq!(expression.get("operator"), Some(&json!("In")), "{expression}");
            let key = expression.get("key").and_then(Value::as_str).unwrap_or_default();
            let values = expression.get("values").and_then(Value::as_array);
            labels.get(key).is_some_and(|value| values.is_some_and(|values| values.contains(value)))
        })
}

/// Whether the policies let pods with the labels `from` (of the same namespace, or of another one of that name) reach `port` of pods with
/// the labels `to`, as far as `to` is concerned.
fn lets_in(objects: &[Object], from: &Peer<'_>, to: &Value, port: &Value) -> bool {
    let policies = object::of_kind(objects, "NetworkPolicy");
    let about: Vec<&Object> = policies
        .filter(|policy| {
            selects(policy.at("/spec/podSelector"), to) && policy.list("/spec/policyTypes").contains(&json!("Ingress"))
        })
        .collect();
    assert!(!about.is_empty(), "nothing says who may reach {to}");
    about.iter().flat_map(|policy| policy.list("/spec/ingress")).any(|rule| allows(rule, "from", from, port))
}

/// The same for the way out of `from`.
fn lets_out(objects: &[Object], from: &Value, to: &Peer<'_>, port: &Value) -> bool {
    let policies = object::of_kind(objects, "NetworkPolicy");
    let about: Vec<&Object> = policies
        .filter(|policy| {
            selects(policy.at("/spec/podSelector"), from) && policy.list("/spec/policyTypes").contains(&json!("Egress"))
        })
        .collect();
    assert!(!about.is_empty(), "nothing says whom {from} may reach");
    about.iter().flat_map(|policy| policy.list("/spec/egress")).any(|rule| allows(rule, "to", to, port))
}

/// The other side of a connection.
enum Peer<'a> {
    Pod(&'a Value),
    Namespace(&'a str),
}

fn allows(rule: &Value, side: &str, peer: &Peer<'_>, port: &Value) -> bool {
    let mut ports = rule.get("ports").and_then(Value::as_array).into_iter().flatten();
    let mut peers = rule.get(side).and_then(Value::as_array).into_iter().flatten();
    ports.any(|found| found.get("port") == Some(port))
        && peers.any(|found| match peer {
            Peer::Pod(labels) => {
                found.get("podSelector").is_some_and(|selector| selects(selector, labels))
                    && found.get("namespaceSelector").is_none()
            }
            Peer::Namespace(name) => found.get("namespaceSelector").is_some_and(|selector| {
                selects(selector, &json!({"kubernetes.io/metadata.name": name})) && found.get("podSelector").is_none()
            }),
        })
}

fn pods(name: &str) -> Value {
    json!({"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "sagamart"})
}

/// Labels that the Valkey chart gives the pods of such a release.
fn database(service: &str) -> Value {
    json!({"app.kubernetes.io/name": "valkey", "app.kubernetes.io/instance": format!("{service}-db")})
}

#[test]
fn a_database_answers_its_own_service_and_no_other() {
    let port = json!(6379);
    for name in ["minikube", "cluster"] {
        let objects = rendered::overlay(name);
        for service in PARTS {
            for asking in PARTS {
                let (from, to) = (pods(asking), database(service));
                let expected = asking == service;
                assert_eq!(
                    lets_in(&objects, &Peer::Pod(&from), &to, &port),
                    expected,
                    "{name}: {asking} to {service}-db"
                );
                assert_eq!(
                    lets_out(&objects, &from, &Peer::Pod(&to), &port),
                    expected,
                    "{name}: out of {asking} to {service}-db"
                );
            }
            assert!(lets_in(&objects, &Peer::Pod(&database(service)), &database(service), &port), "{name}: a replica");
            assert!(!lets_in(&objects, &Peer::Namespace("traefik"), &database(service), &port), "{name}");
        }
    }
}

#[test]
fn internal_ports_are_open_between_the_services_and_their_observer_alone() {
    for name in ["minikube", "cluster"] {
        let objects = rendered::overlay(name);
        for (service, asking) in PARTS.into_iter().flat_map(|service| PARTS.map(|asking| (service, asking))) {
            let (from, to) = (pods(asking), pods(service));
            assert!(lets_in(&objects, &Peer::Pod(&from), &to, &json!("internal")), "{name}: {asking} to {service}");
            assert!(lets_out(&objects, &from, &Peer::Pod(&to), &json!(9000)), "{name}: out of {asking} to {service}");
            assert!(
                !lets_in(&objects, &Peer::Pod(&from), &to, &json!("http")),
                "{name}: public routes are for the gateway"
            );
        }
        for outsider in [database("order"), json!({"app.kubernetes.io/name": "order"}), json!({})] {
            assert!(
                !lets_in(&objects, &Peer::Pod(&outsider), &pods("stock"), &json!("internal")),
                "{name}: {outsider}"
            );
        }
        assert!(
            !lets_in(&objects, &Peer::Namespace("envoy-gateway-system"), &pods("stock"), &json!("internal")),
            "{name}"
        );
    }
}

#[test]
fn public_ports_are_open_to_where_the_gateway_runs() {
    for name in ["minikube", "cluster", "embedded"] {
        let objects = rendered::overlay(name);
        let services: &[&str] = if name == "embedded" { &["sagamart"] } else { &SERVICES };
        for service in services {
            for namespace in ["traefik", "envoy-gateway-system", "ingress-nginx", "kube-system"] {
                assert!(
                    lets_in(&objects, &Peer::Namespace(namespace), &pods(service), &json!("http")),
                    "{name}: {namespace}"
                );
            }
            for namespace in ["default", "monitoring"] {
                let from = Peer::Namespace(namespace);
                assert!(!lets_in(&objects, &from, &pods(service), &json!("http")), "{name}: {namespace}");
                let reads = lets_in(&objects, &from, &pods(service), &json!("metrics"));
                assert_eq!(reads, namespace == "monitoring", "{name}: {namespace}");
            }
        }
    }
}

#[test]
fn the_observer_shows_its_metrics_to_the_monitoring_and_the_history_within_the_namespace() {
    for name in ["minikube", "cluster"] {
        let (objects, observer) = (rendered::overlay(name), pods("observer"));
        for namespace in ["traefik", "envoy-gateway-system", "ingress-nginx", "kube-system", "monitoring", "default"] {
            let from = Peer::Namespace(namespace);
            let reads = lets_in(&objects, &from, &observer, &json!("metrics"));
            assert_eq!(reads, namespace == "monitoring", "{name}: {namespace}");
            assert!(!lets_in(&objects, &from, &observer, &json!("http")), "{name}: {namespace}");
            assert!(!lets_in(&objects, &from, &observer, &json!("admin")), "{name}: {namespace}");
        }
        for inside in [pods("order"), json!({"app": "a pod of an operator"})] {
            assert!(lets_in(&objects, &Peer::Pod(&inside), &observer, &json!("admin")), "{name}: {inside}");
        }
    }
    let (of_a_release, to) = (
        chart::rendered(&[]),
        |component: &str| json!({"app.kubernetes.io/name": "sagamart", "app.kubernetes.io/instance": "shop", "app.kubernetes.io/component": component}),
    );
    for namespace in ["traefik", "monitoring"] {
        let from = Peer::Namespace(namespace);
        let is_monitoring = namespace == "monitoring";
        assert_eq!(lets_in(&of_a_release, &from, &to("order"), &json!("http")), !is_monitoring, "{namespace}");
        for part in ["order", "observer"] {
            assert_eq!(
                lets_in(&of_a_release, &from, &to(part), &json!("metrics")),
                is_monitoring,
                "{part}: {namespace}"
            );
        }
        assert!(!lets_in(&of_a_release, &from, &to("observer"), &json!("http")), "{namespace}");
        assert!(!lets_in(&of_a_release, &from, &to("observer"), &json!("admin")), "{namespace}");
    }
    assert!(lets_in(&of_a_release, &Peer::Pod(&json!({"app": "another"})), &to("observer"), &json!("admin")));
}

#[test]
fn sentinels_reach_the_databases_and_answer_who_asks_for_a_primary() {
    let objects = rendered::overlay("cluster");
    let (sentinel, port) = (pods("sentinel"), json!(6379));
    for service in PARTS {
        let (pod, database) = (pods(service), database(service));
        assert!(lets_in(&objects, &Peer::Pod(&sentinel), &database, &port), "to {service}-db");
        assert!(lets_out(&objects, &sentinel, &Peer::Pod(&database), &port), "to {service}-db");
        for asking in [&pod, &database, &sentinel] {
            assert!(lets_in(&objects, &Peer::Pod(asking), &sentinel, &json!("sentinel")), "{asking}");
            assert!(lets_out(&objects, asking, &Peer::Pod(&sentinel), &json!(26379)), "{asking}");
        }
    }
}

#[test]
fn the_embedded_shop_calls_nobody() {
    let objects = rendered::overlay("embedded");
    let policy = object::named(&objects, "NetworkPolicy", "sagamart");
    assert!(policy.list("/spec/policyTypes").contains(&json!("Egress")));
    assert_eq!(policy.at("/spec/egress"), &Value::Null);
}
