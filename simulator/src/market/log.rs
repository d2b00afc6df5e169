//! A partition's log.

use std::collections::VecDeque;

use contract::Event;

/// Events numbered densely from 1, without those that were trimmed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Log {
    /// The number of the last event that was trimmed.
    trimmed: u64,
    events: VecDeque<Event>,
}

impl Log {
    pub(crate) fn append(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// The number of the last event.
    pub(crate) fn end(&self) -> u64 {
        self.trimmed + self.events.len() as u64
    }

    pub(crate) fn trimmed(&self) -> u64 {
        self.trimmed
    }

    /// The event with this number, unless it was trimmed or is not there yet.
    pub(crate) fn get(&self, position: u64) -> Option<&Event> {
        let place = position.checked_sub(self.trimmed + 1)?;
        self.events.get(usize::try_from(place).ok()?)
    }

    /// All that are kept, with their numbers.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, &Event)> {
        (self.trimmed + 1..).zip(&self.events)
    }

    /// Drops the events up to `floor`.
    pub(crate) fn trim(&mut self, floor: u64) {
        while self.trimmed < floor && self.events.pop_front().is_some() {
            self.trimmed += 1;
        }
    }
}
