//! What survives a restart: sagas with their places and holds, and no caller.

use super::books::{Books, Heard, held};
use crate::{
    Codec, Record as _, RequestId, Standing,
    hold::{Hold, Pool, Record},
};

impl Books {
    /// What a restart leaves of the books.
    pub(super) fn restarted(&self) -> Self {
        let mut restarted = self.clone();
        restarted.pools = self.pools.iter().map(|(account, pool)| (*account, stored(pool))).collect();
        restarted.holds = self.holds.iter().map(|(saga, hold)| (*saga, stored(hold))).collect();
        restarted
    }
}

fn stored<T: Codec>(value: &T) -> T {
    let mut bytes = Vec::new();
    value.encode_to(&mut bytes);
    T::decode_from(&bytes).expect("what was encoded can be decoded")
}

#[test]
fn sagas_keep_their_places_and_callers_lose_theirs() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 3)]);
    books.take(7, 'a', 3);
    books.request(2, &[('a', 3)]);
    books.take(8, 'a', 1);
    books.request(3, &[('a', 1)]);
    let mut books = books.restarted();
    assert!(!books.pools[&'a'].is_pinned());
    assert_eq!(books.holds.len(), 3);
    assert_eq!(books.balance('a'), (5, 3));
    assert_eq!(books.release(1), [held(2), held(3)]);
}

#[test]
fn readers_are_forgotten_and_the_holds_they_waited_for_are_not() {
    let mut books = Books::new([('a', 5)]);
    books.request(1, &[('a', 1)]);
    books.read(7, 'a');
    books.request(2, &[('a', 1)]);
    books.read(8, 'a');
    let mut books = books.restarted();
    assert!(!books.pools[&'a'].is_pinned());
    assert_eq!(books.read(9, 'a'), []);
    assert_eq!(books.commit(1, &[('a', 1)]), []);
    assert_eq!(books.commit(2, &[('a', 1)]), [Heard::Shown(9, Some(3))]);
    assert!(books.is_at_rest());
}

#[test]
fn a_reader_and_a_caller_that_waits_are_pinned_in_memory_and_a_saga_is_not() {
    let mut pool = Pool::<u32>::new(1);
    assert!(!pool.is_pinned() && !pool.is_busy());
    pool.hold(1);
    assert!(!pool.is_pinned() && pool.is_busy());
    pool.read(RequestId(7));
    assert!(pool.is_pinned());
    assert!(record(&pool).is_pinned());
    assert!(pool.forget_reader(RequestId(7)));
    assert!(!pool.is_pinned());
    assert!(!record(&pool).is_pinned());
}

type Row = Record<Pool<u32>, char, ()>;

/// What memory keeps for those who wait, as the engine is told of it.
fn record(pool: &Pool<u32>) -> Row {
    Row::Account(pool.clone())
}

#[test]
fn of_a_sagas_records_those_that_hold_something_or_wait_are_counted_as_such() {
    let standing = |hold| Row::Hold(hold).standing();
    assert_eq!(standing(Hold::Held { claims: Vec::new() }), Standing::Held);
    assert_eq!(standing(Hold::Parked { claims: Vec::new(), context: () }), Standing::Parked);
    for hold in [Hold::Refused, Hold::Skipped, Hold::Tombstone] {
        assert_eq!(standing(hold), Standing::Settled);
    }
    let mut pool = Pool::new(1);
    pool.hold(1);
    assert_eq!(record(&pool).standing(), Standing::Settled, "the saga's record is counted, not the pool's");
}
