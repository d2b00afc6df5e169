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
    /// When the request that began it was first asked (see [`Order::asked`]).
    #[n(3)]
    #[cbor(default)]
    pub asked: u64,
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
    /// The last attempts that were decided against. A request that begins an attempt may have copies on their way, sent
    /// because no answer came: whichever is late is told what became of the attempt, and begins no other one, for its
    /// caller may have been told long ago that nothing is kept. Of those that are no longer here, [`Self::floor`] knows.
    #[n(5)]
    #[cbor(default)]
    pub cancelled: Vec<Cancelled>,
    /// When the request that began the last attempt was first asked, or the last of those that were told that it is paid: a
    /// number that all copies of a request carry, and no matter by whose clock.
    #[n(6)]
    #[cbor(default)]
    pub asked: u64,
    /// Requests that were asked by then begin nothing: one of them may have begun an attempt that is forgotten.
    #[n(7)]
    #[cbor(default)]
    pub floor: u64,
    /// Of those, requests that were asked by then may have begun the attempt that was paid, before the order was set anew.
    #[n(8)]
    #[cbor(default)]
    pub paid_floor: u64,
    /// Callers that wait for the outcome of the attempt that runs, each with when it was asked.
    #[cbor(skip)]
    pub waiting: Vec<(RequestId, u64)>,
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
            asked: 0,
            floor: 0,
            paid_floor: 0,
            waiting: Vec::new(),
        }
    }

    /// The order set anew to these lines. What was asked about it before begins nothing any more: it was about another
    /// order of this name. The names of attempts are made with their number, so it counts on.
    #[must_use]
    pub fn renewed(&self, user: UserId, lines: Vec<Line>, total_cost: Amount) -> Self {
        let paid_floor = if self.stage == Stage::Paid { self.asked } else { self.paid_floor };
        let (attempts, floor) = (self.attempts, self.asked_last());
        Self { lines, total_cost, attempts, floor, paid_floor, ..Self::new(user) }
    }

    /// Takes whoever waits for the attempt. All of them are told the same, and none of their copies may begin another:
    /// not of those either that joined the attempt of somebody else.
    pub fn take_waiting(&mut self, is_paid: bool) -> Vec<RequestId> {
        let asked = self.waiting.iter().map(|(_, asked)| *asked).max().unwrap_or_default();
        let last = if is_paid { &mut self.asked } else { &mut self.floor };
        *last = asked.max(*last);
        std::mem::take(&mut self.waiting).into_iter().map(|(request, _)| request).collect()
    }

    /// Forgets the cancelled attempts, whose copies begin nothing all the same.
    pub fn forget_cancelled(&mut self) {
        self.floor = self.asked_last();
        self.cancelled.clear();
    }

    /// When the last of all requests that began an attempt was asked.
    fn asked_last(&self) -> u64 {
        let asked = self.cancelled.iter().map(|cancelled| cancelled.asked);
        asked.fold(self.floor.max(self.asked), u64::max)
    }

    /// Why the attempt that a request named `attempt` began was decided against, if it is remembered.
    #[must_use]
    pub fn outcome_of(&self, attempt: CheckoutId) -> Option<&Reason> {
        let same = |cancelled: &&Cancelled| attempt.after_attempts(cancelled.before) == cancelled.id;
        self.cancelled.iter().find(same).map(|cancelled| &cancelled.reason)
    }

    /// Remembers that the attempt that runs was decided against, and of no more than `limit` in all; whichever was asked
    /// first is forgotten first.
    pub fn remember(&mut self, id: CheckoutId, reason: Reason, limit: usize) {
        let before = self.attempts.saturating_sub(1);
        self.cancelled.push(Cancelled { id, before, reason, asked: self.asked });
        while self.cancelled.len() > limit
            && let Some(asked) = self.cancelled.iter().map(|cancelled| cancelled.asked).min()
        {
            self.floor = self.floor.max(asked);
            self.cancelled.retain(|cancelled| cancelled.asked > asked);
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
