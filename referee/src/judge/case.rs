//! A history arranged for judging: what was sold, and what happened to each account.
//!
//! A checkout is one change of several accounts: it takes its items from stock and its cost from credit. Which ones took
//! place is what the orders say at the end; when, lies between the first attempt that was not refused and the first that
//! succeeded.

use std::collections::{BTreeMap, HashMap};

use crate::{
    Outcome,
    history::{Account, Action, History, OrderRead},
};

/// The end of what has no end that is known.
pub(super) const OPEN: u64 = u64::MAX;

/// Where a change comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Source {
    /// An operation, by its place in the history.
    Operation(u32),
    /// A sale, by its place in the case.
    Sale(u32),
}

/// A checkout that took place.
#[derive(Clone, Debug)]
pub(super) struct Sale {
    pub(super) order: u32,
    pub(super) user: u32,
    pub(super) cost: i64,
    /// Each item once.
    pub(super) items: Vec<(u32, i64)>,
    pub(super) start: u64,
    pub(super) end: u64,
    /// The checkouts of its order that were not refused.
    pub(super) attempts: Vec<u32>,
}

/// A change of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) source: Source,
    pub(super) start: u64,
    /// [`OPEN`] for one whose outcome is unknown: it may take place at any time, or never.
    pub(super) end: u64,
    pub(super) delta: i64,
}

/// What somebody saw of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Its value.
    Equals(i64),
    /// That there was less than this.
    Below(i64),
}

impl Claim {
    pub(super) fn holds(self, value: i64) -> bool {
        match self {
            Self::Equals(expected) => value == expected,
            Self::Below(bound) => value < bound,
        }
    }
}

/// An operation that saw something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Observation {
    /// `None` for the final state.
    pub(super) operation: Option<u32>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) claim: Claim,
}

/// A change that was refused: it must not show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) operation: u32,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) delta: i64,
}

/// All that happened to one account.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) initial: i64,
    pub(super) changes: Vec<Change>,
    pub(super) observations: Vec<Observation>,
    pub(super) refusals: Vec<Refusal>,
    /// What was there at last: nothing known, not there any more, or a value.
    pub(super) last: Option<Option<i64>>,
}

/// What happened to one order.
#[derive(Clone, Debug, Default)]
pub(super) struct OrderLog {
    /// Who created it, when that is in the history.
    pub(super) created_for: Option<u32>,
    pub(super) additions: Vec<u32>,
    pub(super) checkouts: Vec<u32>,
    pub(super) finds: Vec<u32>,
}

/// A history arranged for judging.
#[derive(Debug)]
pub(super) struct Case<'history> {
    pub(super) history: &'history History,
    pub(super) sales: Vec<Sale>,
    pub(super) sale_of_order: HashMap<u32, u32>,
    pub(super) ledgers: BTreeMap<Account, Ledger>,
    pub(super) orders: BTreeMap<u32, OrderLog>,
    /// After the last operation and before the final state was read.
    pub(super) horizon: u64,
}

impl<'history> Case<'history> {
    pub(super) fn new(history: &'history History) -> Self {
        let horizon = history.end() + 1;
        let mut case = Self {
            history,
            sales: Vec::new(),
            sale_of_order: HashMap::new(),
            ledgers: initial_ledgers(history),
            orders: order_logs(history),
            horizon,
        };
        case.sell();
        case.enter_operations();
        case.enter_refused_checkouts();
        for ledger in case.ledgers.values_mut() {
            ledger.changes.sort_unstable_by_key(|change| (change.start, change.source));
            ledger.observations.sort_unstable_by_key(|observation| (observation.start, observation.operation));
        }
        case
    }

    pub(super) fn operation(&self, index: u32) -> Option<&crate::history::Operation> {
        self.history.operations.get(index as usize)
    }

    fn select(&self, indices: &[u32], outcome: impl Fn(Outcome) -> bool) -> Vec<u32> {
        let kept = |index: &&u32| self.operation(**index).is_some_and(|operation| outcome(operation.outcome));
        indices.iter().filter(kept).copied().collect()
    }

    /// Finds what was sold, and enters it with every account that it touched.
    fn sell(&mut self) {
        let mut paid: Vec<(u32, &OrderRead)> = self
            .history
            .state
            .orders
            .iter()
            .filter_map(|(order, found)| Some((*order, found.as_ref().filter(|found| found.paid)?)))
            .collect();
        paid.sort_unstable_by_key(|(order, _)| *order);
        for (order, found) in paid {
            let log = self.orders.get(&order).cloned().unwrap_or_default();
            let mut attempts = self.select(&log.checkouts, |outcome| outcome != Outcome::Refused);
            if attempts.is_empty() {
                // Nobody may have sold it, which is an anomaly of its own; it explains what it took all the same.
                attempts.clone_from(&log.checkouts);
            }
            let operations = || attempts.iter().filter_map(|index| self.operation(*index));
            let start = operations().map(|operation| operation.start).min().unwrap_or(0);
            let succeeded = operations().filter(|operation| operation.outcome == Outcome::Succeeded);
            let end = succeeded.map(|operation| operation.end).min().unwrap_or(self.horizon);
            let (user, cost) = (found.user, found.total_cost);
            let sale = Sale { order, user, cost, items: merged(&found.lines), start, end, attempts };
            let number = u32::try_from(self.sales.len()).expect("no more sales than operations");
            self.sale_of_order.insert(order, number);
            let source = Source::Sale(number);
            let mut enter = |account, delta| {
                let changes = &mut self.ledgers.entry(account).or_default().changes;
                changes.push(Change { source, start, end, delta });
            };
            sale.items.iter().for_each(|(item, quantity)| enter(Account::Item(*item), -quantity));
            enter(Account::User(sale.user), -cost);
            self.sales.push(sale);
        }
    }

    fn enter_operations(&mut self) {
        for (index, operation) in (0..).zip(&self.history.operations) {
            let (start, end) = (operation.start, operation.end);
            match (&operation.action, operation.outcome) {
                (Action::Change(account, delta), outcome) => {
                    let ledger = self.ledgers.entry(*account).or_default();
                    let change = |end| Change { source: Source::Operation(index), start, end, delta: *delta };
                    match outcome {
                        Outcome::Succeeded => ledger.changes.push(change(end)),
                        Outcome::Unknown => ledger.changes.push(change(OPEN)),
                        Outcome::Refused => {
                            ledger.refusals.push(Refusal { operation: index, start, end, delta: *delta });
                            if *delta < 0 && says_too_little(operation.reason.as_deref()) {
                                let claim = Claim::Below(-delta);
                                let seen = Observation { operation: Some(index), start, end, claim };
                                ledger.observations.push(seen);
                            }
                        }
                    }
                }
                (Action::Find(account, Some(value)), Outcome::Succeeded) => {
                    let claim = Claim::Equals(*value);
                    let seen = Observation { operation: Some(index), start, end, claim };
                    self.ledgers.entry(*account).or_default().observations.push(seen);
                }
                _ => {}
            }
        }
    }

    /// A checkout that was refused for want of something says that there was less than it wanted.
    fn enter_refused_checkouts(&mut self) {
        let mut entries = Vec::new();
        for (order, log) in &self.orders {
            for index in self.select(&log.checkouts, |outcome| outcome == Outcome::Refused) {
                let Some(operation) = self.operation(index) else { continue };
                let (lines, user) = self.wanted_at_most(*order, log, operation.end);
                let start = self.earliest_joined(log, index);
                let seen = |bound| Observation {
                    operation: Some(index),
                    start,
                    end: operation.end,
                    claim: Claim::Below(bound),
                };
                let price = i64::try_from(self.history.preface.price).unwrap_or(i64::MAX);
                let cost =
                    lines.iter().map(|(_, quantity)| quantity.saturating_mul(price)).fold(0, i64::saturating_add);
                let too_little = says_too_little(operation.reason.as_deref());
                let Action::Checkout { blamed, .. } = operation.action else { continue };
                for (item, quantity) in &lines {
                    let blames = too_little && blamed == Some(*item);
                    entries.push((Account::Item(*item), index, -quantity, blames.then(|| seen(*quantity))));
                }
                if let Some(user) = user {
                    let blames = too_little && operation.reason.as_deref() == Some(NOT_ENOUGH_CREDIT);
                    entries.push((Account::User(user), index, -cost, blames.then(|| seen(cost))));
                }
            }
        }
        for (account, index, delta, seen) in entries {
            let Some((start, end)) = self.operation(index).map(|operation| (operation.start, operation.end)) else {
                continue;
            };
            let ledger = self.ledgers.entry(account).or_default();
            ledger.refusals.push(Refusal { operation: index, start, end, delta });
            ledger.observations.extend(seen);
        }
    }

    /// The most that an order can have wanted by `end`, and from whom.
    fn wanted_at_most(&self, order: u32, log: &OrderLog, end: u64) -> (Vec<(u32, i64)>, Option<u32>) {
        let found = self.history.state.orders.get(&order).and_then(Option::as_ref);
        let Some(user) = log.created_for else {
            // Prepared before the run: what is in it at the end is what was in it, and what was added.
            return found.map_or((Vec::new(), None), |found| (merged(&found.lines), Some(found.user)));
        };
        let additions = self.select(&log.additions, |outcome| outcome != Outcome::Refused);
        let lines: Vec<(u32, i64)> = additions
            .iter()
            .filter_map(|index| self.operation(*index))
            .filter(|operation| operation.start <= end)
            .filter_map(|operation| match operation.action {
                Action::AddItem { item, quantity, .. } => Some((item, quantity)),
                _ => None,
            })
            .collect();
        (merged(&lines), Some(user))
    }

    /// When the attempt began whose outcome a checkout got: one that joins another gets the other's.
    fn earliest_joined(&self, log: &OrderLog, index: u32) -> u64 {
        let mut start = self.operation(index).map_or(0, |operation| operation.start);
        loop {
            let joined = log.checkouts.iter().filter_map(|other| self.operation(*other));
            let overlapping = joined.filter(|other| {
                // What got no answer may run on.
                other.start < start && (other.end >= start || other.outcome == Outcome::Unknown)
            });
            match overlapping.map(|other| other.start).min() {
                Some(earlier) => start = earlier,
                None => return start,
            }
        }
    }
}

/// The reason of a refusal for want of credit.
const NOT_ENOUGH_CREDIT: &str = "not-enough-credit";

/// Whether a reason says that there was too little, and not that something else was in the way.
fn says_too_little(reason: Option<&str>) -> bool {
    matches!(reason, Some("out-of-stock" | NOT_ENOUGH_CREDIT))
}

/// Lines with each item once, sorted.
pub(super) fn merged(lines: &[(u32, i64)]) -> Vec<(u32, i64)> {
    let mut sums: BTreeMap<u32, i64> = BTreeMap::new();
    for (item, quantity) in lines {
        let sum = sums.entry(*item).or_default();
        *sum = sum.saturating_add(*quantity);
    }
    sums.into_iter().collect()
}

fn initial_ledgers(history: &History) -> BTreeMap<Account, Ledger> {
    let preface = &history.preface;
    let signed = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    let items = (0..preface.items).map(|item| (Account::Item(item), signed(preface.stock)));
    let users = (0..preface.users).map(|user| (Account::User(user), signed(preface.credit)));
    let mut ledgers: BTreeMap<Account, Ledger> =
        items.chain(users).map(|(account, initial)| (account, Ledger { initial, ..Ledger::default() })).collect();
    for (item, stock) in &history.state.stock {
        ledgers.entry(Account::Item(*item)).or_default().last = Some(*stock);
    }
    for (user, credit) in &history.state.credit {
        ledgers.entry(Account::User(*user)).or_default().last = Some(*credit);
    }
    ledgers
}

fn order_logs(history: &History) -> BTreeMap<u32, OrderLog> {
    let mut logs: BTreeMap<u32, OrderLog> = BTreeMap::new();
    for (index, operation) in (0..).zip(&history.operations) {
        match operation.action {
            Action::Create { user, order: Some(order) } => logs.entry(order).or_default().created_for = Some(user),
            Action::AddItem { order, .. } => logs.entry(order).or_default().additions.push(index),
            Action::Checkout { order, .. } => logs.entry(order).or_default().checkouts.push(index),
            Action::FindOrder { order, .. } => logs.entry(order).or_default().finds.push(index),
            _ => {}
        }
    }
    logs
}
