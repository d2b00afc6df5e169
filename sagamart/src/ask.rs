//! `sagamart ls`, `why`, `account`, `events`, `status`, `cancel` and `redeliver`: what operators ask of a shop that runs;
//! and, of those that only read, what they ask of the data of one that does not.

mod account;
mod cancel;
mod client;
mod events;
mod exposition;
mod kept;
mod list;
mod process;
mod servers;
mod source;
mod status;
mod top;
mod why;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Subcommand;
use serde::Deserialize;
use serde_json::Value;

use crate::stopped;

use client::{Address, Unreached};
pub(crate) use source::contradiction;
use source::{Admin, Origin, Source};

/// Asking whoever keeps the history.
#[derive(Subcommand, Debug)]
pub(crate) enum Ask {
    Ls(list::List),
    Why(why::Why),
    Account(account::Statement),
    Events(events::Events),
    Status(status::Status),
    Top(top::Top),
    Cancel(cancel::Cancel),
    Redeliver(cancel::Redeliver),
}

/// Why there is no answer to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}: say with --admin where the shop lets operators in (its --admin-listen)")]
    Unreached(#[from] Unreached),
    #[error("{0}")]
    Refused(String),
    #[error("{asked} answers with something else than a history: {cause}: say another address with --admin")]
    Foreign { asked: String, cause: serde_json::Error },
    #[error("{0}")]
    Stopped(#[from] stopped::Error),
    #[error(transparent)]
    Output(#[from] io::Error),
}

impl Ask {
    /// Asks, prints, and says how it went: 0 well, 1 not, 2 nobody was reached.
    pub(crate) async fn run(self) -> Result<ExitCode, Error> {
        let asked = match self {
            Self::Ls(list) => list.run().await,
            Self::Why(why) => why.run().await,
            Self::Account(statement) => statement.run().await,
            Self::Events(events) => events.run().await,
            Self::Status(status) => status.run().await,
            Self::Top(top) => top.run().await,
            Self::Cancel(cancel) => cancel.run().await,
            Self::Redeliver(redeliver) => redeliver.run().await,
        };
        match asked {
            // Who reads has seen enough, as `head` has.
            Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            other => other,
        }
    }
}

impl Error {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Stopped(stopped::Error::NoHistory(_) | stopped::Error::NoBooks(_))
            | Self::Refused(_)
            | Self::Output(_) => ExitCode::FAILURE,
            Self::Unreached(_) | Self::Foreign { .. } | Self::Stopped(_) => ExitCode::from(2),
        }
    }
}

/// What is left of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// It was shown to its end, and so many more would have been.
    Nothing(usize),
    /// There may be more.
    More,
}

fn with_query(path: &str, query: &[(&str, Option<String>)]) -> String {
    let given = query.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let pairs: Vec<_> = given.map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    format!("{path}?{}", pairs.join("&"))
}

fn refused(status: u16, body: &Value) -> Error {
    let said = ["detail", "title"].iter().find_map(|name| body.get(name)?.as_str());
    let mut said = said.map_or_else(|| format!("it answers with {status}"), str::to_owned);
    if status == 401 {
        said.push_str(": name the file with your token in SAGAMART_TOKEN_FILE");
    }
    Error::Refused(said)
}

/// Text as a part of a URL.
fn escaped(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// One JSON object on a line.
fn write_json(out: &mut impl Write, value: &Value) -> Result<(), Error> {
    Ok(writeln!(out, "{value}")?)
}

/// Reads the text of an answer that a server is known to give.
fn read_from<'text, T: Deserialize<'text>>(address: &Address, text: &'text str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|cause| Error::Foreign { asked: address.to_string(), cause })
}

/// Reads what the history is known to answer.
fn read<'value, T: Deserialize<'value>>(source: &Source, value: &'value Value) -> Result<T, Error> {
    T::deserialize(value).map_err(|cause| source.foreign(cause))
}

/// A moment without what every line has in common: the year, and the T.
fn short(moment: &str) -> String {
    moment.get(5..19).unwrap_or(moment).replace('T', " ")
}

/// A duration such as `250ms`, `2s`, `5m`, `1h` or `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "it looks like 250ms, 2s, 5m, 1h or 7d".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(ms).map(Duration::from_millis).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, ms) in [("250ms", 250), ("2s", 2_000), ("5m", 300_000), ("1h", 3_600_000), ("7d", 604_800_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "2", "s", "-1s", "1.5s", "2 s", "2x", "99999999999999999999s", "99999999999999999d", "ä"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_an_id_may_be_stays_one_part_of_the_url() {
        assert_eq!(escaped("a-Z_0.9~"), "a-Z_0.9~");
        assert_eq!(escaped("a/../b?c=d&e f%"), "a%2F..%2Fb%3Fc%3Dd%26e%20f%25");
    }
}
