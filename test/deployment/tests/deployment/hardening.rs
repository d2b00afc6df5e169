//! What every pod may do: no more than it needs.

use sagamart_deployment_tests::{Object, object, rendered};
use serde_json::{Value, json};

/// Every workload of every rendering.
fn workloads() -> Vec<(String, Object)> {
    let all = rendered::all_rendered().iter();
    all.flat_map(|(source, objects)| {
        let workloads = objects.iter().filter(|object| object.is_workload()).cloned();
        workloads
            .map(|workload| (format!("{source}: {} {}", workload.kind(), workload.name()), workload))
            .collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn every_pod_runs_without_root_token_capabilities_or_a_writable_root() {
    for (source, workload) in workloads() {
        let pod = |pointer: &str| workload.at(&format!("/spec/template/spec{pointer}"));
        assert_eq!(pod("/automountServiceAccountToken"), &json!(false), "{source}");
        assert_ne!(pod("/serviceAccountName"), &Value::Null, "{source}: not the namespace's default account");
        assert_eq!(pod("/enableServiceLinks"), &json!(false), "{source}: Services would add variables");
        assert_eq!(pod("/securityContext/runAsNonRoot"), &json!(true), "{source}");
        assert!(pod("/securityContext/runAsUser").as_u64().is_some_and(|user| user > 0), "{source}");
        assert_eq!(pod("/securityContext/seccompProfile/type"), &json!("RuntimeDefault"), "{source}");
        for outside in ["/hostNetwork", "/hostPID", "/hostIPC"] {
            assert_eq!(pod(outside), &Value::Null, "{source}: {outside}");
        }
        assert!(!workload.containers().is_empty(), "{source}");
        for container in workload.containers() {
            let context = container.at("/securityContext");
            let expected = json!({
                "allowPrivilegeEscalation": false, "privileged": false, "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            });
            assert_eq!(context, &expected, "{source}");
        }
    }
}

#[test]
fn every_container_asks_for_what_it_needs_and_has_a_bound_on_memory() {
    for (source, workload) in workloads() {
        for container in workload.containers() {
            for pointer in ["/resources/requests/cpu", "/resources/requests/memory", "/resources/limits/memory"] {
                assert_ne!(container.at(pointer), &Value::Null, "{source}: {pointer}");
            }
        }
    }
}

#[test]
fn service_accounts_have_no_token() {
    for (source, objects) in rendered::all_rendered() {
        let accounts: Vec<&Object> = object::of_kind(objects, "ServiceAccount").collect();
        assert_eq!(accounts.len(), 1, "{source}");
        for account in &accounts {
            assert_eq!(account.at("/automountServiceAccountToken"), &json!(false), "{source}");
        }
        for workload in objects.iter().filter(|object| object.is_workload()) {
            let name = workload.text("/spec/template/spec/serviceAccountName");
            assert!(accounts.iter().any(|account| account.name() == name), "{source}: no account {name}");
        }
    }
}

#[test]
fn the_namespace_refuses_pods_that_are_not_restricted() {
    for name in ["minikube", "cluster", "embedded"] {
        let objects = rendered::overlay(name);
        let namespace = object::named(&objects, "Namespace", "sagamart");
        assert_eq!(namespace.text("/metadata/labels/pod-security.kubernetes.io~1enforce"), "restricted", "{name}");
        let elsewhere = objects.iter().filter(|object| !matches!(object.kind(), "Namespace" | "GatewayClass"));
        for object in elsewhere {
            assert_eq!(object.text("/metadata/namespace"), "sagamart", "{name}: {} {}", object.kind(), object.name());
        }
    }
}

#[test]
fn replicas_are_spread_and_one_of_each_service_stays_while_nodes_are_emptied() {
    for (source, objects) in rendered::all_rendered() {
        let several = |object: &&Object| object.kind() == "Deployment" && object.at("/spec/replicas") != &json!(1);
        for workload in objects.iter().filter(several) {
            let keys: Vec<&str> = workload
                .list("/spec/template/spec/topologySpreadConstraints")
                .iter()
                .inspect(|constraint| {
                    let labels = constraint.pointer("/labelSelector/matchLabels").unwrap_or(&Value::Null);
                    assert!(workload.pods_match(labels), "{source}: {} is spread by others' pods", workload.name());
                })
                .filter_map(|constraint| constraint.get("topologyKey")?.as_str())
                .collect();
            assert_eq!(
                keys,
                ["kubernetes.io/hostname", "topology.kubernetes.io/zone"],
                "{source}: {}",
                workload.name()
            );
            let budgets: Vec<&Object> = object::of_kind(objects, "PodDisruptionBudget")
                .filter(|budget| workload.pods_match(budget.at("/spec/selector/matchLabels")))
                .collect();
            assert_eq!(budgets.len(), 1, "{source}: {}", workload.name());
            assert_eq!(budgets.first().map(|budget| budget.at("/spec/minAvailable")), Some(&json!(1)), "{source}");
        }
    }
}

#[test]
fn the_plain_services_have_two_replicas_and_in_a_cluster_an_autoscaler_says_how_many() {
    let (plain, cluster) = (rendered::plain(), rendered::overlay("cluster"));
    for objects in [&plain, &cluster] {
        assert_eq!(
            object::named(objects, "Deployment", "observer").at("/spec/replicas"),
            &json!(2),
            "one works, one waits"
        );
        assert!(object::of_kind(objects, "HorizontalPodAutoscaler").all(|scaler| scaler.name() != "observer"));
    }
    for service in ["order", "stock", "payment"] {
        assert_eq!(object::named(&plain, "Deployment", service).at("/spec/replicas"), &json!(2), "{service}");
        let deployment = object::named(&cluster, "Deployment", service);
        assert_eq!(
            deployment.at("/spec/replicas"),
            &Value::Null,
            "{service}: applying again would undo the autoscaler's"
        );
        let scaler = object::named(&cluster, "HorizontalPodAutoscaler", service);
        assert_eq!(scaler.text("/spec/scaleTargetRef/name"), service);
        assert_eq!(scaler.at("/spec/minReplicas"), &json!(2), "{service}");
        let containers = deployment.containers();
        let partitions = containers.first().expect("a container").variable("SAGAMART_PARTITIONS");
        assert_eq!(scaler.at("/spec/maxReplicas").to_string(), partitions, "{service}: more would have no partition");
    }
}
