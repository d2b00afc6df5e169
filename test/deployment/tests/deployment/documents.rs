//! The scripts read well, the documents speak of what is there, and nothing comes from a catalogue that has ended.

use std::process::Command;

use sagamart_deployment_tests::tools;

const SCRIPTS: [&str; 6] = [
    "deploy-charts-minikube.sh",
    "deploy-charts-cluster.sh",
    "helm-config/functions.sh",
    "helm-config/follow-primary.sh",
    "k8s/overlays/cluster/sentinel.sh",
    "test/deployment/tests/deployment/stub.sh",
];

#[test]
fn shellcheck_finds_nothing_in_the_scripts() {
    let mut command = Command::new("shellcheck");
    command.args(["--external-sources", "--severity=style"]).args(SCRIPTS).current_dir(tools::root());
    let output = command.output().expect("shellcheck is installed");
    assert!(output.status.success(), "{}", tools::said(&output.stdout));
}

#[test]
fn deploying_names_every_file_and_option_that_a_reader_needs() {
    let text = tools::text("docs/deploying.md");
    for name in [
        "deploy-charts-minikube.sh",
        "deploy-charts-cluster.sh",
        "kubectl apply -f k8s/",
        "k8s/overlays/cluster",
        "k8s/overlays/embedded",
        "charts/sagamart",
    ] {
        assert!(text.contains(name), "docs/deploying.md says nothing of {name}");
    }
    for script in ["deploy-charts-minikube.sh", "deploy-charts-cluster.sh"] {
        let source = tools::text(script) + &tools::text("helm-config/functions.sh");
        for line in text.lines().filter(|line| line.contains(&format!("./{script}"))) {
            for option in line.split([' ', '`']).filter(|word| word.starts_with("--")) {
                assert!(source.contains(&format!("{option})")), "docs/deploying.md: {script} has no {option}");
            }
        }
    }
}

#[test]
fn no_chart_or_image_of_an_ended_catalogue_is_used() {
    let files = [
        "deploy-charts-minikube.sh",
        "deploy-charts-cluster.sh",
        "helm-config/functions.sh",
        "helm-config/valkey.yaml",
        "k8s/sagamart.yaml",
        "k8s/overlays/cluster/sentinel.yaml",
        "charts/sagamart/values.yaml",
    ];
    for file in files {
        assert!(!tools::text(file).to_lowercase().contains("bitnami"), "{file}");
    }
}
