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
            .field("nodes", &self.nodes)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Market {
    fn eq(&self, other: &Self) -> bool {
        self.nodes == other.nodes
            && self.history == other.history
            && (self.crashes, self.overtakes, self.copies, self.gap)
                == (other.crashes, other.overtakes, other.copies, other.gap)
    }
}

impl Hash for Market {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.nodes.hash(hasher);
        self.history.hash(hasher);
        (self.crashes, self.overtakes, self.copies, self.gap).hash(hasher);
    }
}
