//! The deployment scripts, run for real against stand-ins of kubectl, helm and minikube that write down what they were asked, and refuse
//! flags that the real tools do not know.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
    sync::LazyLock,
};

use sagamart_deployment_tests::tools;
use tempfile::TempDir;

const MINIKUBE: &str = "deploy-charts-minikube.sh";
const CLUSTER: &str = "deploy-charts-cluster.sh";
const DATABASES: [&str; 3] = ["order-db", "stock-db", "payment-db"];

/// A cluster that only remembers.
struct Stage {
    folder: TempDir,
}

impl Stage {
    /// With stand-ins for these tools.
    fn with(stand_ins: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let programs = folder.path().join("bin");
        fs::create_dir(&programs).expect("a folder");
        let stub = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deployment/stub.sh");
        for tool in stand_ins {
            symlink(&stub, programs.join(tool)).expect("a link");
        }
        // Whatever else a script calls is the system's; kubectl may be among that, but not where a stand-in is missing.
        for tool in ["bash", "sh", "env", "cat", "dirname", "head", "tr", "od", "sed", "grep", "rm", "mv"] {
            let found =
                ["/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(tool)).find(|path| path.exists());
            symlink(found.unwrap_or_else(|| panic!("no {tool}")), programs.join(tool)).expect("a link");
        }
        Self { folder }
    }

    fn complete() -> Self {
        Self::with(&["kubectl", "helm", "minikube"])
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Run {
        self.run_where(script, arguments, &[])
    }

    /// Runs a script from elsewhere than its folder, in an environment of its own.
    fn run_where(&self, script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let calls = self.folder.path().join("calls");
        fs::write(&calls, "").expect("the record is emptied");
        let mut command = Command::new(tools::root().join(script));
        command.args(arguments).current_dir(self.folder.path()).env_clear().env("PATH", self.folder.path().join("bin"));
        command
            .env("STUB_CACHE", cache())
            .env("STUB_STATE", self.folder.path())
            .env("STUB_TOOLS", tools::folder().join("bin"));
        let output = command.envs(variables.iter().copied()).output().expect("the script starts");
        let calls = fs::read_to_string(calls).expect("the record is there");
        Run { output, calls: calls.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect() }
    }

    fn password(&self, database: &str) -> Option<String> {
        fs::read_to_string(self.folder.path().join(format!("secret-{database}"))).ok()
    }
}

/// Where the stand-ins keep the real tools' helps, for all tests of this run.
fn cache() -> &'static Path {
    static CACHE: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary directory"));
    CACHE.path()
}

/// What a script did.
struct Run {
    output: Output,
    calls: Vec<Vec<String>>,
}

impl Run {
    fn said(&self) -> String {
        tools::said(&self.output.stdout) + &tools::said(&self.output.stderr)
    }

    #[track_caller]
    fn succeeded(self) -> Self {
        assert!(self.output.status.success(), "{}", self.said());
        self
    }

    /// It failed, said why, and had changed nothing.
    #[track_caller]
    fn refused(&self, why: &str) {
        assert_eq!(self.output.status.code(), Some(1), "{}", self.said());
        assert!(tools::said(&self.output.stderr).contains(why), "not `{why}`: {}", self.said());
        assert_eq!(self.changes(), Vec::<String>::new(), "{}", self.said());
    }

    /// The calls that change something, without the flags that say where.
    fn changes(&self) -> Vec<String> {
        let asks = ["version", "get", "status", "auth", "config"];
        let words = self.calls.iter().map(|call| without_place(call));
        words
            .filter(|call| {
                !call.get(1).is_some_and(|verb| asks.contains(&verb.as_str())) && !call.contains(&"rollout".to_owned())
            })
            .map(|call| call.join(" "))
            .collect()
    }

    fn change(&self, beginning: &str) -> Vec<String> {
        let found =
            self.calls.iter().map(|call| without_place(call)).find(|call| call.join(" ").starts_with(beginning));
        found.unwrap_or_else(|| panic!("no `{beginning}` in {:#?}", self.changes()))
    }
}

fn without_place(call: &[String]) -> Vec<String> {
    let mut words = call.iter();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if matches!(word.as_str(), "--context" | "--kube-context" | "--namespace" | "--profile") {
            words.next();
        } else {
            kept.push(word.clone());
        }
    }
    kept
}

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
    for database in DATABASES {
        expected.push(format!("kubectl create secret generic {database}"));
        expected.push(format!("helm upgrade {database} valkey --install"));
    }
    expected.push(last.to_owned());
    expected
}

#[test]
fn install_makes_a_namespace_then_for_each_database_a_password_and_a_release_and_then_the_way_in() {
    for (script, way_in) in [(MINIKUBE, "helm upgrade traefik oci://"), (CLUSTER, "helm upgrade envoy-gateway oci://")]
    {
        let stage = Stage::complete();
        let run = stage.run(script, &[]).succeeded();
        let changes = run.changes();
        in_order(&changes, &expected_install(way_in));
        assert_eq!(changes.len(), 8, "{changes:#?}");
        let passwords: BTreeSet<String> = DATABASES.iter().filter_map(|database| stage.password(database)).collect();
        assert_eq!(passwords.len(), 3, "{script}: a password of its own each");
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
        let before = DATABASES.map(|database| stage.password(database));
        let again = stage.run(script, &["install"]).succeeded();
        assert_eq!(DATABASES.map(|database| stage.password(database)), before, "{script}");
        assert!(!again.changes().iter().any(|change| change.starts_with("kubectl create")), "{:#?}", again.changes());
        assert_eq!(again.changes().iter().filter(|change| change.starts_with("helm upgrade")).count(), 4, "{script}");
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
fn a_dry_run_shows_the_commands_and_changes_nothing() {
    for (script, arguments) in [
        (MINIKUBE, "install"),
        (MINIKUBE, "images"),
        (MINIKUBE, "uninstall"),
        (CLUSTER, "install"),
        (CLUSTER, "uninstall"),
    ] {
        let run = Stage::complete().run(script, &[arguments, "--dry-run"]).succeeded();
        assert_eq!(run.changes(), Vec::<String>::new(), "{script} {arguments}");
        let shown = if arguments == "images" { "minikube --profile minikube image build" } else { "helm u" };
        assert!(run.said().contains(shown), "{script} {arguments}: {}", run.said());
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
        assert_eq!(kept.changes().len(), 4, "{:#?}", kept.changes());
        assert!(stage.password("order-db").is_some(), "{script}: passwords stay with the data");
        let removed = stage.run(script, &["uninstall", "--delete-data"]).succeeded();
        for database in DATABASES {
            removed.change(&format!(
                "kubectl delete persistentvolumeclaim --selector app.kubernetes.io/instance={database}"
            ));
            assert!(stage.password(database).is_none(), "{script}: {database}");
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
    for service in ["order", "stock", "payment"] {
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

/// The values that the Valkey chart gets, put together by the real helm from the very arguments of the script.
fn database_values(script: &str, database: &str) -> serde_json::Value {
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
        assert_eq!(at("/auth/aclUsers/default/password"), serde_json::Value::Null, "{script}: no password in a file");
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
    let command = container.get("command").and_then(serde_json::Value::as_array).expect("a command");
    let script = tools::text("helm-config/follow-primary.sh");
    assert_eq!(command.iter().filter_map(serde_json::Value::as_str).collect::<Vec<_>>(), ["sh", "-c", script.as_str()]);
    // The chart puts these values through its template engine.
    assert!(!script.contains("{{"), "helm would take this for a template");
    let version = values.pointer("/image/tag").and_then(serde_json::Value::as_str).expect("a version");
    let image = format!("valkey/valkey:{version}");
    assert_eq!(container.get("image"), Some(&image.as_str().into()), "one version of Valkey");
    assert!(
        tools::text("k8s/overlays/cluster/sentinel.yaml").contains(&format!("image: {image}\n")),
        "also for the Sentinels"
    );
}
