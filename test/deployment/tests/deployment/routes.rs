//! Ways in lead to Services, Services to ports of pods, and all of them speak of the same ones.

use sagamart_deployment_tests::{Object, chart, object};
use serde_json::{Value, json};

/// The port of a Service, by name or number, and whether a pod of these objects serves it.
fn leads_to_a_port(objects: &[Object], service: &Object, wanted: &Value) -> bool {
    let ports = service.list("/spec/ports");
    let port = ports.iter().find(|port| port.get("name") == Some(wanted) || port.get("port") == Some(wanted));
    let Some(target) = port.and_then(|port| port.get("targetPort")) else {
        return false;
    };
    let workloads =
        objects.iter().filter(|object| object.is_workload() && object.pods_match(service.at("/spec/selector")));
    let mut containers = workloads.flat_map(Object::containers).peekable();
    containers.peek().is_some()
        && containers.all(|container| {
            let mut ports = container.at("/ports").as_array().into_iter().flatten();
            ports.any(|port| port.get("name") == Some(target) || port.get("containerPort") == Some(target))
        })
}

/// What each way in sends where: prefix, Service, port.
fn backends(objects: &[Object]) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for rule in object::of_kind(objects, "Ingress").flat_map(|ingress| ingress.list("/spec/rules")) {
        for path in rule.pointer("/http/paths").and_then(Value::as_array).into_iter().flatten() {
            assert_eq!(path.get("pathType"), Some(&json!("Prefix")), "{path}");
            let port =
                path.pointer("/backend/service/port/name").or_else(|| path.pointer("/backend/service/port/number"));
            found.push((text(path, "/path"), text(path, "/backend/service/name"), port.cloned().unwrap_or_default()));
        }
    }
    for rule in object::of_kind(objects, "HTTPRoute").flat_map(|route| route.list("/spec/rules")) {
        let (path, name) = (text(rule, "/matches/0/path/value"), text(rule, "/backendRefs/0/name"));
        assert_eq!(text(rule, "/matches/0/path/type"), "PathPrefix", "{rule}");
        found.push((path, name, rule.pointer("/backendRefs/0/port").cloned().unwrap_or_default()));
    }
    found
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[test]
fn every_service_leads_to_a_port_of_its_pods() {
    for (source, objects) in object::all_rendered() {
        for service in object::of_kind(objects, "Service") {
            for port in service.list("/spec/ports") {
                let wanted = port.get("name").unwrap_or(&Value::Null);
                assert!(leads_to_a_port(objects, service, wanted), "{source}: {} {wanted}", service.name());
            }
        }
    }
}

#[test]
fn every_way_in_leads_each_prefix_to_the_service_that_answers_it() {
    for (source, objects) in object::all_rendered() {
        let found = backends(objects);
        let none = source.contains("expose.kind=none");
        assert_eq!(found.is_empty(), none, "{source}");
        for (prefix, name, port) in &found {
            let service = object::named(objects, "Service", name);
            assert!(leads_to_a_port(objects, service, port), "{source}: {prefix} leads to {name} {port}");
            let serves =
                objects.iter().filter(|object| object.is_workload() && object.pods_match(service.at("/spec/selector")));
            let subcommands: Vec<String> =
                serves.flat_map(Object::containers).map(|container| container.subcommand().to_owned()).collect();
            let wanted = match prefix.as_str() {
                "/orders" => "order",
                other => other.trim_start_matches('/'),
            };
            assert!(subcommands == [wanted] || subcommands == ["serve"], "{source}: {prefix} leads to {subcommands:?}");
        }
        for prefix in ["/orders", "/stock", "/payment"] {
            assert_eq!(found.iter().any(|(found, ..)| found == prefix), !none, "{source}: {prefix}");
        }
    }
}

#[test]
fn an_ingress_needs_no_controller_of_its_own_kind() {
    for (source, objects) in object::all_rendered() {
        for ingress in object::of_kind(objects, "Ingress") {
            assert_eq!(ingress.at("/metadata/annotations"), &Value::Null, "{source}");
        }
    }
    let plain = object::plain();
    assert_eq!(object::named(&plain, "Ingress", "sagamart").at("/spec/ingressClassName"), &Value::Null);
    let chart = chart::rendered(&["expose.kind=ingress", "expose.ingress.className=haproxy"]);
    assert_eq!(object::named(&chart, "Ingress", "shop-sagamart").text("/spec/ingressClassName"), "haproxy");
}

/// A request whose fate the gateway does not know may be repeated only with a key that makes the repetition harmless.
#[test]
fn a_gateway_repeats_unknown_outcomes_only_of_requests_with_a_key() {
    let mut rules_seen = 0;
    for (source, objects) in object::all_rendered() {
        for rule in object::of_kind(objects, "HTTPRoute").flat_map(|route| route.list("/spec/rules")) {
            rules_seen += 1;
            let codes = rule.pointer("/retry/codes").and_then(Value::as_array).cloned().unwrap_or_default();
            assert!(
                rule.pointer("/retry/attempts").and_then(Value::as_u64).is_some_and(|attempts| attempts >= 1),
                "{source}"
            );
            assert!(codes.contains(&json!(503)), "{source}: {codes:?}");
            let has_key = text(rule, "/matches/0/headers/0/name") == "Idempotency-Key";
            let set = rule.pointer("/filters/0/requestHeaderModifier/set").and_then(Value::as_array);
            let given: Vec<String> = set.into_iter().flatten().map(|header| text(header, "/name")).collect();
            let keyed = has_key || given == ["Idempotency-Key", "Idempotency-Retention"];
            assert!(!has_key || given.is_empty(), "{source}: a client's own key is replaced");
            assert_eq!(codes.contains(&json!(502)), keyed, "{source}: {rule}");
        }
    }
    assert!(rules_seen >= 9, "{rules_seen}");
}

#[test]
fn the_value_that_only_envoy_understands_goes_only_to_envoy() {
    let cluster = object::overlay("cluster");
    let class = object::named(&cluster, "GatewayClass", "sagamart");
    assert_eq!(class.text("/spec/controllerName"), "gateway.envoyproxy.io/gatewayclass-controller");
    let gateway = object::named(&cluster, "Gateway", "sagamart");
    assert_eq!(gateway.text("/spec/gatewayClassName"), class.name());
    let route = object::named(&cluster, "HTTPRoute", "sagamart");
    assert_eq!(route.text("/spec/parentRefs/0/name"), gateway.name());
    assert!(route.0.to_string().contains("%UNIQUE_ID%"), "{route:?}");
    let unless_told = chart::rendered(&[]);
    assert!(!object::named(&unless_told, "HTTPRoute", "shop-sagamart").0.to_string().contains('%'));
}
