//! Who is to be killed.

use std::{fmt, fs, path::PathBuf, str::FromStr};

use rustix::process::Pid;

/// A process or a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The server that the benchmark started.
    Server,
    /// A process.
    Pid(i32),
    /// The process whose id is in this file, read before each kill.
    PidFile(PathBuf),
    /// A docker container.
    Container(String),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "server" {
            return Ok(Self::Server);
        }
        if let Some(file) = text.strip_prefix('@') {
            return Ok(Self::PidFile(file.into()));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
            return process(text).map(|pid| Self::Pid(pid.as_raw_nonzero().get()));
        }
        // What docker takes for a name; a name cannot be mistaken for an option then.
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if first && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
            return Ok(Self::Container(text.to_owned()));
        }
        Err("neither a process id, @FILE, a container's name nor `server`".to_owned())
    }
}

/// Process 1 is whoever keeps the machine running; 0 and negative ids mean whole groups.
fn process(text: &str) -> Result<Pid, String> {
    let pid = text.trim().parse().ok().filter(|pid: &i32| *pid > 1).and_then(Pid::from_raw);
    pid.ok_or_else(|| format!("{text:?} is no process id that may be killed"))
}

impl Target {
    /// The process, where that is known here.
    pub(super) fn pid(&self) -> Result<Pid, String> {
        match self {
            Self::Pid(pid) => process(&pid.to_string()),
            Self::PidFile(file) => {
                let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
                process(text.trim())
            }
            Self::Server | Self::Container(_) => Err("its process id is not known".to_owned()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => formatter.write_str("server"),
            Self::Pid(pid) => write!(formatter, "{pid}"),
            Self::PidFile(file) => write!(formatter, "@{}", file.display()),
            Self::Container(name) => formatter.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_apart() {
        for (text, target) in [
            ("server", Target::Server),
            ("1234", Target::Pid(1234)),
            ("@/run/shop.pid", Target::PidFile("/run/shop.pid".into())),
            ("shop-order-1", Target::Container("shop-order-1".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(target.clone()));
            assert_eq!(target.to_string(), text);
        }
    }

    #[test]
    fn what_must_not_be_killed_is_refused() {
        for text in ["0", "1", "-1", "99999999999", "", "--all", "a b", "a;b"] {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
    }
}
