//! What a store holds, for whoever looks at data without serving them.

use crate::{
    codec::{Codec, CodecError},
    engine_records::EngineRecord,
    participant::{Participant, Timestamp},
    recorded::Recorded,
    store::RESIDENT,
};

/// Reads one event of a log, and when it was committed (see [`Origin::at`](crate::Origin::at)).
///
/// # Errors
/// It cannot be read.
pub fn read_event<E: Codec>(bytes: &[u8]) -> Result<(Timestamp, E), CodecError> {
    Recorded::decode_from(bytes).map(|Recorded { at, event }| (at, event))
}

/// Reads one record as `P`'s engine would, by its name in the store.
///
/// # Errors
/// It cannot be read.
pub fn check_record<P: Participant>(key: &[u8], value: &[u8]) -> Result<(), CodecError> {
    match key.first() {
        Some(&(b'd' | RESIDENT)) => P::Record::decode_from(value).map(drop),
        _ => EngineRecord::decode_from(value).map(drop),
    }
}
