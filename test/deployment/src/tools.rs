//! The tools that render and check, as `cargo xtask check deployment` installs them.

use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// Where `cargo xtask check deployment` says that its tools are.
const TOOLS_VARIABLE: &str = "SAGAMART_DEPLOYMENT_TOOLS";

/// The root of the repository.
///
/// # Panics
/// Where this package is not two folders below it.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("test/deployment is two folders below the root")
}

/// The text of a file, named from the root.
///
/// # Panics
/// It cannot be read.
#[must_use]
pub fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The folder of the tools.
///
/// # Panics
/// They are not installed.
#[must_use]
pub fn folder() -> PathBuf {
    let folder = env::var_os(TOOLS_VARIABLE).map_or_else(|| root().join("target/deployment-tools"), PathBuf::from);
    assert!(folder.join("bin/helm").is_file(), "no helm in {}: run `cargo xtask check deployment`", folder.display());
    folder
}

/// A command of a tool in that folder, run in the repository's root.
#[must_use]
pub fn tool(path: &str) -> Command {
    let mut command = Command::new(folder().join(path));
    command.current_dir(root());
    command
}

/// kubectl, which finds no cluster here.
#[must_use]
pub fn kubectl() -> Command {
    let mut command = tool("bin/kubectl");
    command.env("KUBECONFIG", "/dev/null");
    command
}

/// helm, which finds no cluster here, and keeps nothing.
#[must_use]
pub fn helm() -> Command {
    let mut command = tool("bin/helm");
    command.env("KUBECONFIG", "/dev/null").env("HELM_NO_PLUGINS", "1");
    command
}

/// What a command that succeeds writes to its standard output.
///
/// # Panics
/// It cannot be started, or fails.
#[must_use]
pub fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the command can be started");
    assert!(output.status.success(), "{command:?}: {}{}", said(&output.stdout), said(&output.stderr));
    said(&output.stdout)
}

/// Runs a command with `input` on its standard input.
///
/// # Panics
/// It cannot be started.
#[must_use]
pub fn with_input(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command can be started");
    let mut stdin = child.stdin.take().expect("standard input is piped");
    // A command that ends before it has read everything tells why by its status.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("the command ends")
}

/// What a process wrote, as text.
#[must_use]
pub fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The documents of a YAML text, read as Kubernetes' own tools read YAML (1.1).
///
/// # Panics
/// It is not YAML.
#[must_use]
pub fn yaml(text: &str) -> Vec<Value> {
    const READ: &str =
        "import json,sys,yaml; json.dump([d for d in yaml.safe_load_all(sys.stdin) if d is not None], sys.stdout)";
    let output = with_input(tool("python/bin/python").args(["-c", READ]), text);
    assert!(output.status.success(), "not YAML: {}\n{text}", said(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("python writes JSON")
}
