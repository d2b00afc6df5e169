//! What has to be true of a market: always, and once it is at rest.

use order::Stage;

use super::{Address, Market};
use crate::{
    Judgement, Mutant, Service,
    attempt::operation_of,
    shop::{Operation, Outcome, Shop},
};

impl Market {
    /// What is wrong in this state, if anything, whatever comes next.
    #[must_use]
    pub fn violation(&self) -> Option<&'static str> {
        if self.gap {
            return Some("a log was trimmed although a consumer needs it");
        }
        for address in self.addresses() {
            let node = self.node(address);
            if !node.is_in_bounds() {
                return Some("more is held or taken than there is");
            }
            if node.facts().broken.is_some() {
                return node.facts().broken;
            }
            if address.service == Service::Order && self.has_taken_a_refusal_back(address) {
                return Some("a checkout that was refused was carried out after all");
            }
            if address.service == Service::Order && node.deadlines(&self.setup).len() != self.running(address) {
                return Some("a checkout runs without a deadline, or a deadline without a checkout");
            }
        }
        None
    }

    /// Whether an attempt was decided for, although whoever asked for it was told that nothing would come of it.
    fn has_taken_a_refusal_back(&self, address: Address) -> bool {
        let mut decided = self.node(address).facts().decided.iter().filter(|(_, well)| **well);
        decided.any(|(checkout, _)| {
            self.history().outcome(operation_of(*checkout)).is_some_and(|outcome| *outcome != Outcome::Done)
        })
    }

    /// The checkouts that run in an order partition.
    fn running(&self, address: Address) -> usize {
        let records = self.nodes.order[usize::from(address.partition)].records().iter();
        records.filter(|(_, order)| matches!(order.stage, Stage::InCheckout(_))).count()
    }

    /// Whether everything has happened that sooner or later must.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let mut progress = Vec::new();
        self.progress(&mut progress);
        if self.setup.plan.mutant == Some(Mutant::BlocksWhenFull) {
            progress.retain(|action| self.clone().apply(action));
        }
        progress.is_empty()
    }

    /// What is wrong with this state as one of rest.
    #[must_use]
    pub fn violation_at_rest(&self) -> Option<&'static str> {
        for address in self.addresses() {
            let node = self.node(address);
            if !node.is_at_rest() {
                return Some("something is left open: a checkout, a hold, a queue, a reader or a tombstone");
            }
            if node.log().trimmed() < node.log().end() && self.setup.plan.mutant != Some(Mutant::ConsumesAgain) {
                return Some("a log still holds events that nobody needs");
            }
        }
        // What sets a balance is no sum of changes: then one bookkeeper has to be found whose books these are.
        let plan = self.plan();
        let agree = if plan.operations.iter().any(Operation::is_renewal) {
            let judgement = self.history().judge(&plan.shop, &plan.operations, Some(&self.books()), usize::MAX);
            judgement == Judgement::Serializable
        } else {
            self.expected_books().is_some_and(|expected| expected == sorted(self.books()))
        };
        match agree {
            true => None,
            false => Some("the books do not agree with the checkouts and commands that were carried out"),
        }
    }

    /// Runs whatever must happen, in a fixed order, until there is none of it left. `false`: it was not over after far
    /// more steps than any plan takes.
    pub fn settle(&mut self) -> bool {
        for _ in 0..10_000 {
            let mut progress = Vec::new();
            self.progress(&mut progress);
            if !progress.iter().any(|action| self.apply(action)) {
                return true;
            }
        }
        false
    }

    /// The books as the services keep them.
    #[must_use]
    pub fn books(&self) -> Shop {
        let mut books = self.plan().shop.clone();
        self.addresses().for_each(|address| self.node(address).note_books(&self.setup, &mut books));
        books
    }

    /// The books as they follow from what was decided and carried out; `None` if it cannot have been.
    fn expected_books(&self) -> Option<Shop> {
        let mut books = self.plan().shop.clone();
        let facts = |address| self.node(address).facts();
        let done: Vec<_> = self.addresses().flat_map(|address| facts(address).done.iter()).collect();
        let operations = || done.iter().map(|operation| self.setup.operation(**operation));
        for operation in operations() {
            match *operation {
                Operation::AddItem { order, item, quantity } => books.orders[order].lines.push((item, quantity)),
                Operation::Add { item, quantity } => books.stock[item] += quantity,
                Operation::AddFunds { user, amount } => books.credit[user] += amount,
                _ => {}
            }
        }
        let decided = self.addresses().flat_map(|address| facts(address).decided.iter());
        for (checkout, _) in decided.filter(|(_, well)| **well) {
            let Operation::Checkout { order } = *self.setup.operation(operation_of(*checkout)) else { return None };
            for (item, quantity) in books.orders[order].wanted() {
                books.stock[item] = books.stock[item].checked_sub(quantity)?;
            }
            let order = &mut books.orders[order];
            books.credit[order.user] = books.credit[order.user].checked_sub(order.units())?;
            if std::mem::replace(&mut order.paid, true) {
                return None;
            }
        }
        for operation in operations() {
            let (pool, quantity) = match *operation {
                Operation::Subtract { item, quantity } => (&mut books.stock[item], quantity),
                Operation::Pay { user, amount } => (&mut books.credit[user], amount),
                _ => continue,
            };
            *pool = pool.checked_sub(quantity)?;
        }
        Some(sorted(books))
    }
}

/// The order of lines is that in which they came, which no sum of changes knows.
fn sorted(mut books: Shop) -> Shop {
    books.orders.iter_mut().for_each(|order| order.lines.sort_unstable());
    books
}
