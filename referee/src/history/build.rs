//! Histories for tests, written by hand.

use std::collections::BTreeMap;

use super::{Entry, Final, History, Kind, OrderFound, Preface, entry::FORMAT};
use crate::{Machine, Outcome};

/// A shop of three items with a stock of 10, at 1, and three users with a credit of 10.
pub(crate) fn preface() -> Preface {
    Preface {
        history: FORMAT,
        version: "0".to_owned(),
        started_unix_seconds: 0,
        url: "http://127.0.0.1:9".to_owned(),
        durability: None,
        machine: Machine::here(),
        load: BTreeMap::new(),
        items: 3,
        stock: 10,
        price: 1,
        users: 3,
        credit: 10,
        orders: 0,
    }
}

/// An operation from `start` to `end` that succeeded.
pub(crate) fn entry(op: Kind, start: u64, end: u64) -> Entry {
    Entry {
        op,
        client: 0,
        start,
        end,
        outcome: Outcome::Succeeded,
        reason: None,
        item: None,
        user: None,
        order: None,
        amount: None,
        value: None,
        found: None,
    }
}

/// A history that is built step by step.
pub(crate) struct Build {
    pub(crate) history: History,
}

impl Build {
    pub(crate) fn new() -> Self {
        Self { history: History::new(preface()) }
    }

    pub(crate) fn with(mut self, entry: Entry) -> Self {
        self.history.entry(entry).expect("a whole entry");
        self
    }

    pub(crate) fn add(self, item: &str, amount: u64, (start, end): (u64, u64)) -> Self {
        self.with(Entry { item: Some(item.into()), amount: Some(amount), ..entry(Kind::AddStock, start, end) })
    }

    pub(crate) fn take(self, item: &str, amount: u64, (start, end): (u64, u64)) -> Self {
        self.with(Entry { item: Some(item.into()), amount: Some(amount), ..entry(Kind::SubtractStock, start, end) })
    }

    pub(crate) fn take_ended(self, amount: u64, time: (u64, u64), outcome: Outcome, reason: &str) -> Self {
        let of = entry(Kind::SubtractStock, time.0, time.1);
        let reason = Some(reason.into());
        self.with(Entry { item: Some("0".into()), amount: Some(amount), outcome, reason, ..of })
    }

    pub(crate) fn find(self, item: &str, value: i64, (start, end): (u64, u64)) -> Self {
        self.with(Entry { item: Some(item.into()), value: Some(value), ..entry(Kind::FindItem, start, end) })
    }

    pub(crate) fn find_user(self, user: &str, value: i64, (start, end): (u64, u64)) -> Self {
        self.with(Entry { user: Some(user.into()), value: Some(value), ..entry(Kind::FindUser, start, end) })
    }

    /// An order of user 0 with one unit of each of these items, made before time 10.
    pub(crate) fn order(mut self, order: &str, items: &[&str]) -> Self {
        let (user, name) = (Some("0".into()), Some(order.into()));
        self = self.with(Entry { user, order: name.clone(), ..entry(Kind::CreateOrder, 1, 2) });
        for item in items {
            let of = entry(Kind::AddItem, 3, 4);
            self = self.with(Entry { order: name.clone(), item: Some((*item).into()), amount: Some(1), ..of });
        }
        self
    }

    pub(crate) fn checkout(self, order: &str, time: (u64, u64)) -> Self {
        self.with(Entry { order: Some(order.into()), ..entry(Kind::Checkout, time.0, time.1) })
    }

    pub(crate) fn checkout_ended(self, order: &str, time: (u64, u64), outcome: Outcome, reason: &str) -> Self {
        let of = entry(Kind::Checkout, time.0, time.1);
        self.with(Entry { order: Some(order.into()), outcome, reason: Some(reason.into()), ..of })
    }

    pub(crate) fn find_order(self, order: &str, paid: bool, items: &[&str], time: (u64, u64)) -> Self {
        let of = entry(Kind::FindOrder, time.0, time.1);
        self.with(Entry { order: Some(order.into()), found: Some(found(paid, items)), ..of })
    }

    /// The state at the end: stock of item 0 and 1, credit of user 0, and orders.
    pub(crate) fn ends(mut self, stock: [i64; 2], credit: i64, orders: &[(&str, bool, &[&str])]) -> Self {
        let item = |item: &str, stock| Final::Item { item: item.into(), stock: Some(stock), price: Some(1) };
        self.history.state(item("0", stock[0]));
        self.history.state(item("1", stock[1]));
        self.history.state(item("2", 10));
        for (user, credit) in [("0", credit), ("1", 10), ("2", 10)] {
            self.history.state(Final::User { user: user.into(), credit: Some(credit) });
        }
        for (order, paid, items) in orders {
            self.history.state(Final::Order { order: (*order).into(), found: Some(found(*paid, items)) });
        }
        self.history.state(Final::End { operations: self.history.operations.len() as u64 });
        self
    }
}

pub(crate) fn found(paid: bool, items: &[&str]) -> OrderFound {
    let total_cost = i64::try_from(items.len()).expect("few items");
    OrderFound { paid, items: items.iter().map(|item| ((*item).into(), 1)).collect(), user_id: "0".into(), total_cost }
}
