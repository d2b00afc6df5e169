//! Journals that were torn, damaged, or lost in part.

use std::sync::Arc;

use super::*;
use crate::{Options, journal::Journal, segment::Pool};

const IDENTITY: u64 = 0xFEED;
/// Room for a few of the frames below.
const SEGMENT_BYTES: u64 = FIRST_FRAME as u64 + 512;

/// Numbers and payloads.
type Frames = Vec<(u64, Vec<u8>)>;

/// A journal in a directory of its own.
struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    /// A journal of these frames, numbered from 1.
    fn with_frames(payloads: &[&[u8]]) -> Self {
        let fixture = Self { directory: tempfile::tempdir().unwrap() };
        fixture.append(1, payloads);
        fixture
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn segment(&self, number: u64) -> PathBuf {
        segment::path(self.path(), number)
    }

    fn replay_after(&self, marker: Marker) -> Result<(Frames, Option<Tail>), OpenError> {
        let mut frames = Vec::new();
        let mut apply = |number: u64, payload: &[u8]| {
            frames.push((number, payload.to_vec()));
            Ok(())
        };
        let tail = self.replay_as(IDENTITY, marker, 0, &mut apply)?;
        Ok((frames, tail))
    }

    fn replay_as(
        &self,
        identity: u64,
        marker: Marker,
        closed: u64,
        apply: &mut Apply<'_>,
    ) -> Result<Option<Tail>, OpenError> {
        let (folder, listing) = (self.folder(), segment::list(self.path()).unwrap());
        replay(Remains { folder: &folder, listing: &listing, identity, marker, closed, to_go_on: true }, apply)
    }

    fn folder(&self) -> Folder {
        Disk::default().folder(self.path()).unwrap()
    }

    fn replay(&self) -> Result<Vec<Vec<u8>>, OpenError> {
        let (frames, _) = self.replay_after(Marker::default())?;
        assert!(frames.iter().map(|(number, _)| *number).eq((1..).take(frames.len())));
        Ok(frames.into_iter().map(|(_, payload)| payload).collect())
    }

    /// Opens the journal and appends frames, as a database does.
    fn append(&self, first_number: u64, payloads: &[&[u8]]) {
        let (_, tail) = self.replay_after(Marker::default()).unwrap();
        let listing = segment::list(self.path()).unwrap();
        let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::new(self.path()) };
        let pool = Arc::new(Pool::new(self.folder(), IDENTITY, options, listing.spares));
        let (current, prepared) = match tail {
            None => (pool.make(1).unwrap(), Vec::new()),
            Some(tail) => {
                let prepared = tail.prepared.iter().map(|&number| pool.reopen(number, FIRST_FRAME as u64).unwrap());
                (pool.reopen(tail.segment, tail.offset as u64).unwrap(), prepared.collect())
            }
        };
        let (mut journal, preparer) = Journal::new(pool, current, prepared).unwrap();
        let mut buffer = Vec::new();
        for (number, payload) in (first_number..).zip(payloads) {
            frame::begin(&mut buffer);
            buffer.extend_from_slice(payload);
            journal.append(number, &mut buffer).unwrap();
        }
        drop(journal);
        preparer.join().unwrap();
    }

    fn flip(&self, segment: u64, byte: usize, bit: u8) {
        let path = self.segment(segment);
        let mut bytes = fs::read(&path).unwrap();
        bytes[byte] ^= 1 << bit;
        fs::write(path, bytes).unwrap();
    }
}

fn assert_corrupt<T: std::fmt::Debug>(result: &Result<T, OpenError>, segment: &Path, offset: usize) {
    match result {
        Err(OpenError::Corrupt { file, offset: at, .. }) => assert_eq!((file.as_path(), *at), (segment, offset as u64)),
        other => panic!("should be corrupt at {offset}, is {other:?}"),
    }
}

/// How many bytes a frame of this payload takes.
fn frame_bytes(payload: &[u8]) -> usize {
    (frame::HEADER_BYTES + payload.len()).next_multiple_of(8)
}

#[test]
fn frames_come_back_in_order_whatever_segment_they_are_in() {
    let payloads: Vec<Vec<u8>> = (0..40_u8).map(|number| vec![number; usize::from(number) * 40]).collect();
    let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    let fixture = Fixture::with_frames(&payloads);
    assert!(segment::list(fixture.path()).unwrap().segments.len() > 20, "most need a segment of their own");
    assert_eq!(fixture.replay().unwrap(), payloads);
    fixture.append(41, &[b"more"]);
    assert_eq!(fixture.replay().unwrap()[40], b"more");
}

#[test]
fn a_last_frame_torn_at_any_byte_is_cut_off_and_written_over() {
    let fixture = Fixture::with_frames(&[b"first", b"second", b"the third and last"]);
    let path = fixture.segment(1);
    let whole = fs::read(&path).unwrap();
    let last = FIRST_FRAME + frame_bytes(b"first") + frame_bytes(b"second");
    let end = last + frame::HEADER_BYTES + b"the third and last".len();
    for cut in last..end {
        for torn in [
            // The rest did not reach the disk; or it did, and the beginning did not.
            [&whole[..cut], &vec![0; whole.len() - cut]].concat(),
            [&whole[..last], &vec![0; cut + 1 - last], &whole[cut + 1..]].concat(),
        ] {
            fs::write(&path, &torn).unwrap();
            let (frames, tail) = fixture.replay_after(Marker::default()).unwrap();
            assert_eq!(frames.len(), 2, "cut at {cut}");
            let tail = tail.unwrap();
            assert_eq!((tail.offset, tail.frame), (last, 2));
            // Its magic bytes and its number are there.
            let is_begun = torn[last..].starts_with(&whole[last..last + 16]);
            let expected = is_begun.then_some((&path, last, 3));
            let said = tail.torn.as_ref().map(|torn| (&torn.segment, torn.offset, torn.frame));
            assert_eq!(said, expected, "cut at {cut}");
        }
    }
    fixture.append(3, &[b"another third"]);
    assert_eq!(fixture.replay().unwrap(), [&b"first"[..], b"second", b"another third"]);
}

#[test]
fn a_flipped_bit_anywhere_before_the_last_frame_is_refused() {
    let fixture = Fixture::with_frames(&[b"first", b"second", b"third"]);
    let second = FIRST_FRAME + frame_bytes(b"first");
    let third = second + frame_bytes(b"second");
    for byte in FIRST_FRAME..third {
        let start = if byte < second { FIRST_FRAME } else { second };
        let is_padding = byte >= start + frame::HEADER_BYTES + if byte < second { 5 } else { 6 };
        for bit in 0..8 {
            fixture.flip(1, byte, bit);
            match is_padding {
                true => assert_eq!(fixture.replay().unwrap().len(), 3, "padding carries nothing"),
                false => assert_corrupt(&fixture.replay(), &fixture.segment(1), start),
            }
            fixture.flip(1, byte, bit);
        }
    }
}

#[test]
fn a_flipped_bit_in_the_last_frame_counts_as_torn() {
    let fixture = Fixture::with_frames(&[b"first", b"second"]);
    let second = FIRST_FRAME + frame_bytes(b"first");
    for byte in second..second + frame::HEADER_BYTES + 6 {
        for bit in 0..8 {
            fixture.flip(1, byte, bit);
            // A number that comes later yet cannot have been written there: the second bit is set in that of the last frame.
            let is_later = (second + 8..second + 16).contains(&byte) && (byte, bit) != (second + 8, 1);
            match is_later {
                true => assert_corrupt(&fixture.replay(), &fixture.segment(1), second),
                false => assert_eq!(fixture.replay().unwrap(), [b"first"], "byte {byte}, bit {bit}"),
            }
            fixture.flip(1, byte, bit);
        }
    }
}

#[test]
fn a_segment_that_ends_before_its_length_was_cut_off_by_somebody_and_is_refused() {
    let fixture = Fixture::with_frames(&[b"first", b"second"]);
    let path = fixture.segment(1);
    let whole = fs::read(&path).unwrap();
    for length in [FIRST_FRAME, FIRST_FRAME + 20, FIRST_FRAME + 100, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert_corrupt(&fixture.replay(), &path, length);
    }
}

#[test]
fn damage_to_the_last_two_frames_cannot_be_one_torn_write_and_is_refused() {
    let fixture = Fixture::with_frames(&[b"first", b"second", b"third"]);
    let second = FIRST_FRAME + frame_bytes(b"first");
    let third = second + frame_bytes(b"second");
    fixture.flip(1, third + frame::HEADER_BYTES, 0);
    // Of the second one nothing may be left, or its payload is damaged as well.
    for byte in [second, second + frame::HEADER_BYTES] {
        fixture.flip(1, byte, 0);
        assert_corrupt(&fixture.replay(), &fixture.segment(1), second);
        fixture.flip(1, byte, 0);
    }
}

#[test]
fn after_a_close_any_loss_is_refused() {
    let fixture = Fixture::with_frames(&[b"first", b"second"]);
    let closed = |frame| fixture.replay_as(IDENTITY, Marker::default(), frame, &mut |_, _| Ok(()));
    assert_eq!(closed(2).unwrap().unwrap().frame, 2);
    fixture.flip(1, FIRST_FRAME + frame_bytes(b"first") + frame::HEADER_BYTES, 0);
    assert_corrupt(&closed(2), &fixture.segment(1), FIRST_FRAME + frame_bytes(b"first"));
    assert_eq!(closed(1).unwrap().unwrap().frame, 1);
}

#[test]
fn a_damaged_frame_at_the_end_of_a_segment_is_refused_where_the_next_segment_goes_on() {
    let fixture = Fixture::with_frames(&[&[1; 300], &[2; 300], &[3; 300]]);
    fixture.flip(2, FIRST_FRAME + 30, 0);
    assert_corrupt(&fixture.replay(), &fixture.segment(1), FIRST_FRAME + frame_bytes(&[1; 300]));
}

#[test]
fn a_segment_that_does_not_say_who_it_is_is_refused() {
    let fixture = Fixture::with_frames(&[b"first"]);
    for byte in 0..36 {
        fixture.flip(1, byte, 3);
        assert_corrupt(&fixture.replay(), &fixture.segment(1), 0);
        fixture.flip(1, byte, 3);
    }
    let other = fixture.replay_as(IDENTITY + 1, Marker::default(), 0, &mut |_, _| Ok(()));
    assert_corrupt(&other, &fixture.segment(1), 0);
}

#[test]
fn a_missing_segment_is_refused() {
    for missing in [1, 2] {
        let fixture = Fixture::with_frames(&[&[1; 300], &[2; 300], &[3; 300]]);
        fs::remove_file(fixture.segment(missing)).unwrap();
        assert_corrupt(&fixture.replay(), &fixture.segment(missing), 0);
    }
    let fixture = Fixture::with_frames(&[&[1; 300], &[2; 300], &[3; 300]]);
    for missing in 1..=4 {
        fs::remove_file(fixture.segment(missing)).unwrap();
    }
    let lost = fixture.replay_after(Marker { frame: 2, segment: 2 });
    assert_corrupt(&lost, &fixture.segment(2), 0);
}

#[test]
fn a_journal_that_ends_before_what_the_base_holds_is_refused() {
    let fixture = Fixture::with_frames(&[b"first", b"second"]);
    assert!(fixture.replay_after(Marker { frame: 2, segment: 1 }).unwrap().0.is_empty());
    let lost = fixture.replay_after(Marker { frame: 3, segment: 1 });
    assert_corrupt(&lost, fixture.path(), 0);
}

#[test]
fn only_frames_that_the_base_does_not_hold_are_applied() {
    let fixture = Fixture::with_frames(&[&[1; 300], &[2; 300], b"third"]);
    let (frames, tail) = fixture.replay_after(Marker { frame: 2, segment: 2 }).unwrap();
    assert_eq!(frames, [(3, b"third".to_vec())]);
    assert_eq!(tail.map(|tail| (tail.segment, tail.frame)), Some((2, 3)));
}

#[test]
fn what_a_recycled_segment_held_before_is_not_taken_for_news() {
    let fixture = Fixture::with_frames(&[b"one", b"two", b"three", b"four"]);
    let old = fs::read(fixture.segment(1)).unwrap();
    fs::remove_file(fixture.segment(1)).unwrap();
    fs::remove_file(fixture.segment(2)).unwrap();
    // The same bytes, recycled as segments 7 (where frame 5 was written over frame 1) and 8 (where nothing was yet).
    fs::write(fixture.path().join("0000000000000001.spare"), &old).unwrap();
    fs::write(fixture.path().join("0000000000000002.spare"), &old).unwrap();
    let spares = segment::list(fixture.path()).unwrap().spares;
    let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::new(fixture.path()) };
    let pool = Pool::new(fixture.folder(), IDENTITY, options, spares);
    let (seventh, _eighth) = (pool.make(7).unwrap(), pool.make(8).unwrap());
    let mut buffer = Vec::new();
    frame::begin(&mut buffer);
    buffer.extend_from_slice(b"five");
    frame::seal(&mut buffer, IDENTITY, 5);
    seventh.file.write_all_at(&buffer, FIRST_FRAME as u64).unwrap();

    let (frames, tail) = fixture.replay_after(Marker { frame: 4, segment: 7 }).unwrap();
    assert_eq!(frames, [(5, b"five".to_vec())]);
    let tail = tail.unwrap();
    assert_eq!((tail.segment, tail.offset, tail.prepared), (7, FIRST_FRAME + frame_bytes(b"five"), vec![8]));
}

#[test]
fn segments_that_are_no_longer_needed_are_used_again() {
    let fixture = Fixture::with_frames(&[&[1; 300], &[2; 300], &[3; 300]]);
    let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::new(fixture.path()) };
    let pool = Pool::new(fixture.folder(), IDENTITY, options, Vec::new());
    pool.retire_below(3).unwrap();
    let listing = segment::list(fixture.path()).unwrap();
    assert_eq!((listing.segments.len(), listing.spares.len()), (2, 2), "3 and the one prepared after it are left");
    pool.make(5).unwrap();
    assert_eq!(segment::list(fixture.path()).unwrap().spares.len(), 1);
}
