//! What payment keeps: users' credit, and one record for each checkout that is not settled.

use contract::{Checkout, CheckoutId, UserId};
use saga::{
    Key, Record,
    hold::{Hold, Pool},
    minicbor::{self, Decode, Encode},
};

/// Names a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PaymentKey {
    /// A user.
    User(UserId),
    /// What is known of a checkout.
    Checkout(CheckoutId),
}

impl Key for PaymentKey {
    fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::User(user) => {
                out.push(b'u');
                out.extend_from_slice(user.as_str().as_bytes());
            }
            Self::Checkout(checkout) => {
                out.push(b'c');
                out.extend_from_slice(&checkout.to_bytes());
            }
        }
    }

    fn is_resident(&self) -> bool {
        matches!(self, Self::Checkout(_))
    }

    fn read_resident(bytes: &[u8]) -> Option<Self> {
        CheckoutId::from_bytes(bytes.strip_prefix(b"c")?).map(Self::Checkout)
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum PaymentRecord {
    /// A user's credit, and which checkouts hold some.
    #[n(0)]
    User(#[n(0)] Pool<CheckoutId>),
    /// A checkout that is not settled.
    #[n(1)]
    Hold(#[n(0)] Hold<UserId, Checkout>),
}

impl Record for PaymentRecord {
    fn is_pinned(&self) -> bool {
        matches!(self, Self::User(pool) if pool.is_pinned())
    }
}
