//! A reader waits for the holds that were there when it came, and for no others.

use super::books::{Books, Heard};
use crate::hold::Refusal;

fn shown(request: u64, total: u64) -> Heard {
    Heard::Shown(request, Some(total))
}

#[test]
fn with_nothing_held_a_reader_is_shown_at_once() {
    let mut books = Books::new([('a', 5)]);
    assert_eq!(books.read(7, 'a'), [shown(7, 5)]);
    assert_eq!(books.read(8, 'z'), [Heard::Shown(8, None)]);
    assert!(books.is_at_rest());
}

#[test]
fn a_reader_sees_neither_a_hold_that_is_undone_nor_misses_one_that_stands() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    assert_eq!(books.read(7, 'a'), []);
    assert_eq!(books.release(1), [shown(7, 5)]);
    books.request(2, &[('a', 3)]);
    assert_eq!(books.read(8, 'a'), []);
    assert_eq!(books.commit(2, &[('a', 3)]), [shown(8, 2)]);
    assert!(books.is_at_rest());
}

#[test]
fn a_reader_waits_for_every_hold_that_was_there() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 1)]);
    books.request(2, &[('a', 1)]);
    books.read(7, 'a');
    assert_eq!(books.commit(2, &[('a', 1)]), []);
    assert_eq!(books.commit(1, &[('a', 1)]), [shown(7, 3)]);
}

#[test]
fn a_hold_that_came_later_keeps_no_reader_waiting() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 1)]);
    books.read(7, 'a');
    books.request(2, &[('a', 1)]);
    assert_eq!(books.release(1), [shown(7, 5)]);
    assert_eq!(books.read(8, 'a'), []);
    assert_eq!(books.release(2), [shown(8, 5)]);
}

#[test]
fn readers_of_two_generations_are_shown_one_after_the_other() {
    let mut books = Books::new([('a', 9)]);
    books.request(1, &[('a', 1)]);
    books.read(7, 'a');
    books.request(2, &[('a', 1)]);
    // It came while both were held, so it waits for both.
    books.read(8, 'a');
    books.request(3, &[('a', 1)]);
    assert_eq!(books.commit(1, &[('a', 1)]), [shown(7, 8)]);
    books.request(4, &[('a', 1)]);
    // The third hold was made before the generations swapped; at most one generation too many is waited for.
    assert_eq!(books.commit(2, &[('a', 1)]), []);
    assert_eq!(books.commit(3, &[('a', 1)]), [shown(8, 6)]);
    books.release(4);
    assert!(books.is_at_rest());
}

#[test]
fn readers_of_both_generations_are_shown_together_when_both_drain() {
    let mut books = Books::new([('a', 9)]);
    books.request(1, &[('a', 1)]);
    books.read(7, 'a');
    books.request(2, &[('a', 1)]);
    books.read(8, 'a');
    assert_eq!(books.release(2), []);
    assert_eq!(books.release(1), [shown(7, 9), shown(8, 9)]);
}

#[test]
fn a_stream_of_overlapping_holds_starves_no_reader() {
    let mut books = Books::new([('a', 1_000)]);
    books.request(0, &[('a', 1)]);
    for round in 0..100 {
        let reader = u64::from(round);
        assert_eq!(books.read(reader, 'a'), []);
        books.request(round + 1, &[('a', 1)]);
        // There is always a hold, yet each reader waits for one round at most.
        assert_eq!(books.release(round), [shown(reader, 1_000)], "round {round}");
    }
}

#[test]
fn one_that_waits_in_the_queue_holds_nothing_that_a_reader_has_to_wait_for() {
    let mut books = Books::new([('a', 5), ('b', 1)]);
    books.request(1, &[('b', 1)]);
    books.request(2, &[('a', 1), ('b', 1)]);
    assert_eq!(books.read(7, 'a'), [shown(7, 5)]);
}

#[test]
fn the_hold_that_replaces_another_in_the_same_step_is_not_waited_for() {
    let mut books = Books::new([('a', 1)]);
    books.request(1, &[('a', 1)]);
    books.request(2, &[('a', 1)]);
    books.read(7, 'a');
    let heard = books.release(1);
    assert!(heard.contains(&shown(7, 1)), "{heard:?}");
}

#[test]
fn a_reader_whose_patience_is_over_is_told_so_and_shown_nothing_later() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 1)]);
    books.read(7, 'a');
    books.request(2, &[('a', 1)]);
    books.read(8, 'a');
    for reader in [7, 8] {
        let expired = Heard::Answer(reader, Err(Refusal::Expired));
        assert_eq!(books.expire(reader, 'a'), [expired], "reader {reader}");
    }
    assert_eq!(books.notes, ["read_in_vain"; 2]);
    assert_eq!(books.release(1), []);
    assert_eq!(books.release(2), []);
    assert!(books.is_at_rest());
}
