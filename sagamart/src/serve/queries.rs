//! What order asks stock and payment over the network.

use std::time::Duration;

use contract::{Amount, Answer, ItemId, Queries, QueryError, UserId};
use payment::PaymentQueries;
use quick_cache::sync::Cache;
use stock::StockQueries;
use tokio::time::timeout;

/// Prices that are remembered: of far more items than are put into orders while stock is down; about 100 bytes each.
const PRICES_MAX: usize = 100_000;

/// How long stock may take to answer where the price was seen before: far longer than it does while it lives.
const KNOWN_WAIT: Duration = Duration::from_millis(500);

/// How long either may take where nothing else will do: longer than it takes to notice a replica that froze, and to take
/// over from it.
const UNKNOWN_WAIT: Duration = Duration::from_secs(4);

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
            let seen = self.prices.get(&item);
            let wait = if seen.is_some() { KNOWN_WAIT } else { UNKNOWN_WAIT };
            match within(wait, self.stock.price(item.clone())).await {
                Ok(price) => {
                    match price {
                        Some(price) => self.prices.insert(item, price),
                        None => drop(self.prices.remove(&item)),
                    }
                    Ok(price)
                }
                Err(error) => seen.map(Some).ok_or(error),
            }
        })
    }

    fn knows_user(&self, user: UserId) -> Answer<'_, bool> {
        Box::pin(within(UNKNOWN_WAIT, self.payment.knows_user(user)))
    }
}

/// An answer that comes in time.
async fn within<T>(wait: Duration, answer: Answer<'_, T>) -> Result<T, QueryError> {
    timeout(wait, answer).await.unwrap_or(Err(QueryError::Unavailable))
}

#[cfg(test)]
mod tests {
    use payment::Payment;
    use saga::{Metrics, Service, Settings};
    use stock::Stock;
    use store_memory::MemoryStore;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_price_that_was_seen_is_remembered_when_stock_is_silent() {
        // Services that were not started take requests and answer none.
        let stock = Service::new(Stock::default(), MemoryStore::new(), 1, Settings::default(), Metrics::default());
        let payment = Service::new(Payment::default(), MemoryStore::new(), 1, Settings::default(), Metrics::default());
        let queries = RemoteQueries::new(StockQueries(stock.handle()), PaymentQueries(payment.handle()));
        let (seen, unseen): (ItemId, ItemId) = ("1".parse().expect("an id"), "2".parse().expect("an id"));
        let price = Amount::new(7).expect("an amount");
        queries.prices.insert(seen.clone(), price);

        let asked = Instant::now();
        assert_eq!(queries.price(seen).await, Ok(Some(price)));
        assert_eq!(asked.elapsed(), KNOWN_WAIT);
        assert_eq!(queries.price(unseen).await, Err(QueryError::Unavailable));
        assert_eq!(queries.knows_user("1".parse().expect("an id")).await, Err(QueryError::Unavailable));
        assert_eq!(asked.elapsed(), KNOWN_WAIT + 2 * UNKNOWN_WAIT);
    }
}
