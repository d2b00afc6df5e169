//! Whether what the shop keeps is explained by what it answered.
//!
//! Every order, user and item is read back and compared exactly:
//!
//! ```text
//!  each order    answered 2xx ⇒ paid · answered 4xx or never sent ⇒ not paid · unknown: either, as the order says
//!  each user     starting credit − Σ total cost of its paid orders         = credit found
//!  each item     starting stock  − Σ quantities in paid orders             = stock found
//! ```
//!
//! The comparison is per user and per item and not of the totals only, so that two errors cannot cancel out.

mod anomaly;
mod books;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    client::Target,
    load::OrderIds,
    outcome::Outcome,
    prepare::{self, Parallelism, Setup},
};
pub use anomaly::{Anomaly, AnomalyKind};
use books::{Books, FoundItem, FoundOrder, FoundUser, Known};

/// Anomalies that are listed one by one; the others are only counted.
const ANOMALIES_LISTED_MAX: usize = 100;

/// What the audit has to know about the run.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The server.
    pub target: Arc<Target>,
    /// The shop before the first checkout.
    pub setup: Setup,
    /// The names of the orders.
    pub orders: Arc<OrderIds>,
    /// How many orders there are.
    pub orders_count: u64,
    /// What was seen of each checkout that was sent, by the order's index.
    pub outcomes: Vec<(u64, Outcome)>,
}

/// What the audit found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AuditReport {
    /// Orders read.
    pub orders: u64,
    /// Users read.
    pub users: u64,
    /// Items read.
    pub items: u64,
    /// Orders that say they are paid.
    pub orders_paid: u64,
    /// Orders with an unknown outcome that turned out to be paid.
    pub unknown_paid: u64,
    /// Orders with an unknown outcome that turned out not to be paid.
    pub unknown_unpaid: u64,
    /// The credit of all users.
    pub credit: Total,
    /// The stock of all items.
    pub stock: Total,
    /// How many anomalies there are; 0 means that everything is explained.
    pub anomalies_count: u64,
    /// How many of which kind.
    pub anomalies_by_kind: BTreeMap<String, u64>,
    /// The first of them.
    pub anomalies: Vec<Anomaly>,
}

/// A total before and after the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Before the first checkout.
    pub before: i128,
    /// What paid orders took.
    pub taken_by_paid_orders: i128,
    /// After the last checkout, as read back.
    pub after: i128,
}

impl Total {
    /// What is there but should not be (positive), or should be there but is not (negative).
    #[must_use]
    pub fn unexplained(&self) -> i128 {
        self.after - (self.before - self.taken_by_paid_orders)
    }
}

impl AuditReport {
    /// Whether every credit and unit of stock is explained.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.anomalies_count == 0
    }

    fn note(&mut self, anomaly: Anomaly) {
        self.anomalies_count += 1;
        *self.anomalies_by_kind.entry(anomaly.kind.name().to_owned()).or_default() += 1;
        if self.anomalies.len() < ANOMALIES_LISTED_MAX {
            self.anomalies.push(anomaly);
        }
    }
}

impl Audit {
    /// Reads everything back and compares.
    ///
    /// # Errors
    /// When something could not be read: an audit of a part would prove nothing. Anomalies are not errors here but
    /// part of the report.
    pub async fn run(&self, parallelism: Parallelism) -> Result<AuditReport> {
        let mut report = AuditReport::default();
        let books = self.read_orders(parallelism, &mut report).await?;
        self.read_users(parallelism, &books, &mut report).await?;
        self.read_items(parallelism, &books, &mut report).await?;
        Ok(report)
    }

    async fn read_orders(&self, parallelism: Parallelism, report: &mut AuditReport) -> Result<Books> {
        let known = Arc::new(Known::new(self));
        let of_tasks = {
            let known = Arc::clone(&known);
            prepare::for_each(
                &self.target,
                self.orders_count,
                parallelism,
                "Auditing orders",
                move |mut api, claims, done| {
                    let known = Arc::clone(&known);
                    async move {
                        let mut books = Books::default();
                        while let Some(index) = claims.next() {
                            let path = format!("/orders/find/{}", known.orders.name(index));
                            let found = api.find::<FoundOrder>(&path).await?;
                            books.enter(&known, index, found.as_ref());
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(books)
                    }
                },
            )
            .await?
        };
        let mut books = Books::default();
        of_tasks.into_iter().for_each(|of_task| books.merge(of_task));
        report.orders = books.orders;
        report.orders_paid = books.paid;
        report.unknown_paid = books.unknown_paid;
        report.unknown_unpaid = books.unknown_unpaid;
        // In the order of the orders, not of the threads, so that a run can be compared with another.
        books.anomalies.sort_by_key(|(index, _)| *index);
        std::mem::take(&mut books.anomalies).into_iter().for_each(|(_, anomaly)| report.note(anomaly));
        Ok(books)
    }

    async fn read_users(&self, parallelism: Parallelism, books: &Books, report: &mut AuditReport) -> Result<()> {
        let users = u64::from(self.setup.users);
        let found = self.read_numbered("Auditing users", users, parallelism, "/payment/find_user/").await?;
        report.users = users;
        report.credit.before = i128::from(self.setup.credit) * i128::from(users);
        for (user, found) in found {
            let spent = books.spent.get(&user).copied().unwrap_or(0);
            report.credit.taken_by_paid_orders += spent;
            let Some(FoundUser { credit }) = found else {
                report.note(Anomaly::missing("user", user));
                continue;
            };
            report.credit.after += i128::from(credit);
            if let Some(anomaly) = Anomaly::of_credit(user, self.setup.credit, spent, credit) {
                report.note(anomaly);
            }
        }
        Ok(())
    }

    async fn read_items(&self, parallelism: Parallelism, books: &Books, report: &mut AuditReport) -> Result<()> {
        let items = u64::from(self.setup.items);
        let found = self.read_numbered("Auditing items", items, parallelism, "/stock/find/").await?;
        report.items = items;
        report.stock.before = i128::from(self.setup.stock) * i128::from(items);
        for (item, found) in found {
            let sold = books.sold.get(&item).copied().unwrap_or(0);
            report.stock.taken_by_paid_orders += sold;
            let Some(FoundItem { stock, price }) = found else {
                report.note(Anomaly::missing("item", item));
                continue;
            };
            report.stock.after += i128::from(stock);
            if let Some(anomaly) = Anomaly::of_stock(item, self.setup.stock, sold, stock) {
                report.note(anomaly);
            }
            if u64::try_from(price) != Ok(self.setup.price) {
                report.note(Anomaly::of_price(item, self.setup.price, price));
            }
        }
        Ok(())
    }

    /// Reads records "0" to `count` − 1, in that order.
    async fn read_numbered<T>(
        &self,
        message: &str,
        count: u64,
        parallelism: Parallelism,
        path: &'static str,
    ) -> Result<Vec<(u64, Option<T>)>>
    where
        T: serde::de::DeserializeOwned + Send + 'static,
    {
        let of_tasks =
            prepare::for_each(&self.target, count, parallelism, message, move |mut api, claims, done| async move {
                let mut found = Vec::new();
                while let Some(index) = claims.next() {
                    found.push((index, api.find::<T>(&format!("{path}{index}")).await?));
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(found)
            })
            .await?;
        let mut found: Vec<_> = of_tasks.into_iter().flatten().collect();
        found.sort_unstable_by_key(|(index, _)| *index);
        if found.len() as u64 == count { Ok(found) } else { Err(Error::ThreadDied) }
    }
}

#[cfg(test)]
mod tests;
