//! The deployment files, checked without a cluster: manifests, chart and scripts, and that they fit the binary.
//!
//! The checks themselves are the tests in `test/deployment`. Here is what they need: the real kubectl and helm and the schemas of
//! Kubernetes (Python packages ship them), the types of the Gateway API (a crate), and shellcheck.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    cargo_test::{counted, tests},
    failure::{Failure, Result},
    process,
    report::Run,
    system,
    workspace::{self, Workspace},
};

/// Far above what each takes on two slow cores; it only ends one that hangs.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(5 * 60);
const BUILD_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// The package of the tests.
pub(crate) const PACKAGE: &str = "sagamart-deployment-tests";

/// Where the tests look for the tools.
const TOOLS_VARIABLE: &str = "SAGAMART_DEPLOYMENT_TOOLS";

/// The file that `kubectl apply -f k8s/` reads, and where it comes from.
const RENDERED: &str = "k8s/sagamart.yaml";
const RENDERED_FROM: &str = "k8s/overlays/minikube";
const RENDERED_HEAD: &str = "# Rendered from k8s/overlays/minikube, where the comments are. Do not edit: `cargo xtask render-manifests` writes it.\n";

/// Begins the Dockerfiles that are written. It also makes them differ in size from the one that they are written from: BuildKit takes files of
/// one name, size and time for one file, which those of `order` and `stock` would be after a checkout.
const WRITTEN_HEAD: &str = "# Written from order/Dockerfile by `cargo xtask render-manifests`.\n";

/// What a chart needs lies in its own folder.
const CHART_FILES: [&str; 2] = ["monitoring/sagamart.rules.yml", "monitoring/grafana/sagamart.json"];

/// Installs the tools and runs the tests.
pub(crate) fn test(workspace: &Workspace, run: &mut Run<'_>) -> Result<()> {
    let tools = tools(workspace)?;
    let mut tests = tests(workspace, &["--test", "deployment"], &[]);
    counted(run, tests.env(TOOLS_VARIABLE, tools))
}

/// Writes what has another file as its source: the file that `kubectl apply -f k8s/` reads, the Dockerfiles of the others, and the
/// chart's copies of what is for Prometheus and Grafana.
pub(crate) fn render(workspace: &Workspace) -> Result<String> {
    let dockerfile = |service: &str| workspace.root().join(service).join("Dockerfile");
    let order = fs::read_to_string(dockerfile("order"))?;
    for service in ["stock", "payment", "observer"] {
        let written = order.replace("order", service).replace("\"observer\"]", "\"observe\"]");
        fs::write(dockerfile(service), format!("{WRITTEN_HEAD}{written}"))?;
    }
    let files = workspace.root().join("charts/sagamart/files");
    fs::create_dir_all(&files)?;
    for source in CHART_FILES.map(|name| workspace.root().join(name)) {
        let name = source.file_name().expect("each is a file");
        fs::copy(&source, files.join(name))?;
    }
    let kubectl = tools(workspace)?.join("bin/kubectl");
    let output = Command::new(kubectl).args(["kustomize", RENDERED_FROM]).current_dir(workspace.root()).output()?;
    if !output.status.success() {
        return Err(Failure::new(String::from_utf8_lossy(&output.stderr)));
    }
    let text = format!("{RENDERED_HEAD}{}", String::from_utf8_lossy(&output.stdout));
    fs::write(workspace.root().join(RENDERED), text)?;
    Ok(format!("{RENDERED}, three Dockerfiles, {} files of the chart", CHART_FILES.len()))
}

/// The folder with everything that the tests call, complete.
fn tools(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target().join("deployment-tools");
    let source = workspace.root().join("test/deployment");
    system_packages()?;
    python_packages(&folder, &source)?;
    let mut build = workspace::cargo();
    build.args(["build", "--quiet", "--locked"]).current_dir(source.join("gateway-api"));
    process::run(build.env("CARGO_TARGET_DIR", folder.join("gateway-api")), BUILD_TIMEOUT)?;
    Ok(folder)
}

fn system_packages() -> Result<()> {
    if process::installed("shellcheck") && system::has_venv() {
        return Ok(());
    }
    system::install(&["shellcheck", "python3", "python3-venv"])
}

/// A virtual environment with exactly the listed packages, made anew when the list changes.
fn python_packages(folder: &Path, source: &Path) -> Result<()> {
    let (list, mark) = (source.join("requirements.txt"), folder.join("installed.txt"));
    let wanted = fs::read_to_string(&list)?;
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let (python, programs) = (folder.join("python"), folder.join("bin"));
    fs::create_dir_all(&programs)?;
    process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&python), INSTALL_TIMEOUT)?;
    // The first package would bring an engine for JavaScript that only its use in AWS needs.
    let mut install = Command::new(python.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"]);
    process::run(install.arg(&list), INSTALL_TIMEOUT)?;
    let mut unpack = Command::new(python.join("bin/python"));
    process::run(unpack.arg(source.join("unpack.py")).arg(&programs), INSTALL_TIMEOUT)?;
    fs::write(mark, wanted)?;
    Ok(())
}
