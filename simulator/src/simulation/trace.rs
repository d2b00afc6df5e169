//! What happened, in order: every call of a store, every message of a client, every fault. Two runs with one hash are one.

use std::{collections::BTreeMap, fmt, fmt::Write, time::Duration};

/// Lines of a story that are kept: enough for the round in which something broke.
const LINES_MAX: usize = 20_000;

/// The story of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    keeps: bool,
    lines: Vec<String>,
    scratch: String,
    /// How often each rare event was reached.
    pub(crate) reached: BTreeMap<&'static str, u64>,
}

impl Trace {
    pub(crate) fn new(keeps: bool) -> Self {
        Self { hash: 0, keeps, lines: Vec::new(), scratch: String::new(), reached: BTreeMap::new() }
    }

    /// Notes what happened at this time.
    pub(crate) fn note(&mut self, at: Duration, what: fmt::Arguments<'_>) {
        self.scratch.clear();
        // Writing to a string cannot fail.
        let _ = write!(self.scratch, "{:>9.3} {what}", at.as_secs_f64());
        self.hash = saga::fingerprint([&self.hash.to_le_bytes()[..], self.scratch.as_bytes()]);
        if self.keeps {
            if self.lines.len() >= LINES_MAX {
                self.lines.drain(..LINES_MAX / 2);
            }
            self.lines.push(self.scratch.clone());
        }
    }

    pub(crate) fn reach(&mut self, event: &'static str, times: u64) {
        if times > 0 {
            *self.reached.entry(event).or_default() += times;
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }
}
