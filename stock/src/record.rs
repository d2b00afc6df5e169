//! What stock keeps of an item.

use contract::{Amount, CheckoutId};
use saga::{
    hold::{Entry, Pool},
    minicbor::{self, Decode, Encode},
};

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

impl Entry for Item {
    type Saga = CheckoutId;

    fn pool(&self) -> &Pool<CheckoutId> {
        &self.pool
    }

    fn pool_mut(&mut self) -> &mut Pool<CheckoutId> {
        &mut self.pool
    }
}
