//! The values that the scripts give to the charts of others.

use std::fs;

use sagamart_deployment_tests::tools;
use serde_json::Value;

use crate::stage::{CLUSTER, MINIKUBE, Stage};

/// The values that the Valkey chart gets, put together by the real helm from the very arguments of the script.
fn database_values(script: &str, database: &str) -> Value {
    let run = Stage::complete().run(script, &["--dry-run"]).succeeded();
    let line = run
        .said()
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with(&format!("helm upgrade {database} ")))
        .map(str::to_owned);
    let line = line.expect("the script shows what it would call");
    let chart = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(chart.path().join("templates")).expect("a folder");
    fs::write(chart.path().join("Chart.yaml"), "apiVersion: v2\nname: valkey\nversion: 0.0.1\n").expect("a chart");
    fs::write(chart.path().join("templates/values.yaml"), "{{ toYaml .Values }}\n").expect("a template");
    let mut command = tools::helm();
    command.arg("template").arg(database).arg(chart.path());
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        if matches!(word, "--values" | "--set" | "--set-file") {
            command.arg(word).arg(words.next().expect("a value"));
        }
    }
    tools::yaml(&tools::output(&mut command)).into_iter().next().expect("values")
}

#[test]
fn a_database_writes_every_answer_to_disk_drops_nothing_and_takes_its_password_from_its_secret() {
    for (script, database) in [(MINIKUBE, "order-db"), (CLUSTER, "stock-db")] {
        let values = database_values(script, database);
        let at = |pointer: &str| values.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(at("/fullnameOverride"), database, "{script}: the name that SAGAMART_STORE has");
        let config = at("/valkeyConfig");
        let settings: Vec<&str> =
            config.as_str().unwrap_or_default().lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(settings, ["appendonly yes", "appendfsync always", "save \"\"", "maxmemory-policy noeviction"]);
        assert_eq!(at("/auth/enabled"), true, "{script}");
        assert_eq!(
            (at("/auth/usersExistingSecret"), at("/auth/aclUsers/default/passwordKey")),
            ("{{ .Release.Name }}".into(), "password".into())
        );
        assert_eq!(at("/auth/aclUsers/default/password"), Value::Null, "{script}: no password in a file");
    }
    let minikube = database_values(MINIKUBE, "order-db");
    assert_eq!(minikube.pointer("/dataStorage/enabled"), Some(&true.into()));
    assert_eq!(
        minikube.pointer("/deploymentStrategy"),
        Some(&"Recreate".into()),
        "two processes on one volume destroy it"
    );
}

#[test]
fn a_replicated_database_asks_the_sentinels_who_is_the_primary_before_it_starts() {
    let values = database_values(CLUSTER, "order-db");
    assert_eq!(values.pointer("/replica/enabled"), Some(&true.into()));
    let container = values.pointer("/extraInitContainers/0").expect("an init container");
    let command = container.get("command").and_then(Value::as_array).expect("a command");
    let script = tools::text("helm-config/follow-primary.sh");
    assert_eq!(command.iter().filter_map(Value::as_str).collect::<Vec<_>>(), ["sh", "-c", script.as_str()]);
    // The chart puts these values through its template engine.
    assert!(!script.contains("{{"), "helm would take this for a template");
    let version = values.pointer("/image/tag").and_then(Value::as_str).expect("a version");
    let image = format!("valkey/valkey:{version}");
    assert_eq!(container.get("image"), Some(&image.as_str().into()), "one version of Valkey");
    assert!(
        tools::text("k8s/overlays/cluster/sentinel.yaml").contains(&format!("image: {image}\n")),
        "also for the Sentinels"
    );
}
