//! Bytes that come one by one and go all at once: the keys and values of a table between two checkpoints.
//!
//! A buffer of its own for each of them would cost more time in the allocator than all the rest of a commit, and the
//! thread that writes checkpoints would hand them back one by one. What is replaced stays until the end; that is never
//! more than what was committed since the last checkpoint, which is bounded.

/// Large enough for the longest key with the longest value, and small enough that the last one is no waste.
const CHUNK_BYTES: usize = 256 << 10;

/// Where something stands in an [`Arena`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    chunk: u32,
    offset: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Arena {
    /// Each is filled up to its length; those after `current` are empty.
    chunks: Vec<Vec<u8>>,
    current: usize,
}

impl Arena {
    /// Appends `first` and, right behind it, `second`, with room for both to be read by one look into memory.
    pub(crate) fn push(&mut self, first: &[u8], second: &[u8]) -> At {
        let wanted = first.len() + second.len();
        if self.chunks.get(self.current).is_some_and(|chunk| chunk.len() + wanted > CHUNK_BYTES) {
            self.current += 1;
        }
        if self.chunks.len() <= self.current {
            // The first one grows as needed: many a partition never has much.
            self.chunks.push(Vec::with_capacity(if self.current == 0 { 0 } else { CHUNK_BYTES }));
        }
        let chunk = self.chunks.get_mut(self.current).expect("it was just made where it was missing");
        let place = |number| u32::try_from(number).expect("changes in memory are bounded far below a petabyte");
        let at = At { chunk: place(self.current), offset: place(chunk.len()) };
        chunk.extend_from_slice(first);
        chunk.extend_from_slice(second);
        at
    }

    /// The `bytes` bytes that begin `skip` bytes behind `at`.
    pub(crate) fn get(&self, at: At, skip: usize, bytes: usize) -> &[u8] {
        let start = at.offset as usize + skip;
        let found = self.chunks.get(at.chunk as usize).and_then(|chunk| chunk.get(start..start + bytes));
        found.expect("places come from this arena and are forgotten when it is cleared")
    }

    /// Puts `with` in place of what begins `skip` bytes behind `at` and is at least as long.
    pub(crate) fn overwrite(&mut self, at: At, skip: usize, with: &[u8]) {
        let start = at.offset as usize + skip;
        let found = self.chunks.get_mut(at.chunk as usize).and_then(|chunk| chunk.get_mut(start..start + with.len()));
        found.expect("places come from this arena and are forgotten when it is cleared").copy_from_slice(with);
    }

    /// Forgets everything. The memory is kept for what comes next, as far as it was needed this time.
    pub(crate) fn clear(&mut self) {
        self.chunks.truncate(self.current + 1);
        self.chunks.iter_mut().for_each(Vec::clear);
        self.current = 0;
    }
}

#[cfg(test)]
mod tests {
    use saga::store::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

    use super::*;

    #[test]
    fn everything_stays_where_it_was_put_until_the_arena_is_cleared() {
        let mut arena = Arena::default();
        for round in 0..3_u8 {
            let value = |number: u32| vec![number.to_le_bytes()[0] ^ round; (number % 700) as usize];
            let places: Vec<_> =
                (0..4000_u32).map(|number| arena.push(&number.to_le_bytes(), &value(number))).collect();
            for (number, at) in (0_u32..).zip(places) {
                assert_eq!(arena.get(at, 0, 4), number.to_le_bytes());
                assert_eq!(arena.get(at, 4, value(number).len()), value(number));
            }
            assert!(arena.chunks.len() > 4, "so many bytes take several chunks");
            arena.clear();
        }
    }

    #[test]
    fn the_longest_record_has_room_and_can_be_overwritten() {
        let (key, mut value) = (vec![1; KEY_BYTES_MAX], vec![2; VALUE_BYTES_MAX]);
        let mut arena = Arena::default();
        let places: Vec<_> = (0..5).map(|_| arena.push(&key, &value)).collect();
        value.fill(3);
        arena.overwrite(places[2], KEY_BYTES_MAX, &value);
        for (index, at) in places.into_iter().enumerate() {
            assert_eq!(arena.get(at, 0, KEY_BYTES_MAX), key);
            assert_eq!(arena.get(at, KEY_BYTES_MAX, 1), if index == 2 { [3] } else { [2] });
        }
    }

    #[test]
    fn a_cleared_arena_keeps_no_more_memory_than_the_last_round_took() {
        let mut arena = Arena::default();
        let value = vec![0; VALUE_BYTES_MAX];
        for _ in 0..50 {
            let _ = arena.push(&[], &value);
        }
        arena.clear();
        let _ = arena.push(&[], &value);
        arena.clear();
        assert_eq!(arena.chunks.len(), 1);
    }
}
