//! What is said for those who observe: waits and what callers change, each once.

use super::books::{Books, Observed, changed, parked};
use crate::hold::Change;

#[test]
fn a_saga_says_once_what_keeps_it_waiting() {
    let mut books = Books::new([('a', 5), ('b', 5)]);
    books.request(1, &[('a', 3)]);
    assert_eq!(books.observed, [], "what is held at once did not wait");
    books.request(2, &[('b', 1), ('a', 3)]);
    books.request(3, &[('a', 1), ('b', 1)]);
    books.request(2, &[('b', 1), ('a', 3)]);
    // The first has to wait for what is held; the next one would fit, and stands behind it.
    let waits = [parked(2, 'a', [3, 2, 0]), parked(3, 'a', [1, 2, 1])];
    assert_eq!(books.observed, waits);
    books.release(1);
    books.commit(2, &[('b', 1), ('a', 3)]);
    books.commit(3, &[('a', 1), ('b', 1)]);
    assert!(books.is_at_rest());
    assert_eq!(books.observed, waits, "what comes of a wait is a vote");
}

#[test]
fn a_saga_that_is_refused_or_withdrawn_never_waited() {
    let mut books = Books::new([('a', 5)]);
    books.parked_max = 0;
    books.request(1, &[('a', 3)]);
    books.request(2, &[('a', 3)]);
    books.request(3, &[('a', 6)]);
    books.request(4, &[('z', 1)]);
    books.release(5);
    books.request(5, &[('a', 1)]);
    assert_eq!(books.observed, []);
}

#[test]
fn every_change_is_said_with_the_total_after_it() {
    let mut books = Books::new([('a', 5)]);
    books.put('b', 7);
    books.add('a', 2);
    books.take(7, 'a', 3);
    books.renew(&['a', 'b', 'c'], 9);
    let (created, added, taken) = (Change::Created, Change::Added(2), Change::Taken(3));
    let before = [changed('b', created, 7), changed('a', added, 7), changed('a', taken, 4)];
    assert_eq!(books.observed[..3], before);
    assert_eq!(books.observed[3..], [Observed::Changed(vec!['a', 'b', 'c'], Change::Set { replaced: 4 + 7 }, 9)]);
}

#[test]
fn what_a_caller_waits_to_take_is_said_when_it_is_taken() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    books.take(7, 'a', 3);
    assert_eq!(books.observed, []);
    books.release(1);
    assert_eq!(books.observed, [changed('a', Change::Taken(3), 2)]);
}

#[test]
fn what_is_added_is_said_before_what_it_lets_others_do() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    books.take(7, 'a', 4);
    books.add('a', 2);
    assert_eq!(books.observed, [changed('a', Change::Added(2), 7), changed('a', Change::Taken(4), 3)]);
}

#[test]
fn what_is_refused_or_given_up_changes_nothing() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    books.take(7, 'a', 6);
    books.take(8, 'z', 1);
    books.try_add(9, 'z', 1);
    books.try_add(10, 'a', 996);
    books.renew(&['b', 'a'], 9);
    books.renew(&[], 9);
    books.take(11, 'a', 3);
    books.expire(11, 'a');
    books.read(12, 'a');
    books.commit(1, &[('a', 3)]);
    assert_eq!(books.observed, [], "a checkout's commit is no caller's change");
}
