//! Orders that a test has placed, what they should cost, and every answer their checkouts got.

use std::collections::BTreeMap;

use crate::{Outcome, Shop, load::in_parallel};

/// How many requests prepare a market at once.
const PREPARE_AT_ONCE_MAX: usize = 32;

/// One order and what is known of it.
#[derive(Clone, Debug)]
pub struct Placed {
    /// Its id.
    pub order: String,
    /// Who pays.
    pub user: String,
    /// Items and quantities, as added.
    pub lines: Vec<(String, u64)>,
    /// The answer to each of its checkouts, oldest first.
    pub answers: Vec<Outcome>,
}

/// Users and items with what they were given, and the orders placed so far.
#[derive(Clone, Debug, Default)]
pub struct Market {
    /// Each user's credit before any checkout.
    pub credit: BTreeMap<String, u64>,
    /// Each item's stock before any checkout, and its price.
    pub stock: BTreeMap<String, (u64, u64)>,
    /// In the order they were placed.
    pub orders: Vec<Placed>,
}

impl Market {
    /// Creates `count` users with `credit` each.
    pub async fn add_users(&mut self, shop: &Shop, count: usize, credit: u64) -> Vec<String> {
        let shop = shop.clone();
        let users = in_parallel(PREPARE_AT_ONCE_MAX, 0..count, move |_| {
            let shop = shop.clone();
            async move { shop.user_with(credit).await }
        })
        .await;
        self.credit.extend(users.iter().map(|user| (user.clone(), credit)));
        users
    }

    /// Creates `count` items with `stock` units of `price` each.
    pub async fn add_items(&mut self, shop: &Shop, count: usize, price: u64, stock: u64) -> Vec<String> {
        let shop = shop.clone();
        let items = in_parallel(PREPARE_AT_ONCE_MAX, 0..count, move |_| {
            let shop = shop.clone();
            async move { shop.item_with(price, stock).await }
        })
        .await;
        self.stock.extend(items.iter().map(|item| (item.clone(), (stock, price))));
        items
    }

    /// Places orders, each of a user and lines; returns where the first of them is in [`Self::orders`].
    pub async fn place(&mut self, shop: &Shop, wanted: Vec<(String, Vec<(String, u64)>)>) -> usize {
        let first = self.orders.len();
        let shop = shop.clone();
        let placed = in_parallel(PREPARE_AT_ONCE_MAX, wanted, move |(user, lines)| {
            let shop = shop.clone();
            async move {
                let borrowed: Vec<(&str, u64)> =
                    lines.iter().map(|(item, quantity)| (item.as_str(), *quantity)).collect();
                let order = shop.order_of(&user, &borrowed).await;
                Placed { order, user, lines, answers: Vec::new() }
            }
        })
        .await;
        self.orders.extend(placed);
        first
    }

    /// Checks out every order from `first` on, `at_once_max` at a time, and records the answers.
    pub async fn check_out(&mut self, shop: &Shop, first: usize, at_once_max: usize) {
        let orders: Vec<String> = self.orders.iter().skip(first).map(|placed| placed.order.clone()).collect();
        let shop = shop.clone();
        let answers = in_parallel(at_once_max, orders, move |order| {
            let shop = shop.clone();
            async move { shop.checkout(&order).await }
        })
        .await;
        for (placed, answer) in self.orders.iter_mut().skip(first).zip(answers) {
            placed.answers.push(answer);
        }
    }

    /// What the order's lines cost.
    ///
    /// # Panics
    /// It names an item that is not of this market.
    #[must_use]
    pub fn cost(&self, placed: &Placed) -> u64 {
        let cost = |(item, quantity): &(String, u64)| self.stock.get(item).expect("an item of the market").1 * quantity;
        placed.lines.iter().map(cost).sum()
    }

    /// How many of the last answers from `first` on are this one (`succeeded`, a refusal's slug, …).
    #[must_use]
    pub fn count(&self, first: usize, slug: &str) -> usize {
        let last = self.orders.iter().skip(first).filter_map(|placed| placed.answers.last());
        last.filter(|answer| answer.slug() == slug).count()
    }
}
