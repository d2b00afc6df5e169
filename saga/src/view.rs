//! The in-memory view of one partition's records.
//!
//! A view is valid for exactly one head. It holds records that were loaded or written; a step that wants another one
//! gets [`Missing`], is undone, and runs again once the record is there.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    ops::{Deref, DerefMut},
};

use crate::{
    hashing::{Hashing, seeded},
    record::{Key, Missing, Record, Standing},
};

use self::undecided::{Counted, Undecided};

mod undecided;

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
    weight: usize,
    /// What it is counted as in [`View::undecided`].
    counted: Counted,
}

/// A record takes the room of one, and of another for each so many bytes that it is stored in: small ones take some 300
/// bytes in memory, and those of many parts a good two bytes for each that is stored.
const WEIGHED_BYTES: usize = 128;

/// What is known not to exist may take this share of the room: it is only worth knowing for a short time, and there is no
/// end of names that a client could ask for.
const ABSENT_SHARE: usize = 8;

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
    slots: HashMap<K, Slot<R>, Hashing>,
    /// The sum of all weights.
    weight: usize,
    /// Records of sagas that are not decided, as they were loaded or last committed.
    undecided: Undecided,
    /// Keys in the order in which the eviction hand meets them, each with its slot's [`Slot::turn`]; another turn, or no
    /// slot, means that the record is gone and the entry with it.
    hand: VecDeque<(K, u64)>,
    /// The same for what was loaded and found not to exist, oldest first. What came to exist since goes to the hand.
    absent: VecDeque<(K, u64)>,
    turns: u64,
    undo: Vec<Undo<K, R>>,
    dirty: Vec<K>,
    /// How many of [`Self::dirty`] there were before the step.
    dirty_before: usize,
    /// Whether the step changed a record.
    step_changes: bool,
    missing: Vec<K>,
    step: u64,
    /// A complete view never misses: what it does not hold does not exist. Of resident records every view is complete.
    complete: bool,
}

impl<K: Key, R: Record> View<K, R> {
    pub(crate) fn new(complete: bool, hash_seed: u64) -> Self {
        Self {
            slots: HashMap::with_hasher(seeded(hash_seed)),
            weight: 0,
            undecided: Undecided::default(),
            absent: VecDeque::new(),
            hand: VecDeque::new(),
            turns: 0,
            undo: Vec::new(),
            dirty: Vec::new(),
            dirty_before: 0,
            step_changes: false,
            missing: Vec::new(),
            step: 0,
            complete,
        }
    }

    pub(crate) fn begin_step(&mut self) {
        self.step += 1;
        self.undo.clear();
        self.dirty_before = self.dirty.len();
        self.step_changes = false;
        self.missing.clear();
    }

    /// Takes back every change since [`Self::begin_step`].
    pub(crate) fn undo_step(&mut self) {
        self.dirty.truncate(self.dirty_before);
        while let Some(Undo { key, before, was_dirty }) = self.undo.pop() {
            match before {
                None => {
                    self.weight -= self.slots.remove(&key).map_or(0, |slot| slot.weight);
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

    /// Adds what the store holds under `key`, in so many bytes, unless the view knows better.
    pub(crate) fn insert_loaded(&mut self, key: K, record: Option<R>, length: usize) {
        if let Entry::Vacant(entry) = self.slots.entry(key) {
            self.turns += 1;
            let (queue, weight) = match record {
                Some(_) => (&mut self.hand, 1 + length / WEIGHED_BYTES),
                None => (&mut self.absent, 0),
            };
            queue.push_back((entry.key().clone(), self.turns));
            self.weight += weight;
            let mut counted = Counted::default();
            self.undecided.count(&mut counted, standing_of(record.as_ref()));
            entry.insert(Slot { record, changed_in: 0, dirty: false, used: true, turn: self.turns, weight, counted });
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

    pub(crate) fn edit<'key>(&mut self, key: &'key K) -> Result<Option<RecordMut<'_, 'key, K, R>>, Missing> {
        let Some(slot) = self.slots.get_mut(key) else {
            if self.complete || key.is_resident() {
                return Ok(None);
            }
            self.missing.push(key.clone());
            return Err(Missing);
        };
        slot.used = true;
        let Slot { record, changed_in, dirty, .. } = slot;
        let Some(record) = record.as_mut() else { return Ok(None) };
        Ok(Some(RecordMut {
            key,
            record,
            changed_in,
            dirty,
            undo: &mut self.undo,
            dirty_keys: &mut self.dirty,
            step_changes: &mut self.step_changes,
            step: self.step,
        }))
    }

    pub(crate) fn set(&mut self, key: K, record: Option<R>) {
        self.step_changes = true;
        let Some(slot) = self.slots.get_mut(&key) else {
            self.turns += 1;
            self.hand.push_back((key.clone(), self.turns));
            let turn = self.turns;
            let counted = Counted::default();
            let slot = Slot { record, changed_in: self.step, dirty: true, used: true, turn, weight: 1, counted };
            self.weight += 1;
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

    /// Whether the step has changed a record, so that there is something to store.
    pub(crate) fn step_changes(&self) -> bool {
        self.step_changes
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Visits every record changed since the last call, asks in how many bytes it is stored, and calls it clean. Of one
    /// that was removed nothing stays: most were of sagas that are over, and nobody will ask for them.
    pub(crate) fn drain_dirty(&mut self, mut visit: impl FnMut(&K, Option<&R>) -> usize) {
        for key in self.dirty.drain(..) {
            if let Entry::Occupied(mut entry) = self.slots.entry(key) {
                let length = visit(entry.key(), entry.get().record.as_ref());
                let slot = entry.get_mut();
                slot.dirty = false;
                self.weight -= slot.weight;
                self.undecided.count(&mut slot.counted, standing_of(slot.record.as_ref()));
                if slot.record.is_none() {
                    entry.remove();
                } else {
                    slot.weight = 1 + length / WEIGHED_BYTES;
                    self.weight += slot.weight;
                }
            }
        }
    }

    /// Drops records that were not used for a while until those that are left weigh no more than `capacity` or every one
    /// is needed. Each call does work in proportion to what was added and removed since the last one.
    pub(crate) fn evict(&mut self, capacity: usize) {
        self.evict_absent(capacity / ABSENT_SHARE);
        let excess = self.weight.saturating_sub(capacity);
        let stale = self.hand.len().saturating_sub(2 * self.slots.len() + STALE_TURNS_MAX);
        for _ in 0..excess.max(stale).saturating_mul(2) {
            let crowded = self.weight > capacity;
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
                self.weight -= slot.weight;
                self.undecided.count(&mut slot.counted, Standing::Settled);
                self.slots.remove(&key);
            }
        }
    }

    /// Forgets what does not exist, but for the last `capacity` of it.
    fn evict_absent(&mut self, capacity: usize) {
        while self.absent.len() > capacity {
            let Some((key, turn)) = self.absent.pop_front() else { return };
            match self.slots.get(&key).filter(|slot| slot.turn == turn) {
                Some(slot) if slot.record.is_none() && !slot.dirty => drop(self.slots.remove(&key)),
                Some(_) => self.hand.push_back((key, turn)),
                None => {}
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Tells the time, in whole seconds since some moment: what comes to be held is held since then.
    pub(crate) fn set_seconds(&mut self, seconds: u32) {
        self.undecided.set_seconds(seconds);
    }

    /// How many records hold something for a saga.
    pub(crate) fn held(&self) -> usize {
        self.undecided.held()
    }

    /// For how many seconds one of them has, at most.
    pub(crate) fn held_seconds_max(&self) -> u32 {
        self.undecided.held_seconds_max()
    }

    /// How many records are of sagas that wait in a queue.
    pub(crate) fn parked(&self) -> usize {
        self.undecided.parked()
    }

    pub(crate) fn into_records(self) -> impl Iterator<Item = (K, R)> {
        self.slots.into_iter().filter_map(|(key, slot)| slot.record.map(|record| (key, record)))
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = (&K, &R)> {
        self.slots.iter().filter_map(|(key, slot)| slot.record.as_ref().map(|record| (key, record)))
    }
}

fn standing_of<R: Record>(record: Option<&R>) -> Standing {
    record.map_or(Standing::Settled, R::standing)
}

/// A record that may be changed. Whoever only looks at it has changed nothing: that it is to be written is noted when it
/// is first written to.
#[derive(Debug)]
pub struct RecordMut<'view, 'key, K, R> {
    key: &'key K,
    record: &'view mut R,
    changed_in: &'view mut u64,
    dirty: &'view mut bool,
    undo: &'view mut Vec<Undo<K, R>>,
    dirty_keys: &'view mut Vec<K>,
    step_changes: &'view mut bool,
    step: u64,
}

impl<'view, K: Key, R: Record> RecordMut<'view, '_, K, R> {
    /// The record, for a change that is to be stored.
    #[must_use]
    pub fn into_mut(mut self) -> &'view mut R {
        self.change();
        self.record
    }

    /// The record, for a change of what lives in memory only (see [`Record::is_pinned`]), such as one more caller who
    /// waits: nothing is stored on its account.
    #[must_use]
    pub fn volatile(mut self) -> &'view mut R {
        self.save();
        self.record
    }

    /// Keeps the record as it was before the step.
    fn save(&mut self) {
        if *self.changed_in != self.step {
            *self.changed_in = self.step;
            let before = Some(Some(self.record.clone()));
            self.undo.push(Undo { key: self.key.clone(), before, was_dirty: *self.dirty });
        }
    }

    fn change(&mut self) {
        self.save();
        *self.step_changes = true;
        if !*self.dirty {
            *self.dirty = true;
            self.dirty_keys.push(self.key.clone());
        }
    }
}

impl<K, R> Deref for RecordMut<'_, '_, K, R> {
    type Target = R;

    fn deref(&self) -> &R {
        self.record
    }
}

impl<K: Key, R: Record> DerefMut for RecordMut<'_, '_, K, R> {
    fn deref_mut(&mut self) -> &mut R {
        self.change();
        self.record
    }
}

#[cfg(test)]
mod tests;
