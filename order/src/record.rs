//! What the order service keeps: orders.

use contract::{Amount, Checkout, CheckoutId, ItemId, Line, OrderId, Quantity, Reason, UserId};
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

/// An attempt that was decided against.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Cancelled {
    /// Its name.
    #[n(0)]
    pub id: CheckoutId,
    /// How many attempts had been begun before it.
    #[n(1)]
    pub before: u64,
    /// Why.
    #[n(2)]
    pub reason: Reason,
}

/// Cancelled attempts that an order remembers. A copy of a request that is still under way when its attempt is decided
/// arrives within seconds; more attempts than these in that time are refused faster than anybody retries.
const CANCELLED_MAX: usize = 4;

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
    /// The last attempts that were decided against. A request that begins an attempt may have copies on their way, sent
    /// because no answer came: whichever is late is told what became of the attempt, and begins no other one, for its
    /// caller may have been told long ago that nothing is kept.
    #[n(5)]
    #[cbor(default)]
    pub cancelled: Vec<Cancelled>,
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
            cancelled: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Why the attempt that a request named `attempt` began was decided against, if it is remembered.
    #[must_use]
    pub fn outcome_of(&self, attempt: CheckoutId) -> Option<&Reason> {
        let same = |cancelled: &&Cancelled| attempt.after_attempts(cancelled.before) == cancelled.id;
        self.cancelled.iter().find(same).map(|cancelled| &cancelled.reason)
    }

    /// Remembers that the attempt that runs was decided against.
    pub fn remember(&mut self, id: CheckoutId, reason: Reason) {
        if self.cancelled.len() == CANCELLED_MAX {
            self.cancelled.remove(0);
        }
        self.cancelled.push(Cancelled { id, before: self.attempts.saturating_sub(1), reason });
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
