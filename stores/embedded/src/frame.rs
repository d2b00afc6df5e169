//! Frames: what one flush appends to the journal.
//!
//! ```text
//!  magic 8 | number u64 | length u32 | checksum u32 | payload … | zeros up to a multiple of 8
//! ```
//!
//! Frames are numbered without gaps over the whole life of a database. The checksum (CRC-32C) covers the database's
//! identity, the number, the length and the payload: remains of another database, or bytes that a client chose, do not
//! make a frame. The magic bytes are made from the identity, too, so that no client knows them: where they stand, a frame
//! was begun, whatever became of it.

use std::ops::Range;

/// How long a frame's header is, in bytes.
pub(crate) const HEADER_BYTES: usize = 24;
const ALIGNMENT: usize = 8;
/// A disk writes so many bytes at once, or none of them.
const SECTOR: usize = 512;

/// A valid frame inside a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) number: u64,
    /// Where the payload is, in bytes from the start of what was looked at.
    pub(crate) payload: Range<usize>,
    /// Where the next frame starts.
    pub(crate) end: usize,
}

/// Empties `buffer` and makes room for the header of a frame. The payload is to be appended.
pub(crate) fn begin(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.resize(HEADER_BYTES, 0);
}

/// Completes the frame that [`begin`] started.
///
/// # Panics
/// When the payload has 4 GiB or more, which the bound on pending bytes excludes.
pub(crate) fn seal(buffer: &mut Vec<u8>, identity: u64, number: u64) {
    let payload_bytes = buffer.len() - HEADER_BYTES;
    let length = u32::try_from(payload_bytes).expect("groups are far below 4 GiB");
    let (header, payload) = buffer.split_at_mut(HEADER_BYTES);
    let checksum = checksum(identity, number, length, payload);
    let fields = [&magic(identity)[..], &number.to_le_bytes(), &length.to_le_bytes(), &checksum.to_le_bytes()];
    header.copy_from_slice(&fields.concat());
    buffer.resize(buffer.len().next_multiple_of(ALIGNMENT), 0);
}

/// The frame at `offset` of `segment`, if there is a valid one.
pub(crate) fn at(segment: &[u8], offset: usize, identity: u64) -> Option<Frame> {
    let (number, length, expected) = header(segment, offset, identity)?;
    let start = offset + HEADER_BYTES;
    let payload = start..start.checked_add(length as usize)?;
    let valid = checksum(identity, number, length, segment.get(payload.clone())?) == expected;
    let end = payload.end.next_multiple_of(ALIGNMENT);
    valid.then_some(Frame { number, payload, end })
}

/// A frame that was begun, valid or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) number: u64,
    /// How long it was to become.
    pub(crate) bytes: u64,
}

/// The frame that was begun at `offset` of `segment`, whether it is whole or not.
pub(crate) fn begun_at(segment: &[u8], offset: usize, identity: u64) -> Option<Begun> {
    let (number, length, _) = header(segment, offset, identity)?;
    Some(Begun { number, bytes: HEADER_BYTES as u64 + u64::from(length) })
}

/// Whether in `segment`, from `offset` on, a frame with a number of at least `number_min` was begun, be it whole or not.
pub(crate) fn is_begun(segment: &[u8], offset: usize, identity: u64, number_min: u64) -> bool {
    let aligned = offset.next_multiple_of(ALIGNMENT);
    let magic = magic(identity);
    // Where a sector ends between the magic bytes and the number, a torn write may have brought together what never was.
    let is_whole = |at: &usize| at % SECTOR <= SECTOR - 2 * magic.len();
    let candidates = (aligned..segment.len()).step_by(ALIGNMENT).filter(is_whole);
    let starts = candidates.filter(|&at| segment.get(at..).is_some_and(|bytes| bytes.starts_with(&magic)));
    starts.filter_map(|at| header(segment, at, identity)).any(|(number, ..)| number >= number_min)
}

fn header(segment: &[u8], offset: usize, identity: u64) -> Option<(u64, u32, u32)> {
    let header = segment.get(offset..)?.first_chunk::<HEADER_BYTES>()?;
    let mut reader = crate::ops::Reader(header.strip_prefix(&magic(identity))?);
    Some((reader.u64()?, reader.u32()?, reader.u32()?))
}

fn magic(identity: u64) -> [u8; 8] {
    (identity ^ u64::from_le_bytes(*b"sagafrm\x02")).to_le_bytes()
}

fn checksum(identity: u64, number: u64, length: u32, payload: &[u8]) -> u32 {
    let mut checksum = crc32c::crc32c(&identity.to_le_bytes());
    for part in [&number.to_le_bytes()[..], &length.to_le_bytes(), payload] {
        checksum = crc32c::crc32c_append(checksum, part);
    }
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(identity: u64, number: u64, payload: &[u8]) -> Vec<u8> {
        let mut buffer = vec![1, 2, 3];
        begin(&mut buffer);
        buffer.extend_from_slice(payload);
        seal(&mut buffer, identity, number);
        buffer
    }

    #[test]
    fn a_sealed_frame_is_found_again() {
        let bytes = sealed(1, 2, b"payload");
        let frame = at(&bytes, 0, 1).expect("valid");
        assert_eq!((frame.number, &bytes[frame.payload]), (2, &b"payload"[..]));
        assert_eq!(frame.end, bytes.len());
        assert_eq!(at(&bytes, 0, 9), None, "another database's");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = sealed(1, 2, b"payload!");
        for position in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[position / 8] ^= 1 << (position % 8);
            assert_eq!(at(&flipped, 0, 1), None, "bit {position}");
        }
        for length in 0..bytes.len() {
            assert_eq!(at(&bytes[..length], 0, 1), None, "cut to {length}");
        }
    }

    #[test]
    fn later_frames_are_found_behind_damage_and_older_ones_are_not() {
        let mut segment = sealed(1, 7, b"old");
        let newer = segment.len();
        segment.extend(sealed(1, 8, b"newer"));
        assert!(is_begun(&segment, 1, 1, 8) && !is_begun(&segment, 1, 1, 9) && !is_begun(&segment, 1, 2, 8));
        assert_eq!(begun_at(&segment, newer, 1), Some(Begun { number: 8, bytes: 29 }));
        *segment.last_mut().unwrap() ^= 1;
        segment[newer + HEADER_BYTES] ^= 1;
        assert!(is_begun(&segment, 1, 1, 8), "damaged, but it was there");
    }
}
