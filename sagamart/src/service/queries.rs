//! What order asks stock and payment over the network.

use contract::{Amount, Answer, ItemId, Queries, UserId};
use payment::PaymentQueries;
use quick_cache::sync::Cache;
use stock::StockQueries;

/// Prices that are remembered: of far more items than are put into orders while stock is down; about 100 bytes each.
const PRICES_MAX: usize = 100_000;

/// Stock and payment in other processes. Prices that were seen before are remembered for as long as stock cannot be
/// asked, so that orders can still be taken down; the checkout takes what the order says.
pub(crate) struct RemoteQueries {
    stock: StockQueries,
    payment: PaymentQueries,
    prices: Cache<ItemId, Amount>,
}

impl RemoteQueries {
    pub(crate) fn new(stock: StockQueries, payment: PaymentQueries) -> Self {
        Self { stock, payment, prices: Cache::new(PRICES_MAX) }
    }
}

impl Queries for RemoteQueries {
    fn price(&self, item: ItemId) -> Answer<'_, Option<Amount>> {
        Box::pin(async move {
            match self.stock.price(item.clone()).await {
                Ok(price) => {
                    match price {
                        Some(price) => self.prices.insert(item, price),
                        None => drop(self.prices.remove(&item)),
                    }
                    Ok(price)
                }
                Err(error) => self.prices.get(&item).map(Some).ok_or(error),
            }
        })
    }

    fn knows_user(&self, user: UserId) -> Answer<'_, bool> {
        self.payment.knows_user(user)
    }
}
