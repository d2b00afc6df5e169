//! A child process with its output in a file, which is killed when dropped.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How often a condition that has no event is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(5);

/// Far longer than it takes a busy machine to stop a process.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(30);

/// A running program. It ends with whoever started it, also where that one is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Kills the child when the pipe from this process to it is closed.
    heir: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, with both outputs appended to the file `log`.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start(mut command: Command, log: &Path) -> Self {
        let output = || File::options().create(true).append(true).open(log).expect("a log file can be written");
        let child = command.stdin(Stdio::null()).stdout(output()).stderr(output()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let mut heir = Command::new("sh");
        heir.args(["-c", r#"read -r nothing; kill -9 "$0""#, &child.id().to_string()]);
        // A group of its own, for what ends the test's whole group must not end it first.
        heir.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let heir = heir.spawn().unwrap_or_else(|error| panic!("sh cannot be started: {error}"));
        Self { child, heir, log: log.to_owned() }
    }

    /// The same for a program that starts others, all of which [`Self::kill_group`] ends.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start_group(mut command: Command, log: &Path) -> Self {
        command.process_group(0);
        Self::start(command, log)
    }

    /// SIGKILL to the program and all it has started; returns once it is gone.
    pub fn kill_group(&mut self) {
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // An error means that all have ended.
            let _ = kill_process_group(id, Signal::KILL);
        }
        self.kill();
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL; returns once it is gone.
    pub fn kill(&mut self) {
        // First, for once the child is gone its id may be another process's.
        let _ = self.heir.kill();
        let _ = self.heir.wait();
        // An error means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGSTOP: it does nothing any more, but its connections stay, until [`Self::thaw`]. Returns once that is so: on busy
    /// processors its threads go on until each has had its turn.
    ///
    /// # Panics
    /// It is not stopped in time.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let deadline = Instant::now() + FREEZE_TIMEOUT;
        while !self.is_stopped() {
            assert!(Instant::now() < deadline, "still running {FREEZE_TIMEOUT:?} after SIGSTOP:\n{}", self.output());
            thread::sleep(POLL);
        }
    }

    /// Whether none of its threads runs.
    fn is_stopped(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id())).into_iter().flatten().flatten();
        let stats = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
        // What follows the name in brackets is the state.
        let mut states = stats.filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next());
        states.all(|state| "tTZX".contains(state))
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM, and a wait until it has ended.
    ///
    /// # Panics
    /// It does not end within the time.
    pub fn terminate(&mut self, timeout: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running {timeout:?} after SIGTERM:\n{}", self.output());
            thread::sleep(POLL);
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// All it has said so far, and what earlier processes with the same log file said.
    #[must_use]
    pub fn output(&self) -> String {
        let output = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&output).into_owned()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself; who uses it will notice.
            let _ = kill_process(id, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
