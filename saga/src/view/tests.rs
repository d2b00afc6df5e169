use std::collections::BTreeMap;

use proptest::prelude::*;

use super::View;
use crate::{
    Missing,
    record::{Key, Record, Standing},
};

/// Pinned from 100 on, and held from 1000 on.
impl Record for u64 {
    fn is_pinned(&self) -> bool {
        *self >= 100
    }

    fn standing(&self) -> Standing {
        if *self >= 1000 { Standing::Held } else { Standing::Settled }
    }
}

/// Resident where it begins with a star.
impl Key for &'static str {
    fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn is_resident(&self) -> bool {
        self.starts_with('*')
    }
}

impl Key for u32 {
    fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
}

impl Key for u8 {
    fn write_to(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }
}

fn view_of(records: &[(&'static str, u64)]) -> View<&'static str, u64> {
    let mut view = View::new(false, 7);
    for &(key, record) in records {
        view.insert_loaded(key, Some(record), 0);
    }
    view.begin_step();
    view
}

fn drained(view: &mut View<&'static str, u64>) -> Vec<(&'static str, Option<u64>)> {
    let mut changes = Vec::new();
    view.drain_dirty(|key, record| {
        changes.push((*key, record.copied()));
        0
    });
    changes
}

#[test]
fn what_is_not_in_memory_is_missing_and_what_does_not_exist_is_not() {
    let mut view = view_of(&[]);
    assert_eq!(view.get(&"a"), Err(Missing));
    assert_eq!(view.edit(&"b").map(drop), Err(Missing));
    assert_eq!(view.take_missing(), ["a", "b"]);
    view.insert_loaded("a", None, 0);
    view.insert_loaded("b", Some(2), 0);
    assert_eq!(view.get(&"a"), Ok(None));
    assert_eq!(view.edit(&"b").map(|record| record.map(|record| *record)), Ok(Some(2)));
    assert!(view.take_missing().is_empty());

    let mut complete = View::<_, u64>::new(true, 7);
    complete.begin_step();
    assert_eq!(complete.get(&"a"), Ok(None));
    assert!(complete.edit(&"a").is_ok_and(|record| record.is_none()));
}

#[test]
fn a_step_that_is_undone_leaves_no_trace() {
    let mut view = view_of(&[("edited", 1), ("put", 2), ("removed", 3), ("dirty", 4)]);
    view.set("dirty", Some(5));
    view.begin_step();
    *view.edit(&"edited").expect("in memory").expect("exists") = 10;
    *view.edit(&"edited").expect("in memory").expect("exists") = 11;
    view.set("put", Some(12));
    view.set("removed", None);
    *view.edit(&"dirty").expect("in memory").expect("exists") = 13;
    view.set("new", Some(14));
    view.set("new", None);
    view.undo_step();
    view.begin_step();
    let known = ["edited", "put", "removed", "dirty"].map(|key| view.get(&key).expect("in memory").copied());
    assert_eq!(known, [Some(1), Some(2), Some(3), Some(5)]);
    assert_eq!(view.get(&"new"), Err(Missing), "it was never looked at, so it may exist");
    assert_eq!(drained(&mut view), [("dirty", Some(5))], "what an earlier step changed is still to be written");
}

#[test]
fn what_is_only_looked_at_or_changed_in_memory_only_is_not_written() {
    let mut view = view_of(&[("looked at", 1), ("in memory", 2), ("both", 3), ("changed", 4)]);
    let looked = view.edit(&"looked at").expect("in memory").expect("exists");
    assert_eq!(*looked, 1);
    *view.edit(&"in memory").expect("in memory").expect("exists").volatile() = 12;
    assert!(!view.is_dirty());
    *view.edit(&"both").expect("in memory").expect("exists").volatile() = 13;
    *view.edit(&"changed").expect("in memory").expect("exists").into_mut() = 14;
    *view.edit(&"both").expect("in memory").expect("exists") = 23;
    assert_eq!(drained(&mut view), [("changed", Some(14)), ("both", Some(23))]);
    assert_eq!(view.get(&"in memory"), Ok(Some(&12)));
}

#[test]
fn a_change_in_memory_only_is_undone_with_its_step() {
    let mut view = view_of(&[("one", 1), ("other", 2)]);
    view.set("other", Some(3));
    view.begin_step();
    *view.edit(&"one").expect("in memory").expect("exists").volatile() = 10;
    *view.edit(&"other").expect("in memory").expect("exists") = 11;
    *view.edit(&"one").expect("in memory").expect("exists") = 12;
    view.undo_step();
    assert_eq!(["one", "other"].map(|key| view.get(&key).expect("in memory").copied()), [Some(1), Some(3)]);
    assert_eq!(drained(&mut view), [("other", Some(3))], "of an earlier step");
}

#[test]
fn a_record_is_written_once_however_often_it_changed() {
    let mut view = view_of(&[("a", 1)]);
    for round in 2..5 {
        view.begin_step();
        view.set("a", Some(round));
        view.set("b", None);
    }
    assert!(view.is_dirty());
    assert_eq!(drained(&mut view), [("a", Some(4)), ("b", None)]);
    assert!(!view.is_dirty());
    assert_eq!(drained(&mut view), []);
}

#[test]
fn what_is_loaded_does_not_replace_what_is_known_better() {
    let mut view = view_of(&[]);
    view.set("a", Some(2));
    view.insert_loaded("a", Some(1), 0);
    assert_eq!(view.get(&"a"), Ok(Some(&2)));
}

#[test]
fn eviction_spares_what_is_dirty_pinned_or_in_use() {
    let mut view = view_of(&[("idle", 1), ("used", 2), ("pinned", 100), ("changed", 4)]);
    // Four looks, which only take note of who was used since the last ones.
    view.evict(2);
    assert_eq!(view.len(), 4);
    view.begin_step();
    assert_eq!(view.get(&"used"), Ok(Some(&2)));
    view.set("changed", Some(5));
    view.evict(2);
    let left = ["idle", "used", "pinned", "changed"].map(|key| view.holds(&key));
    assert_eq!(left, [false, true, true, true]);
    assert_eq!(drained(&mut view), [("changed", Some(5))]);
    for _ in 0..4 {
        view.evict(0);
    }
    assert_eq!((view.len(), view.holds(&"pinned")), (1, true));
}

#[test]
fn residents_never_miss_and_never_leave() {
    let mut view = view_of(&[("*held", 1), ("other", 2)]);
    assert_eq!(view.get(&"*unknown"), Ok(None));
    assert!(view.edit(&"*unknown").is_ok_and(|record| record.is_none()));
    assert!(view.holds(&"*unknown") && view.take_missing().is_empty());
    view.set("*new", Some(3));
    view.undo_step();
    assert_eq!(view.get(&"*new"), Ok(None));
    assert_eq!(view.len(), 2);
    view.begin_step();
    view.set("*new", Some(4));
    assert_eq!(drained(&mut view), [("*new", Some(4))]);
    for _ in 0..4 {
        view.evict(0);
    }
    assert_eq!(view.get(&"*held"), Ok(Some(&1)));
    assert_eq!(view.get(&"*new"), Ok(Some(&4)));
    assert!(!view.holds(&"other"));
    view.begin_step();
    view.set("*held", None);
    assert_eq!(drained(&mut view), [("*held", None)]);
    assert_eq!(view.get(&"*held"), Ok(None));
    assert_eq!(view.len(), 1);
}

#[test]
fn what_is_held_is_counted_as_it_was_loaded_and_committed() {
    let mut view = view_of(&[("*loaded", 1000), ("*parked", 1)]);
    assert_eq!(view.held(), 1);
    view.set("*new", Some(1000));
    view.set("*parked", Some(1000));
    view.undo_step();
    assert_eq!(view.held(), 1, "what was undone was never held");
    view.begin_step();
    view.set("*new", Some(1000));
    view.set("*parked", Some(1001));
    drained(&mut view);
    assert_eq!(view.held(), 3);
    view.begin_step();
    *view.edit(&"*loaded").expect("in memory").expect("exists") = 2;
    view.set("*new", None);
    drained(&mut view);
    for _ in 0..4 {
        view.evict(0);
    }
    assert_eq!(view.held(), 1);
}

#[test]
fn a_large_record_takes_the_room_of_many() {
    let mut view = View::<u8, u64>::new(false, 7);
    for key in 0..10 {
        view.insert_loaded(key, Some(1), if key == 9 { 128 * 20 } else { 0 });
    }
    assert_eq!(view.weight, 9 + 21);
    for _ in 0..3 {
        view.evict(20);
    }
    assert!(view.weight <= 20, "{} left", view.len());
    view.begin_step();
    view.set(10, Some(1));
    view.drain_dirty(|_, _| 128 * 30);
    assert!(view.weight > 30, "what was written weighs what it was written as");
    for _ in 0..3 {
        view.evict(20);
    }
    assert!(!view.holds(&10));
    view.begin_step();
    view.set(11, Some(1));
    view.set(11, None);
    view.drain_dirty(|_, _| 0);
    view.evict(0);
    view.evict(0);
    assert_eq!((view.weight, view.len()), (0, 0));
}

#[test]
fn what_does_not_exist_takes_a_bounded_share_and_drives_nothing_out() {
    let mut view = View::<u32, u64>::new(false, 7);
    for key in 0..80 {
        view.insert_loaded(key, Some(1), 0);
    }
    for key in 1000..5000 {
        view.insert_loaded(key, None, 0);
        view.evict(80);
    }
    assert_eq!(view.len(), 80 + 80 / 8, "those that were asked for last");
    assert!((0..80).all(|key| view.holds(&key)) && view.holds(&4999));
    // What comes to exist stays, as long as there is room.
    view.begin_step();
    view.set(4999, Some(1));
    view.drain_dirty(|_, _| 0);
    for key in 6000..7000 {
        view.insert_loaded(key, None, 0);
        view.evict(81);
    }
    assert!(view.holds(&4999) && view.len() <= 81 + 81 / 8);
}

#[test]
fn steps_that_are_run_again_leave_no_more_to_evict() {
    let mut view = View::new(false, 7);
    for key in 0..100_u8 {
        for _ in 0..5 {
            view.begin_step();
            view.set(key, Some(1));
            view.undo_step();
        }
        view.set(key, Some(1));
    }
    assert_eq!((view.hand.len(), view.len()), (100, 100));
}

#[test]
fn records_that_come_and_go_leave_nothing_behind() {
    let mut view = view_of(&[("stays", 1)]);
    for _ in 0..100_000 {
        view.begin_step();
        view.set("comes and goes", Some(2));
        drained(&mut view);
        view.begin_step();
        view.set("comes and goes", None);
        drained(&mut view);
        view.evict(1000);
    }
    assert_eq!((view.len(), view.holds(&"comes and goes"), view.holds(&"stays")), (1, false, true));
    assert!(view.hand.len() < 3 * super::STALE_TURNS_MAX, "{} turns", view.hand.len());
}

#[derive(Clone, Debug)]
enum Change {
    Get(u8),
    Edit(u8, u64),
    Set(u8, Option<u64>),
    Begin,
    Undo,
    Write,
    Evict(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let key = 0..6_u8;
    prop_oneof![
        2 => key.clone().prop_map(Change::Get),
        3 => (key.clone(), 0..90_u64).prop_map(|(key, value)| Change::Edit(key, value)),
        3 => (key, proptest::option::of(0..90_u64)).prop_map(|(key, value)| Change::Set(key, value)),
        2 => Just(Change::Begin),
        1 => Just(Change::Undo),
        1 => Just(Change::Write),
        2 => (0..4_usize).prop_map(Change::Evict),
    ]
}

proptest! {
    /// A view over a store behaves like one map, whatever is evicted, loaded and undone in between.
    #[test]
    fn a_view_over_a_store_is_like_one_map(changes in proptest::collection::vec(change(), 0..80)) {
        let (mut store, mut model) = (BTreeMap::new(), BTreeMap::new());
        let mut before = model.clone();
        let mut view = View::<u8, u64>::new(false, 7);
        view.begin_step();
        for change in changes {
            match change {
                Change::Get(key) => {
                    if view.get(&key).is_err() {
                        view.insert_loaded(key, store.get(&key).copied(), 0);
                    }
                    prop_assert_eq!(view.get(&key).expect("loaded").copied(), model.get(&key).copied());
                }
                Change::Edit(key, value) => {
                    if !view.holds(&key) {
                        view.insert_loaded(key, store.get(&key).copied(), 0);
                    }
                    let record = view.edit(&key).expect("loaded");
                    prop_assert_eq!(record.is_some(), model.contains_key(&key));
                    if let Some(mut record) = record {
                        *record = value;
                        model.insert(key, value);
                    }
                }
                Change::Set(key, value) => {
                    view.set(key, value);
                    match value {
                        Some(value) => drop(model.insert(key, value)),
                        None => drop(model.remove(&key)),
                    }
                }
                Change::Begin => {
                    view.begin_step();
                    before = model.clone();
                }
                Change::Undo => {
                    view.undo_step();
                    view.begin_step();
                    model = before.clone();
                }
                // As in a commit: between steps, and eviction comes after it.
                Change::Write => {
                    view.drain_dirty(|key, record| {
                        match record {
                            Some(record) => drop(store.insert(*key, *record)),
                            None => drop(store.remove(key)),
                        }
                        0
                    });
                    prop_assert_eq!(&store, &model);
                    view.begin_step();
                    before = model.clone();
                }
                Change::Evict(capacity) => {
                    view.begin_step();
                    before = model.clone();
                    view.evict(capacity);
                }
            }
        }
    }
}
