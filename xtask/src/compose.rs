//! What the tests of the compose files need: Docker, `docker compose`, and images.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    failure::{Failure, Result},
    process,
    workspace::Workspace,
};

/// A minimal Debian is installed and two images are made of it, which takes a minute on a machine that does nothing else.
const IMAGES_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// Makes what is missing.
pub(crate) fn images(workspace: &Workspace) -> Result<String> {
    let mut daemon = Command::new("docker");
    daemon.args(["version", "--format", "{{.Server.Version}}"]).stdin(Stdio::null()).stderr(Stdio::null());
    let answer = daemon.output().map_err(|error| Failure::new(format!("docker cannot be started: {error}")))?;
    if !answer.status.success() {
        return Err(Failure::new("Docker's daemon does not answer; the tests of the compose files need it"));
    }
    let mut script = Command::new(workspace.root().join("test/compose/images.sh"));
    process::run(script.arg(scratch(workspace)), IMAGES_TIMEOUT)?;
    Ok(format!("there, for Docker {}", String::from_utf8_lossy(&answer.stdout).trim()))
}

/// Where `docker` finds `docker compose`, on a machine that had none.
pub(crate) fn docker_configuration(workspace: &Workspace) -> Option<PathBuf> {
    let configuration = scratch(workspace).join("docker");
    configuration.join("cli-plugins").is_dir().then_some(configuration)
}

fn scratch(workspace: &Workspace) -> PathBuf {
    workspace.target().join("images")
}
