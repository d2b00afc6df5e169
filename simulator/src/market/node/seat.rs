//! What a market does with a partition of whichever service.

use std::{collections::BTreeSet, sync::Arc};

use contract::Event;
use saga::{Destinations, Input, RequestId};

use super::{Answers, Facts, NOBODY, Node, open_deadlines};
use crate::{
    Mutant,
    market::{Address, log::Log, role::Role, seen::Seen},
    plan::Setup,
    shop::{Outcome, Shop},
};

/// A [`Node`] of any service.
pub(crate) trait Seat {
    fn log(&self) -> &Log;
    fn facts(&self) -> &Facts;
    fn seen(&self) -> Seen;
    fn cursor(&self, source: Address) -> u64;
    /// The cursor, and the end of the log, that a crash would leave.
    fn durable_cursor(&self, source: Address) -> u64;
    fn durable_end(&self) -> u64;
    /// Whether a crash would lose nothing.
    fn is_clean(&self) -> bool;
    fn is_away(&self) -> bool;
    fn desk(&self) -> &BTreeSet<usize>;
    /// The numbers of the events that opened the deadlines that are open.
    fn deadlines(&self, setup: &Setup) -> Vec<u64>;
    /// The same as a crash would leave it.
    fn durable_deadlines(&self, setup: &Setup) -> Vec<u64>;
    /// Whether nothing but what has to stay is left.
    fn is_at_rest(&self) -> bool;
    /// Whether every balance can be.
    fn is_in_bounds(&self) -> bool;
    /// Notes what the records say of the books.
    fn note_books(&self, setup: &Setup, books: &mut Shop);
    /// Whether `event` is for this partition.
    fn is_addressed(&self, setup: &Setup, event: &Event) -> bool;

    fn invoke(&mut self, setup: &Setup, operation: usize) -> Answers;
    /// A copy of an operation comes, for whose answer nobody waits.
    fn take_copy(&mut self, setup: &Setup, operation: usize) -> Answers;
    /// `None`: the event cannot be consumed now.
    fn consume(&mut self, setup: &Setup, event: &Event) -> Option<Answers>;
    /// The cursor moves past an event that a crash of its producer would leave, or not.
    fn move_cursor(&mut self, source: Address, position: u64, is_durable: bool);
    /// The `place`-th of the open deadlines passes.
    fn pass_deadline(&mut self, setup: &Setup, place: usize) -> Answers;
    fn expire(&mut self, setup: &Setup, operation: usize) -> Answers;
    fn persist(&mut self, setup: &Setup) -> Answers;
    fn crash(&mut self, setup: &Setup);
    fn leave(&mut self);
    fn come_back(&mut self, setup: &Setup) -> Answers;
    /// Drops events from the log, and from what a crash would leave of it.
    fn trim(&mut self, floor: u64, durable_floor: u64);
}

impl<P: Role> Seat for Node<P> {
    fn log(&self) -> &Log {
        &self.state.stored.log
    }

    fn facts(&self) -> &Facts {
        &self.state.stored.facts
    }

    fn seen(&self) -> Seen {
        self.seen
    }

    fn cursor(&self, source: Address) -> u64 {
        self.state.stored.cursors.get(&source).copied().unwrap_or_default()
    }

    fn durable_cursor(&self, source: Address) -> u64 {
        let durable = self.state.durable.as_ref().unwrap_or(&self.state.stored);
        durable.cursors.get(&source).copied().unwrap_or_default()
    }

    fn durable_end(&self) -> u64 {
        self.state.durable.as_ref().unwrap_or(&self.state.stored).log.end()
    }

    fn is_clean(&self) -> bool {
        let stored = &self.state.stored;
        self.state.durable.as_ref().is_none_or(|durable| {
            Arc::ptr_eq(durable, stored)
                // A log differs from what it was in what was appended or trimmed, and the latter loses nothing.
                || (durable.records == stored.records
                    && durable.log.end() == stored.log.end()
                    && durable.cursors == stored.cursors
                    && durable.facts == stored.facts)
        })
    }

    fn is_away(&self) -> bool {
        self.state.away
    }

    fn desk(&self) -> &BTreeSet<usize> {
        &self.state.desk
    }

    fn deadlines(&self, setup: &Setup) -> Vec<u64> {
        open_deadlines(setup.participant::<P>(), &self.state.stored.log).into_values().collect()
    }

    fn durable_deadlines(&self, setup: &Setup) -> Vec<u64> {
        let durable = self.state.durable.as_ref().unwrap_or(&self.state.stored);
        open_deadlines(setup.participant::<P>(), &durable.log).into_values().collect()
    }

    fn is_at_rest(&self) -> bool {
        let is_settled = self.records().iter().all(|(_, record)| !P::is_open(record));
        is_settled && self.state.desk.is_empty() && self.state.outbox.is_empty()
    }

    fn is_in_bounds(&self) -> bool {
        let mut pools = self.records().iter().filter_map(|(_, record)| P::pool(record));
        pools.all(|pool| pool.shortfall() == 0 && pool.held() <= pool.total())
    }

    fn note_books(&self, setup: &Setup, books: &mut Shop) {
        self.records().iter().for_each(|(key, record)| P::note_books(setup, key, record, books));
    }

    fn is_addressed(&self, setup: &Setup, event: &Event) -> bool {
        let mut to = Destinations::default();
        P::destinations(event, setup.plan.partitions.of(P::SERVICE), &mut to);
        to.contains(P::mirrored(setup, event, self.state.partition))
    }

    fn invoke(&mut self, setup: &Setup, operation: usize) -> Answers {
        self.state.desk.insert(operation);
        if let Some(shown) = self.shown_at_once(setup, operation) {
            self.answer(setup, operation, shown);
            return self.release(setup);
        }
        if setup.plan.mutant == Some(Mutant::RenewsBusy)
            && let Some((key, record)) = P::renewed(setup, operation)
        {
            self.put(key, record);
            self.answer(setup, operation, Outcome::Done);
            return self.release(setup);
        }
        let command = P::command(setup, operation, self.records());
        self.step(setup, Input::Command { request: RequestId(operation as u64), command: &command })
    }

    fn take_copy(&mut self, setup: &Setup, operation: usize) -> Answers {
        let command = P::command(setup, operation, self.records());
        self.step(setup, Input::Command { request: NOBODY, command: &command })
    }

    fn consume(&mut self, setup: &Setup, event: &Event) -> Option<Answers> {
        let is_cancel = matches!(event, Event::CheckoutCancelled(..));
        if setup.plan.mutant == Some(Mutant::LeavesParked) && is_cancel && self.is_parked(event) {
            return Some(Answers::new());
        }
        if setup.plan.mutant == Some(Mutant::BlocksWhenFull) {
            let before = self.clone();
            let answers = self.step(setup, Input::Event(event));
            let spoken = self.log().get(before.log().end() + 1);
            if spoken.is_some_and(is_refused_as_busy) {
                *self = before;
                return None;
            }
            return Some(answers);
        }
        Some(self.step(setup, Input::Event(event)))
    }

    fn move_cursor(&mut self, source: Address, position: u64, is_durable: bool) {
        let was_clean = self.is_clean();
        self.stored().cursors.insert(source, position);
        if was_clean && is_durable {
            // An event that had no effect has none either when it is consumed again after a crash: the records are the
            // same. So it makes no difference that the cursor would go back, and the states are taken for one.
            if let Some(durable) = &mut self.state.durable {
                Arc::make_mut(durable).cursors.insert(source, position);
            }
        }
    }

    fn pass_deadline(&mut self, setup: &Setup, place: usize) -> Answers {
        match open_deadlines(setup.participant::<P>(), self.log()).into_keys().nth(place) {
            Some(key) => self.step(setup, Input::Deadline(&key)),
            None => Answers::new(),
        }
    }

    fn expire(&mut self, setup: &Setup, operation: usize) -> Answers {
        let command = P::command(setup, operation, self.records());
        self.step(setup, Input::Expired { request: RequestId(operation as u64), command: &command })
    }

    fn persist(&mut self, setup: &Setup) -> Answers {
        self.state.durable = self.state.durable.is_some().then(|| Arc::clone(&self.state.stored));
        self.release(setup)
    }

    fn crash(&mut self, setup: &Setup) {
        let Some(durable) = self.state.durable.clone() else { return };
        let cursors = self.state.stored.cursors.clone();
        self.state.stored = durable;
        if setup.plan.mutant == Some(Mutant::KeepsCursors) {
            self.stored().cursors = cursors;
        }
        self.lose_memory();
        self.state.durable = Some(Arc::clone(&self.state.stored));
        self.state.desk.clear();
        self.state.outbox.clear();
        self.state.away = false;
    }

    fn leave(&mut self) {
        self.lose_memory();
        self.state.away = true;
    }

    fn come_back(&mut self, setup: &Setup) -> Answers {
        self.state.away = false;
        let unanswered = self.state.desk.clone();
        let ask_again = |operation| {
            let command = P::command(setup, operation, self.records());
            self.step(setup, Input::Command { request: RequestId(operation as u64), command: &command })
        };
        unanswered.into_iter().flat_map(ask_again).collect()
    }

    fn trim(&mut self, floor: u64, durable_floor: u64) {
        if self.log().trimmed() < floor {
            self.stored().log.trim(floor);
        }
        if let Some(durable) = &mut self.state.durable
            && durable.log.trimmed() < durable_floor
        {
            Arc::make_mut(durable).log.trim(durable_floor);
        }
    }
}

fn is_refused_as_busy(event: &Event) -> bool {
    use contract::Reason::Busy;
    matches!(event, Event::StockRefused(_, _, Busy, _) | Event::PaymentRefused(_, Busy, _))
}
