//! Every object against the published schemas: Kubernetes' own, strictly, and the types of the Gateway API.

use std::{collections::BTreeSet, process::Output};

use sagamart_deployment_tests::{Object, chart, object, rendered, tools};
use serde_json::{Value, json};

/// The oldest Kubernetes that the manifests ask for, and the newest whose schemas there are.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];

/// The Prometheus Operator's kinds: no package of a registry that brings their schema is worth what comes with it, so this repository has one.
const OF_THE_OPERATOR: [&str; 2] = ["ServiceMonitor", "PrometheusRule"];

/// A kind that no schema at hand describes: Envoy Gateway's, of which `routes.rs` checks each field.
const WITHOUT_SCHEMA: &str = "BackendTrafficPolicy";

fn is_gateway(object: &Object) -> bool {
    object.text("/apiVersion").starts_with("gateway.networking.k8s.io/")
}

fn against_kubernetes(objects: &[&Object], version: &str) -> (String, bool) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("objects.yaml");
    // JSON is YAML.
    let text: Vec<String> = objects.iter().map(|object| object.0.to_string()).collect();
    std::fs::write(&path, text.join("\n---\n")).expect("the file is written");
    let mut command = tools::tool("python/bin/kubernetes-validate");
    let output = command.args(["--strict", "--kubernetes-version", version]).arg(&path).output().expect("it starts");
    (tools::said(&output.stdout) + &tools::said(&output.stderr), output.status.success())
}

fn against_gateway_api(objects: &[&Object]) -> Output {
    let values: Vec<&Value> = objects.iter().map(|object| &object.0).collect();
    let input = serde_json::to_string(&values).expect("JSON is written");
    tools::with_input(&mut tools::tool("gateway-api/debug/gateway-api-check"), &input)
}

/// What the schema in `operator.schema.json` has against objects of the Prometheus Operator: a line each.
fn against_the_operator(objects: &[&Object]) -> Vec<String> {
    const CHECK: &str = "
import json, sys, jsonschema
definitions = json.load(open(sys.argv[1]))['$defs']
for value in json.load(sys.stdin):
    schema = {'$defs': definitions, '$ref': '#/$defs/' + value['kind']}
    for error in jsonschema.Draft202012Validator(schema).iter_errors(value):
        print(value['kind'], error.json_path, error.message)
print('all of them')
";
    let values: Vec<&Value> = objects.iter().map(|object| &object.0).collect();
    let input = serde_json::to_string(&values).expect("JSON is written");
    let mut command = tools::tool("python/bin/python");
    let output = tools::with_input(command.args(["-c", CHECK, "test/deployment/operator.schema.json"]), &input);
    let mut lines: Vec<String> = tools::said(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(lines.pop().as_deref(), Some("all of them"), "{}", tools::said(&output.stderr));
    lines
}

/// Every one of these objects is one that the oldest and the newest Kubernetes take.
pub(crate) fn assert_valid(source: &str, objects: &[&Object]) {
    for version in VERSIONS {
        let (said, passed) = against_kubernetes(objects, version);
        assert!(passed, "{source}, Kubernetes {version}:\n{said}");
        let counted = said.lines().filter(|line| line.contains(" passed for resource ")).count();
        assert_eq!(counted, objects.len(), "{source}, Kubernetes {version}: not every object was checked\n{said}");
    }
}

#[test]
fn every_object_passes_the_schemas_of_the_oldest_and_the_newest_kubernetes() {
    for (source, objects) in rendered::all_rendered() {
        let has_schema = |object: &&Object| {
            !is_gateway(object) && object.kind() != WITHOUT_SCHEMA && !OF_THE_OPERATOR.contains(&object.kind())
        };
        let core: Vec<&Object> = objects.iter().filter(has_schema).collect();
        assert!(core.len() >= 3, "{source}: {} objects are too few to be true", core.len());
        assert_valid(source, &core);
    }
}

#[test]
fn every_object_of_the_gateway_api_is_one_of_its_published_types() {
    let mut checked = 0;
    for (source, objects) in rendered::all_rendered() {
        let gateway: Vec<&Object> = objects.iter().filter(|object| is_gateway(object)).collect();
        let output = against_gateway_api(&gateway);
        assert!(output.status.success(), "{source}: {}", tools::said(&output.stderr));
        assert_eq!(tools::said(&output.stdout).trim(), gateway.len().to_string(), "{source}");
        checked += gateway.len();
    }
    assert!(checked >= 3, "a GatewayClass, a Gateway and an HTTPRoute at least, not {checked}");
}

#[test]
fn what_is_for_the_prometheus_operator_has_the_fields_that_it_knows() {
    let all = rendered::all_rendered().iter().flat_map(|(_, objects)| objects);
    let objects: Vec<&Object> = all.filter(|object| OF_THE_OPERATOR.contains(&object.kind())).collect();
    let kinds: BTreeSet<&str> = objects.iter().map(|object| object.kind()).collect();
    assert_eq!(kinds, OF_THE_OPERATOR.into());
    assert_eq!(against_the_operator(&objects), Vec::<String>::new());
    for (kind, pointer) in [("ServiceMonitor", "/spec/endpoints/0"), ("PrometheusRule", "/spec/groups/0/rules/0")] {
        let mut misspelt = (*objects.iter().find(|object| object.kind() == kind).expect("one of them")).clone();
        let place = misspelt.0.pointer_mut(pointer).and_then(Value::as_object_mut).expect("it is there");
        place.insert("honourLabels".to_owned(), json!(true));
        let found = against_the_operator(&[&misspelt]);
        assert!(found.len() == 1 && found.concat().contains("honourLabels"), "{kind}: {found:?}");
    }
}

#[test]
fn a_misspelt_field_does_not_pass() {
    let mut objects = rendered::overlay("cluster");
    for object in &mut objects {
        let pointer = match object.kind() {
            "Deployment" => "/spec/template/spec/containers/0",
            "HTTPRoute" => "/spec/rules/0/timeouts",
            _ => continue,
        };
        let place = object.0.pointer_mut(pointer).and_then(Value::as_object_mut).expect("it is there");
        place.insert("attemps".to_owned(), json!(2));
    }
    let deployment = object::of_kind(&objects, "Deployment").next().expect("a Deployment");
    let (said, passed) = against_kubernetes(&[deployment], "1.37");
    assert!(!passed && said.contains("attemps"), "{said}");
    let route = object::of_kind(&objects, "HTTPRoute").next().expect("a route");
    let output = against_gateway_api(&[route]);
    assert!(!output.status.success() && tools::said(&output.stderr).contains("attemps"), "{output:?}");
}

#[test]
fn the_plain_manifests_are_what_the_minikube_overlay_renders() {
    let (plain, overlay) = (rendered::plain(), rendered::overlay("minikube"));
    assert!(plain == overlay, "k8s/sagamart.yaml is not k8s/overlays/minikube: run `cargo xtask render-manifests`");
    assert_eq!(
        plain.first().map(Object::kind),
        Some("Namespace"),
        "others are created in it, in the order of the file"
    );
    let text = tools::text("k8s/sagamart.yaml");
    let below = text.split_once('\n').map(|(_, below)| below);
    assert!(below == Some(rendered::overlay_text("minikube").as_str()), "run `cargo xtask render-manifests`");
}

#[test]
fn no_manifest_holds_a_secret() {
    for (source, objects) in rendered::all_rendered() {
        // The chart's is another one in each rendering.
        let is_random = |name: &str| source.starts_with(chart::PATH) && name == "shop-sagamart-peers";
        for secret in object::of_kind(objects, "Secret") {
            assert!(is_random(secret.name()), "{source}: {} is there, but the scripts make Secrets", secret.name());
        }
        for container in objects.iter().filter(|object| object.is_workload()).flat_map(Object::containers) {
            for name in container.variables() {
                let secret = name.contains("PASSWORD");
                let plain = container.variable_entry(name).is_some_and(|entry| entry.get("value").is_some());
                assert!(!(secret && plain), "{source}: {container}: {name} has its value in the manifest");
            }
        }
    }
}
