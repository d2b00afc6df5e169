//! What the claims are written with.

use std::fmt;

use bytes::Bytes;

use super::Violation;
use crate::{
    LogName, Partition, Store,
    store::{Commit, Cursor, LogEntry, Visibility, Write},
};

/// Ends the claim with a [`Violation`] unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Violation::new(format!($($message)+)));
        }
    };
}

/// Ends the claim with a [`Violation`] that shows both sides unless they are equal.
macro_rules! ensure_eq {
    ($found:expr, $wanted:expr, $($message:tt)+) => {
        match (&$found, &$wanted) {
            (found, wanted) => {
                if found != wanted {
                    let message = format!($($message)+);
                    return Err($crate::conformance::Violation::new(format!(
                        "{message}: wanted {wanted:?}, found {found:?}"
                    )));
                }
            }
        }
    };
}

pub(super) use {ensure, ensure_eq};

/// How many events are asked for at once where a whole log is read.
const PAGE: usize = 64;

pub(super) fn bytes(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into())
}

pub(super) fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Write {
    Write { key: key.into(), value: Some(value.into()) }
}

pub(super) fn remove(key: impl Into<Bytes>) -> Write {
    Write { key: key.into(), value: None }
}

pub(super) fn cursor(service: &str, partition: Partition, position: u64) -> Cursor {
    Cursor { log: LogName { service: service.into(), partition }, position }
}

/// A commit of events alone; the head is filled in by whoever commits it.
pub(super) fn events_only(events: impl IntoIterator<Item = Bytes>) -> Commit {
    Commit { events: events.into_iter().collect(), ..Commit::default() }
}

/// A commit of writes alone; the head is filled in by whoever commits it.
pub(super) fn writes_only(writes: impl IntoIterator<Item = Write>) -> Commit {
    Commit { writes: writes.into_iter().collect(), ..Commit::default() }
}

/// Reads everything that the log shows, page by page, and ensures that the pages are in order and without gaps.
pub(super) async fn whole_log<T: Store>(
    store: &T,
    partition: Partition,
    visibility: Visibility,
) -> Result<Vec<LogEntry>, Violation> {
    let mut log: Vec<LogEntry> = Vec::new();
    loop {
        let after = log.last().map_or(0, |entry| entry.position);
        let page = page_of_log(store, partition, after, PAGE, visibility).await?;
        if page.is_empty() {
            return Ok(log);
        }
        if let (Some(last), Some(first)) = (log.last(), page.first()) {
            ensure_eq!(first.position, last.position + 1, "a page starts elsewhere than the one before it ended");
        }
        log.extend(page);
    }
}

/// Reads one page of a log and ensures what is true of every page.
pub(super) async fn page_of_log<T: Store>(
    store: &T,
    partition: Partition,
    after: u64,
    limit: usize,
    visibility: Visibility,
) -> Result<Vec<LogEntry>, Violation> {
    let page = store.read_log(partition, after, limit, visibility).await?;
    ensure!(page.len() <= limit, "{} events where at most {limit} were wanted", page.len());
    if let Some(first) = page.first() {
        ensure!(first.position > after, "event {} where only those after {after} were wanted", first.position);
        let positions: Vec<u64> = page.iter().map(|entry| entry.position).collect();
        let dense: Vec<u64> = (first.position..).take(page.len()).collect();
        ensure_eq!(positions, dense, "a page of the log has gaps or is out of order");
    }
    Ok(page)
}

/// Shows bytes in a message of bearable length.
pub(super) struct Short<'a>(pub(super) Option<&'a Bytes>);

impl fmt::Debug for Short<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Enough to recognize what a claim wrote.
        const SHOWN_BYTES_MAX: usize = 40;
        match self.0 {
            None => write!(formatter, "nothing"),
            Some(bytes) if bytes.len() <= SHOWN_BYTES_MAX => write!(formatter, "{bytes:?}"),
            Some(bytes) => write!(formatter, "{:?}… of {} bytes", bytes.slice(..SHOWN_BYTES_MAX), bytes.len()),
        }
    }
}

/// `length` bytes that differ from those made with another `salt`, and from place to place.
pub(super) fn pattern(length: usize, salt: u8) -> Bytes {
    let byte = |place: usize| place.to_le_bytes().iter().fold(salt, |mixed, part| mixed.rotate_left(3) ^ part);
    (0..length).map(byte).collect()
}
