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
    failure::{Failure, Result},
    process,
    report::Totals,
    suites::{self, BINARY_VARIABLE},
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

/// Installs the tools and runs the tests.
pub(crate) fn test(workspace: &Workspace, totals: &mut Totals) -> Result<()> {
    let tools = tools(workspace)?;
    let binary = suites::binary(workspace)?;
    let arguments = ["test", "--package", PACKAGE, "--no-fail-fast"];
    let mut command = workspace.cargo(&arguments);
    suites::counted(command.env(TOOLS_VARIABLE, tools).env(BINARY_VARIABLE, binary), totals)
}

/// Writes the file that `kubectl apply -f k8s/` reads.
pub(crate) fn render(workspace: &Workspace) -> Result<String> {
    let kubectl = tools(workspace)?.join("bin/kubectl");
    let output = Command::new(kubectl).args(["kustomize", RENDERED_FROM]).current_dir(workspace.root()).output()?;
    if !output.status.success() {
        return Err(Failure::new(String::from_utf8_lossy(&output.stderr)));
    }
    let text = format!("{RENDERED_HEAD}{}", String::from_utf8_lossy(&output.stdout));
    fs::write(workspace.root().join(RENDERED), text)?;
    Ok(RENDERED.to_owned())
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
    let venv = || {
        Command::new("python3").args(["-c", "import ensurepip, venv"]).output().is_ok_and(|run| run.status.success())
    };
    if process::installed("shellcheck") && venv() {
        return Ok(());
    }
    suites::install(&["shellcheck", "python3", "python3-venv"])
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
