//! What the order service keeps: orders.

use contract::{Amount, Checkout, ItemId, Line, OrderId, Quantity, UserId};
use saga::{
    Key, Record, RequestId,
    minicbor::{self, Decode, Encode},
};

/// Names a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey(pub OrderId);

impl Key for OrderKey {
    fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_str().as_bytes());
    }
}

/// Where an order stands.
///
/// ```text
///            checkout begins              authorized
///   open ─────────────────────▶ in checkout ────────▶ paid
///    ▲                              │
///    └── refused, or the deadline ──┘
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Stage {
    /// Lines may be added.
    #[default]
    #[n(0)]
    Open,
    /// An attempt runs.
    #[n(1)]
    InCheckout(#[n(0)] Checkout),
    /// Checked out.
    #[n(2)]
    Paid,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Order {
    /// Whose.
    #[n(0)]
    pub user: UserId,
    /// What, as it was added: an item may stand in several lines.
    #[n(1)]
    pub lines: Vec<Line>,
    /// The sum of all lines at the prices of the moments when they were added.
    #[n(2)]
    pub total_cost: Amount,
    /// Where it stands.
    #[n(3)]
    pub stage: Stage,
    /// How many checkouts were begun.
    #[n(4)]
    pub attempts: u64,
    /// Callers that wait for the outcome of the attempt that runs.
    #[cbor(skip)]
    pub waiting: Vec<RequestId>,
}

impl Order {
    /// An empty order.
    #[must_use]
    pub fn new(user: UserId) -> Self {
        Self {
            user,
            lines: Vec::new(),
            total_cost: Amount::default(),
            stage: Stage::Open,
            attempts: 0,
            waiting: Vec::new(),
        }
    }

    /// The lines with each item once, in the order in which the items first appear; `None` if a sum is too large.
    #[must_use]
    pub fn merged_lines(&self) -> Option<Vec<Line>> {
        let mut merged: Vec<Line> = Vec::with_capacity(self.lines.len());
        for line in &self.lines {
            match merged.iter_mut().find(|other| other.item == line.item) {
                Some(same) => same.quantity = same.quantity.checked_add(line.quantity)?,
                None => merged.push(line.clone()),
            }
        }
        Some(merged)
    }

    /// The quantity of `item` over all lines, with `more` added; `None` if that is too large.
    #[must_use]
    pub fn quantity_with(&self, item: &ItemId, more: Quantity) -> Option<Quantity> {
        let same = self.lines.iter().filter(|line| line.item == *item);
        same.into_iter().try_fold(more, |sum, line| sum.checked_add(line.quantity))
    }
}

impl Record for Order {
    fn is_pinned(&self) -> bool {
        !self.waiting.is_empty()
    }
}
