//! What stock keeps: items, and one record for each checkout that is not settled.

use contract::{Amount, Checkout, CheckoutId, ItemId};
use saga::{
    Key, Record,
    hold::{Hold, Pool},
    minicbor::{self, Decode, Encode},
};

/// Names a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StockKey {
    /// An item.
    Item(ItemId),
    /// What is known of a checkout.
    Checkout(CheckoutId),
}

impl Key for StockKey {
    fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Item(item) => {
                out.push(b'i');
                out.extend_from_slice(item.as_str().as_bytes());
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

/// An item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Item {
    /// What one unit costs.
    #[n(0)]
    pub price: Amount,
    /// The units, and who holds some.
    #[n(1)]
    pub pool: Pool<CheckoutId>,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum StockRecord {
    /// An item.
    #[n(0)]
    Item(#[n(0)] Item),
    /// A checkout that is not settled.
    #[n(1)]
    Hold(#[n(0)] Hold<ItemId, Checkout>),
}

impl Record for StockRecord {
    fn is_pinned(&self) -> bool {
        matches!(self, Self::Item(item) if item.pool.is_pinned())
    }
}
