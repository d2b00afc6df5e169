//! What a user types who tries the shop for the first time.

use crate::{docker::run, project::Project};

/// `up -d`, `ps`, `kill`, `ps`, `start`, `ps` and `logs`, by the names of the file.
pub(crate) fn up_ps_kill_start_ps_logs(project: &Project) {
    let all = project.containers().len();
    let compose = |arguments: &[&str]| run(&mut project.compose(arguments));
    let running = |status: &str| {
        let shown = compose(&["ps", "--all", "--format", "{{.Service}} {{.Status}}"]);
        shown.lines().filter(|line| line.contains(status)).map(str::to_owned).collect::<Vec<_>>()
    };
    // Once more, with all of it running: nothing is made anew.
    compose(&["up", "--detach", "--no-build"]);
    assert_eq!(running("(healthy)").len(), all, "{:?}", running(""));
    compose(&["kill", "stock-service-2"]);
    let down = running("Exited (137)");
    assert!(matches!(down.as_slice(), [line] if line.starts_with("stock-service-2 ")), "{down:?}");
    compose(&["start", "stock-service-2"]);
    project.await_healthy(&[project.container("stock-service-2")]);
    assert_eq!(running("(healthy)").len(), all, "{:?}", running(""));
    // Of both lives, beginning with the first.
    let logs = compose(&["logs", "--no-color", "stock-service-2"]);
    assert!(logs.lines().filter(|line| line.contains("ready")).count() >= 2, "{logs}");
}
