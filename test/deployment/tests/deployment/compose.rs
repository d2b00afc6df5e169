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
        for name in ["LISTEN", "INTERNAL_LISTEN", "STORE", "STORE_PASSWORD_FILE", "PEER_SECRET_FILE", "PARTITIONS"] {
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
        let is_peer = |name: &str| name.starts_with("SAGAMART_PEER_") && name != "SAGAMART_PEER_SECRET_FILE";
        for (name, address) in replica.variables.iter().filter(|(name, _)| is_peer(name)) {
            peers += 1;
            let (host, port) = address.split_once(':').expect("a host and a port");
            assert_eq!(Some(port), internal, "{}: {name}", replica.place);
            let wanted = (host.to_owned(), name.trim_start_matches("SAGAMART_PEER_").to_lowercase());
            assert!(aliases.contains(&wanted), "{}: {name} is {address}, which is none of {aliases:?}", replica.place);
        }
    }
    assert_eq!(peers, 16, "two of each: order and payment know both others, stock knows order, the observer all three");
}

/// What is at a path in a container: the volume that is mounted at its folder, and whether it can be written to.
fn mounted<'a>(container: &'a Value, path: &str) -> Option<(&'a str, bool)> {
    let (folder, _) = path.rsplit_once('/')?;
    let volumes = container.get("volumes").and_then(Value::as_array)?;
    volumes.iter().filter_map(Value::as_str).find_map(|volume| {
        let (name, place) = volume.split_once(':')?;
        let (place, writable) = place.strip_suffix(":ro").map_or((place, true), |place| (place, false));
        (place == folder).then_some((name, writable))
    })
}

#[test]
fn secrets_in_compose_are_files_that_are_made_at_the_first_start_and_mounted_where_they_are_needed() {
    let document = tools::yaml(&tools::text("docker-compose.yml")).into_iter().next().expect("a document");
    let services = document.get("services").and_then(Value::as_object).expect("services");
    let maker = services.get("secrets").expect("who makes them");
    let made: Vec<&str> = maker
        .get("entrypoint")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|word| word.starts_with('/'))
        .collect();
    assert_eq!(made.len(), 1 + 4, "the peers', and one for each database");
    for path in &made {
        assert!(mounted(maker, path).is_some_and(|(_, writable)| writable), "{path} is on no volume of `secrets`");
        let dockerfile = tools::text("order/Dockerfile");
        let folder = path.rsplit_once('/').expect("a folder").0;
        assert!(dockerfile.contains(folder), "an empty volume at {folder} would belong to root: {dockerfile}");
    }
    for replica in complete() {
        let files = replica.variables.iter().filter(|(name, _)| name.ends_with("_FILE"));
        let files: Vec<&str> = files.map(|(_, path)| path.as_str()).collect();
        assert_eq!(files.len(), 2, "{}: {files:?}", replica.place);
        let database = services.get(&format!("{}-db", replica.service)).expect("a database");
        for path in files {
            assert!(made.contains(&path), "{}: nobody makes {path}", replica.place);
            let (volume, writable) =
                mounted(&replica.value, path).unwrap_or_else(|| panic!("{}: no {path}", replica.place));
            assert_eq!(mounted(maker, path), Some((volume, true)), "{}: {path}", replica.place);
            assert!(!writable, "{}: {path} can be written to", replica.place);
            if path.ends_with("/password") {
                assert_eq!(mounted(database, path), Some((volume, false)), "{}'s database", replica.service);
            }
        }
        let secrets = replica.value.pointer("/depends_on/secrets/condition");
        assert_eq!(secrets, Some(&json!("service_completed_successfully")), "{}", replica.place);
    }
}

#[test]
fn the_internal_port_is_on_the_network_of_the_services_alone() {
    for replica in complete() {
        let internal = replica.variables.get("SAGAMART_INTERNAL_LISTEN").expect("an address");
        let networks = replica.value.get("networks").and_then(Value::as_object).expect("networks");
        let address = networks.get("services").and_then(|network| network.get("ipv4_address")).and_then(Value::as_str);
        let (host, _) = internal.rsplit_once(':').expect("a port");
        assert_eq!(Some(host), address, "{}: {internal}", replica.place);
        let own = format!("{}-db", replica.service);
        let databases: Vec<_> = networks.keys().filter(|network| network.ends_with("-db")).collect();
        assert_eq!(databases, [&own], "{}: databases of others", replica.place);
    }
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
