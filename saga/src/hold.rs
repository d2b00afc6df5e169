//! Holds: tentative claims of sagas on quantities, with parking instead of false refusals.
//!
//! One record per saga and participant:
//!
//! ```text
//!             request fits                       commit
//!   (none) ─────────────────▶ held ────────────────────────────▶ (none), taken
//!     │ │                      ▲ └──────────── release ────────▶ (none), given back
//!     │ │ might fit later      │ woken
//!     │ └────────────────▶ parked ─── release ─────────────────▶ (none), withdrawn
//!     │ never fits            │ woken and never fits
//!     ├───────────────────▶ refused ── release ────────────────▶ (none)
//!     │ upstream refused
//!     ├───────────────────▶ skipped ── release ────────────────▶ (none)
//!     │ release came first
//!     └───────────────────▶ tombstone ─ request or skip ──────▶ (none), withdrawn
//! ```
//!
//! A participant hears two things about every saga: the vote of the participant before it (a request, or that it is
//! skipped) and the decision (commit or release). The record is dropped when both were heard, so nothing is kept by time,
//! and in return each participant votes exactly once, to the participant after it: *held*, *refused* or *withdrawn*. Logs
//! are consumed in order and once, so neither can be heard again.
//!
//! Who writes a participant whose records are pools says what is its own in [`Holder`]; records, keys and the state
//! machine are here:
//!
//! ```text
//!   step ── self.pools(step) ──▶ Pools: event, take, add, read, expire … ──▶ Holder: cue, vote, taken, shown; parked, changed
//! ```

mod machine;
mod pool;
mod pools;
mod record;
#[cfg(test)]
mod tests;
mod totals;

use std::{fmt::Debug, hash::Hash};

use minicbor::{Decode, Encode};

pub use pool::{Generation, Parked, Pool, Ticket};
pub use pools::Pools;
pub use record::{Entry, Key, Part, Record};
pub use totals::Totals;

use crate::{Participant, Partition, Standing, Step};

/// A quantity wanted of one pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Claim<A> {
    /// Which pool.
    #[n(0)]
    pub account: A,
    /// How much.
    #[n(1)]
    pub quantity: u64,
    /// The pool's generation in which it is held; meaningless before.
    #[n(2)]
    pub generation: Generation,
}

impl<A> Claim<A> {
    /// A claim that is not held yet.
    pub fn new(account: A, quantity: u64) -> Self {
        Self { account, quantity, generation: Generation::default() }
    }
}

/// What a participant knows of one saga.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Hold<A, C> {
    /// Waits in the queue of every pool it wants something of.
    #[n(0)]
    Parked {
        /// What it wants; each pool once.
        #[n(0)]
        claims: Vec<Claim<A>>,
        /// What the participant needs to speak about it.
        #[n(1)]
        context: C,
    },
    /// Holds what it wanted.
    #[n(1)]
    Held {
        /// What it holds.
        #[n(0)]
        claims: Vec<Claim<A>>,
    },
    /// Was refused, and waits for its release.
    #[n(2)]
    Refused,
    /// Will never ask, because a participant before it refused, and waits for its release.
    #[n(3)]
    Skipped,
    /// Was released before it asked, and must not be served when it does.
    #[n(4)]
    Tombstone,
}

impl<A, C> Hold<A, C> {
    /// Where the saga stands (see [`Record::standing`](crate::Record::standing)).
    pub fn standing(&self) -> Standing {
        match self {
            Self::Parked { .. } => Standing::Parked,
            Self::Held { .. } => Standing::Held,
            Self::Refused | Self::Skipped | Self::Tombstone => Standing::Settled,
        }
    }
}

/// What was too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shortage {
    /// So much was wanted.
    pub wanted: u64,
    /// So much is there, held or not.
    pub left: u64,
}

/// What keeps a saga waiting, as it is when its wait begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wait<A> {
    /// Of the pools that it wants something of, the first that cannot serve it now.
    pub account: A,
    /// So much of it is wanted.
    pub wanted: u64,
    /// So much of it is held by nobody.
    pub free: u64,
    /// So many wait for it already.
    pub ahead: usize,
}

/// What a caller did to accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// [Put](Pools::put) there.
    Created,
    /// [Set](Pools::renew) to something, whatever was there.
    Set {
        /// What all of them had before, together.
        replaced: u128,
    },
    /// [Added](Pools::add) so much.
    Added(u64),
    /// [Taken](Pools::take) so much.
    Taken(u64),
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// There is no such pool.
    Unknown,
    /// It is more than there is, even if every hold were undone.
    Short(Shortage),
    /// Too many wait already.
    Busy,
    /// It waited for as long as it may.
    Expired,
    /// The pool would hold more than can be counted.
    TooMuch,
}

/// What a participant says about a saga, once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Vote<A> {
    /// It holds all that was asked for.
    Held,
    /// It does not and will not.
    Refused {
        /// The pool that was short.
        account: A,
        /// Why.
        refusal: Refusal,
    },
    /// It was released before it held anything.
    Withdrawn,
}

/// What an event asks of the pools of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cue<A> {
    /// The saga asks for all of these, each pool at most once, or for nothing.
    Request(Vec<Claim<A>>),
    /// A participant before this one refused: the saga will never ask here.
    Skip,
    /// The saga was decided for: what it holds is taken. The claims are what it asked for, in case the hold was lost.
    Commit(Vec<Claim<A>>),
    /// The saga was decided against: whatever it has here is undone.
    Release,
}

/// Which partition of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The partition.
    pub partition: Partition,
    /// How many there are.
    pub partitions: Partition,
}

/// A participant whose records are pools that sagas hold parts of: what is its own about them.
pub trait Holder:
    Participant<
        Key = Key<Self>,
        Record = Record<<Self as Holder>::Entry, <Self as Holder>::Account, <Self as Holder>::Context>,
    > + Clone
    + Ord
    + Hash
    + Debug
{
    /// What the names of accounts begin with in the store. Not `c`, with which those of sagas begin, nor `t`, the name of the
    /// totals; never change it while data exists.
    const TAG: u8;

    /// More than this no pool may have, of what is added by callers.
    const TOTAL_MAX: u64;

    /// Names a pool.
    type Account: AsRef<[u8]> + Part + Ord + Hash;

    /// Names a saga.
    type Saga: Into<[u8; 16]> + From<[u8; 16]> + Part + Copy + Ord + Hash;

    /// What it takes to vote on a saga.
    type Context: Part;

    /// What is kept under one account.
    type Entry: Entry<Saga = Self::Saga> + Part;

    /// The longest queue a pool may have.
    fn parked_max(&self) -> usize;

    /// Which saga an event is about, and what it takes to vote on it. `None`: about none, so it asks for nothing.
    fn saga(event: &Self::Event) -> Option<(Self::Saga, &Self::Context)>;

    /// What an event asks of this partition's pools, if anything.
    fn cue(&self, event: &Self::Event, here: Place) -> Option<Cue<Self::Account>>;

    /// The event by which this partition votes; `None` where nobody has to hear it.
    fn vote(&self, context: &Self::Context, vote: Vote<Self::Account>, here: Place) -> Option<Self::Event>;

    /// The event by which this partition says that a saga has to wait, once. What comes of the wait is a vote.
    fn parked(&self, context: &Self::Context, wait: Wait<Self::Account>, here: Place) -> Option<Self::Event> {
        let _ = (context, wait, here);
        None
    }

    /// The event by which this partition says what a caller did: to all of `accounts` the same, so that `after` is kept under
    /// each. One for each command that was carried out, none for one that was refused.
    fn changed(accounts: &[Self::Account], change: Change, after: &Self::Entry) -> Option<Self::Event> {
        let _ = (accounts, change, after);
        None
    }

    /// What a caller is told that wanted to take or to add, or that waited in vain to read.
    fn taken(account: &Self::Account, outcome: Result<(), Refusal>) -> Self::Reply;

    /// What a caller is told that wanted to read; `None`: there is no such account. The pool shows what it may see.
    fn shown(account: &Self::Account, entry: Option<&Self::Entry>) -> Self::Reply;

    /// The pools in one of its steps.
    fn pools<'step, 'view>(&'step self, step: &'step mut Step<'view, Self>) -> Pools<'step, 'view, Self> {
        Pools::new(self, step)
    }
}
