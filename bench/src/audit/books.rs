//! What the orders say was bought: the sum that credit and stock are compared with.

use std::{collections::HashMap, sync::Arc};

use serde::Deserialize;

use super::{Anomaly, AnomalyKind, Audit};
use crate::{
    api::quote,
    load::OrderIds,
    outcome::Outcome,
    prepare::{Plan, Setup},
};

/// An order as the server describes it. Amounts are signed: a broken server may say anything.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct FoundOrder {
    pub(super) paid: bool,
    pub(super) items: Vec<(String, i64)>,
    pub(super) user_id: String,
    pub(super) total_cost: i64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct FoundUser {
    pub(super) credit: i64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct FoundItem {
    pub(super) stock: i64,
    pub(super) price: i64,
}

/// What the client knows.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) orders: Arc<OrderIds>,
    setup: Setup,
    /// What was seen of each order's checkout; `None` for one that was never sent.
    outcomes: Vec<Option<Outcome>>,
}

impl Known {
    pub(super) fn new(audit: &Audit) -> Self {
        let mut outcomes = vec![None; usize::try_from(audit.orders_count).unwrap_or(usize::MAX)];
        for (index, outcome) in &audit.outcomes {
            if let Some(of_order) = usize::try_from(*index).ok().and_then(|index| outcomes.get_mut(index)) {
                *of_order = Some(*outcome);
            }
        }
        Self { orders: Arc::clone(&audit.orders), setup: audit.setup.clone(), outcomes }
    }

    fn outcome(&self, index: u64) -> Option<Outcome> {
        let index = usize::try_from(index).ok()?;
        self.outcomes.get(index).copied().flatten()
    }
}

/// What a number of orders say.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) orders: u64,
    pub(super) paid: u64,
    pub(super) unknown_paid: u64,
    pub(super) unknown_unpaid: u64,
    /// By user: the cost of its paid orders.
    pub(super) spent: HashMap<u64, i128>,
    /// By item: its units in paid orders.
    pub(super) sold: HashMap<u64, i128>,
    /// With the indices of the orders.
    pub(super) anomalies: Vec<(u64, Anomaly)>,
}

impl Books {
    /// Enters one order: what it says against what is known of it.
    pub(super) fn enter(&mut self, known: &Known, index: u64, found: Option<&FoundOrder>) {
        self.orders += 1;
        let name = known.orders.name(index);
        let Some(order) = found else {
            self.anomalies.push((index, Anomaly::missing("order", &name)));
            return;
        };
        let outcome = known.outcome(index);
        let contradiction = match (outcome, order.paid) {
            (Some(Outcome::Succeeded), false) => {
                Some((AnomalyKind::SucceededButUnpaid, "answered 2xx but is not paid"))
            }
            (Some(Outcome::Refused), true) => Some((AnomalyKind::RefusedButPaid, "answered 4xx but is paid")),
            (None, true) => Some((AnomalyKind::UnsentButPaid, "never checked out but is paid")),
            _ => None,
        };
        if let Some((kind, detail)) = contradiction {
            self.anomalies.push((index, Anomaly::of_order(kind, &name, detail)));
        }
        if let Some(detail) = contents_changed(order, &known.setup, known.setup.plan(index).as_ref()) {
            let anomaly = Anomaly::of_order(AnomalyKind::OrderChanged, &name, detail);
            self.anomalies.push((index, anomaly));
        }
        if outcome == Some(Outcome::Unknown) {
            self.unknown_paid += u64::from(order.paid);
            self.unknown_unpaid += u64::from(!order.paid);
        }
        if order.paid {
            self.enter_paid(order);
        }
    }

    /// An order for a user or an item that does not exist was reported as changed already, and explains nothing.
    fn enter_paid(&mut self, order: &FoundOrder) {
        self.paid += 1;
        if let Some(user) = number(&order.user_id) {
            *self.spent.entry(user).or_default() += i128::from(order.total_cost);
        }
        for (item, quantity) in &order.items {
            if let Some(item) = number(item) {
                *self.sold.entry(item).or_default() += i128::from(*quantity);
            }
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.orders += other.orders;
        self.paid += other.paid;
        self.unknown_paid += other.unknown_paid;
        self.unknown_unpaid += other.unknown_unpaid;
        for (into, from) in [(&mut self.spent, other.spent), (&mut self.sold, other.sold)] {
            for (number, amount) in from {
                *into.entry(number).or_default() += amount;
            }
        }
        self.anomalies.extend(other.anomalies);
    }
}

/// In which way an order is not as it was prepared, if it is not.
fn contents_changed(order: &FoundOrder, setup: &Setup, plan: Option<&Plan>) -> Option<String> {
    let Some(user) = number(&order.user_id).filter(|user| *user < u64::from(setup.users)) else {
        return Some(format!("its user {:?} does not exist", quote(order.user_id.as_bytes())));
    };
    let mut items = Vec::with_capacity(order.items.len());
    for (item, quantity) in &order.items {
        let Some(item) = number(item).filter(|item| *item < u64::from(setup.items)) else {
            return Some(format!("its item {:?} does not exist", quote(item.as_bytes())));
        };
        if *quantity < 1 {
            return Some(format!("it has {quantity} of item {item}"));
        }
        items.push(item);
    }
    let units: i128 = order.items.iter().map(|(_, quantity)| i128::from(*quantity)).sum();
    if units != i128::from(setup.lines_per_order) {
        return Some(format!("it has {units} units, not {}", setup.lines_per_order));
    }
    let cost = units * i128::from(setup.price);
    if i128::from(order.total_cost) != cost {
        return Some(format!("its total cost is {}, but its lines come to {cost}", order.total_cost));
    }
    let plan = plan?;
    items.sort_unstable();
    let mut planned: Vec<u64> = plan.items.iter().copied().map(u64::from).collect();
    planned.sort_unstable();
    (user != u64::from(plan.user) || items != planned).then(|| "it has another user or other items".to_owned())
}

/// The number of a record whose name is a plain number, as batch initialisations name them.
fn number(name: &str) -> Option<u64> {
    name.parse().ok().filter(|number: &u64| name == number.to_string())
}
