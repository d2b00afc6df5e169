//! The event log of one partition: the newest events in memory, older ones that somebody still needs in the base.
//!
//! ```text
//!  1 …… trim | trim + 1 …… in_memory_from - 1 | in_memory_from …… end
//!   dropped  |         only in the base       |        in memory
//! ```

use std::{collections::VecDeque, ops::RangeInclusive};

use bytes::Bytes;
use saga::store::LogEntry;

use crate::ops::OpBuffer;

/// How many bytes of events that the base holds a partition also keeps in memory. Events are trimmed within
/// milliseconds while every consumer keeps up; this bounds what a consumer that stands still can take.
const KEPT_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
struct Event {
    group: u64,
    at: u32,
    bytes: Bytes,
}

/// Where the events that a reader asked for are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Here(Vec<LogEntry>),
    InBase(RangeInclusive<u64>),
}

/// What a checkpoint has to do to the base's part of a log.
#[derive(Debug, Default)]
pub(crate) struct FrozenLog {
    /// The numbers of the events to remove. They come before those to put.
    pub(crate) remove: std::ops::Range<u64>,
    pub(crate) put: Vec<(u64, Bytes)>,
}

/// The event log of one partition.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The number of the last event.
    pub(crate) end: u64,
    /// The number of the last event that nobody needs any more.
    pub(crate) trim: u64,
    /// The events `end + 1 - events.len() ..= end`.
    events: VecDeque<Event>,
    bytes: usize,
    /// `end` and `trim` as of the last freeze: the events between them are in the base, or on their way.
    frozen_end: u64,
    frozen_trim: u64,
}

impl Log {
    /// A log as the base knows it.
    pub(crate) fn restored(end: u64, trim: u64) -> Self {
        Self { end, trim, frozen_end: end, frozen_trim: trim, ..Self::default() }
    }

    pub(crate) fn append(&mut self, group: u64, bytes: Bytes, ops: &mut OpBuffer) {
        self.end += 1;
        let at = ops.event(self.end, &bytes);
        self.bytes += bytes.len();
        self.events.push_back(Event { group, at, bytes });
    }

    /// Drops the events up to `trim`; those of the open group are never written anywhere.
    pub(crate) fn trim(&mut self, group: u64, trim: u64, ops: &mut OpBuffer) {
        self.trim = self.trim.max(trim.min(self.end));
        while self.in_memory_from() <= self.trim {
            let Some(event) = self.pop() else { break };
            if event.group == group {
                ops.strike(event.at);
            }
        }
    }

    /// Takes over what a frame says about the log as a whole. Its events follow.
    pub(crate) fn replay(&mut self, trim: u64) {
        while self.in_memory_from() <= trim && self.pop().is_some() {}
        self.trim = self.trim.max(trim);
        // Events that were trimmed within their group are in no frame.
        self.end = self.end.max(trim);
    }

    /// Takes over an event from a frame. Returns whether it belongs here.
    pub(crate) fn replay_event(&mut self, group: u64, number: u64, bytes: &[u8]) -> bool {
        if number <= self.end {
            // The base holds it: the checkpoint was taken in the middle of the frame's group.
            return true;
        }
        let is_next = number == self.end + 1;
        if is_next {
            self.end = number;
            self.bytes += bytes.len();
            let bytes = Bytes::copy_from_slice(bytes);
            self.events.push_back(Event { group, at: 0, bytes });
        }
        is_next
    }

    /// At most `limit` events above `after`, of groups up to `group_max`.
    pub(crate) fn read(&self, after: u64, limit: usize, group_max: u64) -> Found {
        let first = after.max(self.trim) + 1;
        let in_memory_from = self.in_memory_from();
        if first < in_memory_from && first <= self.end {
            return Found::InBase(first..=in_memory_from - 1);
        }
        let skipped = usize::try_from(first - in_memory_from).unwrap_or(usize::MAX);
        let events = self.events.iter().skip(skipped).take(limit);
        let visible = events.take_while(|event| event.group <= group_max);
        let entries = visible.zip(first..).map(|(event, position)| LogEntry { position, event: event.bytes.clone() });
        Found::Here(entries.collect())
    }

    /// What has changed since the last freeze.
    pub(crate) fn freeze(&mut self) -> FrozenLog {
        let remove = self.frozen_trim + 1..self.trim.min(self.frozen_end) + 1;
        let in_memory_from = self.in_memory_from();
        let known = usize::try_from((self.frozen_end + 1).saturating_sub(in_memory_from)).unwrap_or(usize::MAX);
        let numbers = in_memory_from.max(self.frozen_end + 1)..;
        let put = numbers.zip(self.events.iter().skip(known).map(|event| event.bytes.clone())).collect();
        self.frozen_end = self.end;
        self.frozen_trim = self.trim;
        FrozenLog { remove, put }
    }

    /// The base holds what was frozen last: forgets the oldest of it where it takes too much memory.
    pub(crate) fn thaw(&mut self) {
        while self.bytes > KEPT_BYTES_MAX && self.in_memory_from() <= self.frozen_end {
            self.pop();
        }
    }

    fn in_memory_from(&self) -> u64 {
        self.end + 1 - self.events.len() as u64
    }

    fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.bytes -= event.bytes.len();
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appended(count: u64) -> (Log, OpBuffer) {
        let (mut log, mut ops) = (Log::default(), OpBuffer::default());
        for number in 1..=count {
            log.append(1, Bytes::from(vec![7; 100_000 + usize::try_from(number).unwrap()]), &mut ops);
        }
        (log, ops)
    }

    fn numbers(found: Found) -> Vec<u64> {
        match found {
            Found::Here(entries) => entries.iter().map(|entry| entry.position).collect(),
            Found::InBase(range) => panic!("{range:?} should be in memory"),
        }
    }

    #[test]
    fn a_consumer_that_stands_still_does_not_fill_memory() {
        let (mut log, _) = appended(50);
        log.freeze();
        log.thaw();
        assert!(log.bytes <= KEPT_BYTES_MAX);
        assert_eq!(log.read(0, 10, 1), Found::InBase(1..=40));
        assert_eq!(numbers(log.read(40, 3, 1)), [41, 42, 43]);
        assert_eq!(numbers(log.read(50, 3, 1)), []);
        assert_eq!(numbers(log.read(90, 3, 1)), []);
    }

    #[test]
    fn a_freeze_names_what_is_new_and_what_is_gone() {
        let (mut log, mut ops) = appended(3);
        let first = log.freeze();
        assert_eq!((first.remove, first.put.len()), (1..1, 3));
        log.append(2, Bytes::from_static(b"4"), &mut ops);
        log.trim(2, 2, &mut ops);
        let second = log.freeze();
        assert_eq!(second.remove, 1..3);
        assert_eq!(second.put, [(4, Bytes::from_static(b"4"))]);
        log.append(3, Bytes::from_static(b"5"), &mut ops);
        log.trim(3, 5, &mut ops);
        let third = log.freeze();
        assert_eq!((third.remove, third.put.len()), (3..5, 0));
    }

    #[test]
    fn what_is_not_durable_is_not_shown_to_those_who_ask_for_durable() {
        let (mut log, mut ops) = appended(1);
        log.append(2, Bytes::from_static(b"2"), &mut ops);
        assert_eq!(numbers(log.read(0, 9, 1)), [1]);
        assert_eq!(numbers(log.read(0, 9, 2)), [1, 2]);
    }
}
