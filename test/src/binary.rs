//! The binary under test.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

use serde_json::Value;

/// Where the binary is: the path in `SAGAMART_BIN`, as `cargo xtask test` sets it; without it the binary is built here,
/// so that a plain `cargo test` of this package works too.
///
/// # Panics
/// Where there is no such file, or the build fails.
#[must_use]
pub fn path() -> &'static Path {
    static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = env::var_os("SAGAMART_BIN").map_or_else(built, PathBuf::from);
        assert!(path.is_file(), "the binary under test is not there: {}", path.display());
        path
    });
    &PATH
}

fn built() -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        // With everything that it can have, and with the features that the whole workspace is built with.
        .args(["build", "--workspace", "--bin", "sagamart", "--features", "sagamart/tools"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "the binary under test does not build");
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut executables = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    });
    executables.next_back().expect("cargo names the executable it built")
}
