//! Killing a server while it is under load, and starting it again.
//!
//! ```text
//!  wait --every ─▶ signal a target, record it ─▶ wait --down-for ─▶ start it again, record it ─▶ wait --every ─▶ …
//! ```

mod options;
mod target;

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{process::Command, sync::watch};

pub use options::{FaultOptions, Name};
pub use target::Target;

use crate::process::Server;
use referee::history::{Fault, FaultKind, Scribe};

/// How long a command may take to kill or to start a container.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// Who kills, with what it needs to start things again.
#[derive(Debug)]
pub(crate) struct Killer {
    options: FaultOptions,
    scribe: Scribe,
    /// The benchmark's own server, when that is a target.
    server: Option<Server>,
    /// The process that the last restart command of each target started.
    restarted: Vec<Option<Pid>>,
}

impl Killer {
    pub(crate) fn new(options: &FaultOptions, scribe: Scribe, server: Option<Server>) -> Self {
        let restarted = vec![None; options.kill.len()];
        Self { options: options.clone(), scribe, server, restarted }
    }

    pub(crate) fn into_server(self) -> Option<Server> {
        self.server
    }

    /// Kills and restarts, target after target, until it is told to stop; what it killed last is always started again.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Self {
        let mut next = 0;
        while !self.options.kill.is_empty() {
            tokio::select! {
                () = tokio::time::sleep(self.options.every) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            self.strike(next).await;
            next = (next + 1) % self.options.kill.len();
        }
        self
    }

    async fn strike(&mut self, index: usize) {
        let Some(target) = self.options.kill.get(index).cloned() else { return };
        let signal = self.options.signal;
        let killed = self.signal(&target, index, signal).await;
        self.record(FaultKind::Killed, &target, killed);
        tokio::time::sleep(self.options.down_for).await;
        let restarted = if signal == Name::Stop {
            self.signal(&target, index, Name::Cont).await
        } else {
            self.restart(&target, index).await
        };
        self.record(FaultKind::Restarted, &target, restarted);
    }

    fn record(&self, fault: FaultKind, target: &Target, result: Result<String, String>) {
        let (fault, detail) = match result {
            Ok(detail) => (fault, detail),
            Err(reason) => (FaultKind::Failed, reason),
        };
        let at = self.scribe.nanoseconds(Instant::now());
        self.scribe.fault(Fault { fault, at, target: target.to_string(), detail });
    }

    async fn signal(&self, target: &Target, index: usize, signal: Name) -> Result<String, String> {
        let shown = signal.to_string();
        match target {
            Target::Container(name) => {
                // Killing is all that `docker kill` does, whatever the signal is.
                run("docker", &["kill", "--signal", &shown, name]).await?;
            }
            Target::Server => {
                let pid = self.server.as_ref().and_then(Server::pid).ok_or("it does not run")?;
                kill_process(pid, signal.signal()).map_err(|error| error.to_string())?;
            }
            Target::Pid(_) | Target::PidFile(_) => match self.restarted.get(index).copied().flatten() {
                // Its command may be a shell: the whole group gets the signal.
                Some(group) => kill_process_group(group, signal.signal()).map_err(|error| error.to_string())?,
                None => kill_process(target.pid()?, signal.signal()).map_err(|error| error.to_string())?,
            },
        }
        Ok(format!("SIG{shown}"))
    }

    async fn restart(&mut self, target: &Target, index: usize) -> Result<String, String> {
        if *target == Target::Server {
            let server = self.server.take().ok_or("it does not run")?;
            let server = server.restart().await.map_err(|error| error.to_string())?;
            let pid = server.pid().map_or(0, |pid| pid.as_raw_nonzero().get());
            self.server = Some(server);
            return Ok(format!("process {pid}"));
        }
        let commands = &self.options.restart_command;
        let command = commands.get(index).or_else(|| commands.last().filter(|_| commands.len() == 1));
        match (command.cloned(), target) {
            (Some(command), _) => {
                let started = Command::new("/bin/sh")
                    .args(["-c", &command])
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    // A group of its own, so that the next kill reaches all that the command started.
                    .process_group(0)
                    .spawn()
                    .map_err(|error| error.to_string())?;
                self.follow(started, target, index);
                Ok(command)
            }
            (None, Target::Container(name)) => {
                run("docker", &["start", name]).await.map(|()| "docker start".to_owned())
            }
            (None, _) => Ok("left to whoever watches over it".to_owned()),
        }
    }

    /// Remembers what a restart command started, so that it can be killed next; a process file names it better.
    fn follow(&mut self, mut started: tokio::process::Child, target: &Target, index: usize) {
        let pid = started.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if matches!(target, Target::Pid(_))
            && let Some(followed) = self.restarted.get_mut(index)
        {
            *followed = pid;
        }
        // It goes on running when this program ends, as the server did that it replaces; until then it is reaped.
        tokio::spawn(async move { drop(started.wait().await) });
    }
}

async fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let running = Command::new(program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    match tokio::time::timeout(COMMAND_TIMEOUT, running).await {
        Err(_elapsed) => Err(format!("{program}: not done after {} s", COMMAND_TIMEOUT.as_secs())),
        Ok(Err(error)) => Err(format!("{program}: {error}")),
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => Err(format!("{program}: {}: {}", output.status, referee::quote(&output.stderr))),
    }
}

impl Name {
    fn signal(self) -> Signal {
        match self {
            Self::Kill => Signal::KILL,
            Self::Term => Signal::TERM,
            Self::Int => Signal::INT,
            Self::Stop => Signal::STOP,
            Self::Cont => Signal::CONT,
        }
    }
}

#[cfg(test)]
mod tests;
