//! What the engine itself keeps in a partition, beside the participant's records: replies under idempotency keys, when
//! they are due to be forgotten, and marks of the writers.
//!
//! ```text
//!  'd' + key             a participant's record              '*'  one that is resident
//!  'a' + key             the answer to the request with this idempotency key
//!  'q' + time + number   which key is the number-th of those that are forgotten at this time
//!  'b' + time            how many those are
//!  'c'                   the times for which there are any
//!  'w'                   who committed last, and how often
//!  'l'                   which loss of data an operator accepted
//! ```
//!
//! Keys are due at a time of their own, rounded up (see [`due`]), and forgotten when it has come, whichever others there
//! are: one that is kept long, or that was recorded by a clock that was ahead, is in nobody's way.

use std::sync::Arc;

use bytes::Bytes;
use minicbor::{Decode, Encode};

use crate::{
    record::{Key, Record},
    store::RESIDENT,
};

/// When a key recorded at `now` and kept for `retention` is forgotten, all in milliseconds: at least as long after, and
/// rounded up by a sixteenth of it at most, so that not many times are in use at once, whatever the retentions are.
pub(crate) fn due(now: u64, retention: u64) -> u64 {
    let step = 1 << (retention / 16).max(1).ilog2();
    now.saturating_add(retention).checked_next_multiple_of(step).unwrap_or(u64::MAX)
}

/// Names of the engine's own records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum EngineKey {
    Answer(Arc<str>),
    Due(u64, u64),
    DueCount(u64),
    Calendar,
    Writers,
    Accepted,
}

impl Key for EngineKey {
    fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Answer(key) => {
                out.push(b'a');
                out.extend_from_slice(key.as_bytes());
            }
            Self::Due(time, number) => {
                out.push(b'q');
                out.extend_from_slice(&time.to_be_bytes());
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::DueCount(time) => {
                out.push(b'b');
                out.extend_from_slice(&time.to_be_bytes());
            }
            Self::Calendar => out.push(b'c'),
            Self::Writers => out.push(b'w'),
            Self::Accepted => out.push(b'l'),
        }
    }
}

/// The bytes of a participant's key in the store.
pub(crate) fn write_domain_key(key: &impl Key, out: &mut Vec<u8>) {
    let at = out.len() + 1;
    out.push(if key.is_resident() { RESIDENT } else { b'd' });
    key.write_to(out);
    debug_assert!(
        !key.is_resident() || out.get(at..).and_then(|bytes| Key::read_resident(bytes)).as_ref() == Some(key),
        "{key:?} is resident, so `Key::read_resident` has to read it"
    );
}

pub(crate) fn store_key(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = Vec::with_capacity(32);
    write(&mut bytes);
    bytes.into()
}

/// The engine's own records.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum EngineRecord {
    /// What a request with an idempotency key was told.
    #[n(0)]
    Answer {
        #[n(0)]
        fingerprint: u64,
        /// In milliseconds since 1970.
        #[n(1)]
        recorded_at: u64,
        /// The encoded reply; `None` where the key was only claimed, for a request that runs in another partition.
        #[cbor(n(2), with = "minicbor::bytes")]
        reply: Option<Vec<u8>>,
        /// How long it is kept, in milliseconds; `None`: as the settings say.
        #[n(3)]
        retention: Option<u64>,
    },
    /// A key that is to be forgotten.
    #[n(1)]
    Due {
        #[n(0)]
        key: String,
        #[n(1)]
        recorded_at: u64,
        /// What it was counted as.
        #[n(3)]
        #[cbor(default)]
        bytes: u64,
    },
    /// Of the keys that are due at one time those with numbers from `first` up to but not including `next` are there.
    #[n(2)]
    DueCount {
        #[n(0)]
        first: u64,
        #[n(1)]
        next: u64,
        /// The sum of what they are counted as.
        #[n(2)]
        #[cbor(default)]
        bytes: u64,
    },
    /// The times at which any key is due.
    #[n(4)]
    Calendar {
        #[n(0)]
        times: Vec<u64>,
    },
    /// How many commits each of the last few writers has made.
    #[n(3)]
    Writers {
        #[n(0)]
        commits: Vec<(u64, u64)>,
    },
    /// What an operator accepted as lost. See [`crate::repair`].
    #[n(5)]
    Accepted {
        /// Whatever a consumer has consumed of the log in earlier epochs and is not there any more.
        #[n(0)]
        epoch: u64,
        /// By service and partition, a log and the cursor on it: whatever came next there and is not there any more.
        #[n(1)]
        cursors: Vec<(String, u16, u64)>,
    },
}

impl EngineRecord {
    /// The commits counted for `writer`, if it is remembered.
    pub(crate) fn commits_of(&self, writer: u64) -> Option<u64> {
        let Self::Writers { commits } = self else { return None };
        commits.iter().find(|(id, _)| *id == writer).map(|(_, count)| *count)
    }

    /// The record with `count` commits noted for `writer`, and none for any but the last `limit` writers.
    pub(crate) fn with_commits(self, writer: u64, count: u64, limit: usize) -> Self {
        let mut commits = match self {
            Self::Writers { commits } => commits,
            _ => Vec::new(),
        };
        commits.retain(|(id, _)| *id != writer);
        commits.push((writer, count));
        let excess = commits.len().saturating_sub(limit.max(1));
        commits.drain(..excess);
        Self::Writers { commits }
    }
}

impl Record for EngineRecord {
    fn is_pinned(&self) -> bool {
        // Needed in every batch: never worth a load.
        matches!(self, Self::DueCount { .. } | Self::Calendar { .. } | Self::Writers { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(key: &EngineKey) -> Bytes {
        store_key(|out| key.write_to(out))
    }

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    struct Domain(&'static str);

    impl Key for Domain {
        fn write_to(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(self.0.as_bytes());
        }
    }

    #[test]
    fn no_two_keys_share_a_name_in_the_store() {
        let keys = [
            EngineKey::Answer("".into()),
            EngineKey::Answer("b".into()),
            EngineKey::Due(0, 0),
            EngineKey::Due(0, 1),
            EngineKey::Due(1, 0),
            EngineKey::DueCount(0),
            EngineKey::DueCount(1),
            EngineKey::Calendar,
            EngineKey::Writers,
        ];
        let mut names: Vec<_> = keys.iter().map(name).collect();
        // A participant's key that looks like one of the engine's.
        names.extend(["", "b", "ab", "w"].map(|bytes| store_key(|out| write_domain_key(&Domain(bytes), out))));
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn keys_are_due_in_time_but_not_at_many_times() {
        for retention in [1, 15, 16, 1000, 60_000, 15 * 60_000, 24 * 3_600_000, u64::MAX] {
            let mut times = std::collections::BTreeSet::new();
            for part in 0..1000 {
                let now = 1_700_000_000_000 + retention.min(1 << 40) / 1000 * part;
                let due = due(now, retention);
                assert!(due >= now.saturating_add(retention), "{now} {retention}");
                assert!(due - now.saturating_add(retention) <= retention / 16, "{now} {retention}");
                times.insert(due);
            }
            assert!(times.len() <= 40, "{retention}: {} times", times.len());
        }
    }

    #[test]
    fn the_last_writers_are_remembered_with_their_counts() {
        let mut record = EngineRecord::Writers { commits: Vec::new() };
        for writer in 0..20 {
            record = record.with_commits(writer, writer + 100, 8).with_commits(writer, writer + 200, 8);
        }
        for writer in 0..12 {
            assert_eq!(record.commits_of(writer), None, "writer {writer} is long gone");
        }
        for writer in 12..20 {
            assert_eq!(record.commits_of(writer), Some(writer + 200));
        }
        // One that goes on committing is not forgotten for those who came later.
        record = record.with_commits(12, 300, 8);
        for writer in 30..37 {
            record = record.with_commits(writer, 1, 8);
        }
        assert_eq!(record.commits_of(12), Some(300));
    }

    #[test]
    fn every_record_comes_back_from_its_bytes_and_other_bytes_are_refused() {
        let records = [
            EngineRecord::Answer { fingerprint: u64::MAX, recorded_at: 7, reply: Some(vec![0, 255]), retention: None },
            EngineRecord::Answer { fingerprint: 0, recorded_at: 7, reply: None, retention: Some(1) },
            EngineRecord::Due { key: "key".into(), recorded_at: 8, bytes: 100 },
            EngineRecord::DueCount { first: 3, next: 5, bytes: 1000 },
            EngineRecord::Calendar { times: vec![0, u64::MAX] },
            EngineRecord::Writers { commits: vec![(1, 2), (u64::MAX, 3)] },
        ];
        crate::conformance::codec::check(&records, include_str!("engine_records.corpus.txt"));
    }
}
