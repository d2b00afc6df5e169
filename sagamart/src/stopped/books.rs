//! What there is of items and users, as the records say, less what checkouts have taken that their holders had not heard of yet.

use std::collections::HashMap;

use contract::{Amount, Answer, Counted, Event, ItemId, QueryError, Service, Sum, UserId};
use payment::{Payment, PaymentKey};
use saga::{
    Partition, Store as _,
    hold::{self, Holder},
    load_record, partition_of, read_event, store,
    store::Visibility,
};
use stock::{Stock, StockKey};

use super::{Error, Stores};
use crate::any_store::AnyStore;

/// Events that are read at once.
const READ_LIMIT: usize = 1024;

/// See the module.
pub(super) struct StoppedBooks {
    stock: (AnyStore, Partition),
    payment: (AnyStore, Partition),
    /// Units of checkouts that are decided, and whose decision stock has not consumed.
    sold: HashMap<ItemId, u64>,
    /// Credit of them, where payment has not.
    paid: HashMap<UserId, u64>,
}

impl StoppedBooks {
    pub(super) async fn read(stores: &Stores) -> Result<Self, Error> {
        let [stock, payment] = [Service::Stock, Service::Payment].map(|service| stores.get(service.name()));
        let mut books = Self { stock, payment, sold: HashMap::new(), paid: HashMap::new() };
        let (orders, partitions) = stores.get(Service::Order.name());
        let (stock, payment) = (Cursors::of(&books.stock).await?, Cursors::of(&books.payment).await?);
        for order in 0..partitions {
            let mut after = 0;
            loop {
                let entries = orders.read_log(order, after, READ_LIMIT, Visibility::Durable).await?;
                let Some(last) = entries.last() else { break };
                after = last.position;
                for entry in &entries {
                    let event = read_event::<Event>(&entry.event);
                    let (_, event) = event.map_err(|error| store::Error::Failed(format!("an event: {error}")))?;
                    if let Event::CheckoutCompleted(checkout) = event {
                        for line in &checkout.lines {
                            if stock.lacks(line.item.as_str(), order, entry.position) {
                                *books.sold.entry(line.item.clone()).or_default() += line.quantity.get();
                            }
                        }
                        if payment.lacks(checkout.user.as_str(), order, entry.position) {
                            *books.paid.entry(checkout.user.clone()).or_default() += checkout.amount.get();
                        }
                    }
                }
            }
        }
        Ok(books)
    }
}

/// How far each partition of a service has consumed each log of order.
struct Cursors(Vec<HashMap<Partition, u64>>);

impl Cursors {
    async fn of((store, partitions): &(AnyStore, Partition)) -> Result<Self, Error> {
        let mut cursors = Vec::new();
        for partition in 0..*partitions {
            let all = store.load(partition, &[]).await?.cursors.into_iter();
            let of_order = all.filter(|cursor| &*cursor.log.service == Service::Order.name());
            cursors.push(of_order.map(|cursor| (cursor.log.partition, cursor.position)).collect());
        }
        Ok(Self(cursors))
    }

    /// Whether the partition that keeps `account` has not consumed this event of order.
    fn lacks(&self, account: &str, order: Partition, position: u64) -> bool {
        let partitions = Partition::try_from(self.0.len()).expect("one for each partition");
        let keeper = self.0.get(usize::from(partition_of(account.as_bytes(), partitions)));
        position > keeper.and_then(|cursors| cursors.get(&order)).copied().unwrap_or(0)
    }
}

fn left(total: Option<u64>, taken: Option<&u64>) -> Option<Amount> {
    total.map(|total| Amount::saturating(total.saturating_sub(taken.copied().unwrap_or(0))))
}

fn unavailable(error: &store::Error) -> QueryError {
    tracing::warn!(%error, "a record cannot be read");
    QueryError::Unavailable
}

/// What all accounts of a service come to, once its holders have taken what decided checkouts have bought.
async fn counted<P>((store, partitions): &(AnyStore, Partition), taken: i128) -> Result<Counted, QueryError>
where
    P: Holder,
{
    let mut all = Vec::new();
    for partition in 0..*partitions {
        let record = load_record::<P>(store, partition, &hold::Key::Totals).await;
        let record = record.map_err(|error| unavailable(&error))?;
        all.extend(record.as_ref().and_then(hold::Record::totals));
    }
    let hold::Totals { accounts, total, held, shortfall } = all.into_iter().sum();
    Ok(Counted { accounts, total: Sum(total - taken), held: Sum(held - taken), shortfall: Sum(shortfall) })
}

fn sum(taken: impl Iterator<Item = u64>) -> i128 {
    taken.map(i128::from).sum()
}

impl contract::Books for StoppedBooks {
    fn units(&self, item: ItemId) -> Answer<'_, Option<Amount>> {
        Box::pin(async move {
            let (store, partitions) = &self.stock;
            let partition = partition_of(item.as_str().as_bytes(), *partitions);
            let record = load_record::<Stock>(store, partition, &StockKey::Account(item.clone())).await;
            let record = record.map_err(|error| unavailable(&error))?;
            Ok(left(record.as_ref().and_then(|record| Some(record.pool()?.total())), self.sold.get(&item)))
        })
    }

    fn credit(&self, user: UserId) -> Answer<'_, Option<Amount>> {
        Box::pin(async move {
            let (store, partitions) = &self.payment;
            let partition = partition_of(user.as_str().as_bytes(), *partitions);
            let record = load_record::<Payment>(store, partition, &PaymentKey::Account(user.clone())).await;
            let record = record.map_err(|error| unavailable(&error))?;
            Ok(left(record.as_ref().and_then(|record| Some(record.pool()?.total())), self.paid.get(&user)))
        })
    }

    fn all_units(&self) -> Answer<'_, Counted> {
        Box::pin(counted::<Stock>(&self.stock, sum(self.sold.values().copied())))
    }

    fn all_credit(&self) -> Answer<'_, Counted> {
        Box::pin(counted::<Payment>(&self.payment, sum(self.paid.values().copied())))
    }
}
