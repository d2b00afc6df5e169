//! Events as they are kept in a log: with the time at which they were committed.

use std::ops::Deref;

use crate::{
    Timestamp,
    codec::{Codec, CodecError},
};

/// The first byte of an event with its time. What begins otherwise was written before there was one.
const DATED: u8 = 2;

/// Milliseconds since 1970 fit into so many bytes until the year 10889.
const TIME_BYTES: usize = 6;

/// An event, and when the batch that it is of began, by its producer's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recorded<E> {
    pub(crate) at: Timestamp,
    pub(crate) event: E,
}

impl<E> Deref for Recorded<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.event
    }
}

impl<E: Codec> Recorded<E> {
    pub(crate) fn encode_to(&self, out: &mut Vec<u8>) {
        encode(self.at, &self.event, out);
    }

    pub(crate) fn decode_from(bytes: &[u8]) -> Result<Self, CodecError> {
        let dated = bytes.strip_prefix(&[DATED]).and_then(|rest| rest.split_at_checked(TIME_BYTES));
        let Some((time, event)) = dated else {
            return Ok(Self { at: Timestamp::default(), event: E::decode_from(bytes)? });
        };
        let at = time.iter().fold(0, |at, byte| at << 8 | u64::from(*byte));
        Ok(Self { at: Timestamp(at), event: E::decode_from(event)? })
    }
}

/// Appends the encoding of an event that is committed at `at`.
pub(crate) fn encode<E: Codec>(at: Timestamp, event: &E, out: &mut Vec<u8>) {
    let [_, _, time @ ..] = at.0.to_be_bytes();
    out.push(DATED);
    out.extend_from_slice(&time);
    event.encode_to(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_comes_back_with_its_time() {
        let mut bytes = Vec::new();
        let recorded = Recorded { at: Timestamp(1_900_000_000_123), event: 7_u64 };
        recorded.encode_to(&mut bytes);
        assert_eq!(Recorded::decode_from(&bytes), Ok(recorded));
        for length in 0..bytes.len() {
            assert!(Recorded::<u64>::decode_from(&bytes[..length]).is_err(), "{length} bytes of it");
        }
    }

    #[test]
    fn an_event_of_before_there_were_times_is_read_without_one() {
        let mut bytes = Vec::new();
        7_u64.encode_to(&mut bytes);
        assert_eq!(Recorded::decode_from(&bytes), Ok(Recorded { at: Timestamp(0), event: 7_u64 }));
    }
}
