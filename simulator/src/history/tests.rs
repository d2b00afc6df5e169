use super::*;
use crate::shop::Order;

fn shop(stock: u64, credit: u64) -> Shop {
    Shop { stock: vec![stock], credit: vec![credit], orders: vec![Order::new(0, [(0, 1)])] }
}

const CHECKOUT: Operation = Operation::Checkout { order: 0 };
const FIND: Operation = Operation::FindItem { item: 0 };
const SUBTRACT: Operation = Operation::Subtract { item: 0, quantity: 1 };

fn history(entries: impl IntoIterator<Item = Entry>) -> History {
    let mut history = History::default();
    for entry in entries {
        match entry {
            Entry::Began(operation) => history.begin(operation),
            Entry::Ended(operation, outcome) => history.end(operation, outcome),
        }
    }
    history
}

use Entry::{Began, Ended};
use Outcome::{Done, OutOfStock, Timeout, Units};

#[test]
fn overlapping_operations_may_come_in_either_order() {
    for units in [0, 1] {
        let history = history([Began(0), Began(1), Ended(1, Units(units)), Ended(0, Done)]);
        assert!(history.is_strictly_serializable(&shop(1, 1), &[CHECKOUT, FIND]), "{units} units shown");
    }
}

#[test]
fn what_began_after_an_answer_has_to_show_it() {
    let stale = history([Began(0), Ended(0, Done), Began(1), Ended(1, Units(1))]);
    assert!(!stale.is_strictly_serializable(&shop(1, 1), &[CHECKOUT, FIND]));
    let fresh = history([Began(0), Ended(0, Done), Began(1), Ended(1, Units(0))]);
    assert!(fresh.is_strictly_serializable(&shop(1, 1), &[CHECKOUT, FIND]));
}

#[test]
fn two_finds_cannot_see_time_run_backwards() {
    let backwards = history([Began(0), Began(1), Ended(1, Units(0)), Began(2), Ended(2, Units(1)), Ended(0, Done)]);
    assert!(!backwards.is_strictly_serializable(&shop(1, 1), &[CHECKOUT, FIND, FIND]));
}

#[test]
fn the_last_unit_is_sold_once_and_a_refusal_is_true() {
    let twice = history([Began(0), Began(1), Ended(0, Done), Ended(1, Done)]);
    assert!(!twice.is_strictly_serializable(&shop(1, 1), &[CHECKOUT, SUBTRACT]));
    let false_refusal = history([Began(0), Began(1), Ended(0, Timeout), Ended(1, OutOfStock(0))]);
    assert!(!false_refusal.is_strictly_serializable(&shop(1, 1), &[CHECKOUT, SUBTRACT]));
    let true_refusal = history([Began(0), Began(1), Ended(0, Done), Ended(1, OutOfStock(0))]);
    assert!(true_refusal.is_strictly_serializable(&shop(1, 1), &[CHECKOUT, SUBTRACT]));
}

#[test]
fn an_operation_without_an_answer_may_or_may_not_have_happened() {
    for units in [0, 1] {
        let history = history([Began(0), Began(1), Ended(1, Units(units))]);
        assert!(history.is_strictly_serializable(&shop(1, 1), &[SUBTRACT, FIND]), "{units} units shown");
    }
    let neither = history([Began(0), Began(1), Ended(1, Units(2))]);
    assert!(!neither.is_strictly_serializable(&shop(1, 1), &[SUBTRACT, FIND]));
}

#[test]
fn a_refusal_may_be_as_old_as_the_attempt_that_was_joined_and_no_older() {
    let add = Operation::Add { item: 0, quantity: 1 };
    let entries = [Began(0), Began(1), Ended(1, Done), Began(2), Ended(2, OutOfStock(0)), Ended(0, OutOfStock(0))];
    let operations = [CHECKOUT, add, CHECKOUT];
    let mut joined = history(entries);
    assert!(!joined.is_strictly_serializable(&shop(0, 1), &operations));
    joined.join(2, 0);
    assert!(joined.is_strictly_serializable(&shop(0, 1), &operations));
}

#[test]
fn histories_that_mean_the_same_are_the_same() {
    let one = history([Began(1), Began(0), Ended(1, Done), Ended(0, Done), Began(2)]);
    let other = history([Began(0), Began(1), Ended(0, Done), Ended(1, Done), Began(2)]);
    assert_eq!(one, other);
    let third = history([Began(0), Ended(0, Done), Began(1), Ended(1, Done), Began(2)]);
    assert_ne!(one, third);
}
