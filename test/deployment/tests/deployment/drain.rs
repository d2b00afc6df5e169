//! A pod that is asked to stop has the time that the binary takes to stop.

use sagamart_deployment_tests::{Container, Object, object, rendered};
use serde_json::json;

/// What closing connections may take beyond the checkouts that run.
const TO_SPARE_SECONDS: u64 = 10;

fn our_containers(objects: &[Object]) -> Vec<Container<'_>> {
    let workloads = objects.iter().filter(|object| object.is_workload());
    workloads.flat_map(Object::containers).filter(Container::is_ours).collect()
}

#[test]
fn the_grace_period_covers_pre_stop_notice_and_the_longest_checkout() {
    for (source, objects) in rendered::all_rendered() {
        let containers = our_containers(objects);
        assert!(!containers.is_empty(), "{source}");
        for container in containers {
            let seconds = |name: &str| container.variable(name).parse::<u64>().expect("a number of seconds");
            let notice = if container.variable_entry("SAGAMART_DRAIN_NOTICE").is_some() {
                seconds("SAGAMART_DRAIN_NOTICE")
            } else {
                0
            };
            let needed =
                container.number("/lifecycle/preStop/sleep/seconds") + notice + seconds("SAGAMART_CHECKOUT_TIMEOUT");
            let grace = container.workload.at("/spec/template/spec/terminationGracePeriodSeconds").as_u64();
            let grace = grace.unwrap_or_else(|| panic!("{source}: {container}: no grace period"));
            assert!(grace >= needed + TO_SPARE_SECONDS, "{source}: {container}: {grace} s of grace for {needed} s");
        }
    }
}

#[test]
fn a_rollout_never_has_fewer_replicas_than_asked_for() {
    for (source, objects) in rendered::all_rendered() {
        for deployment in object::of_kind(objects, "Deployment") {
            let strategy = deployment.at("/spec/strategy/rollingUpdate");
            assert_eq!(strategy, &json!({"maxSurge": 1, "maxUnavailable": 0}), "{source}: {}", deployment.name());
        }
    }
}

#[test]
fn what_is_one_process_on_one_volume_is_never_two() {
    for (source, objects) in rendered::all_rendered() {
        for workload in objects.iter().filter(|object| object.is_workload()) {
            for container in workload.containers().into_iter().filter(Container::is_ours) {
                if container.subcommand() != "serve" {
                    continue;
                }
                assert_eq!((workload.kind(), workload.at("/spec/replicas")), ("StatefulSet", &json!(1)), "{source}");
                let data = container.variable("SAGAMART_DATA");
                let mounts = container.at("/volumeMounts").as_array().cloned().unwrap_or_default();
                let mount = mounts.iter().find_map(|mount| mount.get("mountPath")?.as_str()).expect("a mount");
                assert!(data.starts_with(&format!("{mount}/")), "{source}: {data} is not on the volume at {mount}");
                assert_eq!(workload.list("/spec/volumeClaimTemplates").len(), 1, "{source}");
            }
        }
    }
}
