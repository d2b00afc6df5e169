//! What the observer keeps.

use minicbor::{Decode, Encode};
use saga::{Key, Record};

use crate::{
    index::Index,
    ledger::Ledger,
    page::{Act, Heard, Page},
    undecided::Undecided,
};

/// Names a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HistoryKey {
    /// What is on no page yet, and which pages there are.
    Tail,
    /// Some of the checkouts that are not decided.
    Undecided(u8),
    /// What may be on a page.
    Index(u64),
    /// A page.
    Page(u64),
    /// What operators had done last.
    Acts,
}

impl Key for HistoryKey {
    fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Tail => out.push(b't'),
            Self::Acts => out.push(b'a'),
            Self::Undecided(shard) => out.extend_from_slice(&[b'u', *shard]),
            Self::Index(number) => {
                out.push(b'i');
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Page(number) => {
                out.push(b'p');
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
    }

    fn is_resident(&self) -> bool {
        !matches!(self, Self::Page(_))
    }

    fn read_resident(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (b't', []) => Some(Self::Tail),
            (b'a', []) => Some(Self::Acts),
            (b'u', [shard]) => Some(Self::Undecided(*shard)),
            (b'i', number) => Some(Self::Index(u64::from_be_bytes(number.try_into().ok()?))),
            _ => None,
        }
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[expect(
    clippy::large_enum_variant,
    reason = "of tails there is one, and it is copied before every step that adds to it"
)]
pub enum HistoryRecord {
    /// Of [`HistoryKey::Tail`].
    #[n(0)]
    Tail(#[n(0)] Tail),
    /// Of [`HistoryKey::Undecided`].
    #[n(1)]
    Undecided(#[n(0)] UndecidedRecord),
    /// Of [`HistoryKey::Index`].
    #[n(2)]
    Index(#[n(0)] Index),
    /// Of [`HistoryKey::Page`].
    #[n(3)]
    Page(#[n(0)] Page),
    /// Of [`HistoryKey::Acts`]: the last one last.
    #[n(4)]
    Acts(#[n(0)] Vec<Act>),
}

impl Record for HistoryRecord {}

/// The newest of the history.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Tail {
    /// The number of the first page that is kept.
    #[n(0)]
    pub(crate) first: u64,
    /// The number that the next page gets.
    #[n(1)]
    pub(crate) next: u64,
    /// About how many bytes all pages take.
    #[n(2)]
    pub(crate) bytes: u64,
    /// What is on no page yet.
    #[n(3)]
    pub(crate) heard: Heard,
    /// Checkouts that were decided for, on all pages there ever were.
    #[n(4)]
    pub(crate) completed: u64,
    /// Checkouts that were decided against.
    #[n(5)]
    pub(crate) cancelled: u64,
    /// Events that were missed.
    #[n(6)]
    pub(crate) missed: u64,
    /// When the last were, in milliseconds since 1970, while that may have been decisions of which somebody waits to hear.
    #[n(7)]
    pub(crate) missed_at: Option<u64>,
    /// What all events come to; not there where the history is of a version that did not count.
    #[n(8)]
    pub(crate) ledger: Option<Ledger>,
}

/// Checkouts that are not decided.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct UndecidedRecord(#[n(0)] pub(crate) Undecided);
