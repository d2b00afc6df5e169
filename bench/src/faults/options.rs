//! What is to be killed, how and how often.

use std::{fmt, time::Duration};

use super::Target;
use crate::flags::{positive_seconds, seconds};

/// Options of killing.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct FaultOptions {
    /// Kill this while it is under load, again and again: a process id, @FILE with one in it, a docker container's
    /// name, or `server` for the one that --start-server starts. Several take turns
    #[arg(long, value_name = "PID|@FILE|CONTAINER|server", help_heading = "Faults")]
    pub kill: Vec<Target>,

    /// How long to wait between a restart and the next kill
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = positive_seconds, requires = "kill", help_heading = "Faults")]
    pub every: Duration,

    /// The signal; after a stop it goes on instead of being restarted
    #[arg(long, value_enum, ignore_case = true, default_value_t = Name::Kill, requires = "kill", help_heading = "Faults")]
    pub signal: Name,

    /// How long it stays down
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = seconds, requires = "kill", help_heading = "Faults")]
    pub down_for: Duration,

    /// What to run in a shell to start it again: once for all targets, or once for each [default: `docker start` for a
    /// container, nothing for a process, which something else may watch over]
    #[arg(long, value_name = "COMMAND", requires = "kill", help_heading = "Faults")]
    pub restart_command: Vec<String>,
}

impl Default for FaultOptions {
    fn default() -> Self {
        Self {
            kill: Vec::new(),
            every: Duration::from_secs(5),
            signal: Name::Kill,
            down_for: Duration::from_millis(500),
            restart_command: Vec::new(),
        }
    }
}

/// A signal's name without its `SIG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// Ends a process at once.
    Kill,
    /// Asks it to end.
    Term,
    /// The same, as Ctrl-C does.
    Int,
    /// Freezes it.
    Stop,
    /// Lets it go on.
    #[value(skip)]
    Cont,
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kill => "KILL",
            Self::Term => "TERM",
            Self::Int => "INT",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
        })
    }
}
