//! Ways in lead to Services, Services to ports of pods, and all of them speak of the same ones.

use sagamart_deployment_tests::{Object, chart, object, rendered};
use serde_json::{Value, json};

/// After how long a service closes a connection without requests.
const IDLE_SECONDS: u64 = 75;

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

/// A path, or all paths below one, and where a way in sends it.
struct Way {
    path: String,
    is_prefix: bool,
    service: String,
    port: Value,
}

/// What each way in sends where.
fn ways(objects: &[Object]) -> Vec<Way> {
    let mut found = Vec::new();
    for rule in object::of_kind(objects, "Ingress").flat_map(|ingress| ingress.list("/spec/rules")) {
        for path in rule.pointer("/http/paths").and_then(Value::as_array).into_iter().flatten() {
            let port =
                path.pointer("/backend/service/port/name").or_else(|| path.pointer("/backend/service/port/number"));
            found.push(Way {
                path: text(path, "/path"),
                is_prefix: is_prefix(&text(path, "/pathType"), "Prefix"),
                service: text(path, "/backend/service/name"),
                port: port.cloned().unwrap_or_default(),
            });
        }
    }
    for rule in object::of_kind(objects, "HTTPRoute").flat_map(|route| route.list("/spec/rules")) {
        for way in rule.get("matches").and_then(Value::as_array).into_iter().flatten() {
            found.push(Way {
                path: text(way, "/path/value"),
                is_prefix: is_prefix(&text(way, "/path/type"), "PathPrefix"),
                service: text(rule, "/backendRefs/0/name"),
                port: rule.pointer("/backendRefs/0/port").cloned().unwrap_or_default(),
            });
        }
    }
    found
}

fn is_prefix(kind: &str, prefix: &str) -> bool {
    assert!(kind == prefix || kind == "Exact", "{kind}");
    kind == prefix
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[test]
fn every_service_leads_to_a_port_of_its_pods() {
    for (source, objects) in rendered::all_rendered() {
        for service in object::of_kind(objects, "Service") {
            for port in service.list("/spec/ports") {
                let wanted = port.get("name").unwrap_or(&Value::Null);
                assert!(leads_to_a_port(objects, service, wanted), "{source}: {} {wanted}", service.name());
            }
        }
    }
}

#[test]
fn every_way_in_leads_each_path_to_a_service_that_answers_it() {
    for (source, objects) in rendered::all_rendered() {
        let found = ways(objects);
        let none = source.contains("expose.kind=none");
        assert_eq!(found.is_empty(), none, "{source}");
        for Way { path, service: name, port, .. } in &found {
            let service = object::named(objects, "Service", name);
            assert!(leads_to_a_port(objects, service, port), "{source}: {path} leads to {name} {port}");
            let serves =
                objects.iter().filter(|object| object.is_workload() && object.pods_match(service.at("/spec/selector")));
            let subcommands: Vec<String> =
                serves.flat_map(Object::containers).map(|container| container.subcommand().to_owned()).collect();
            let wanted = match path.as_str() {
                "/stock" => "stock",
                "/payment" => "payment",
                _ => "order",
            };
            assert!(subcommands == [wanted] || subcommands == ["serve"], "{source}: {path} leads to {subcommands:?}");
        }
        for (path, is_prefix) in [("/orders", true), ("/stock", true), ("/payment", true), ("/problems", true)]
            .into_iter()
            .chain(["/", "/openapi.json", "/readyz", "/livez"].map(|path| (path, false)))
        {
            let leads = found.iter().any(|way| way.path == path && way.is_prefix == is_prefix);
            assert_eq!(leads, !none, "{source}: {path}");
        }
        let metrics = found.iter().find(|way| "/metrics".starts_with(&way.path) && way.is_prefix);
        assert!(metrics.is_none(), "{source}: metrics are not for the public");
    }
}

#[test]
fn an_ingress_needs_no_controller_of_its_own_kind() {
    for (source, objects) in rendered::all_rendered() {
        for ingress in object::of_kind(objects, "Ingress") {
            assert_eq!(ingress.at("/metadata/annotations"), &Value::Null, "{source}");
        }
    }
    let plain = rendered::plain();
    assert_eq!(object::named(&plain, "Ingress", "sagamart").at("/spec/ingressClassName"), &Value::Null);
    let chart = chart::rendered(&["expose.kind=ingress", "expose.ingress.className=haproxy"]);
    assert_eq!(object::named(&chart, "Ingress", "shop-sagamart").text("/spec/ingressClassName"), "haproxy");
}

/// A request whose fate the gateway does not know may be repeated only with a key that makes the repetition harmless.
#[test]
fn a_gateway_repeats_unknown_outcomes_only_of_requests_with_a_key() {
    let (mut with_keys, mut without) = (0, 0);
    for (source, objects) in rendered::all_rendered() {
        for route in object::of_kind(objects, "HTTPRoute") {
            let policy = object::of_kind(objects, "BackendTrafficPolicy").find(|policy| {
                let target = policy.at("/spec/targetRefs/0");
                (text(target, "/kind"), text(target, "/name")) == ("HTTPRoute".into(), route.name().into())
            });
            policy.into_iter().for_each(|policy| assert_repeats(source, policy));
            for rule in route.list("/spec/rules") {
                let retry = rule.pointer("/retry/codes");
                if text(rule, "/matches/0/path/value") == "/" {
                    continue; // Reads, whose repetition does nothing.
                }
                let has_key = text(rule, "/matches/0/headers/0/name") == "Idempotency-Key";
                let set = rule.pointer("/filters/0/requestHeaderModifier/set").and_then(Value::as_array);
                let given: Vec<String> = set.into_iter().flatten().map(|header| text(header, "/name")).collect();
                assert!(!has_key || given.is_empty(), "{source}: a client's own key is replaced");
                if has_key || given == ["Idempotency-Key", "Idempotency-Retention"] {
                    with_keys += 1;
                    assert!(policy.is_some() && retry.is_none(), "{source}: the route's own retry would win: {rule}");
                } else {
                    without += 1;
                    assert!(policy.is_none() && retry == Some(&json!([503])), "{source}: {rule}");
                }
            }
        }
    }
    assert!(with_keys >= 12 && without >= 3, "{with_keys} and {without} rules");
}

/// How Envoy Gateway's own policy asks again: after every way in which a connection breaks, and after what the services answer where
/// asking again helps. The words are those of its `BackendTrafficPolicy`, whose schema is not at hand.
#[track_caller]
fn assert_repeats(source: &str, policy: &Object) {
    assert_eq!(policy.text("/apiVersion"), "gateway.envoyproxy.io/v1alpha1", "{source}");
    let retry = policy.at("/spec/retry");
    assert!(retry.get("numRetries").and_then(Value::as_u64).is_some_and(|tries| tries >= 1), "{source}: {retry}");
    let triggers =
        json!(["connect-failure", "refused-stream", "unavailable", "cancelled", "reset", "retriable-status-codes"]);
    assert_eq!(
        retry.get("retryOn"),
        Some(&json!({"triggers": triggers, "httpStatusCodes": [502, 503, 504]})),
        "{source}"
    );
    assert_eq!(retry.pointer("/perRetry/backOff"), Some(&json!({"baseInterval": "100ms"})), "{source}");
    let seconds = |pointer: &str| policy.text(pointer).trim_end_matches('s').parse::<u64>().expect("seconds");
    assert!(seconds("/spec/timeout/tcp/connectTimeout") <= 1, "{source}");
    let idle = seconds("/spec/timeout/http/connectionIdleTimeout");
    assert!(idle < IDLE_SECONDS, "{source}: the service closes a connection that is about to be used");
}

#[test]
fn the_value_that_only_envoy_understands_goes_only_to_envoy() {
    let cluster = rendered::overlay("cluster");
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
