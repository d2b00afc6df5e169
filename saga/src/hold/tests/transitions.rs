//! Every arrow of the picture, and what asking twice does.

use super::books::{Books, held, refused, short, withdrawn};
use crate::hold::{Hold, Refusal};

#[test]
fn a_request_that_fits_is_held_and_a_commit_takes_it() {
    let mut books = Books::new([('a', 5)]);
    assert_eq!(books.request(1, &[('a', 3)]), [held(1)]);
    assert!(matches!(books.holds[&1], Hold::Held { .. }));
    assert_eq!(books.balance('a'), (5, 3));
    assert_eq!(books.commit(1, &[('a', 3)]), []);
    assert_eq!(books.balance('a'), (2, 0));
    assert!(books.is_at_rest());
    assert_eq!(books.notes, ["committed"]);
}

#[test]
fn a_release_gives_back_what_was_held() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    assert_eq!(books.release(1), []);
    assert_eq!(books.balance('a'), (5, 0));
    assert!(books.is_at_rest());
}

#[test]
fn a_request_that_might_fit_later_parks_without_a_word() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    assert_eq!(books.request(2, &[('a', 3)]), []);
    assert!(matches!(books.holds[&2], Hold::Parked { .. }));
    assert_eq!(books.balance('a'), (5, 3));
}

#[test]
fn the_parked_is_held_once_a_release_makes_room() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    books.request(2, &[('a', 3)]);
    assert_eq!(books.release(1), [held(2)]);
    assert_eq!(books.balance('a'), (5, 3));
    books.commit(2, &[('a', 3)]);
    assert_eq!(books.balance('a'), (2, 0));
    assert!(books.is_at_rest());
}

#[test]
fn the_parked_is_refused_once_a_commit_leaves_too_little_for_good() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    books.request(2, &[('a', 3)]);
    assert_eq!(books.commit(1, &[('a', 3)]), [refused(2, 'a', short(3, 2))]);
    assert_eq!(books.holds[&2], Hold::Refused);
    assert_eq!(books.release(2), []);
    assert!(books.is_at_rest());
}

#[test]
fn a_release_withdraws_the_parked_from_every_queue() {
    let mut books = Books::new([('a', 1), ('b', 1)]);
    books.request(1, &[('a', 1), ('b', 1)]);
    books.request(2, &[('a', 1), ('b', 1)]);
    assert_eq!(books.release(2), [withdrawn(2)]);
    books.release(1);
    assert!(books.is_at_rest());
    assert_eq!((books.balance('a'), books.balance('b')), ((1, 0), (1, 0)));
}

#[test]
fn what_never_fits_is_refused_and_waits_for_its_release_only() {
    let mut books = Books::new([('a', 5)]);
    assert_eq!(books.request(1, &[('a', 6)]), [refused(1, 'a', short(6, 5))]);
    assert_eq!(books.holds[&1], Hold::Refused);
    assert_eq!(books.release(1), []);
    assert!(books.is_at_rest());
}

#[test]
fn a_pool_that_does_not_exist_refuses() {
    let mut books = Books::new([('a', 5)]);
    assert_eq!(books.request(1, &[('a', 1), ('z', 1)]), [refused(1, 'z', Refusal::Unknown)]);
    assert_eq!(books.balance('a'), (5, 0));
    books.release(1);
    assert!(books.is_at_rest());
}

#[test]
fn an_upstream_no_bars_the_saga_until_its_release() {
    let mut books = Books::new([('a', 5)]);
    assert_eq!(books.skip(1), [withdrawn(1)]);
    assert_eq!(books.holds[&1], Hold::Skipped);
    assert_eq!(books.release(1), []);
    assert!(books.is_at_rest());
}

#[test]
fn a_release_that_came_first_stops_the_request() {
    let mut books = Books::new([('a', 5)]);
    assert_eq!(books.release(1), []);
    assert_eq!(books.holds[&1], Hold::Tombstone);
    assert_eq!(books.request(1, &[('a', 3)]), [withdrawn(1)]);
    assert_eq!(books.balance('a'), (5, 0));
    assert!(books.is_at_rest());
}

#[test]
fn a_release_that_came_first_is_forgotten_with_the_upstream_no() {
    let mut books = Books::new([('a', 5)]);
    books.release(1);
    assert_eq!(books.skip(1), [withdrawn(1)]);
    assert!(books.is_at_rest());
}

#[test]
fn a_saga_that_asks_again_changes_nothing_and_hears_nothing() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    books.request(2, &[('a', 3)]);
    books.request(3, &[('a', 9)]);
    books.skip(4);
    let before = (books.pools.clone(), books.holds.clone());
    for (saga, quantity) in [(1, 3), (2, 3), (3, 9), (4, 1)] {
        assert_eq!(books.request(saga, &[('a', quantity)]), [], "saga {saga}");
        assert_eq!(books.skip(saga), [], "saga {saga}");
    }
    assert_eq!((books.pools, books.holds), before);
}

#[test]
fn a_second_release_of_an_unknown_saga_keeps_one_tombstone() {
    let mut books = Books::new([('a', 5)]);
    books.release(1);
    assert_eq!(books.release(1), []);
    assert_eq!(books.holds[&1], Hold::Tombstone);
    assert_eq!(books.notes, ["tombstone"]);
}

#[test]
fn a_decision_is_obeyed_even_where_the_hold_was_lost() {
    let mut books = Books::new([('a', 5)]);
    assert_eq!(books.commit(1, &[('a', 3)]), []);
    assert_eq!(books.balance('a'), (2, 0));
    assert_eq!(books.notes, ["anomaly", "committed"]);
    assert!(books.is_at_rest());
}

#[test]
fn a_decision_without_a_hold_leaves_the_holds_of_others_alone() {
    let mut books = Books::new([('a', 5)]);
    books.request(2, &[('a', 1)]);
    books.commit(1, &[('a', 3)]);
    assert_eq!(books.balance('a'), (2, 1));
    assert!(books.pools[&'a'].has_holds());
}

#[test]
fn a_decision_for_a_parked_saga_takes_and_gives_up_its_places() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 4)]);
    books.request(2, &[('a', 2)]);
    books.request(3, &[('a', 3)]);
    // Two of five are gone for good: the third saga, who is first now, still has to wait for the first one's hold.
    assert_eq!(books.commit(2, &[('a', 2)]), []);
    assert_eq!(books.pools[&'a'].parked().len(), 1);
    assert_eq!(books.release(1), [held(3)]);
    assert_eq!(books.balance('a'), (3, 3));
}

#[test]
fn what_a_decision_takes_and_is_not_there_is_counted_as_a_shortfall() {
    let mut books = Books::new([('a', 2)]);
    books.commit(1, &[('a', 3)]);
    assert_eq!(books.balance('a'), (0, 0));
    assert_eq!(books.pools[&'a'].shortfall(), 1);
    assert_eq!(books.notes, ["anomaly", "shortfall", "committed"]);
}

#[test]
fn nothing_is_a_quantity_like_any_other() {
    let mut books = Books::new([('a', 0)]);
    assert_eq!(books.request(1, &[('a', 0)]), [held(1)]);
    assert!(books.pools[&'a'].has_holds());
    books.commit(1, &[('a', 0)]);
    assert!(books.is_at_rest());
}
