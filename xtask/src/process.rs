//! Child processes that end: each has a time limit, and an interrupt of xtask reaches the whole tree of them.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::failure::{Failure, Result};

/// How often a running child is looked at: short beside any step, long beside the cost of looking.
const POLL: Duration = Duration::from_millis(50);

/// The groups of children that run, several where suites run beside each other.
static RUNNING: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Where the flag cannot be registered the signal keeps its default effect, which also stops xtask.
        let _ = signal_hook::flag::register(signal, Arc::clone(&flag));
    }
    flag
});

/// Runs `command` to its end.
///
/// # Errors
/// It could not start, exited non-zero, or was still running after `timeout`.
pub(crate) fn run(command: &mut Command, timeout: Duration) -> Result<()> {
    let mut child = start(command)?;
    let status = wait(&mut child, command, timeout)?;
    success(command, status)
}

/// Runs `command` and hands each line of its standard output to `see`.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_seeing(command: &mut Command, timeout: Duration, mut see: impl FnMut(&str) + Send) -> Result<()> {
    let mut child = start(command.stdout(Stdio::piped()))?;
    let output = child.stdout.take();
    let status = thread::scope(|scope| {
        scope.spawn(move || {
            for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()) {
                let Ok(line) = line else { break };
                see(&line);
            }
        });
        wait(&mut child, command, timeout)
    })?;
    success(command, status)
}

/// Whether a program of that name can be started.
pub(crate) fn installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn start(command: &mut Command) -> Result<Child> {
    LazyLock::force(&INTERRUPTED);
    // A group of its own, so that a time-out ends the test processes and servers below cargo too.
    let child = command
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| Failure::new(format!("cannot start {}: {error}", shown(command))))?;
    running().insert(group(&child));
    Ok(child)
}

/// The number of a child's group, which is its own.
fn group(child: &Child) -> i32 {
    i32::try_from(child.id()).expect("the kernel's process numbers are an i32")
}

fn running() -> MutexGuard<'static, BTreeSet<i32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kill(group: i32) {
    if let Some(group) = Pid::from_raw(group) {
        // The group may have ended in this moment; then there is nothing left to end.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn wait(child: &mut Child, command: &Command, timeout: Duration) -> Result<ExitStatus> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait()? {
            running().remove(&group(child));
            return Ok(status);
        }
        if INTERRUPTED.load(Ordering::Relaxed) {
            println!("xtask: {} was interrupted", shown(command));
            running().iter().copied().for_each(kill);
            std::process::exit(130);
        }
        if Instant::now() >= deadline {
            kill(group(child));
            child.wait()?;
            running().remove(&group(child));
            return Err(Failure::new(format!("{} was still running after {} s", shown(command), timeout.as_secs())));
        }
        thread::sleep(POLL);
    }
}

fn success(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("{}: {status}", shown(command))))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_does_not_end_is_ended_with_its_children() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]);
        let mut sleeper = String::new();
        let failure = run_seeing(&mut command, Duration::from_millis(300), |line| sleeper = line.to_owned())
            .expect_err("it never ends by itself");
        assert!(failure.to_string().contains("still running"), "{failure}");
        let gone =
            || std::fs::read_to_string(format!("/proc/{sleeper}/stat")).map_or(true, |stat| stat.contains(") Z "));
        let deadline = Instant::now() + Duration::from_secs(10);
        while !gone() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        assert!(gone(), "the sleeper lives: {sleeper}");
    }

    #[test]
    fn a_failed_command_is_named_with_its_status() {
        let failure = run(Command::new("sh").args(["-c", "exit 3"]), Duration::from_secs(10)).expect_err("exit 3");
        assert_eq!(failure.to_string(), "sh -c exit 3: exit status: 3");
    }

    #[test]
    fn a_missing_program_is_not_installed() {
        assert!(!installed("no-program-has-this-name"));
        assert!(installed("sh") || installed("cargo"));
    }
}
