//! The deployment scripts, run for real against stand-ins of kubectl, helm and minikube that write down what they were asked, and refuse
//! flags that the real tools do not know.

use std::{collections::BTreeSet, process::Command};

use sagamart_deployment_tests::{object, rendered, tools};
use serde_json::Value;

use crate::stage::{CLUSTER, MINIKUBE, Stage, cache};

/// The Secret that every process of the shop is given.
const PEERS: &str = "sagamart-peers";
const DATABASES: [&str; 4] = ["order-db", "stock-db", "payment-db", "observer-db"];

/// Beginnings of the calls, in order.
#[track_caller]
fn in_order(changes: &[String], beginnings: &[String]) {
    let mut rest = changes.iter();
    for beginning in beginnings {
        assert!(
            rest.any(|change| change.starts_with(beginning.as_str())),
            "`{beginning}` not in its place in {changes:#?}"
        );
    }
}

fn expected_install(last: &str) -> Vec<String> {
    let mut expected = vec!["kubectl apply --filename k8s/namespace/namespace.yaml".to_owned()];
    expected.push(format!("kubectl create secret generic {PEERS} --from-file=secret="));
    for database in DATABASES {
        expected.push(format!("kubectl create secret generic {database}"));
        expected.push(format!("helm upgrade {database} valkey --install"));
    }
    expected.push(last.to_owned());
    expected
}

#[test]
fn install_makes_a_namespace_a_secret_then_for_each_database_a_password_and_a_release_and_then_the_way_in() {
    for (script, way_in) in [(MINIKUBE, "helm upgrade traefik oci://"), (CLUSTER, "helm upgrade envoy-gateway oci://")]
    {
        let stage = Stage::complete();
        let run = stage.run(script, &[]).succeeded();
        let changes = run.changes();
        in_order(&changes, &expected_install(way_in));
        assert_eq!(changes.len(), 11, "{changes:#?}");
        let kind = if script == MINIKUBE { "deployment" } else { "statefulset" };
        for database in DATABASES {
            run.change(&format!("kubectl rollout status {kind}/{database} --timeout"));
        }
        let names = DATABASES.iter().chain([&PEERS]);
        let passwords: BTreeSet<String> = names.filter_map(|name| stage.password(name)).collect();
        assert_eq!(passwords.len(), 5, "{script}: a password of its own each, and the secret of the shop");
        for password in passwords {
            assert!(password.len() == 48 && password.chars().all(|letter| letter.is_ascii_hexdigit()), "{password}");
            let shown = run.said().contains(&password) || run.calls.concat().contains(&password);
            assert!(!shown, "{script}: a password is where others can read it");
        }
    }
}

#[test]
fn a_second_run_keeps_the_passwords_and_brings_releases_up_to_date() {
    for script in [MINIKUBE, CLUSTER] {
        let stage = Stage::complete();
        stage.run(script, &[]).succeeded();
        let secrets = || [DATABASES.map(|database| stage.password(database)).to_vec(), vec![stage.password(PEERS)]];
        let before = secrets();
        let again = stage.run(script, &["install"]).succeeded();
        assert_eq!(secrets(), before, "{script}");
        assert!(!again.changes().iter().any(|change| change.starts_with("kubectl create")), "{:#?}", again.changes());
        assert_eq!(again.changes().iter().filter(|change| change.starts_with("helm upgrade")).count(), 5, "{script}");
    }
}

#[test]
fn the_first_error_ends_it() {
    for script in [MINIKUBE, CLUSTER] {
        for (failing, after) in
            [("upgrade stock-db", "payment-db"), ("generic stock-db", "upgrade stock-db"), ("apply", "create")]
        {
            let run = Stage::complete().run_where(script, &[], &[("STUB_FAIL", failing)]);
            assert!(!run.output.status.success(), "{script}: {failing}");
            assert!(
                !run.changes().iter().any(|change| change.contains(after)),
                "{script}: {after} after {failing} failed"
            );
        }
    }
}

#[test]
fn prerequisites_are_checked_before_anything_is_changed() {
    for missing in ["kubectl", "helm", "minikube"] {
        let others: Vec<&str> = ["kubectl", "helm", "minikube"].into_iter().filter(|tool| *tool != missing).collect();
        Stage::with(&others).run(MINIKUBE, &[]).refused(&format!("{missing} is not installed"));
    }
    Stage::with(&["kubectl"]).run(CLUSTER, &[]).refused("helm is not installed");
    for script in [MINIKUBE, CLUSTER] {
        let stage = Stage::complete();
        stage.run_where(script, &[], &[("STUB_VERSION", "none")]).refused("no cluster answers");
        stage.run_where(script, &[], &[("STUB_VERSION", "v1.29.4-gke.100")]).refused("1.30 or newer is needed");
        stage.run_where(script, &[], &[("STUB_HELM", "v3.7.2")]).refused("3.8 or newer is needed");
        stage.run_where(script, &[], &[("STUB_FAIL", "get storageclass")]).refused("no storage class");
    }
    let stage = Stage::complete();
    stage.run_where(MINIKUBE, &[], &[("STUB_FAIL", "minikube --profile minikube status")]).refused("does not run");
    stage.run_where(CLUSTER, &[], &[("STUB_FAIL", "can-i")]).refused("may not create custom resource definitions");
    stage.run_where(CLUSTER, &[], &[("STUB_FAIL", "current-context")]).refused("no current context");
}

#[test]
fn a_wrong_argument_is_named_and_nothing_is_done() {
    let stage = Stage::complete();
    for script in [MINIKUBE, CLUSTER] {
        for wrong in [&["--speed"] as &[&str], &["remove"], &["--delete-data"]] {
            stage.run(script, wrong).refused(wrong.first().expect("a word"));
        }
    }
    stage.run(MINIKUBE, &["--ingress", "nginx"]).refused("nginx");
    stage.run(MINIKUBE, &["--profile"]).refused("--profile needs a name");
    stage.run(CLUSTER, &["--gateway", "nginx"]).refused("nginx");
    stage.run(CLUSTER, &["--context"]).refused("--context needs a name");
    stage.run(CLUSTER, &["--storage-class"]).refused("--storage-class needs a name");
}

#[test]
fn help_names_every_option_and_asks_nobody() {
    for script in [MINIKUBE, CLUSTER] {
        let run = Stage::with(&[]).run(script, &["--help"]).succeeded();
        let text = tools::text(script);
        let text = text + &tools::text("helm-config/functions.sh");
        let cases = text.lines().map(str::trim).filter(|line| line.starts_with("--") && line.contains(')'));
        let options: Vec<&str> = cases.filter_map(|line| line.split([')', ' ']).next()).collect();
        assert!(options.len() >= 4, "{script}: {options:?}");
        for option in options {
            assert!(run.said().contains(option), "{script}: --help says nothing of {option}");
        }
        assert!(run.calls.is_empty());
    }
}

#[test]
fn databases_that_do_not_become_ready_fail_the_script() {
    for script in [MINIKUBE, CLUSTER] {
        for database in DATABASES {
            let run = Stage::complete().run_where(script, &[], &[("STUB_FAIL", &format!("/{database} --timeout"))]);
            assert!(!run.output.status.success() && !run.said().contains("done"), "{script}: {}", run.said());
        }
    }
}

/// A database with a volume from before asks the Sentinels who was the primary, so without them it never becomes ready.
#[test]
fn kept_volumes_without_sentinels_are_said_at_once() {
    let stage = Stage::complete();
    let volumes = [("STUB_CLAIMS", "persistentvolumeclaim/valkey-data-order-db-0")];
    let run = stage.run_where(CLUSTER, &[], &volumes);
    assert!(!run.output.status.success(), "{}", run.said());
    assert!(run.said().contains("apply -k k8s/overlays/cluster, then run this again"), "{}", run.said());
    assert!(!run.said().contains("waiting for"), "{}", run.said());
    let sets = [volumes[0], ("STUB_SETS", "statefulset.apps/sentinel")];
    stage.run_where(CLUSTER, &[], &sets).succeeded();
}

/// Each line of a dry run is a command that a person can type, and all of them together do what the script does.
#[test]
fn a_dry_run_changes_nothing_and_what_it_shows_does_the_same_when_typed() {
    for (script, arguments) in [
        (MINIKUBE, &["install"] as &[&str]),
        (MINIKUBE, &["images"]),
        (MINIKUBE, &["uninstall", "--delete-data"]),
        (CLUSTER, &["install"]),
        (CLUSTER, &["install", "--storage-class", "very fast"]),
        (CLUSTER, &["uninstall", "--delete-data"]),
    ] {
        let shown = Stage::complete().run(script, &[arguments, &["--dry-run"]].concat()).succeeded();
        assert_eq!(shown.changes(), Vec::<String>::new(), "{script} {arguments:?}");
        let said = shown.said();
        let commands: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("    ")).collect();
        let typed = Stage::complete().type_in(&commands).succeeded();
        let done = Stage::complete().run(script, arguments).succeeded();
        assert_eq!(typed.changes(), done.changes(), "{script} {arguments:?}: {said}");
        assert!(typed.changes().len() >= 3, "{script} {arguments:?}: {said}");
    }
}

#[test]
fn uninstall_removes_the_releases_and_data_only_when_told() {
    for (script, way_in) in [(MINIKUBE, "traefik"), (CLUSTER, "envoy-gateway")] {
        let stage = Stage::complete();
        stage.run(script, &[]).succeeded();
        let kept = stage.run(script, &["uninstall"]).succeeded();
        for release in DATABASES.iter().chain([&way_in]) {
            kept.change(&format!("helm uninstall {release} --ignore-not-found --wait"));
        }
        assert_eq!(kept.changes().len(), 5, "{:#?}", kept.changes());
        assert!(stage.password("order-db").is_some(), "{script}: passwords stay with the data");
        assert!(stage.password(PEERS).is_some(), "{script}: the shop may still run");
        let removed = stage.run(script, &["uninstall", "--delete-data"]).succeeded();
        for database in DATABASES {
            removed.change(&format!(
                "kubectl delete persistentvolumeclaim --selector app.kubernetes.io/instance={database}"
            ));
            assert!(stage.password(database).is_none(), "{script}: {database}");
        }
        assert!(stage.password(PEERS).is_none(), "{script}");
        if script == CLUSTER {
            // Old Sentinels would fail the databases of the next installation over.
            let changes = ["kubectl delete statefulset sentinel", "kubectl delete persistentvolumeclaim"];
            in_order(&removed.changes(), &changes.map(str::to_owned));
            let cluster = rendered::overlay("cluster");
            let labels = object::named(&cluster, "StatefulSet", "sentinel").at("/spec/selector/matchLabels").clone();
            let label = labels.get("app.kubernetes.io/name").and_then(Value::as_str).expect("a label of its claims");
            removed.change(&format!("kubectl delete persistentvolumeclaim --selector app.kubernetes.io/name={label}"));
        }
        stage.run(script, &["uninstall"]).succeeded();
    }
}

#[test]
fn every_call_names_the_cluster_that_was_meant() {
    for (script, option) in [(MINIKUBE, "--profile"), (CLUSTER, "--context")] {
        for action in ["install", "uninstall"] {
            let run = Stage::complete().run(script, &[action, option, "meant"]).succeeded();
            for call in run.calls.iter().filter(|call| {
                !call.contains(&"version".to_owned()) || call.first().is_some_and(|tool| tool == "kubectl")
            }) {
                let flags = ["--context", "--kube-context", "--profile"];
                let place =
                    call.iter().position(|word| flags.contains(&word.as_str())).and_then(|place| call.get(place + 1));
                assert_eq!(place.map(String::as_str), Some("meant"), "{script}: {call:?}");
            }
        }
    }
}

#[test]
fn minikubes_images_and_addon_are_built_and_enabled_on_request() {
    let stage = Stage::complete();
    let images = stage.run(MINIKUBE, &["images"]).succeeded();
    for service in ["order", "stock", "payment", "observer"] {
        images.change(&format!(
            "minikube image build --tag sagamart/{service}:{} --file {service}/Dockerfile .",
            env!("CARGO_PKG_VERSION")
        ));
    }
    let addon = stage.run(MINIKUBE, &["--ingress", "addon"]).succeeded();
    addon.change("minikube addons enable ingress");
    let none = stage.run(MINIKUBE, &["--ingress", "none"]).succeeded();
    for run in [&addon, &none] {
        assert!(!run.changes().iter().any(|change| change.contains("traefik")), "{:#?}", run.changes());
    }
    assert!(
        !stage.run(CLUSTER, &["--gateway", "none"]).succeeded().changes().iter().any(|change| change.contains("envoy"))
    );
}

#[test]
fn the_stand_ins_refuse_flags_that_the_real_tools_do_not_know() {
    let stage = Stage::complete();
    for call in [
        "helm upgrade a b --instal",
        "kubectl apply --file x",
        "kubectl create secret generic x --from-text=a",
        "minikube image build --name x",
    ] {
        let mut words = call.split(' ');
        let program = stage.folder.path().join("bin").join(words.next().expect("a tool"));
        let mut command = Command::new(program);
        command.args(words).env_clear().env("PATH", stage.folder.path().join("bin"));
        command
            .env("STUB_CACHE", cache())
            .env("STUB_STATE", stage.folder.path())
            .env("STUB_TOOLS", tools::folder().join("bin"));
        let output = command.output().expect("it starts");
        assert!(!output.status.success() && tools::said(&output.stderr).contains("unknown flag"), "{call}: {output:?}");
    }
}
