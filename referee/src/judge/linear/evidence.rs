//! What a search remembers of its way, to explain what goes wrong.

use std::collections::VecDeque;

use crate::judge::case::{Change, Ledger, Observation};

/// Changes and values that are remembered.
const REMEMBERED: usize = 64;

/// One possibility.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Configuration {
    pub(super) value: i64,
    /// Which of the changes that run are in effect.
    pub(super) taken: u128,
    /// Which of the observations that run are satisfied.
    pub(super) seen: u128,
}

/// The way so far.
#[derive(Clone, Debug)]
pub(super) struct Evidence<'ledger> {
    pub(super) ledger: &'ledger Ledger,
    /// The last changes that ended, the newest last.
    pub(super) ended: VecDeque<u32>,
    /// Values that there were before, the newest last.
    pub(super) past: VecDeque<i64>,
    /// The last observation that was explained.
    pub(super) last_explained: Option<u32>,
    /// The value at the last read that left one possibility, or at first.
    pub(super) certain: i64,
    /// The first changes that were to take effect after that, in the order in which they began.
    pub(super) since: Vec<u32>,
    /// How many more there are.
    pub(super) since_unnamed: usize,
}

impl<'ledger> Evidence<'ledger> {
    pub(super) fn new(ledger: &'ledger Ledger) -> Self {
        Self {
            ledger,
            ended: VecDeque::new(),
            past: VecDeque::from([ledger.initial]),
            last_explained: None,
            certain: ledger.initial,
            since: Vec::new(),
            since_unnamed: 0,
        }
    }

    pub(super) fn change(&self, number: u32) -> Option<&'ledger Change> {
        self.ledger.changes.get(number as usize)
    }

    pub(super) fn observation(&self, number: u32) -> Option<&'ledger Observation> {
        self.ledger.observations.get(number as usize)
    }

    /// A change begins.
    pub(super) fn begin(&mut self, number: u32) {
        if self.since.len() < REMEMBERED {
            self.since.push(number);
        } else {
            self.since_unnamed += 1;
        }
    }

    /// A change has ended.
    pub(super) fn end(&mut self, number: u32) {
        remember(&mut self.ended, number);
    }

    /// The value was possible.
    pub(super) fn pass(&mut self, value: i64) {
        remember(&mut self.past, value);
    }

    /// An observation was explained; `certain`: by this value alone, with these changes still to take effect.
    pub(super) fn explained(&mut self, number: u32, certain: Option<(i64, Vec<u32>)>) {
        self.last_explained = Some(number);
        if let Some((value, mut to_come)) = certain {
            to_come.sort_unstable();
            (self.certain, self.since, self.since_unnamed) = (value, to_come, 0);
        }
    }
}

fn remember<T>(queue: &mut VecDeque<T>, value: T) {
    if queue.len() == REMEMBERED {
        queue.pop_front();
    }
    queue.push_back(value);
}
