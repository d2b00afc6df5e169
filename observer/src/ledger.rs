//! What all events together come to: the units and the credit that they explain.
//!
//! ```text
//!   from + set − replaced + added − taken − paid  =  what the services have to have now
//! ```
//!
//! Sums are kept as events are heard, so they cost the same however long the history is, and outlive the pages that events were on.
//! Where something was missed they begin anew, from what the services say they have once the shop rests.

use contract::{Change, Checkout, Event, Sum};
use minicbor::{Decode, Encode};

/// What was heard of one service's accounts, since [`Ledger::from`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Sums {
    /// What accounts had after they were set by a bulk command.
    #[n(0)]
    pub set: Sum,
    /// What those had before.
    #[n(1)]
    pub replaced: Sum,
    /// What callers added.
    #[n(2)]
    pub added: Sum,
    /// What callers took.
    #[n(3)]
    pub taken: Sum,
    /// What checkouts took that were decided for.
    #[n(4)]
    pub paid: Sum,
}

/// What there was before the first event that is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub enum From {
    /// Nothing: all that ever happened is counted, as far as is known. A log whose beginning is gone says so with its next event only, so
    /// that is certain once both sides agreed.
    #[default]
    #[n(0)]
    Beginning,
    /// It is not known: something before the moment, in milliseconds since 1970, was missed.
    #[n(1)]
    Unknown(#[n(0)] u64),
    /// So much, by the services' own counts at a moment at which the shop rested.
    #[n(2)]
    Counted {
        /// When, in milliseconds since 1970.
        #[n(0)]
        at: u64,
        /// What all items had.
        #[n(1)]
        units: Sum,
        /// What all users had.
        #[n(2)]
        credit: Sum,
    },
}

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Ledger {
    /// What it begins with.
    #[n(0)]
    pub from: From,
    /// Units of items.
    #[n(1)]
    pub units: Sums,
    /// Credit of users.
    #[n(2)]
    pub credit: Sums,
    /// Checkouts that were decided for.
    #[n(3)]
    pub completed: u64,
    /// Events of any kind: nothing happened between two looks that find the same.
    #[n(4)]
    pub heard: u64,
    /// Decisions of checkouts that were decided before.
    #[n(5)]
    pub contradicted: u64,
    /// Whether what it begins with is certain.
    #[n(6)]
    pub is_certain: bool,
}

impl Sums {
    /// What they come to.
    #[must_use]
    pub fn net(&self) -> i128 {
        self.set.0 - self.replaced.0 + self.added.0 - self.taken.0 - self.paid.0
    }

    fn change(&mut self, accounts: usize, change: Change, total: contract::Amount, replaced: Sum) {
        match change {
            Change::Created => {}
            Change::Set => {
                self.set.0 += i128::from(total.get()) * accounts as i128;
                self.replaced.0 += replaced.0;
            }
            Change::Added(amount) => self.added.0 += i128::from(amount.get()),
            Change::Taken(amount) => self.taken.0 += i128::from(amount.get()),
        }
    }
}

impl Ledger {
    /// Of a history that has more than it counts.
    pub(crate) fn since(now: u64) -> Self {
        Self { from: From::Unknown(now), ..Self::default() }
    }

    /// Counts an event.
    pub(crate) fn hear(&mut self, event: &Event) {
        self.heard += 1;
        match event {
            Event::CheckoutCompleted(checkout) => self.pay(checkout),
            Event::StockChanged { items, change, total, replaced, .. } => {
                self.units.change(items.len(), *change, *total, *replaced);
            }
            Event::CreditChanged { users, change, total, replaced } => {
                self.credit.change(users.len(), *change, *total, *replaced);
            }
            _ => {}
        }
    }

    fn pay(&mut self, checkout: &Checkout) {
        self.completed += 1;
        self.units.paid.0 += checkout.lines.iter().map(|line| i128::from(line.quantity.get())).sum::<i128>();
        self.credit.paid.0 += i128::from(checkout.amount.get());
    }

    /// Takes note that something was missed: what comes is counted from something that is not known.
    pub(crate) fn lose(&mut self, now: u64) {
        *self = Self { heard: self.heard + 1, contradicted: self.contradicted, ..Self::since(now) };
    }

    /// Begins to count from what the services have, if what it begins with is not certain and nothing was heard since it was looked at.
    pub(crate) fn count_from(&mut self, heard: u64, units: Sum, credit: Sum, at: u64) -> bool {
        if self.is_certain || self.heard != heard {
            return false;
        }
        if self.from == From::Beginning && (self.units.net(), self.credit.net()) == (units.0, credit.0) {
            self.is_certain = true;
            return true;
        }
        let from = From::Counted { at, units, credit };
        *self = Self { from, heard, contradicted: self.contradicted, is_certain: true, ..Self::default() };
        true
    }

    /// What there was before the first event that is counted: units and credit, if it is known.
    #[must_use]
    pub fn began_with(&self) -> Option<(i128, i128)> {
        match self.from {
            From::Beginning => Some((0, 0)),
            From::Unknown(_) => None,
            From::Counted { units, credit, .. } => Some((units.0, credit.0)),
        }
    }
}
