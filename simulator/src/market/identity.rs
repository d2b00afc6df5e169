//! When two states are one: everything but the plan, which they share.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use super::Market;

impl fmt::Debug for Market {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Market")
            .field("order", &self.order)
            .field("stock", &self.stock)
            .field("payment", &self.payment)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Market {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
            && self.stock == other.stock
            && self.payment == other.payment
            && self.history == other.history
            && (self.crashes, self.overtakes, self.gap) == (other.crashes, other.overtakes, other.gap)
    }
}

impl Hash for Market {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.order.hash(hasher);
        self.stock.hash(hasher);
        self.payment.hash(hasher);
        self.history.hash(hasher);
        (self.crashes, self.overtakes, self.gap).hash(hasher);
    }
}
