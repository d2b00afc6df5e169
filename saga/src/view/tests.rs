use std::collections::BTreeMap;

use proptest::prelude::*;

use super::View;
use crate::{
    Missing,
    participant::{Key, Record},
};

/// Pinned from 100 on.
impl Record for u64 {
    fn is_pinned(&self) -> bool {
        *self >= 100
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

impl Key for u8 {
    fn write_to(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }
}

fn view_of(records: &[(&'static str, u64)]) -> View<&'static str, u64> {
    let mut view = View::new(false);
    for &(key, record) in records {
        view.insert_loaded(key, Some(record));
    }
    view.begin_step();
    view
}

fn drained(view: &mut View<&'static str, u64>) -> Vec<(&'static str, Option<u64>)> {
    let mut changes = Vec::new();
    view.drain_dirty(|key, record| changes.push((*key, record.copied())));
    changes
}

#[test]
fn what_is_not_in_memory_is_missing_and_what_does_not_exist_is_not() {
    let mut view = view_of(&[]);
    assert_eq!(view.get(&"a"), Err(Missing));
    assert_eq!(view.edit(&"b"), Err(Missing));
    assert_eq!(view.take_missing(), ["a", "b"]);
    view.insert_loaded("a", None);
    view.insert_loaded("b", Some(2));
    assert_eq!(view.get(&"a"), Ok(None));
    assert_eq!(view.edit(&"b"), Ok(Some(&mut 2)));
    assert!(view.take_missing().is_empty());

    let mut complete = View::<_, u64>::new(true);
    complete.begin_step();
    assert_eq!(complete.get(&"a"), Ok(None));
    assert_eq!(complete.edit(&"a"), Ok(None));
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
    view.insert_loaded("a", Some(1));
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
    assert_eq!(view.edit(&"*unknown"), Ok(None));
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
fn steps_that_are_run_again_leave_no_more_to_evict() {
    let mut view = View::new(false);
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
        let mut view = View::<u8, u64>::new(false);
        view.begin_step();
        for change in changes {
            match change {
                Change::Get(key) => {
                    if view.get(&key).is_err() {
                        view.insert_loaded(key, store.get(&key).copied());
                    }
                    prop_assert_eq!(view.get(&key).expect("loaded").copied(), model.get(&key).copied());
                }
                Change::Edit(key, value) => {
                    if !view.holds(&key) {
                        view.insert_loaded(key, store.get(&key).copied());
                    }
                    let record = view.edit(&key).expect("loaded");
                    prop_assert_eq!(record.is_some(), model.contains_key(&key));
                    if let Some(record) = record {
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
                    view.drain_dirty(|key, record| match record {
                        Some(record) => drop(store.insert(*key, *record)),
                        None => drop(store.remove(key)),
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
