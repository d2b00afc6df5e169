//! What a holder keeps: a pool for each account, and a record for each saga that is not settled.

use std::fmt::Debug;

use minicbor::{Decode, Encode};

use super::{Hold, Holder, Pool, Totals};
use crate::Standing;

/// Names a record of a holder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key<P: Holder> {
    /// An account.
    Account(P::Account),
    /// What is known of a saga. These are resident: few at any time, and asked for with every event.
    Saga(P::Saga),
    /// What all accounts come to: resident, for it changes with every one of them.
    Totals,
}

/// What the names of sagas' records begin with. Those of accounts begin with [`Holder::TAG`].
const SAGA: u8 = b'c';

/// What the totals' record is called.
const TOTALS: u8 = b't';

impl<P: Holder> crate::Key for Key<P> {
    fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Account(account) => {
                out.push(P::TAG);
                out.extend_from_slice(account.as_ref());
            }
            Self::Saga(saga) => {
                out.push(SAGA);
                out.extend_from_slice(&(*saga).into());
            }
            Self::Totals => out.push(TOTALS),
        }
    }

    fn is_resident(&self) -> bool {
        !matches!(self, Self::Account(_))
    }

    fn read_resident(bytes: &[u8]) -> Option<Self> {
        if bytes == [TOTALS] {
            return Some(Self::Totals);
        }
        let name: [u8; 16] = bytes.strip_prefix(&[SAGA])?.try_into().ok()?;
        Some(Self::Saga(name.into()))
    }
}

/// What records may be made of. Implemented for everything that is so.
pub trait Part: Encode<()> + for<'b> Decode<'b, ()> + Clone + Debug + Send + Sync + 'static {}

impl<T> Part for T where T: Encode<()> + for<'b> Decode<'b, ()> + Clone + Debug + Send + Sync + 'static {}

/// What is kept under one account: a pool, and whatever else belongs there.
pub trait Entry {
    /// Names those who hold some of it.
    type Saga;

    /// The pool.
    fn pool(&self) -> &Pool<Self::Saga>;

    /// The same, to be changed.
    fn pool_mut(&mut self) -> &mut Pool<Self::Saga>;
}

impl<S> Entry for Pool<S> {
    type Saga = S;

    fn pool(&self) -> &Self {
        self
    }

    fn pool_mut(&mut self) -> &mut Self {
        self
    }
}

/// A record of a holder: what is kept under accounts, and under sagas that know accounts by `A` and bring along `C`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Record<E, A, C> {
    /// Of an account.
    #[n(0)]
    Account(#[n(0)] E),
    /// Of a saga that is not settled.
    #[n(1)]
    Hold(#[n(0)] Hold<A, C>),
    /// Of all accounts.
    #[n(2)]
    Totals(#[n(0)] Totals),
}

impl<E, A, C> crate::Record for Record<E, A, C>
where
    E: Entry + Part,
    A: Part,
    C: Part,
{
    fn is_pinned(&self) -> bool {
        self.pool().is_some_and(Pool::is_pinned)
    }

    fn standing(&self) -> Standing {
        self.hold().map_or(Standing::Settled, Hold::standing)
    }
}

impl<E: Entry, A, C> Record<E, A, C> {
    /// What is kept under the account, if it is one's.
    pub fn entry(&self) -> Option<&E> {
        match self {
            Self::Account(entry) => Some(entry),
            Self::Hold(_) | Self::Totals(_) => None,
        }
    }

    /// The account's pool, if it is one's.
    pub fn pool(&self) -> Option<&Pool<E::Saga>> {
        self.entry().map(E::pool)
    }

    pub(super) fn pool_mut(&mut self) -> Option<&mut Pool<E::Saga>> {
        match self {
            Self::Account(entry) => Some(entry.pool_mut()),
            Self::Hold(_) | Self::Totals(_) => None,
        }
    }

    /// What is known of the saga, if it is one's.
    pub fn hold(&self) -> Option<&Hold<A, C>> {
        match self {
            Self::Hold(hold) => Some(hold),
            Self::Account(_) | Self::Totals(_) => None,
        }
    }

    /// What all accounts come to, if it is that record.
    pub fn totals(&self) -> Option<Totals> {
        match self {
            Self::Totals(totals) => Some(*totals),
            Self::Account(_) | Self::Hold(_) => None,
        }
    }
}
