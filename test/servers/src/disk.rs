//! A disk that is slow for one server alone.

use std::{
    fmt,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Process,
    process::POLL,
    server::{Server, TIMEOUT},
};

/// While it lives, every flush of a server's files takes longer: `strace` holds the server up behind each of them.
pub struct SlowDisk {
    strace: Process,
}

impl fmt::Debug for SlowDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SlowDisk").finish_non_exhaustive()
    }
}

impl SlowDisk {
    pub(crate) fn under(server: &Server, delay: Duration) -> Self {
        let mut command = Command::new("strace");
        let inject = format!("inject=fdatasync,fsync:delay_exit={}", delay.as_micros());
        command.args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", &inject]);
        command.args(["-p", &server.process_id().to_string()]);
        let mut strace = Process::start(command, &server.dir().join("strace.log"));
        let deadline = Instant::now() + TIMEOUT;
        while !strace.output().contains(" attached") {
            let is_late = strace.ended().is_some() || Instant::now() > deadline;
            assert!(!is_late, "strace has to be installed, and allowed to attach: {}", strace.output());
            thread::sleep(POLL);
        }
        Self { strace }
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // In order: killed, it could leave the server held up.
        self.strace.terminate(TIMEOUT);
    }
}
