//! The reference: the shop as one bookkeeper would run it, one operation at a time.

use std::collections::BTreeMap;

/// What a client asks for. Items, users and orders go by their number in the [`Shop`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Check an order out.
    Checkout {
        /// Which.
        order: usize,
    },
    /// End the checkout of an order that runs, as an operator does.
    Cancel {
        /// Of which.
        order: usize,
    },
    /// Show an order.
    FindOrder {
        /// Which.
        order: usize,
    },
    /// Add a line to an order. Every unit costs one credit.
    AddItem {
        /// To which.
        order: usize,
        /// Of which item.
        item: usize,
        /// How many units.
        quantity: u64,
    },
    /// Show an item's units.
    FindItem {
        /// Of which.
        item: usize,
    },
    /// Add units to an item.
    Add {
        /// To which.
        item: usize,
        /// How many.
        quantity: u64,
    },
    /// Take units from an item.
    Subtract {
        /// From which.
        item: usize,
        /// How many.
        quantity: u64,
    },
    /// Show a user's credit.
    FindUser {
        /// Whose.
        user: usize,
    },
    /// Add to a user's credit.
    AddFunds {
        /// Whose.
        user: usize,
        /// How much.
        amount: u64,
    },
    /// Take from a user's credit.
    Pay {
        /// Whose.
        user: usize,
        /// How much.
        amount: u64,
    },
    /// Set an order to one unit of item 0, unpaid, as a bulk command does.
    RenewOrder {
        /// Which.
        order: usize,
    },
    /// Set an item's units.
    RenewItem {
        /// Of which.
        item: usize,
        /// How many.
        units: u64,
    },
    /// Set a user's credit.
    RenewUser {
        /// Whose.
        user: usize,
        /// How much.
        credit: u64,
    },
}

impl Operation {
    /// Whether it sets something whatever it was before.
    #[must_use]
    pub fn is_renewal(&self) -> bool {
        matches!(self, Self::RenewOrder { .. } | Self::RenewItem { .. } | Self::RenewUser { .. })
    }

    /// Whether it only looks.
    #[must_use]
    pub fn is_find(&self) -> bool {
        matches!(self, Self::FindOrder { .. } | Self::FindItem { .. } | Self::FindUser { .. })
    }
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It is done; for a checkout, the order is paid.
    Done,
    /// So many units.
    Units(u64),
    /// So much credit.
    Credit(u64),
    /// An order's state.
    Found {
        /// Whether it is paid.
        paid: bool,
        /// The units in all its lines.
        units: u64,
    },
    /// Not enough units of this item.
    OutOfStock(usize),
    /// Not enough credit.
    NotEnoughCredit,
    /// There is nothing in the order.
    Empty,
    /// The order is paid and can no longer be changed.
    Paid,
    /// The order is being checked out and cannot be changed now.
    InCheckout,
    /// Too many wait, or the caller's patience was over; nothing was changed.
    Busy,
    /// The checkout was not decided in time; nothing was changed.
    Timeout,
    /// An operator ended the checkout; nothing was changed.
    Cancelled,
    /// There is no checkout that an operator could end.
    NoCheckout,
}

impl Outcome {
    /// Refusals that speak of the traffic, not of the shop: they may come at any time and change nothing.
    #[must_use]
    pub fn is_no_effect(&self) -> bool {
        matches!(self, Self::InCheckout | Self::Busy | Self::Timeout | Self::Cancelled | Self::NoCheckout)
    }
}

/// An order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Order {
    /// Who pays.
    pub user: usize,
    /// Items and units, as they were added.
    pub lines: Vec<(usize, u64)>,
    /// Whether it was checked out.
    pub paid: bool,
}

impl Order {
    /// An order of `user` that nobody has paid.
    #[must_use]
    pub fn new(user: usize, lines: impl Into<Vec<(usize, u64)>>) -> Self {
        Self { user, lines: lines.into(), paid: false }
    }

    /// The units of all lines, which is also what it costs.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.lines.iter().map(|(_, quantity)| quantity).sum()
    }

    /// Units by item.
    #[must_use]
    pub fn wanted(&self) -> BTreeMap<usize, u64> {
        let mut wanted = BTreeMap::new();
        for (item, quantity) in &self.lines {
            *wanted.entry(*item).or_default() += quantity;
        }
        wanted
    }
}

/// The books.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shop {
    /// Units by item.
    pub stock: Vec<u64>,
    /// Credit by user.
    pub credit: Vec<u64>,
    /// Orders by number.
    pub orders: Vec<Order>,
}

impl Shop {
    /// Carries out `operation`.
    pub fn perform(&mut self, operation: &Operation) -> Outcome {
        match *operation {
            Operation::Checkout { order } => self.check_out(order),
            // What it ends is a checkout that has changed nothing here.
            Operation::Cancel { order } if self.orders[order].paid => Outcome::Paid,
            Operation::Cancel { .. } => Outcome::Done,
            Operation::FindOrder { order } => {
                let found = &self.orders[order];
                Outcome::Found { paid: found.paid, units: found.units() }
            }
            Operation::AddItem { order, item, quantity } => {
                let changed = &mut self.orders[order];
                if changed.paid {
                    return Outcome::Paid;
                }
                changed.lines.push((item, quantity));
                Outcome::Done
            }
            Operation::FindItem { item } => Outcome::Units(self.stock[item]),
            Operation::Add { item, quantity } => {
                self.stock[item] += quantity;
                Outcome::Done
            }
            Operation::Subtract { item, quantity } => {
                take(&mut self.stock[item], quantity).map_or(Outcome::OutOfStock(item), |()| Outcome::Done)
            }
            Operation::FindUser { user } => Outcome::Credit(self.credit[user]),
            Operation::AddFunds { user, amount } => {
                self.credit[user] += amount;
                Outcome::Done
            }
            Operation::Pay { user, amount } => {
                take(&mut self.credit[user], amount).map_or(Outcome::NotEnoughCredit, |()| Outcome::Done)
            }
            Operation::RenewOrder { order } => {
                self.orders[order] = Order::new(self.orders[order].user, [(0, 1)]);
                Outcome::Done
            }
            Operation::RenewItem { item, units } => {
                self.stock[item] = units;
                Outcome::Done
            }
            Operation::RenewUser { user, credit } => {
                self.credit[user] = credit;
                Outcome::Done
            }
        }
    }

    fn check_out(&mut self, number: usize) -> Outcome {
        let order = &self.orders[number];
        if order.paid {
            return Outcome::Done;
        }
        if order.lines.is_empty() {
            return Outcome::Empty;
        }
        let wanted = order.wanted();
        if let Some(item) = self.first_short(&wanted) {
            return Outcome::OutOfStock(item);
        }
        if take(&mut self.credit[order.user], order.units()).is_none() {
            return Outcome::NotEnoughCredit;
        }
        for (item, quantity) in wanted {
            self.stock[item] -= quantity;
        }
        self.orders[number].paid = true;
        Outcome::Done
    }

    fn first_short(&self, wanted: &BTreeMap<usize, u64>) -> Option<usize> {
        wanted.iter().find(|(item, quantity)| **quantity > self.stock[**item]).map(|(item, _)| *item)
    }

    /// The books after `operation` ended with `outcome`, or `None` if it never would in these books.
    #[must_use]
    pub fn after(&self, operation: &Operation, outcome: &Outcome) -> Option<Self> {
        if outcome.is_no_effect() {
            return Some(self.clone());
        }
        // Where several items are short, any of them may be named.
        if let (Operation::Checkout { order }, Outcome::OutOfStock(item)) = (operation, outcome) {
            let order = &self.orders[*order];
            let short = order.wanted().get(item).is_some_and(|quantity| *quantity > self.stock[*item]);
            return (!order.paid && short).then(|| self.clone());
        }
        let mut after = self.clone();
        (after.perform(operation) == *outcome).then_some(after)
    }
}

fn take(from: &mut u64, quantity: u64) -> Option<()> {
    *from = from.checked_sub(quantity)?;
    Some(())
}
