//! The command `docker`, as a user types it.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// `docker` with these arguments.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command that must succeed, and returns what it wrote.
///
/// # Panics
/// It does not.
pub(crate) fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{command:?}: {status}\n{stdout}{}", String::from_utf8_lossy(&stderr));
    stdout
}

/// What `docker inspect` knows of something.
///
/// # Panics
/// It does not exist.
pub(crate) fn inspect(name: &str) -> Value {
    let output = run(&mut command(&["inspect", name]));
    let mut values: Vec<Value> = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
    values.pop().unwrap_or_else(|| panic!("nothing is named {name}"))
}
