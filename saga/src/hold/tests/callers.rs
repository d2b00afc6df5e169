//! Callers that take or add at once.

use super::books::{Books, Heard, held, refused, short};
use crate::hold::Refusal;

fn done(request: u64) -> Heard {
    Heard::Answer(request, Ok(()))
}

fn no(request: u64, refusal: Refusal) -> Heard {
    Heard::Answer(request, Err(refusal))
}

#[test]
fn what_is_available_is_taken_at_once() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    assert_eq!(books.take(7, 'a', 2), [done(7)]);
    assert_eq!(books.balance('a'), (3, 3));
}

#[test]
fn more_than_there_is_is_refused_and_changes_nothing() {
    let mut books = Books::new([('a', 5)]);
    assert_eq!(books.take(7, 'a', 6), [no(7, short(6, 5))]);
    assert_eq!(books.take(8, 'z', 1), [no(8, Refusal::Unknown)]);
    assert_eq!(books.balance('a'), (5, 0));
}

#[test]
fn one_that_takes_what_is_held_waits_until_it_is_given_back() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    assert_eq!(books.take(7, 'a', 3), []);
    assert!(books.pools[&'a'].is_pinned());
    assert_eq!(books.release(1), [done(7)]);
    assert_eq!(books.balance('a'), (2, 0));
    assert!(books.is_at_rest());
}

#[test]
fn one_that_takes_what_is_held_is_refused_once_it_is_gone() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    books.take(7, 'a', 3);
    assert_eq!(books.commit(1, &[('a', 3)]), [no(7, short(3, 2))]);
    assert_eq!(books.balance('a'), (2, 0));
}

#[test]
fn a_caller_that_took_leaves_too_little_for_those_behind() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    books.take(7, 'a', 4);
    books.request(2, &[('a', 2)]);
    assert_eq!(books.release(1), [done(7), refused(2, 'a', short(2, 1))]);
}

#[test]
fn what_is_added_serves_those_who_wait() {
    let mut books = Books::new([('a', 3)]);
    books.request(1, &[('a', 3)]);
    books.request(2, &[('a', 2)]);
    books.take(7, 'a', 1);
    assert_eq!(books.add('a', 2), [held(2)]);
    assert_eq!(books.add('a', 1), [done(7)]);
    assert_eq!(books.balance('a'), (5, 5));
}

#[test]
fn a_pool_never_grows_past_its_limit() {
    let mut books = Books::new([('a', 5)]);
    let refused = |refusal| [Heard::Answer(7, Err(refusal))];
    assert_eq!(books.try_add(7, 'a', 996), refused(Refusal::TooMuch));
    assert_eq!(books.try_add(7, 'a', u64::MAX), refused(Refusal::TooMuch));
    assert_eq!(books.try_add(7, 'b', 1), refused(Refusal::Unknown));
    assert_eq!(books.try_add(7, 'a', 995), [done(7)]);
    assert_eq!(books.balance('a'), (1000, 0));
}

#[test]
fn patience_that_is_over_takes_the_caller_out_of_the_queue() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    books.take(7, 'a', 5);
    books.request(2, &[('a', 2)]);
    // With the caller gone, whoever stood behind it fits.
    assert_eq!(books.expire(7, 'a'), [no(7, Refusal::Expired), held(2)]);
    books.release(1);
    assert_eq!(books.balance('a'), (5, 2));
}

#[test]
fn patience_that_ends_after_the_answer_changes_nothing() {
    let mut books = Books::new([('a', 5)]);
    books.take(7, 'a', 5);
    books.read(8, 'a');
    assert_eq!(books.expire(7, 'a'), []);
    assert_eq!(books.expire(8, 'a'), []);
    assert_eq!(books.expire(9, 'z'), []);
    assert_eq!(books.balance('a'), (0, 0));
}
