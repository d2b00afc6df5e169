//! The suite that everything with a [`Codec`] passes: whatever bytes it is given, it refuses them or takes them for a
//! value that it writes and reads again as the same.
//!
//! Bytes are arbitrary ones, and valid encodings that were changed a little, since those get further. A decoder that
//! panics or reserves memory for what the bytes merely claim fails as well: see [`limit_memory`].

use std::fmt::Debug;

use proptest::{
    prelude::{Just, Strategy, any, prop},
    prop_oneof,
    sample::Index,
    test_runner::{Config, TestCaseError, TestRunner},
};

use crate::codec::{Codec, FORMAT};

/// A value takes at most so much more room when it is written than the bytes did that it was read from: numbers may be
/// written shorter, but nothing is made up.
const GROWTH_MAX: usize = 64;
const CASES: u32 = 4_000;

/// One change of an encoding.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    /// A length or a number that claims a lot.
    Claim(Index, Vec<u8>),
    Repeat(Index, Index),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let at = |index: &Index, bytes: &[u8]| index.index(bytes.len() + 1);
        match self {
            Self::Flip(index, bit) => {
                let place = at(index, bytes);
                bytes.get_mut(place).into_iter().for_each(|byte| *byte ^= 1 << (bit % 8));
            }
            Self::Cut(index) => bytes.truncate(at(index, bytes)),
            Self::Insert(index, more) => {
                let place = at(index, bytes);
                bytes.splice(place..place, more.iter().copied());
            }
            Self::Claim(index, more) => {
                let place = at(index, bytes);
                let end = bytes.len().min(place + 1);
                bytes.splice(place..end, more.iter().copied());
            }
            Self::Repeat(from, to) => {
                let (from, to) = (at(from, bytes), at(to, bytes));
                let part = bytes.get(from.min(to)..from.max(to)).unwrap_or_default().to_vec();
                bytes.extend(part);
            }
        }
    }
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    // Heads of CBOR that claim more than there is: strings, arrays, maps and numbers of up to 64 bits, and such without
    // a length.
    let claims = prop_oneof![
        (0_u8..6, prop::sample::select(vec![0xff_u64, 0xffff, 0xffff_ffff, u64::MAX, 1 << 40, (1 << 53) - 1, 1 << 53]))
            .prop_map(|(major, number)| [&[(major << 5) | 27][..], &number.to_be_bytes()].concat()),
        Just(vec![0x9f]),
        Just(vec![0xbf]),
        Just(vec![0x5f]),
        Just(vec![0xf6]),
    ];
    let change = prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(index, bit)| Change::Flip(index, bit)),
        1 => any::<Index>().prop_map(Change::Cut),
        2 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..4))
            .prop_map(|(index, more)| Change::Insert(index, more)),
        3 => (any::<Index>(), claims).prop_map(|(index, more)| Change::Claim(index, more)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Repeat(from, to)),
    ];
    prop::collection::vec(change, 0..6)
}

/// Puts the codec of `T` through arbitrary bytes, through changed encodings of `samples`, and through `corpus`.
///
/// The corpus is text: a line for each case, `taken` or `refused`, then the bytes in hexadecimal, then `#` and what the
/// case is about.
///
/// # Panics
/// When the codec is wrong, with the shortest bytes that show it; when the corpus cannot be read.
pub fn check<T: Codec + PartialEq + Debug>(samples: &[T], corpus: &str) {
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for sample in samples {
        let bytes = encoded(sample);
        assert_eq!(T::decode_from(&bytes).as_ref(), Ok(sample), "what was written is read");
        seeds.push(bytes);
    }
    for (line, is_taken, bytes, about) in cases(corpus) {
        assert_eq!(T::decode_from(&bytes).is_ok(), is_taken, "line {line} of the corpus: {about}");
        judge::<T>(&bytes).unwrap_or_else(|error| panic!("line {line} of the corpus, {about}: {error}"));
        seeds.push(bytes);
    }
    let arbitrary = prop::collection::vec(any::<u8>(), 0..200).prop_map(|mut bytes| {
        bytes.insert(0, FORMAT);
        bytes
    });
    let changed = (prop::sample::select(seeds), changes()).prop_map(|(mut bytes, changes)| {
        changes.iter().for_each(|change| change.apply(&mut bytes));
        bytes
    });
    let bytes = prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..40), 1 => arbitrary, 6 => changed];
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let ran = TestRunner::new(config).run(&bytes, |bytes| judge::<T>(&bytes).map_err(TestCaseError::fail));
    ran.unwrap_or_else(|error| panic!("add it to the corpus once it is understood: {error}"));
}

fn encoded(value: &impl Codec) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode_to(&mut bytes);
    bytes
}

fn judge<T: Codec + PartialEq + Debug>(bytes: &[u8]) -> Result<(), String> {
    let shown = hexadecimal(bytes);
    let Ok(value) = T::decode_from(bytes) else { return Ok(()) };
    let again = encoded(&value);
    if again.len() > bytes.len() + GROWTH_MAX {
        return Err(format!("{shown} is written with {} bytes", again.len()));
    }
    match T::decode_from(&again) {
        Ok(same) if same == value => {}
        other => return Err(format!("{shown} is taken for {value:?}, which comes back as {other:?}")),
    }
    let longer = [bytes, &[0]].concat();
    if T::decode_from(&longer).is_ok() {
        return Err(format!("{shown} is taken with a byte after it, too"));
    }
    Ok(())
}

fn cases(corpus: &str) -> impl Iterator<Item = (usize, bool, Vec<u8>, &str)> {
    let lines = (1..).zip(corpus.lines()).filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|(number, line)| {
        let (case, about) =
            line.split_once('#').unwrap_or_else(|| panic!("line {number} does not say what it is about"));
        let mut words = case.split_whitespace();
        let is_taken = match words.next() {
            Some("taken") => true,
            Some("refused") => false,
            other => panic!("line {number} begins with {other:?}"),
        };
        let bytes = words.flat_map(|word| word.as_bytes().chunks(2)).map(|digits| {
            let digits = std::str::from_utf8(digits).ok();
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            byte.unwrap_or_else(|| panic!("line {number} has {digits:?} in it"))
        });
        (number, is_taken, bytes.collect(), about.trim())
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lets this process have no more memory than a decoder of small values can ever need, so that one which reserves what
/// the bytes merely claim ends it. For tests in a process of their own.
///
/// # Panics
/// When the system does not let it.
pub fn limit_memory() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// Address space, most of which is stacks and the allocator's reserves for each of the test's threads.
    const BYTES_MAX: u64 = 4 << 30;
    let maximum = getrlimit(Resource::As).maximum;
    setrlimit(Resource::As, Rlimit { current: Some(BYTES_MAX), maximum }).expect("a limit can be lowered");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CodecError;

    /// A list of numbers as a careless decoder reads it: it stops at the count, whatever comes then.
    #[derive(Debug, PartialEq)]
    struct Careless(u8);

    impl Codec for Careless {
        fn encode_to(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&[FORMAT, self.0]);
        }

        fn decode_from(bytes: &[u8]) -> Result<Self, CodecError> {
            bytes.get(1).map(|byte| Self(*byte)).ok_or_else(|| CodecError::Malformed("short".to_owned()))
        }
    }

    #[test]
    #[should_panic(expected = "a byte after it")]
    fn a_careless_codec_is_found_out() {
        check(&[Careless(3)], "");
    }

    #[test]
    fn a_careful_codec_passes() {
        check(
            &[vec![1_u64, 70_000], Vec::new()],
            "taken 01 80 # an empty list\nrefused 01 9b ffffffffffffffff # a claim\n",
        );
    }

    #[test]
    #[should_panic(expected = "line 1 of the corpus")]
    fn a_corpus_that_says_otherwise_is_noticed() {
        check::<Vec<u64>>(&[], "refused 01 80 # an empty list\n");
    }
}
