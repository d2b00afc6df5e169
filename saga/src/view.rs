//! The in-memory view of one partition's records, and the step that works on it.
//!
//! A view is valid for exactly one head. It holds records that were loaded or written; a step that wants another one
//! gets [`Missing`], is undone, and runs again once the record is there.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    fmt,
};

use foldhash::fast::FixedState;

use crate::{
    Missing, Participant, Partition, RequestId, Timestamp,
    participant::{Key, Record},
};

#[derive(Clone, Debug)]
struct Slot<R> {
    record: Option<R>,
    /// The step that changed it last, so that only its first change saves an undo copy.
    changed_in: u64,
    dirty: bool,
    /// Used since the eviction hand last passed.
    used: bool,
    /// Which of the hand's entries for the key is this one's.
    turn: u64,
}

/// Entries of the eviction hand whose records are gone may outnumber the others by this many before they are looked for.
const STALE_TURNS_MAX: usize = 1024;

/// What a step changed first, as it was before.
#[derive(Clone, Debug)]
struct Undo<K, R> {
    key: K,
    /// `None` where the view did not know the record: it was put without having been looked at.
    before: Option<Option<R>>,
    was_dirty: bool,
}

/// Records of one partition, by key.
#[derive(Clone, Debug)]
pub(crate) struct View<K, R> {
    slots: HashMap<K, Slot<R>, FixedState>,
    /// Keys in the order in which the eviction hand meets them, each with its slot's [`Slot::turn`]; another turn, or no
    /// slot, means that the record is gone and the entry with it.
    hand: VecDeque<(K, u64)>,
    turns: u64,
    undo: Vec<Undo<K, R>>,
    dirty: Vec<K>,
    missing: Vec<K>,
    step: u64,
    /// A complete view never misses: what it does not hold does not exist. Of resident records every view is complete.
    complete: bool,
}

impl<K: Key, R: Record> View<K, R> {
    pub(crate) fn new(complete: bool) -> Self {
        Self {
            slots: HashMap::with_hasher(FixedState::default()),
            hand: VecDeque::new(),
            turns: 0,
            undo: Vec::new(),
            dirty: Vec::new(),
            missing: Vec::new(),
            step: 0,
            complete,
        }
    }

    pub(crate) fn begin_step(&mut self) {
        self.step += 1;
        self.undo.clear();
        self.missing.clear();
    }

    /// Takes back every change since [`Self::begin_step`].
    pub(crate) fn undo_step(&mut self) {
        while let Some(Undo { key, before, was_dirty }) = self.undo.pop() {
            if !was_dirty {
                // Records become dirty in the order in which undo copies are saved: this is the last one.
                self.dirty.pop();
            }
            match before {
                None => {
                    self.slots.remove(&key);
                    // A step adds keys in this order and no other way, so this is the last one.
                    self.hand.pop_back();
                }
                Some(record) => {
                    if let Some(slot) = self.slots.get_mut(&key) {
                        slot.record = record;
                        slot.dirty = was_dirty;
                    }
                }
            }
        }
    }

    pub(crate) fn take_missing(&mut self) -> Vec<K> {
        std::mem::take(&mut self.missing)
    }

    pub(crate) fn holds(&self, key: &K) -> bool {
        self.complete || key.is_resident() || self.slots.contains_key(key)
    }

    /// Adds what the store holds under `key`, unless the view knows better.
    pub(crate) fn insert_loaded(&mut self, key: K, record: Option<R>) {
        if let Entry::Vacant(entry) = self.slots.entry(key) {
            self.turns += 1;
            self.hand.push_back((entry.key().clone(), self.turns));
            entry.insert(Slot { record, changed_in: 0, dirty: false, used: true, turn: self.turns });
        }
    }

    pub(crate) fn get(&mut self, key: &K) -> Result<Option<&R>, Missing> {
        match self.slots.get_mut(key) {
            Some(slot) => {
                slot.used = true;
                Ok(slot.record.as_ref())
            }
            None if self.complete || key.is_resident() => Ok(None),
            None => {
                self.missing.push(key.clone());
                Err(Missing)
            }
        }
    }

    pub(crate) fn edit(&mut self, key: &K) -> Result<Option<&mut R>, Missing> {
        let Some(slot) = self.slots.get_mut(key) else {
            if self.complete || key.is_resident() {
                return Ok(None);
            }
            self.missing.push(key.clone());
            return Err(Missing);
        };
        slot.used = true;
        if slot.record.is_some() {
            if slot.changed_in != self.step {
                slot.changed_in = self.step;
                let before = Some(slot.record.clone());
                self.undo.push(Undo { key: key.clone(), before, was_dirty: slot.dirty });
            }
            if !slot.dirty {
                slot.dirty = true;
                self.dirty.push(key.clone());
            }
        }
        Ok(slot.record.as_mut())
    }

    pub(crate) fn set(&mut self, key: K, record: Option<R>) {
        let Some(slot) = self.slots.get_mut(&key) else {
            self.turns += 1;
            self.hand.push_back((key.clone(), self.turns));
            let slot = Slot { record, changed_in: self.step, dirty: true, used: true, turn: self.turns };
            self.slots.insert(key.clone(), slot);
            self.dirty.push(key.clone());
            self.undo.push(Undo { key, before: self.complete.then_some(None), was_dirty: false });
            return;
        };
        slot.used = true;
        let before = std::mem::replace(&mut slot.record, record);
        if slot.changed_in != self.step {
            slot.changed_in = self.step;
            self.undo.push(Undo { key: key.clone(), before: Some(before), was_dirty: slot.dirty });
        }
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(key);
        }
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Visits every record changed since the last call and calls it clean. Of one that was removed nothing stays: most
    /// were of sagas that are over, and nobody will ask for them.
    pub(crate) fn drain_dirty(&mut self, mut visit: impl FnMut(&K, Option<&R>)) {
        for key in self.dirty.drain(..) {
            if let Entry::Occupied(mut entry) = self.slots.entry(key) {
                entry.get_mut().dirty = false;
                visit(entry.key(), entry.get().record.as_ref());
                if entry.get().record.is_none() {
                    entry.remove();
                }
            }
        }
    }

    /// Drops records that were not used for a while until at most `capacity` are left or every one is needed. Each call
    /// does work in proportion to what was added and removed since the last one.
    pub(crate) fn evict(&mut self, capacity: usize) {
        let excess = self.slots.len().saturating_sub(capacity);
        let stale = self.hand.len().saturating_sub(2 * self.slots.len() + STALE_TURNS_MAX);
        for _ in 0..excess.max(stale).saturating_mul(2) {
            let crowded = self.slots.len() > capacity;
            if !crowded && stale == 0 {
                return;
            }
            let Some((key, turn)) = self.hand.pop_front() else { return };
            let Some(slot) = self.slots.get_mut(&key).filter(|slot| slot.turn == turn) else { continue };
            let stays = |record: &R| record.is_pinned() || key.is_resident();
            let needed = slot.dirty || slot.used || slot.record.as_ref().is_some_and(stays);
            if !crowded || needed {
                slot.used &= !crowded;
                self.hand.push_back((key, turn));
            } else {
                self.slots.remove(&key);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn into_records(self) -> impl Iterator<Item = (K, R)> {
        self.slots.into_iter().filter_map(|(key, slot)| slot.record.map(|record| (key, record)))
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = (&K, &R)> {
        self.slots.iter().filter_map(|(key, slot)| slot.record.as_ref().map(|record| (key, record)))
    }
}

/// What steps did besides changing records.
pub(crate) struct Effects<P: Participant> {
    pub(crate) events: Vec<P::Event>,
    pub(crate) replies: Vec<(RequestId, P::Reply)>,
    pub(crate) notes: Vec<&'static str>,
}

impl<P: Participant> Default for Effects<P> {
    fn default() -> Self {
        Self { events: Vec::new(), replies: Vec::new(), notes: Vec::new() }
    }
}

impl<P: Participant> Effects<P> {
    pub(crate) fn marks(&self) -> [usize; 3] {
        [self.events.len(), self.replies.len(), self.notes.len()]
    }

    pub(crate) fn truncate(&mut self, [events, replies, notes]: [usize; 3]) {
        self.events.truncate(events);
        self.replies.truncate(replies);
        self.notes.truncate(notes);
    }

    pub(crate) fn clear(&mut self) {
        self.truncate([0; 3]);
    }
}

/// One run of a participant's step: its records, its surroundings, and where its effects go.
pub struct Step<'a, P: Participant> {
    pub(crate) records: &'a mut View<P::Key, P::Record>,
    pub(crate) effects: &'a mut Effects<P>,
    pub(crate) now: Timestamp,
    pub(crate) partition: Partition,
    pub(crate) partitions: Partition,
}

impl<P: Participant> fmt::Debug for Step<'_, P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Step")
            .field("partition", &self.partition)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl<P: Participant> Step<'_, P> {
    /// When the input came, by the engine's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Which partition this is.
    #[must_use]
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// How many partitions the service has.
    #[must_use]
    pub fn partitions(&self) -> Partition {
        self.partitions
    }

    /// The record under `key`, if there is one.
    ///
    /// # Errors
    /// [`Missing`]: hand it on.
    pub fn get(&mut self, key: &P::Key) -> Result<Option<&P::Record>, Missing> {
        self.records.get(key)
    }

    /// The record under `key`, to be changed.
    ///
    /// # Errors
    /// [`Missing`]: hand it on.
    pub fn edit(&mut self, key: &P::Key) -> Result<Option<&mut P::Record>, Missing> {
        self.records.edit(key)
    }

    /// Puts a record in place of whatever was there.
    pub fn put(&mut self, key: &P::Key, record: P::Record) {
        self.records.set(key.clone(), Some(record));
    }

    /// Removes the record under `key`.
    pub fn remove(&mut self, key: &P::Key) {
        self.records.set(key.clone(), None);
    }

    /// Appends an event to the partition's log.
    pub fn emit(&mut self, event: P::Event) {
        self.effects.events.push(event);
    }

    /// Replies to a caller, once what this step changed is durable.
    pub fn reply(&mut self, request: RequestId, reply: P::Reply) {
        self.effects.replies.push((request, reply));
    }

    /// Counts that something worth a metric happened.
    pub fn note(&mut self, what: &'static str) {
        self.effects.notes.push(what);
    }
}

#[cfg(test)]
mod tests;
