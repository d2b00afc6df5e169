//! The values that the scripts give to the charts of others, through stand-ins of these charts (`test/deployment/charts`).

use std::collections::BTreeSet;

use sagamart_deployment_tests::{Object, object, rendered, tools};
use serde_json::{Value, json};

use crate::{
    schemas,
    stage::{CLUSTER, MINIKUBE, Stage},
};

const DATABASES: [&str; 4] = ["order-db", "stock-db", "payment-db", "observer-db"];

/// How a script calls helm for a release: the words after the release's name.
fn call(script: &str, release: &str) -> Vec<String> {
    let arguments: &[&str] = if script == CLUSTER { &["--storage-class", "fast"] } else { &[] };
    let run = Stage::complete().run(script, arguments).succeeded();
    let call = run.calls.iter().find(|call| call.get(..3).is_some_and(|words| words == ["helm", "upgrade", release]));
    call.and_then(|call| call.get(3..)).unwrap_or_else(|| panic!("{script} makes no release {release}")).to_vec()
}

/// What the stand-in of a chart renders with the values of that call.
fn objects(chart: &str, script: &str, release: &str) -> Vec<Object> {
    let mut command = tools::helm();
    command.args(["template", release, &format!("test/deployment/charts/{chart}"), "--namespace", "sagamart"]);
    let words = call(script, release);
    let version = words.iter().skip_while(|word| *word != "--version").nth(1);
    let stand_in = tools::yaml(&tools::text(&format!("test/deployment/charts/{chart}/Chart.yaml"))).remove(0);
    assert_eq!(
        stand_in.get("version").and_then(Value::as_str),
        version.map(String::as_str),
        "another version of {chart}"
    );
    for pair in words.windows(2) {
        if let [option, value] = pair
            && matches!(option.as_str(), "--values" | "--set" | "--set-file")
        {
            command.args([option, value]);
        }
    }
    object::parse(&tools::output(&mut command))
}

/// One database as pods: the workload.
fn database(script: &str, name: &str) -> Object {
    let objects = objects("valkey", script, name);
    let kind = if script == CLUSTER { "StatefulSet" } else { "Deployment" };
    object::named(&objects, kind, name).clone()
}

/// Names of the Secrets that its pods read.
fn secrets(workload: &Object) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = vec![&workload.0];
    while let Some(value) = rest.pop() {
        let name = value.get("secretName").or_else(|| value.pointer("/secretKeyRef/name"));
        found.extend(name.and_then(Value::as_str).map(str::to_owned));
        let fields = value.as_object().into_iter().flat_map(|fields| fields.values());
        rest.extend(fields.chain(value.as_array().into_iter().flatten()));
    }
    found
}

/// The chart runs most values through no template engine: what stands there is what the cluster gets.
#[test]
fn what_the_charts_make_of_the_values_is_valid_and_holds_no_template() {
    for script in [MINIKUBE, CLUSTER] {
        for name in DATABASES {
            let objects = objects("valkey", script, name);
            schemas::assert_valid(&format!("{script}: {name}"), &objects.iter().collect::<Vec<_>>());
            for object in &objects {
                assert!(!object.0.to_string().contains("{{"), "{script}: {name}: {object:?}");
            }
            let workload = database(script, name);
            assert_eq!(secrets(&workload), [name.to_owned()].into(), "{script}: {name} has its own Secret");
        }
    }
    let objects = objects("traefik", MINIKUBE, "traefik");
    schemas::assert_valid("traefik", &objects.iter().collect::<Vec<_>>());
    assert_eq!(
        object::named(&objects, "Service", "traefik").text("/spec/type"),
        "NodePort",
        "minikube has no load balancer"
    );
    let class = object::named(&objects, "IngressClass", "traefik");
    assert_eq!(class.text("/metadata/annotations/ingressclass.kubernetes.io~1is-default-class"), "true");
}

/// A value that the chart does not read is ignored without a word.
#[test]
fn every_value_is_one_that_the_chart_reads() {
    for (chart, files) in
        [("valkey", &["valkey", "valkey-cluster", "valkey-minikube"] as &[&str]), ("traefik", &["traefik"])]
    {
        let known = tools::yaml(&tools::text(&format!("test/deployment/charts/{chart}/values.yaml"))).remove(0);
        for file in files {
            let path = format!("helm-config/{file}.yaml");
            assert_known(&tools::yaml(&tools::text(&path)).remove(0), &known, &path);
        }
    }
}

fn assert_known(values: &Value, known: &Value, path: &str) {
    let (Some(values), Some(known)) = (values.as_object(), known.as_object()) else { return };
    // An empty one holds what its owner likes, such as labels.
    if known.is_empty() {
        return;
    }
    for (name, value) in values {
        let path = format!("{path}: {name}");
        assert_known(value, known.get(name).unwrap_or_else(|| panic!("{path} is nothing to the chart")), &path);
    }
}

#[test]
fn a_database_writes_every_answer_to_disk_and_drops_nothing() {
    for (script, name) in [(MINIKUBE, "order-db"), (CLUSTER, "stock-db")] {
        let objects = objects("valkey", script, name);
        let config = object::named(&objects, "ConfigMap", &format!("{name}-config")).text("/data/valkey.conf");
        let settings: Vec<&str> = config.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(settings, ["appendonly yes", "appendfsync always", "save \"\"", "maxmemory-policy noeviction"]);
    }
    for file in ["valkey", "valkey-cluster", "valkey-minikube"] {
        let text = tools::text(&format!("helm-config/{file}.yaml"));
        assert!(!text.contains("password:"), "{file}: no password in a file");
    }
    let minikube = database(MINIKUBE, "order-db");
    assert_eq!(minikube.text("/spec/strategy/type"), "Recreate", "two processes on one volume destroy it");
    let volumes = minikube.list("/spec/template/spec/volumes");
    assert!(
        volumes.iter().any(|volume| volume.pointer("/persistentVolumeClaim/claimName") == Some(&json!("order-db")))
    );
    let cluster = database(CLUSTER, "order-db");
    assert_eq!(cluster.text("/spec/volumeClaimTemplates/0/spec/storageClassName"), "fast");
}

#[test]
fn a_replicated_database_is_spread_and_asks_the_sentinels_who_is_the_primary_before_it_starts() {
    let workload = database(CLUSTER, "order-db");
    let spread = workload.at("/spec/template/spec/topologySpreadConstraints/0/labelSelector/matchLabels");
    assert!(workload.pods_match(spread), "spread by the pods of others: {spread}");
    let container = workload.at("/spec/template/spec/initContainers/0");
    let command = container.get("command").and_then(Value::as_array).expect("a command");
    let script = tools::text("helm-config/follow-primary.sh");
    assert_eq!(command.iter().filter_map(Value::as_str).collect::<Vec<_>>(), ["sh", "-c", script.as_str()]);
    let image = container.get("image").and_then(Value::as_str).expect("an image");
    let server = workload.text("/spec/template/spec/containers/0/image");
    assert!(server.ends_with(image), "one version of Valkey: {server} and {image}");
    let sentinel = object::named(&rendered::overlay("cluster"), "StatefulSet", "sentinel").clone();
    assert_eq!(sentinel.text("/spec/template/spec/containers/0/image"), image, "also for the Sentinels");
}

/// An answer waits for all databases that a failover may promote, or one of them would not have it.
#[test]
fn an_answer_waits_for_every_replica_of_the_database() {
    let pods = database(CLUSTER, "order-db").at("/spec/replicas").as_u64().expect("a number");
    let cluster = rendered::overlay("cluster");
    for service in ["order", "stock", "payment", "observer"] {
        let workload = object::named(&cluster, "Deployment", service);
        let containers = workload.containers();
        let container = containers.first().expect("a container");
        assert_eq!(container.variable("SAGAMART_DURABILITY"), "replicated", "{service}");
        assert_eq!(container.variable("SAGAMART_REPLICAS"), (pods - 1).to_string(), "{service}: all but the primary");
    }
    let said = tools::text("docs/deploying.md");
    assert!(said.contains(&format!("SAGAMART_REPLICAS={}", pods - 1)), "docs/deploying.md says another number");
}
