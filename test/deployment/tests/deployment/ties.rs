//! What the manifests and the chart hand to the binary is what the binary reads: an option, variable, port or path that is renamed on one
//! side only breaks a test here.

use std::collections::BTreeSet;

use sagamart_deployment_tests::{Container, Object, binary, object, rendered, tools};
use serde_json::{Value, json};

/// What has a database of its own: the services, and their observer.
const PARTS: [&str; 4] = ["order", "stock", "payment", "observer"];

/// Calls `check` with every container that runs the binary, and the objects beside it.
fn for_each_of_ours(mut check: impl FnMut(&str, &[Object], Container<'_>)) {
    let mut seen = BTreeSet::new();
    for (source, objects) in rendered::all_rendered() {
        for container in objects.iter().filter(|object| object.is_workload()).flat_map(Object::containers) {
            let image = container.text("/image");
            assert_eq!(
                container.is_ours(),
                image.contains("sagamart/"),
                "{source}: {container}: {image} does not run the binary"
            );
            if container.is_ours() {
                seen.insert(container.subcommand().to_owned());
                check(&format!("{source}: {container}"), objects, container);
            }
        }
    }
    assert_eq!(seen, ["observe", "order", "payment", "serve", "stock"].map(str::to_owned).into(), "what is deployed");
}

#[test]
fn every_argument_is_one_that_the_binary_takes() {
    let subcommands = binary::subcommands();
    for_each_of_ours(|source, _, container| {
        let (subcommand, rest) = (container.subcommand(), container.words("/args"));
        assert!(
            subcommands.contains(subcommand),
            "{source}: there is no `sagamart {subcommand}`, only {subcommands:?}"
        );
        let interface = binary::interface(subcommand);
        for option in rest.into_iter().filter_map(|word| word.strip_prefix("--")) {
            let option = format!("--{}", option.split('=').next().unwrap_or(option));
            assert!(interface.options.contains(&option), "{source}: no {option} in\n{}", interface.help);
        }
    });
}

#[test]
fn every_variable_is_one_that_the_binary_reads() {
    for_each_of_ours(|source, _, container| {
        let interface = binary::interface(container.subcommand());
        let names = container.variables();
        let unique: BTreeSet<&&str> = names.iter().collect();
        assert_eq!(unique.len(), names.len(), "{source}: a variable is set twice: {names:?}");
        for name in names {
            if name == "POD_IP" {
                // Kubernetes' own, for SAGAMART_ADVERTISE.
                assert_eq!(
                    container.variable_entry(name).and_then(|entry| entry.pointer("/valueFrom/fieldRef/fieldPath")),
                    Some(&json!("status.podIP")),
                    "{source}"
                );
                continue;
            }
            assert!(interface.variables.contains(name), "{source}: {name} is not read by\n{}", interface.help);
        }
    });
}

/// The variables that say where others are.
fn peers_of<'a>(container: &Container<'a>) -> impl Iterator<Item = &'a str> {
    let names = container.variables().into_iter();
    names.filter(|name| name.starts_with("SAGAMART_PEER_") && *name != "SAGAMART_PEER_SECRET_FILE")
}

/// A file that only the pod's group can read, from a Secret that the scripts make, or the chart.
#[test]
fn every_process_with_peers_is_given_the_secret_of_the_shop() {
    for_each_of_ours(|source, objects, container| {
        if container.subcommand() == "serve" {
            assert!(container.variable_entry("SAGAMART_PEER_SECRET_FILE").is_none(), "{source}: it has no peers");
            return;
        }
        let path = container.variable("SAGAMART_PEER_SECRET_FILE");
        let (folder, key) = path.rsplit_once('/').expect("a path");
        let mounts = container.at("/volumeMounts").as_array().expect("mounts");
        let mount = mounts.iter().find(|mount| mount.get("mountPath") == Some(&json!(folder))).expect("its folder");
        assert_eq!(mount.get("readOnly"), Some(&json!(true)), "{source}");
        let volumes = container.workload.list("/spec/template/spec/volumes");
        let volume = volumes.iter().find(|volume| volume.get("name") == mount.get("name")).expect("its volume");
        assert_eq!(volume.pointer("/secret/defaultMode"), Some(&json!(0o440)), "{source}");
        let group = container.workload.at("/spec/template/spec/securityContext/fsGroup");
        assert_eq!(group, container.workload.at("/spec/template/spec/securityContext/runAsGroup"), "{source}");
        let name = volume.pointer("/secret/secretName").and_then(Value::as_str).expect("a Secret");
        let made = objects.iter().find(|object| object.kind() == "Secret" && object.name() == name);
        match made {
            Some(secret) => assert!(secret.at("/data").get(key).is_some(), "{source}: {name} has no {key}"),
            None if source.contains("existingSecret") => assert!(source.contains(name), "{source}: {name}"),
            None => {
                let script = tools::text("helm-config/functions.sh");
                assert!(script.contains(&format!("peers={name}\n")), "{source}: nobody makes {name}");
                assert!(script.contains(&format!("ensure_secret \"$peers\" {key} ")), "{source}: it has no {key}");
            }
        }
    });
}

#[test]
fn nothing_that_a_service_needs_is_left_out() {
    for_each_of_ours(|source, _, container| {
        let subcommand = container.subcommand();
        let mut wanted: BTreeSet<String> =
            ["LISTEN", "STORE", "PARTITIONS", "CHECKOUT_TIMEOUT", "LOG"].map(|name| format!("SAGAMART_{name}")).into();
        if subcommand == "serve" {
            wanted.insert("SAGAMART_DATA".to_owned());
        } else {
            wanted.extend(
                ["INTERNAL_LISTEN", "ADVERTISE", "STORE_PASSWORD", "PEER_SECRET_FILE", "DURABILITY"]
                    .map(|name| format!("SAGAMART_{name}")),
            );
            // Whose events it consumes: it does not start without their addresses, and has no use for others.
            let peers: &[&str] = match subcommand {
                "order" => &["stock", "payment"],
                "stock" => &["order"],
                "payment" => &["order", "stock"],
                _ => &["order", "stock", "payment"],
            };
            let peers: BTreeSet<String> =
                peers.iter().map(|peer| format!("SAGAMART_PEER_{}", peer.to_uppercase())).collect();
            assert_eq!(peers_of(&container).map(str::to_owned).collect::<BTreeSet<_>>(), peers, "{source}");
        }
        for name in wanted {
            assert!(container.variable_entry(&name).is_some(), "{source}: no {name}");
        }
    });
}

#[test]
fn ports_are_those_that_the_binary_is_told_to_listen_on() {
    for_each_of_ours(|source, _, container| {
        let port_of =
            |name: &str| container.variable(name).rsplit(':').next().and_then(|port| port.parse::<u64>().ok());
        assert_eq!(Some(container.port("http")), port_of("SAGAMART_LISTEN"), "{source}");
        assert!(container.variable("SAGAMART_LISTEN").starts_with("0.0.0.0:"), "{source}: others cannot reach it");
        assert_eq!(Some(container.port("metrics")), port_of("SAGAMART_METRICS_LISTEN"), "{source}");
        assert!(container.variable("SAGAMART_METRICS_LISTEN").starts_with("0.0.0.0:"), "{source}");
        if container.subcommand() != "serve" {
            assert_eq!(Some(container.port("internal")), port_of("SAGAMART_INTERNAL_LISTEN"), "{source}");
            assert!(container.variable("SAGAMART_INTERNAL_LISTEN").starts_with("0.0.0.0:"), "{source}");
            assert_eq!(
                container.variable("SAGAMART_ADVERTISE"),
                format!("$(POD_IP):{}", container.port("internal")),
                "{source}"
            );
            let names = container.variables();
            let place = |wanted: &str| names.iter().position(|name| *name == wanted);
            assert!(place("POD_IP") < place("SAGAMART_ADVERTISE"), "{source}: only what stands before is put in");
        }
    });
}

/// Whoever reaches that port is told everything: it is no pod's but the observer's, and there the public one has none of it.
#[test]
fn operators_have_a_port_of_their_own_at_the_observer_and_none_elsewhere() {
    for_each_of_ours(|source, objects, container| {
        let ports = container.at("/ports").to_string();
        if container.subcommand() != "observe" {
            assert!(container.variable_entry("SAGAMART_ADMIN_LISTEN").is_none(), "{source}");
            assert!(!ports.contains("8010"), "{source}: {ports}");
            return;
        }
        let port = container.port("admin");
        assert_eq!(container.variable("SAGAMART_ADMIN_LISTEN"), format!("0.0.0.0:{port}"), "{source}");
        let lead_there = object::of_kind(objects, "Service").filter(|service| {
            container.workload.pods_match(service.at("/spec/selector"))
                && service.list("/spec/ports").iter().any(|found| found.get("targetPort") == Some(&json!("admin")))
        });
        assert_eq!(lead_there.count(), 1, "{source}: one Service, for a forwarded port");
    });
}

#[test]
fn peers_are_headless_services_with_the_internal_port_of_that_service() {
    for_each_of_ours(|source, objects, container| {
        for name in peers_of(&container) {
            let peer = name.trim_start_matches("SAGAMART_PEER_").to_lowercase();
            let (host, port) =
                container.variable(name).split_once(':').unwrap_or_else(|| panic!("{source}: {name} has no port"));
            let service = object::named(objects, "Service", host);
            assert_eq!(
                service.text("/spec/clusterIP"),
                "None",
                "{source}: {host} hides the replicas behind one address"
            );
            assert_eq!(service.at("/spec/publishNotReadyAddresses"), &json!(true), "{source}: {host}");
            assert_eq!(service.at("/spec/ports/0/port").to_string(), port, "{source}: {host}");
            let pods =
                objects.iter().filter(|object| object.is_workload() && object.pods_match(service.at("/spec/selector")));
            let containers: Vec<Container<'_>> = pods.flat_map(Object::containers).collect();
            let [found] = containers.as_slice() else {
                panic!("{source}: {host} leads to {} containers", containers.len())
            };
            assert_eq!(found.subcommand(), peer, "{source}: {name}");
            // A headless name leads straight to the pods: its port is theirs.
            assert_eq!(found.port("internal").to_string(), port, "{source}: {name}");
        }
    });
}

#[test]
fn each_service_has_a_database_of_its_own_with_a_password_from_its_secret() {
    for name in ["minikube", "cluster"] {
        let objects = rendered::overlay(name);
        for service in PARTS {
            let workload = object::named(&objects, "Deployment", service);
            let containers = workload.containers();
            let container = containers.first().expect("a container");
            let expected = if name == "cluster" {
                let sentinels = [0, 1, 2].map(|number| format!("sentinel-{number}.sentinel:26379")).join(",");
                format!("redis-sentinel://{sentinels}/{service}")
            } else {
                format!("redis://{service}-db:6379")
            };
            assert_eq!(container.variable("SAGAMART_STORE"), expected, "{name}");
            let durability = if name == "cluster" { "replicated" } else { "always" };
            assert_eq!(container.variable("SAGAMART_DURABILITY"), durability, "{name}: {service}");
            let password = container
                .variable_entry("SAGAMART_STORE_PASSWORD")
                .and_then(|entry| entry.pointer("/valueFrom/secretKeyRef"));
            assert_eq!(password, Some(&json!({"name": format!("{service}-db"), "key": "password"})), "{name}");
        }
    }
    let cluster = rendered::overlay("cluster");
    let sentinel = object::named(&cluster, "StatefulSet", "sentinel");
    assert_eq!((sentinel.at("/spec/replicas"), sentinel.text("/spec/serviceName")), (&json!(3), "sentinel"));
    assert_eq!(object::named(&cluster, "Service", "sentinel").at("/spec/ports/0/port"), &json!(26379));
}

/// All three services must agree on it, and the chart's default with the plain manifests.
#[test]
fn settings_that_must_agree_agree() {
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    for_each_of_ours(|_, _, container| {
        for name in ["SAGAMART_PARTITIONS", "SAGAMART_CHECKOUT_TIMEOUT", "SAGAMART_RECORDS_IN_MEMORY"] {
            if container.variable_entry(name).is_some() {
                seen.insert((name.to_owned(), container.variable(name).to_owned()));
            }
        }
    });
    let names: BTreeSet<&String> = seen.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), seen.len(), "{seen:?}");
}

#[test]
fn images_are_those_that_the_minikube_script_builds_and_every_one_has_its_dockerfile() {
    let script = tools::text("deploy-charts-minikube.sh");
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        script.contains(&format!("\"sagamart/$service:{version}\" --file \"$service/Dockerfile\"")),
        "the script builds others"
    );
    for_each_of_ours(|source, _, container| {
        let (image, subcommand) = (container.text("/image"), container.subcommand());
        let service = match subcommand {
            "serve" => "order",
            "observe" => "observer",
            service => service,
        };
        let name = format!("sagamart/{service}:{version}");
        assert!(image == name || image.ends_with(&format!("/{name}")), "{source}: {image}");
        assert!(tools::root().join(service).join("Dockerfile").is_file(), "{source}: there is no {service}/Dockerfile");
    });
    let chart = tools::yaml(&tools::text("charts/sagamart/Chart.yaml"));
    assert_eq!(chart.first().and_then(|chart| chart.get("appVersion")), Some(&json!(version)));
}

#[test]
fn probes_ask_the_paths_meant_for_them() {
    for_each_of_ours(|source, _, container| {
        for (probe, path) in [("startupProbe", "/livez"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")] {
            let expected = json!({"path": path, "port": "http"});
            assert_eq!(container.at(&format!("/{probe}/httpGet")), &expected, "{source}: {probe}");
        }
        assert!(container.port("http") > 0);
    });
}
