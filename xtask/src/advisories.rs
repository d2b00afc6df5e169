//! Locked versions that should no longer be used.
//!
//! Two sources know of such: the registry's index, where authors *yank* broken versions, and the RustSec database of
//! security advisories. The first is reached through cargo itself, so every machine that can build can ask it. The
//! second is asked where `cargo-deny` is installed and can fetch it; where not, the step says so in its note instead
//! of passing silently.

use std::{fmt::Write as _, fs, time::Duration};

use cargo_metadata::Package;

use crate::{failure::Result, process, workspace::Workspace};

/// One exchange with the registry's index for each package, and they run side by side.
const INDEX_TIMEOUT: Duration = Duration::from_secs(5 * 60);

pub(crate) fn check(workspace: &Workspace) -> Result<String> {
    let yanked = none_is_yanked(workspace)?;
    let advisories = no_advisory(workspace)?;
    Ok(format!("{yanked}; {advisories}"))
}

/// Cargo never resolves to a yanked version unless a lock file already names it. So a package that asks for exactly
/// the locked versions, and has no lock file, resolves only if none of them is yanked; cargo's error names the one.
fn none_is_yanked(workspace: &Workspace) -> Result<String> {
    let folder = workspace.target().join("xtask").join("locked-versions");
    let packages: Vec<&Package> = workspace.foreign().collect();
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("src").join("lib.rs"), "")?;
    fs::write(folder.join("Cargo.toml"), manifest(&packages))?;
    let mut command = workspace.cargo(&["generate-lockfile", "--quiet", "--manifest-path"]);
    process::run(command.arg(folder.join("Cargo.toml")), INDEX_TIMEOUT)?;
    Ok(format!("none of {} locked versions is yanked", packages.len()))
}

fn manifest(packages: &[&Package]) -> String {
    let mut text = String::from(
        "[package]\nname = \"locked-versions\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n",
    );
    for (index, package) in packages.iter().enumerate() {
        let (name, version) = (&package.name, &package.version);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "locked-{index} = {{ package = \"{name}\", version = \"={version}\", default-features = false }}"
        );
    }
    text
}

fn no_advisory(workspace: &Workspace) -> Result<String> {
    if !process::installed("cargo-deny") {
        return Ok("security advisories NOT checked: cargo-deny is not installed".to_owned());
    }
    if let Err(failure) = process::run(&mut workspace.cargo(&["deny", "fetch", "db"]), INDEX_TIMEOUT) {
        println!("{failure}");
        return Ok("security advisories NOT checked: their database cannot be reached".to_owned());
    }
    process::run(&mut workspace.cargo(&["deny", "check", "advisories"]), INDEX_TIMEOUT)?;
    Ok("no security advisory".to_owned())
}
