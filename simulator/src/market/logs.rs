//! Between the logs and those who consume them: what a consumer may see, how its cursor moves, and what may be trimmed.

use std::{ops::RangeInclusive, sync::Arc};

use super::{Address, Market};
use crate::Mutant;

impl Market {
    /// How much of a log a consumer may see: what can still be lost only if the two would be lost together.
    fn visible_end(&self, consumer: Address, source: Address) -> u64 {
        let plan = &self.setup.plan;
        let shares_fate = plan.domain_of(consumer.service) == plan.domain_of(source.service);
        if shares_fate || plan.mutant == Some(Mutant::SendsBeforeDurable) {
            self.node(source).log().end()
        } else {
            self.node(source).durable_end()
        }
    }

    /// The number of the last event of a log that `consumer` has consumed or passed over.
    #[must_use]
    pub fn consumed(&self, consumer: Address, source: Address) -> u64 {
        self.node(consumer).cursor(source)
    }

    /// The numbers of the events of a log that a delivery to `consumer` may bring: those that are kept and that it may
    /// see.
    #[must_use]
    pub fn deliverable(&self, consumer: Address, source: Address) -> RangeInclusive<u64> {
        self.node(source).log().trimmed() + 1..=self.visible_end(consumer, source)
    }

    /// The next event that `consumer` will find for it in a log.
    pub(super) fn next_event(&self, consumer: Address, source: Address) -> Option<u64> {
        let next = self.node(consumer).cursor(source) + 1;
        (next <= self.visible_end(consumer, source)).then_some(next)
    }

    /// As the sequencer does: what does not connect is left for the log, what was consumed is passed over.
    pub(super) fn deliver(&mut self, consumer: Address, source: Address, from: u64, to: u64) -> bool {
        let setup = Arc::clone(&self.setup);
        let cursor = self.node(consumer).cursor(source);
        if from > cursor {
            return true;
        }
        let consumes_again = setup.plan.mutant == Some(Mutant::ConsumesAgain);
        for position in from + 1..=to {
            let Some(event) = self.node(source).log().get(position).cloned() else { continue };
            let is_for_it = self.node(consumer).is_addressed(&setup, &event);
            if is_for_it && (position > cursor || consumes_again) {
                match self.edit(consumer).consume(&setup, &event) {
                    Some(answers) => self.hear(answers),
                    None => return false,
                }
            }
        }
        if to > cursor {
            self.move_cursor(consumer, source, to);
        }
        true
    }

    fn move_cursor(&mut self, consumer: Address, source: Address, position: u64) {
        let is_durable = position <= self.node(source).durable_end();
        self.edit(consumer).move_cursor(source, position, is_durable);
    }

    /// Moves cursors past events that are not for their consumer: whether that has happened yet makes no difference.
    pub(super) fn skip_what_is_for_others(&mut self) {
        let subscriptions: Vec<_> = self.subscriptions().collect();
        for (consumer, source) in subscriptions {
            let is_for_others = |market: &Self, position| {
                let event = market.node(source).log().get(position);
                event.is_some_and(|event| !market.node(consumer).is_addressed(&market.setup, event))
            };
            while let Some(position) = self.next_event(consumer, source)
                && is_for_others(self, position)
            {
                self.move_cursor(consumer, source, position);
            }
        }
    }

    /// Trims every log as far as it may be: not past what a consumer or a deadline needs.
    pub(super) fn trim(&mut self) {
        let addresses: Vec<_> = self.addresses().collect();
        for source in addresses {
            let (floor, durable_floor) = self.trim_floors(source);
            let log = self.node(source).log();
            if log.trimmed() < log.end() {
                self.edit(source).trim(floor, durable_floor);
            }
        }
    }

    fn trim_floors(&self, source: Address) -> (u64, u64) {
        let (plan, node) = (&self.setup.plan, self.node(source));
        let mutant = plan.mutant;
        // What was trimmed cannot be repeated: a mutant that takes repetitions has to be given the chance.
        if mutant == Some(Mutant::ConsumesAgain) {
            return (0, 0);
        }
        let before_first = |deadlines: Vec<u64>| deadlines.into_iter().min().map_or(u64::MAX, |first| first - 1);
        let deadlines = match mutant {
            Some(Mutant::TrimsDeadlines) => (u64::MAX, u64::MAX),
            _ => (before_first(node.deadlines(&self.setup)), before_first(node.durable_deadlines(&self.setup))),
        };
        let (mut floor, mut durable_floor) = (deadlines.0.min(node.log().end()), deadlines.1.min(node.durable_end()));
        if mutant == Some(Mutant::TrimsUnread) {
            return (floor, durable_floor);
        }
        for consumer in self.consumers(source) {
            let shares_fate = plan.domain_of(consumer.service) == plan.domain_of(source.service);
            let durable = self.node(consumer).durable_cursor(source);
            floor = floor.min(if shares_fate { self.node(consumer).cursor(source) } else { durable });
            durable_floor = durable_floor.min(durable);
        }
        (floor, durable_floor)
    }
}
