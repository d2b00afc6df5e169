//! The journal's words: what one group of commits did to one partition.
//!
//! They are physical (the new value, not the command that led to it), so applying one twice does no harm, and a new
//! version of the shop can always recover an old directory. All numbers are little-endian.
//!
//! ```text
//! PUT     1 | key bytes u16 | value bytes u32 | key | value
//! REMOVE  2 | key bytes u16 | key
//! EVENT   3 | event bytes u32 | number u64 | event
//! CURSOR  4 | name bytes u8 | partition u16 | position u64 | the service's name
//! ```
//!
//! Within a group, later words for the same thing replace earlier ones: in place where the length is the same,
//! otherwise the earlier one is *struck* (its kind gets the [`STRUCK`] bit) and left out when the frame is built.

use std::ops::Range;

const PUT: u8 = 1;
const REMOVE: u8 = 2;
const EVENT: u8 = 3;
const CURSOR: u8 = 4;
const STRUCK: u8 = 0x80;

const PUT_HEAD_BYTES: usize = 7;
const CURSOR_POSITION: Range<usize> = 4..12;

/// One word.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Op<'a> {
    Put { key: &'a [u8], value: &'a [u8] },
    Remove { key: &'a [u8] },
    Event { number: u64, event: &'a [u8] },
    Cursor { service: &'a str, partition: u16, position: u64 },
}

/// The words of the open group.
#[derive(Debug, Default)]
pub(crate) struct OpBuffer {
    bytes: Vec<u8>,
    struck: bool,
}

impl OpBuffer {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a word and returns where it is. Groups are far below 4 GiB: see [`crate::shared::PENDING_BYTES_MAX`].
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> u32 {
        let at = self.end();
        self.bytes.push(PUT);
        self.bytes.extend_from_slice(&length_u16(key).to_le_bytes());
        self.bytes.extend_from_slice(&length_u32(value).to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        at
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> u32 {
        let at = self.end();
        self.bytes.push(REMOVE);
        self.bytes.extend_from_slice(&length_u16(key).to_le_bytes());
        self.bytes.extend_from_slice(key);
        at
    }

    pub(crate) fn event(&mut self, number: u64, event: &[u8]) -> u32 {
        let at = self.end();
        self.bytes.push(EVENT);
        self.bytes.extend_from_slice(&length_u32(event).to_le_bytes());
        self.bytes.extend_from_slice(&number.to_le_bytes());
        self.bytes.extend_from_slice(event);
        at
    }

    /// `service` is at most 255 bytes long: [`crate::partition::check`] saw to it.
    pub(crate) fn cursor(&mut self, service: &str, partition: u16, position: u64) -> u32 {
        let at = self.end();
        let name_bytes = u8::try_from(service.len()).expect("names were checked before anything was changed");
        self.bytes.push(CURSOR);
        self.bytes.push(name_bytes);
        self.bytes.extend_from_slice(&partition.to_le_bytes());
        self.bytes.extend_from_slice(&position.to_le_bytes());
        self.bytes.extend_from_slice(service.as_bytes());
        at
    }

    /// Gives the [`Op::Put`] at `at` a new value of the same length.
    pub(crate) fn replace_value(&mut self, at: u32, key_bytes: usize, value: &[u8]) {
        let start = at as usize + PUT_HEAD_BYTES + key_bytes;
        self.slice_mut(start..start + value.len()).copy_from_slice(value);
    }

    /// Gives the [`Op::Cursor`] at `at` a new position.
    pub(crate) fn replace_position(&mut self, at: u32, position: u64) {
        let Range { start, end } = CURSOR_POSITION;
        let at = at as usize;
        self.slice_mut(at + start..at + end).copy_from_slice(&position.to_le_bytes());
    }

    /// Takes back the word at `at`.
    pub(crate) fn strike(&mut self, at: u32) {
        let at = at as usize;
        for kind in self.slice_mut(at..at + 1) {
            *kind |= STRUCK;
        }
        self.struck = true;
    }

    /// Appends every word that still holds to `target`.
    pub(crate) fn write_to(&self, target: &mut Vec<u8>) {
        if !self.struck {
            target.extend_from_slice(&self.bytes);
            return;
        }
        let mut rest = self.bytes.as_slice();
        while let Some((kind, _, word, tail)) = split_word(rest) {
            if kind & STRUCK == 0 {
                target.extend_from_slice(word);
            }
            rest = tail;
        }
        debug_assert!(rest.is_empty(), "the buffer holds whole words only");
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.struck = false;
    }

    /// Gives back memory that one unusually large group took.
    pub(crate) fn shrink(&mut self, bytes_max: usize) {
        self.bytes.shrink_to(bytes_max);
    }

    fn end(&self) -> u32 {
        u32::try_from(self.bytes.len()).expect("commits wait long before a group reaches 4 GiB")
    }

    fn slice_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        self.bytes.get_mut(range).expect("positions of words come from this buffer, and it only grows within a group")
    }
}

fn length_u16(bytes: &[u8]) -> u16 {
    u16::try_from(bytes.len()).expect("keys were checked before anything was changed")
}

fn length_u32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("values were checked before anything was changed")
}

/// Reads the words of `bytes`; the first malformed one ends it with `None` inside.
pub(crate) fn read(bytes: &[u8]) -> impl Iterator<Item = Option<Op<'_>>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        match split_word(rest) {
            Some((kind, op, _, tail)) if kind & STRUCK == 0 => {
                rest = tail;
                Some(Some(op))
            }
            _ => {
                rest = &[];
                Some(None)
            }
        }
    })
}

/// The kind, the word, its bytes, and what follows.
fn split_word(bytes: &[u8]) -> Option<(u8, Op<'_>, &[u8], &[u8])> {
    let mut reader = Reader(bytes);
    let kind = reader.u8()?;
    let op = match kind & !STRUCK {
        PUT => {
            let key_bytes = reader.u16()?;
            let value_bytes = reader.u32()?;
            Op::Put { key: reader.take(key_bytes.into())?, value: reader.take(value_bytes as usize)? }
        }
        REMOVE => {
            let key_bytes = reader.u16()?;
            Op::Remove { key: reader.take(key_bytes.into())? }
        }
        EVENT => {
            let event_bytes = reader.u32()?;
            Op::Event { number: reader.u64()?, event: reader.take(event_bytes as usize)? }
        }
        CURSOR => {
            let name_bytes = reader.u8()?;
            Op::Cursor {
                partition: reader.u16()?,
                position: reader.u64()?,
                service: std::str::from_utf8(reader.take(name_bytes.into())?).ok()?,
            }
        }
        _ => return None,
    };
    let (word, tail) = bytes.split_at_checked(bytes.len() - reader.0.len())?;
    Some((kind, op, word, tail))
}

/// Takes numbers and bytes off the front of a slice; `None` where it is too short.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(buffer: &OpBuffer) -> Vec<u8> {
        let mut bytes = Vec::new();
        buffer.write_to(&mut bytes);
        bytes
    }

    #[test]
    fn every_word_is_read_as_it_was_written() {
        let mut buffer = OpBuffer::default();
        buffer.put(b"key", b"value");
        buffer.remove(b"");
        buffer.event(7, b"happened");
        buffer.cursor("stock", 3, u64::MAX);
        let bytes = words(&buffer);
        let read: Vec<_> = read(&bytes).collect();
        let expected = [
            Op::Put { key: b"key", value: b"value" },
            Op::Remove { key: b"" },
            Op::Event { number: 7, event: b"happened" },
            Op::Cursor { service: "stock", partition: 3, position: u64::MAX },
        ];
        assert_eq!(read, expected.map(Some));
    }

    #[test]
    fn replaced_and_struck_words_leave_no_trace() {
        let mut buffer = OpBuffer::default();
        let put = buffer.put(b"a", b"1");
        let struck = buffer.put(b"b", b"22");
        let cursor = buffer.cursor("x", 0, 1);
        buffer.replace_value(put, 1, b"9");
        buffer.strike(struck);
        buffer.replace_position(cursor, 5);

        let mut plain = OpBuffer::default();
        plain.put(b"a", b"9");
        plain.cursor("x", 0, 5);
        assert_eq!(words(&buffer), words(&plain));
    }

    #[test]
    fn every_cut_through_a_word_is_noticed() {
        let mut buffer = OpBuffer::default();
        buffer.put(b"key", b"value");
        let bytes = words(&buffer);
        for end in 1..bytes.len() {
            assert_eq!(read(&bytes[..end]).last(), Some(None), "cut at {end}");
        }
        assert_eq!(read(&[0x55]).last(), Some(None), "an unknown kind");
        assert_eq!(read(&[]).last(), None);
    }
}
