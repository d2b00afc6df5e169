//! What the engine itself keeps in a partition, beside the participant's records: replies under idempotency keys, the
//! queue in which they expire, and marks of the writers.
//!
//! ```text
//!  'd' + key      a participant's record                   '*'  one that is resident
//!  'a' + key      the answer to the request with this idempotency key
//!  'q' + number   which key is the number-th to expire        'b'  the queue's bounds
//!  'r' + number   the same for keys with a time of their own  'c'  that queue's bounds
//!  'w'            who committed last, and how often
//! ```

use std::sync::Arc;

use bytes::Bytes;
use minicbor::{Decode, Encode};

use crate::{
    participant::{Key, Record},
    store::RESIDENT,
};

/// Which queue an answer waits in to be forgotten. Each is in the order of expiry, or nearly so: times of one's own are
/// short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Queue {
    /// Answers kept for as long as the settings say.
    Usual,
    /// Answers with a time of their own.
    Brief,
}

/// Names of the engine's own records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum EngineKey {
    Answer(Arc<str>),
    Queued(Queue, u64),
    QueueBounds(Queue),
    Writers,
}

impl Key for EngineKey {
    fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Answer(key) => {
                out.push(b'a');
                out.extend_from_slice(key.as_bytes());
            }
            Self::Queued(queue, number) => {
                out.push(match queue {
                    Queue::Usual => b'q',
                    Queue::Brief => b'r',
                });
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::QueueBounds(Queue::Usual) => out.push(b'b'),
            Self::QueueBounds(Queue::Brief) => out.push(b'c'),
            Self::Writers => out.push(b'w'),
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
    /// An entry in the queue of answers, oldest first.
    #[n(1)]
    Queued {
        #[n(0)]
        key: String,
        #[n(1)]
        recorded_at: u64,
        #[n(2)]
        retention: Option<u64>,
    },
    /// The queue holds the numbers from `first` up to but not including `next`.
    #[n(2)]
    Bounds {
        #[n(0)]
        first: u64,
        #[n(1)]
        next: u64,
    },
    /// How many commits each of the last few writers has made.
    #[n(3)]
    Writers {
        #[n(0)]
        commits: Vec<(u64, u64)>,
    },
}

/// Writers that are remembered. One replaces another only after a restart or a change of owner, and only the last one's
/// doubtful commit is ever asked about.
const WRITERS_MAX: usize = 8;

impl EngineRecord {
    /// The commits counted for `writer`.
    pub(crate) fn commits_of(&self, writer: u64) -> u64 {
        let Self::Writers { commits } = self else { return 0 };
        commits.iter().find(|(id, _)| *id == writer).map_or(0, |(_, count)| *count)
    }

    /// The record with `count` commits noted for `writer`.
    pub(crate) fn with_commits(self, writer: u64, count: u64) -> Self {
        let mut commits = match self {
            Self::Writers { commits } => commits,
            _ => Vec::new(),
        };
        commits.retain(|(id, _)| *id != writer);
        commits.push((writer, count));
        let excess = commits.len().saturating_sub(WRITERS_MAX);
        commits.drain(..excess);
        Self::Writers { commits }
    }
}

impl Record for EngineRecord {
    fn is_pinned(&self) -> bool {
        // Needed in every batch: never worth a load.
        matches!(self, Self::Bounds { .. } | Self::Writers { .. })
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
            EngineKey::Queued(Queue::Usual, 0),
            EngineKey::Queued(Queue::Usual, 1),
            EngineKey::Queued(Queue::Brief, 1),
            EngineKey::QueueBounds(Queue::Usual),
            EngineKey::QueueBounds(Queue::Brief),
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
    fn the_queue_is_in_order_in_the_store() {
        assert!(name(&EngineKey::Queued(Queue::Usual, 255)) < name(&EngineKey::Queued(Queue::Usual, 256)));
    }

    #[test]
    fn the_last_writers_are_remembered_with_their_counts() {
        let mut record = EngineRecord::Writers { commits: Vec::new() };
        for writer in 0..20 {
            record = record.with_commits(writer, writer + 100).with_commits(writer, writer + 200);
        }
        for writer in 0..12 {
            assert_eq!(record.commits_of(writer), 0, "writer {writer} is long gone");
        }
        for writer in 12..20 {
            assert_eq!(record.commits_of(writer), writer + 200);
        }
        // One that goes on committing is not forgotten for those who came later.
        record = record.with_commits(12, 300);
        for writer in 30..37 {
            record = record.with_commits(writer, 1);
        }
        assert_eq!(record.commits_of(12), 300);
    }

    #[test]
    fn every_record_comes_back_from_its_bytes_and_other_bytes_are_refused() {
        let records = [
            EngineRecord::Answer { fingerprint: u64::MAX, recorded_at: 7, reply: Some(vec![0, 255]), retention: None },
            EngineRecord::Answer { fingerprint: 0, recorded_at: 7, reply: None, retention: Some(1) },
            EngineRecord::Queued { key: "key".into(), recorded_at: 8, retention: Some(60_000) },
            EngineRecord::Bounds { first: 3, next: 5 },
            EngineRecord::Writers { commits: vec![(1, 2), (u64::MAX, 3)] },
        ];
        crate::conformance::codec::check(&records, include_str!("engine_records.corpus.txt"));
    }
}
