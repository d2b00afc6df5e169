//! What the machine has beside Rust, and getting it where `apt-get` is there.

use std::{process::Command, time::Duration};

use crate::{
    failure::{Failure, Result},
    process,
};

/// Far above what it takes; it only ends one that hangs.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Whether virtual environments of Python can be made.
pub(crate) fn has_venv() -> bool {
    Command::new("python3").args(["-c", "import ensurepip, venv"]).output().is_ok_and(|run| run.status.success())
}

/// Installs packages of the system, where this is one that has `apt-get`.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    println!("asking apt-get for {}", packages.join(", "));
    let asked = process::run(Command::new("apt-get").args(["update", "--quiet"]), INSTALL_TIMEOUT).and_then(|()| {
        let mut install = Command::new("apt-get");
        install.args(["install", "--quiet", "--yes", "--no-install-recommends"]).args(packages);
        process::run(install.env("DEBIAN_FRONTEND", "noninteractive"), INSTALL_TIMEOUT)
    });
    asked.map_err(|failure| {
        let packages = packages.join(", ");
        Failure::new(format!("{failure}; install {packages} with your system's package manager"))
    })
}
