//! Records, and their names.

use std::{fmt::Debug, hash::Hash};

use crate::codec::Codec;

/// `Err(Missing)`: a record that the step needs is not in memory. Hand it on with `?`; the engine loads the record and
/// runs the step again from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing;

/// The name of a record in its partition.
pub trait Key: Clone + Eq + Ord + Hash + Debug + Send + Sync + 'static {
    /// Appends the bytes the store knows the record by; different keys, different bytes. At most 120 bytes.
    fn write_to(&self, out: &mut Vec<u8>);

    /// Whether the record is *resident*: one of a kind that is few at any time and comes and goes, such as a record for
    /// every open saga. The engine has all of them in memory, always, so that it need not ask the store for those
    /// that are not there yet. Never change it for a key while data exists.
    fn is_resident(&self) -> bool {
        false
    }

    /// The resident key of which [`Self::write_to`] wrote these bytes. Needed where there are any: without it the partition
    /// could not be taken over (debug builds panic when such a key is written that cannot be read).
    fn read_resident(bytes: &[u8]) -> Option<Self> {
        let _ = bytes;
        None
    }
}

impl Key for String {
    fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

/// The state under one key.
pub trait Record: Codec + Clone + Debug + Send + Sync + 'static {
    /// Whether the record has a part that lives in memory only, such as callers who wait. It is then kept in memory.
    fn is_pinned(&self) -> bool {
        false
    }

    /// Where the saga stands that the record is about. Those that are held or parked are counted, for the metrics
    /// `sagas_held` and `sagas_parked`; all of them if they are [resident](Key::is_resident), else those in memory.
    fn standing(&self) -> Standing {
        Standing::Settled
    }
}

/// Where a saga stands with a participant, as its record says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// The record is of no saga, or nothing is held for it and it waits for nothing.
    #[default]
    Settled,
    /// It waits in a queue.
    Parked,
    /// Something is held for it until its decision comes.
    Held,
}
