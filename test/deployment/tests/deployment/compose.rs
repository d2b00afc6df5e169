//! The compose files hand the binary what it reads, like the manifests.

use std::collections::{BTreeMap, BTreeSet};

use sagamart_deployment_tests::{binary, tools};
use serde_json::{Value, json};

const FILES: [&str; 2] = ["docker-compose.yml", "docker-compose.ha.yml"];

/// A container of the shop's binary in a compose file.
struct Replica {
    /// File and name, for a message.
    place: String,
    /// `order`, `stock`, `payment` or `observer`.
    service: String,
    value: Value,
    variables: BTreeMap<String, String>,
}

/// Every replica of every file. The second file only says what is different, so there a service is known by its name.
fn replicas() -> Vec<Replica> {
    let mut found = Vec::new();
    for file in FILES {
        let document = tools::yaml(&tools::text(file)).into_iter().next().expect("a document");
        let services = document.get("services").and_then(Value::as_object).expect("services");
        for (name, value) in services {
            let Some((service, _)) = name.split_once("-service-") else { continue };
            let mut variables = BTreeMap::new();
            let files =
                value.get("env_file").map(|files| files.as_array().cloned().unwrap_or_else(|| vec![files.clone()]));
            for path in files.unwrap_or_default() {
                let lines = tools::text(path.as_str().expect("a path"));
                let pairs = lines.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
                variables.extend(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
            }
            for (key, value) in value.get("environment").and_then(Value::as_object).into_iter().flatten() {
                variables.insert(key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
            found.push(Replica {
                place: format!("{file}: {name}"),
                service: service.to_owned(),
                value: value.clone(),
                variables,
            });
        }
    }
    assert_eq!(found.len(), 8 + 6, "two of each service in each file, and in the first two observers");
    found
}

impl Replica {
    /// What the binary is told to be.
    fn subcommand(&self) -> &str {
        if self.service == "observer" { "observe" } else { &self.service }
    }
}

/// Those of the first file, which says everything.
fn complete() -> Vec<Replica> {
    replicas().into_iter().filter(|replica| replica.place.starts_with("docker-compose.yml")).collect()
}

#[test]
fn every_variable_of_the_compose_files_is_one_that_the_binary_reads() {
    for replica in replicas() {
        let interface = binary::interface(replica.subcommand());
        let ours: Vec<&String> = replica.variables.keys().filter(|name| name.starts_with("SAGAMART_")).collect();
        assert!(!ours.is_empty(), "{}", replica.place);
        for name in ours {
            assert!(interface.variables.contains(name), "{}: {name} is not read by\n{}", replica.place, interface.help);
        }
    }
    for replica in complete() {
        for name in ["LISTEN", "INTERNAL_LISTEN", "STORE", "STORE_PASSWORD", "PARTITIONS"] {
            assert!(
                replica.variables.contains_key(&format!("SAGAMART_{name}")),
                "{}: no SAGAMART_{name}",
                replica.place
            );
        }
    }
}

#[test]
fn peers_in_compose_are_names_on_the_network_with_the_internal_port() {
    let all = complete();
    let aliases: BTreeSet<(String, String)> = all
        .iter()
        .flat_map(|replica| {
            let networks = replica.value.get("networks").and_then(Value::as_object).into_iter().flatten();
            let names = networks
                .flat_map(|(_, network)| network.get("aliases").and_then(Value::as_array).into_iter().flatten());
            let names: Vec<String> = names.filter_map(Value::as_str).map(str::to_owned).collect();
            names.into_iter().map(|name| (name, replica.service.clone())).collect::<Vec<_>>()
        })
        .collect();
    let mut peers = 0;
    for replica in &all {
        let internal = replica.variables.get("SAGAMART_INTERNAL_LISTEN").and_then(|address| address.rsplit(':').next());
        for (name, address) in replica.variables.iter().filter(|(name, _)| name.starts_with("SAGAMART_PEER_")) {
            peers += 1;
            let (host, port) = address.split_once(':').expect("a host and a port");
            assert_eq!(Some(port), internal, "{}: {name}", replica.place);
            let wanted = (host.to_owned(), name.trim_start_matches("SAGAMART_PEER_").to_lowercase());
            assert!(aliases.contains(&wanted), "{}: {name} is {address}, which is none of {aliases:?}", replica.place);
        }
    }
    assert_eq!(peers, 16, "two of each: order and payment know both others, stock knows order, the observer all three");
}

#[test]
fn images_in_compose_have_the_names_of_the_manifests_and_start_their_service() {
    for replica in complete() {
        let image = replica.value.get("image").and_then(Value::as_str).unwrap_or_default();
        assert!(image.starts_with(&format!("sagamart/{}:", replica.service)), "{}: {image}", replica.place);
        let dockerfile = format!("{}/Dockerfile", replica.service);
        assert_eq!(replica.value.pointer("/build/dockerfile"), Some(&json!(dockerfile)), "{}", replica.place);
        let entrypoint = format!("ENTRYPOINT [\"sagamart\", \"{}\"]", replica.subcommand());
        assert!(tools::text(&dockerfile).lines().any(|line| line == entrypoint), "{dockerfile} has no {entrypoint}");
    }
}

#[test]
fn health_checks_in_compose_ask_the_port_that_is_listened_on() {
    let probe = binary::interface("probe").help;
    for replica in complete() {
        assert_eq!(
            replica.value.pointer("/healthcheck/test"),
            Some(&json!(["CMD", "sagamart", "probe"])),
            "{}",
            replica.place
        );
        let port =
            replica.variables.get("SAGAMART_LISTEN").and_then(|address| address.rsplit(':').next()).unwrap_or_default();
        assert!(
            probe.contains(&format!("http://127.0.0.1:{port}/readyz")),
            "{}: {port} is not what is asked by\n{probe}",
            replica.place
        );
    }
}

/// Operators are let in at the observer alone, on a port that is published on loopback and that is not the one with the metrics.
#[test]
fn operators_are_let_in_on_loopback() {
    for replica in complete() {
        let (admin, ports) = (replica.variables.get("SAGAMART_ADMIN_LISTEN"), replica.value.get("ports"));
        if replica.service != "observer" {
            assert!(admin.is_none() && ports.is_none(), "{}", replica.place);
            continue;
        }
        let port = admin.and_then(|address| address.rsplit(':').next()).expect("a port");
        let [published] = ports.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default() else {
            panic!("{}: {ports:?}", replica.place)
        };
        let published = published.as_str().expect("a port");
        assert!(published.starts_with("127.0.0.1:${"), "{}: {published}", replica.place);
        assert!(published.ends_with(&format!("}}:{port}")), "{}: {published}", replica.place);
    }
    let gateway = tools::text("gateway/nginx.conf");
    assert!(!gateway.contains("observer") && !gateway.contains(":8010"), "no way leads there");
}
