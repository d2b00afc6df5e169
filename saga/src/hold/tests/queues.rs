//! Who waits, who is served first, and how many may wait.

use super::books::{Books, Heard, held, refused, short, withdrawn};
use crate::hold::{Hold, Refusal};

#[test]
fn a_newcomer_that_fits_queues_behind_one_that_waits() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    books.request(2, &[('a', 4)]);
    assert_eq!(books.request(3, &[('a', 1)]), []);
    assert_eq!(books.take(7, 'a', 1), []);
    assert_eq!(books.release(1), [held(2), held(3)]);
    assert_eq!(books.balance('a'), (5, 5));
    assert_eq!(books.commit(3, &[('a', 1)]), []);
    assert_eq!(books.release(2), [Heard::Answer(7, Ok(()))]);
}

#[test]
fn a_newcomer_that_never_fits_is_refused_past_the_queue() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    books.request(2, &[('a', 3)]);
    assert_eq!(books.request(3, &[('a', 6)]), [refused(3, 'a', short(6, 5))]);
    assert_eq!(books.take(7, 'a', 6), [Heard::Answer(7, Err(short(6, 5)))]);
}

#[test]
fn one_change_serves_and_refuses_as_many_as_it_can_in_order() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    for (saga, quantity) in [(2, 5), (3, 1), (4, 3), (5, 1)] {
        assert_eq!(books.request(saga, &[('a', quantity)]), [], "saga {saga}");
    }
    // Two are left: the first of the queue never gets five, the next one gets one, three are never there again.
    assert_eq!(
        books.commit(1, &[('a', 3)]),
        [refused(2, 'a', short(5, 2)), held(3), refused(4, 'a', short(3, 2)), held(5)]
    );
}

#[test]
fn a_saga_holds_all_it_wants_or_nothing() {
    let mut books = Books::new([('a', 5), ('b', 5)]);
    books.request(1, &[('b', 5)]);
    assert_eq!(books.request(2, &[('a', 2), ('b', 2)]), []);
    assert_eq!((books.balance('a'), books.balance('b')), ((5, 0), (5, 5)));
    assert_eq!(books.release(1), [held(2)]);
    assert_eq!((books.balance('a'), books.balance('b')), ((5, 2), (5, 2)));
}

#[test]
fn a_saga_is_served_only_when_it_is_first_in_all_its_queues() {
    let mut books = Books::new([('a', 3), ('b', 1)]);
    books.request(1, &[('a', 2)]);
    books.request(2, &[('b', 1)]);
    books.request(3, &[('a', 2)]);
    books.request(4, &[('a', 1), ('b', 1)]);
    // There is enough of both for the fourth saga now, but the third one wants the first pool and was before it.
    assert_eq!(books.release(2), []);
    assert_eq!(books.release(1), [held(3), held(4)]);
}

#[test]
fn sagas_that_want_the_same_pools_in_opposite_order_do_not_block_each_other() {
    let mut books = Books::new([('a', 1), ('b', 1)]);
    books.request(1, &[('a', 1), ('b', 1)]);
    books.request(2, &[('a', 1), ('b', 1)]);
    books.request(3, &[('b', 1), ('a', 1)]);
    assert_eq!(books.release(1), [held(2)]);
    assert_eq!(books.release(2), [held(3)]);
    books.commit(3, &[('b', 1), ('a', 1)]);
    assert!(books.is_at_rest());
}

#[test]
fn one_that_leaves_several_queues_wakes_those_behind_it_in_each() {
    let mut books = Books::new([('a', 2), ('b', 2), ('c', 2)]);
    books.request(1, &[('b', 1)]);
    books.request(2, &[('a', 1), ('b', 2), ('c', 1)]);
    books.request(3, &[('a', 1)]);
    books.request(4, &[('c', 1)]);
    assert_eq!(books.balance('a'), (2, 0));
    let mut heard = books.release(2);
    // In which order the queues are looked at is nobody's business.
    heard.sort_by_key(|heard| format!("{heard:?}"));
    assert_eq!(heard, [withdrawn(2), held(3), held(4)]);
}

#[test]
fn the_refusal_of_one_frees_those_behind_it_in_its_other_queues() {
    let mut books = Books::new([('a', 2), ('b', 2)]);
    books.request(1, &[('a', 2)]);
    books.request(2, &[('a', 2), ('b', 1)]);
    books.request(3, &[('b', 2)]);
    assert_eq!(books.commit(1, &[('a', 2)]), [refused(2, 'a', short(2, 0)), held(3)]);
}

#[test]
fn exactly_as_many_wait_as_may() {
    let mut books = Books::new([('a', 1)]);
    books.parked_max = 2;
    books.request(1, &[('a', 1)]);
    assert_eq!(books.request(2, &[('a', 1)]), []);
    assert_eq!(books.take(7, 'a', 1), []);
    assert_eq!(books.request(3, &[('a', 1)]), [refused(3, 'a', Refusal::Busy)]);
    assert_eq!(books.take(8, 'a', 1), [Heard::Answer(8, Err(Refusal::Busy))]);
    // What can never be had is said so, however crowded it is.
    assert_eq!(books.request(4, &[('a', 2)]), [refused(4, 'a', short(2, 1))]);
    books.release(2);
    assert_eq!(books.request(5, &[('a', 1)]), []);
}

#[test]
fn one_crowded_pool_is_enough_to_be_busy_and_no_place_is_taken_elsewhere() {
    let mut books = Books::new([('a', 1), ('b', 1)]);
    books.parked_max = 1;
    books.request(1, &[('b', 1)]);
    books.request(2, &[('b', 1)]);
    assert_eq!(books.request(3, &[('a', 1), ('b', 1)]), [refused(3, 'b', Refusal::Busy)]);
    assert_eq!(books.request(4, &[('a', 1)]), [held(4)]);
}

#[test]
fn a_full_queue_never_stops_what_fits_or_what_is_undone() {
    let mut books = Books::new([('a', 2)]);
    books.parked_max = 0;
    assert_eq!(books.request(1, &[('a', 1)]), [held(1)]);
    assert_eq!(books.request(2, &[('a', 1)]), [held(2)]);
    assert_eq!(books.request(3, &[('a', 1)]), [refused(3, 'a', Refusal::Busy)]);
    books.release(3);
    books.release(1);
    books.commit(2, &[('a', 1)]);
    assert_eq!(books.balance('a'), (1, 0));
    assert!(books.is_at_rest());
}

#[test]
fn a_place_without_a_record_is_given_up() {
    let mut books = Books::new([('a', 1)]);
    books.request(1, &[('a', 1)]);
    books.request(2, &[('a', 1)]);
    books.request(3, &[('a', 1)]);
    books.holds.remove(&2);
    assert_eq!(books.release(1), [held(3)]);
    assert!(!matches!(books.holds.get(&2), Some(Hold::Held { .. })));
}
