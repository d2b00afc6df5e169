//! What clients saw, and whether one bookkeeper could have shown it to them.

use std::collections::{BTreeMap, HashSet};

use crate::shop::{Operation, Outcome, Shop};

/// Something a client saw. Operations go by their number in the plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    /// It sent the operation.
    Began(usize),
    /// It got the reply.
    Ended(usize, Outcome),
}

/// Everything the clients saw, in order.
///
/// Only what ended before what began matters: entries that follow each other and are both beginnings, or both ends, are
/// kept in the order of their numbers, so that histories that mean the same are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct History {
    entries: Vec<Entry>,
    /// Checkouts that joined the attempt of another one, and of which.
    joined: BTreeMap<usize, usize>,
}

#[derive(Clone, Copy, Debug)]
struct Span<'a> {
    operation: usize,
    began: usize,
    ended: Option<(usize, &'a Outcome)>,
}

impl History {
    pub(crate) fn begin(&mut self, operation: usize) {
        let later = |entry: &Entry| matches!(entry, Entry::Began(other) if *other > operation);
        self.insert(Entry::Began(operation), later);
    }

    pub(crate) fn end(&mut self, operation: usize, outcome: Outcome) {
        let later = |entry: &Entry| matches!(entry, Entry::Ended(other, _) if *other > operation);
        self.insert(Entry::Ended(operation, outcome), later);
    }

    fn insert(&mut self, entry: Entry, goes_after: impl Fn(&Entry) -> bool) {
        let before = self.entries.iter().rev().take_while(|entry| goes_after(entry)).count();
        self.entries.insert(self.entries.len() - before, entry);
    }

    /// Notes that checkout `operation` waits for the outcome of the attempt that checkout `attempt` began.
    pub(crate) fn join(&mut self, operation: usize, attempt: usize) {
        self.joined.entry(operation).or_insert(attempt);
    }

    /// Everything, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Where in the history an operation began.
    pub(crate) fn began(&self, operation: usize) -> Option<usize> {
        self.entries.iter().position(|entry| *entry == Entry::Began(operation))
    }

    /// Whether a client sent this operation.
    #[must_use]
    pub fn has_begun(&self, operation: usize) -> bool {
        self.entries.contains(&Entry::Began(operation))
    }

    /// What the client of this operation was told, if it was.
    #[must_use]
    pub fn outcome(&self, operation: usize) -> Option<&Outcome> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Ended(ended, outcome) if *ended == operation => Some(outcome),
            _ => None,
        })
    }

    /// Whether there is an order of the operations in which the books of `shop` give exactly these outcomes and in
    /// which whatever ended before another began comes before it. An operation without an end may have taken effect or
    /// not.
    ///
    /// A checkout that joined a running attempt gets its outcome, as promised; so where that is a refusal, it may be as
    /// old as the attempt.
    #[must_use]
    pub fn is_strictly_serializable(&self, shop: &Shop, operations: &[Operation]) -> bool {
        self.judge(shop, operations, None, usize::MAX) == Judgement::Serializable
    }

    /// The same, with `last`, where given, as the books after all of it, and a bound on the states that the search looks
    /// at. At most 64 operations.
    #[must_use]
    pub fn judge(&self, shop: &Shop, operations: &[Operation], last: Option<&Shop>, looks_max: usize) -> Judgement {
        let spans = self.spans();
        let mut search = Search { spans: &spans, operations, last, looks_left: looks_max, failed: HashSet::new() };
        match (search.can_finish(0, shop), search.looks_left) {
            (true, _) => Judgement::Serializable,
            (false, 0) => Judgement::TooWide,
            (false, _) => Judgement::Impossible,
        }
    }

    fn spans(&self) -> Vec<Span<'_>> {
        let mut spans = Vec::new();
        for (place, entry) in self.entries.iter().enumerate() {
            let Entry::Began(operation) = *entry else { continue };
            let ended = self.entries.iter().enumerate().find_map(|(place, entry)| match entry {
                Entry::Ended(ended, outcome) if *ended == operation => Some((place, outcome)),
                _ => None,
            });
            let is_refusal = matches!(ended, Some((_, Outcome::OutOfStock(_) | Outcome::NotEnoughCredit)));
            let attempt = self.joined.get(&operation).filter(|_| is_refusal);
            let attempt_began = attempt.and_then(|attempt| self.began(*attempt)).unwrap_or(place);
            spans.push(Span { operation, began: place.min(attempt_began), ended });
        }
        spans
    }
}

/// What a search for a bookkeeper's order found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// There is one.
    Serializable,
    /// There is none.
    Impossible,
    /// It was not found within the bound.
    TooWide,
}

struct Search<'a> {
    spans: &'a [Span<'a>],
    operations: &'a [Operation],
    /// The books after all of it, where they are known.
    last: Option<&'a Shop>,
    looks_left: usize,
    /// Which operations were carried out with which books left, where that led nowhere.
    failed: HashSet<(u64, Shop)>,
}

impl Search<'_> {
    /// Whether the operations that are not in `done` can be carried out on `shop`.
    fn can_finish(&mut self, done: u64, shop: &Shop) -> bool {
        let is_done = |place: usize| done & (1 << place) != 0;
        let open = |place: &usize| !is_done(*place);
        let places = 0..self.spans.len();
        let earliest_end = places.clone().filter(open).filter_map(|place| self.spans[place].ended).map(|(end, _)| end);
        let earliest_end = earliest_end.min();
        if earliest_end.is_none() && self.last.is_none_or(|last| last == shop) {
            return true;
        }
        // What has no end is no reason to come before it.
        let earliest_end = earliest_end.unwrap_or(usize::MAX);
        if self.looks_left == 0 || self.failed.contains(&(done, shop.clone())) {
            return false;
        }
        self.looks_left -= 1;
        for place in places.filter(open) {
            let span = self.spans[place];
            // Something else ended before this began, and has to come first.
            if earliest_end < span.began {
                continue;
            }
            let operation = &self.operations[span.operation];
            let after = match span.ended {
                Some((_, outcome)) => shop.after(operation, outcome),
                None => {
                    let mut after = shop.clone();
                    after.perform(operation);
                    Some(after)
                }
            };
            if after.is_some_and(|after| self.can_finish(done | (1 << place), &after)) {
                return true;
            }
        }
        self.failed.insert((done, shop.clone()));
        false
    }
}

#[cfg(test)]
mod tests;
