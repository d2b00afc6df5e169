//! The journal's readers on bytes that nobody wrote: arbitrary ones, and valid ones that were changed a little.
//!
//! Behind a checksum such bytes do not get far; the readers are tried without it as well, since a checksum may fit by
//! chance or malice. They must neither panic nor look outside what they were given, and what they take must be what
//! would be written for it.

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any},
    prop_assert, prop_assert_eq, prop_oneof, proptest,
    sample::Index,
};

use crate::{
    frame,
    ops::{self, Op, OpBuffer},
    place::Place,
    section::{self, Section},
};

const IDENTITY: u64 = 0x5a6a;

/// An operation with its own data, to be written.
#[derive(Clone, Debug)]
enum Word {
    Put(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    Event(u64, Vec<u8>),
    Cursor(String, u16, u64),
}

fn word() -> impl Strategy<Value = Word> {
    let bytes = || vec(any::<u8>(), 0..20);
    prop_oneof![
        (bytes(), bytes()).prop_map(|(key, value)| Word::Put(key, value)),
        bytes().prop_map(Word::Remove),
        (any::<u64>(), bytes()).prop_map(|(number, event)| Word::Event(number, event)),
        ("[a-z]{0,9}", any::<u16>(), any::<u64>()).prop_map(|(name, partition, at)| Word::Cursor(name, partition, at)),
    ]
}

fn written<'a>(words: impl IntoIterator<Item = Op<'a>>) -> OpBuffer {
    let mut buffer = OpBuffer::default();
    for word in words {
        match word {
            Op::Put { key, value } => buffer.put(key, value),
            Op::Remove { key } => buffer.remove(key),
            Op::Event { number, event } => buffer.event(number, event),
            Op::Cursor { service, partition, position } => buffer.cursor(service, partition, position),
        };
    }
    buffer
}

fn encoded(words: &[Word]) -> OpBuffer {
    written(words.iter().map(|word| match word {
        Word::Put(key, value) => Op::Put { key, value },
        Word::Remove(key) => Op::Remove { key },
        Word::Event(number, event) => Op::Event { number: *number, event },
        Word::Cursor(service, partition, position) => {
            Op::Cursor { service, partition: *partition, position: *position }
        }
    }))
}

fn bytes_of(buffer: &OpBuffer) -> Vec<u8> {
    let mut bytes = Vec::new();
    buffer.write_to(&mut bytes);
    bytes
}

/// One change: another byte, a length that claims all there could be, an end that comes early, or a part that comes twice.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Claim(Index),
    Cut(Index),
    Repeat(Index),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        (any::<Index>(), prop_oneof![any::<u8>(), Just(0xff), Just(0), Just(0x80)])
            .prop_map(|(at, byte)| Change::Set(at, byte)),
        any::<Index>().prop_map(Change::Claim),
        any::<Index>().prop_map(Change::Cut),
        any::<Index>().prop_map(Change::Repeat),
    ];
    vec(change, 0..5)
}

fn change(bytes: &mut Vec<u8>, changes: &[Change]) {
    for change in changes {
        let at = |index: &Index| index.index(bytes.len() + 1);
        match change {
            Change::Set(index, byte) => {
                let at = at(index);
                bytes.get_mut(at).into_iter().for_each(|old| *old = *byte);
            }
            Change::Claim(index) => {
                let at = at(index);
                bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff);
            }
            Change::Cut(index) => bytes.truncate(at(index)),
            Change::Repeat(index) => {
                let part = bytes.get(at(index)..).unwrap_or_default().to_vec();
                bytes.extend(part);
            }
        }
    }
}

/// Whatever is taken is what would be written for it, from the front up to the first word that makes no sense.
fn check_words(bytes: &[u8]) -> Result<(), String> {
    let words: Vec<Option<Op<'_>>> = ops::read(bytes).collect();
    let whole = words.iter().all(Option::is_some);
    if words.iter().rev().skip(1).any(Option::is_none) {
        return Err("it goes on after a word that makes no sense".to_owned());
    }
    let again = bytes_of(&written(words.into_iter().flatten()));
    if bytes.get(..again.len()) != Some(&again) || (whole && again.len() != bytes.len()) {
        return Err(format!("taken for what is written as {again:02x?}"));
    }
    Ok(())
}

fn check_sections(payload: &[u8]) -> Result<(), String> {
    let mut again = Vec::new();
    for section in section::read(payload).flatten() {
        let words: Vec<_> = section.ops().collect();
        if words.iter().any(Option::is_none) {
            return Ok(());
        }
        let ops = written(words.into_iter().flatten());
        let (place, head, log_end, trim) = (section.place, section.head, section.log_end, section.trim);
        let before = again.len();
        Section { place, head, log_end, trim, ops }.write_to(&mut again);
        if payload.get(before..again.len()) != again.get(before..) {
            return Err(format!("the section at {before} is taken for another"));
        }
    }
    Ok(())
}

fn sealed(payload: &[u8], number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::begin(&mut bytes);
    bytes.extend_from_slice(payload);
    frame::seal(&mut bytes, IDENTITY, number);
    bytes
}

/// Wherever a frame is found, it is one that was sealed.
fn check_frames(segment: &[u8], offset: usize, number_min: u64) -> Result<(), String> {
    for at in (offset.next_multiple_of(8)..segment.len()).step_by(8).chain([offset]) {
        let Some(frame) = frame::at(segment, at, IDENTITY) else { continue };
        if at % 8 == 0
            && at % 512 <= 496
            && frame.number >= number_min
            && !frame::is_begun(segment, offset, IDENTITY, number_min)
        {
            return Err(format!("the frame at {at} is not noticed"));
        }
        let payload = segment.get(frame.payload.clone()).ok_or("a payload outside of the segment")?;
        let again = sealed(payload, frame.number);
        // Its padding may have been cut off with the segment's end.
        let there = segment.get(at..segment.len().min(at + again.len())).unwrap_or_default();
        let unpadded = frame::HEADER_BYTES + payload.len();
        // Padded up to a place in the segment, which is the frame's own length where it begins at such a place.
        let end = (at + unpadded).next_multiple_of(8);
        if there.get(..unpadded) != again.get(..unpadded) || frame.end != end {
            return Err(format!("what is at {at} was not sealed"));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn words_are_read_or_end_the_reading(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(check_words(&bytes), Ok(()));
    }

    #[test]
    fn changed_words_are_read_or_end_the_reading(words in vec(word(), 0..8), changes in changes()) {
        let mut bytes = bytes_of(&encoded(&words));
        prop_assert_eq!(ops::read(&bytes).filter(Option::is_some).count(), words.len());
        change(&mut bytes, &changes);
        prop_assert_eq!(check_words(&bytes), Ok(()));
    }

    #[test]
    fn sections_are_read_or_end_the_reading(
        sections in vec((any::<u8>(), any::<u16>(), any::<[u64; 3]>(), vec(word(), 0..4)), 0..4),
        changes in changes(),
        arbitrary in vec(any::<u8>(), 0..100),
    ) {
        prop_assert_eq!(check_sections(&arbitrary), Ok(()));
        let mut payload = Vec::new();
        for (service, partition, [head, log_end, trim], words) in sections {
            let place = Place { service, partition };
            Section { place, head, log_end, trim, ops: encoded(&words) }.write_to(&mut payload);
        }
        change(&mut payload, &changes);
        // The byte that is always zero is not looked at: it is the writer's, for a later version.
        prop_assert!(section::read(&payload).count() <= payload.len());
        if changes.is_empty() {
            prop_assert_eq!(check_sections(&payload), Ok(()));
        }
        for section in section::read(&payload).flatten() {
            prop_assert!(section.ops().count() <= payload.len());
        }
    }

    #[test]
    fn only_what_was_sealed_is_a_frame(
        payloads in vec(vec(any::<u8>(), 0..60), 0..4),
        first in prop_oneof![0_u64..5, Just(u64::MAX - 4)],
        changes in changes(),
        offset in any::<Index>(),
        number_min in prop_oneof![0_u64..8, any::<u64>()],
    ) {
        let frames = payloads.iter().zip(first..).map(|(payload, number)| sealed(payload, number));
        let mut segment = frames.collect::<Vec<_>>().concat();
        change(&mut segment, &changes);
        prop_assert_eq!(check_frames(&segment, offset.index(segment.len() + 1), number_min), Ok(()));
        prop_assert_eq!(frame::at(&segment, usize::MAX - 3, IDENTITY), None);
    }
}

/// Bytes that were worth keeping: each with what it is about.
const KEPT: &[(&[u8], &str)] = &[
    (&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "a key and a value that claim more than there is"),
    (&[3, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0], "an event that claims 4 GiB"),
    (&[4, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc3, 0x28], "a service whose name is not UTF-8"),
    (&[0x81, 0, 0, 0, 0, 0, 0], "a word that was struck and written all the same"),
    (&[2, 0, 0, 2, 0], "a second word that is cut off"),
];

#[test]
fn what_was_worth_keeping_is_read_or_ends_the_reading() {
    for (bytes, about) in KEPT {
        assert_eq!(check_words(bytes), Ok(()), "{about}");
        assert_eq!(check_sections(bytes), Ok(()), "{about}");
        assert_eq!(check_frames(bytes, 0, 0), Ok(()), "{about}");
        assert_eq!(ops::read(bytes).last(), Some(None), "{about}");
    }
}
