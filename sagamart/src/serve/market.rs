//! The three services in one process: which consumes whose events, and their routes under one roof.
//!
//! ```text
//!            CheckoutStarted, decisions              StockReserved …
//!   order ─────────────────────────────▶ stock ─────────────────────▶ payment
//!     ▲ └──────────── decisions ──────────│────────────────────────────▲ │
//!     ├──────────── StockRefused ◀────────┘                              │
//!     └──────────── PaymentAuthorized, PaymentRefused ◀──────────────────┘
//! ```

use std::{sync::Arc, time::Duration};

use contract::{Amount, Answer, Counted, ItemId, Queries, UserId};
use observer::Observer;
use order::Orders;
use payment::{Payment, PaymentQueries};
use prometheus_client::registry::Registry;
use saga::{Choreography, Halt, Metrics, NotConnected, Participant as _, Partition, Running, Settings, Store};
use stock::{Stock, StockQueries};
use tokio::runtime;
use utoipa_axum::router::OpenApiRouter;
use web::call::Waits;

use super::{
    history_metrics::HistoryMetrics,
    host::{Recovered, Run},
    operators::Notes,
};

/// Starts the services, each with a store and so many partitions, on the threads of `engine`; and on those of
/// `observer`, where a history is to be kept, the observer of them. A checkout may take so long, and what becomes of it is said in the log.
pub(crate) fn start<S: Store + Clone, E: From<NotConnected>>(
    [engine, observer]: [&runtime::Handle; 2],
    stores: impl Fn(&'static str, Partition) -> Result<S, E>,
    partitions: Partition,
    settings: &Settings,
    (checkout_timeout, log, sampling): (Duration, order::Log, order::Sampling),
    history: Option<Observer>,
    registry: &mut Registry,
) -> Result<Market, E> {
    let (metrics, checkouts) = (Metrics::default(), order::Metrics::new(sampling));
    metrics.register(registry);
    checkouts.register(registry);
    let mut market = Choreography::new(settings.clone(), metrics);
    market.run_on(Observer::NAME, observer.clone());
    let orders = Orders::new(checkout_timeout, checkouts).with_log(log.clone());
    let order = market.add(orders, stores(Orders::NAME, partitions)?, partitions);
    let stock = market.add(Stock::default(), stores(Stock::NAME, partitions)?, partitions);
    let payment = market.add(Payment::default(), stores(Payment::NAME, partitions)?, partitions);
    let history = match history {
        Some(history) => Some(market.add(history, stores(Observer::NAME, 1)?, 1)),
        None => None,
    };

    let waits = Waits::default();
    let books = Books { stock: StockQueries(stock.clone()), payment: PaymentQueries(payment.clone()) };
    let queries = LocalQueries { stock: StockQueries(stock.clone()), payment: PaymentQueries(payment.clone()) };
    let operated = order::operator_router(order.clone());
    let notes = Notes::default()
        .with(order.clone(), |by, because| order::Command::Redelivered { by, because })
        .with(stock.clone(), |by, because| stock::Command::Redelivered { by, because })
        .with(payment.clone(), |by, because| payment::Command::Redelivered { by, because });
    let notes = match &history {
        Some(history) => notes.with(history.clone(), |by, because| observer::Command::Redelivered { by, because }),
        None => notes,
    };
    let bulk = order::bulk_router(order.clone())
        .merge(stock::bulk_router(stock.clone()))
        .merge(payment::bulk_router(payment.clone()));
    let routes = order::router(order, Arc::new(queries), checkout_timeout, waits, log)
        .merge(stock::router(stock, waits))
        .merge(payment::router(payment, waits));
    let _on_its_threads = engine.enter();
    let history = history.map(|history| {
        HistoryMetrics::register(registry).ask(history.clone(), observer);
        observer::router(history, Arc::new(books))
    });
    Ok(Market { running: market.start()?, routes, bulk, history, operated, notes })
}

/// The services of the shop, running.
pub(crate) struct Market {
    pub(crate) running: Running,
    pub(crate) routes: OpenApiRouter,
    /// Routes that set very much at once.
    pub(crate) bulk: OpenApiRouter,
    /// Routes for operators, where a history is kept.
    pub(crate) history: Option<OpenApiRouter>,
    /// What operators may do.
    pub(crate) operated: OpenApiRouter,
    /// How the history hears of it.
    pub(crate) notes: Notes,
}

/// What the books say, wherever they are.
pub(crate) struct Books {
    pub(crate) stock: StockQueries,
    pub(crate) payment: PaymentQueries,
}

impl contract::Books for Books {
    fn units(&self, item: ItemId) -> Answer<'_, Option<Amount>> {
        self.stock.units(item)
    }

    fn credit(&self, user: UserId) -> Answer<'_, Option<Amount>> {
        self.payment.credit(user)
    }

    fn all_units(&self) -> Answer<'_, Counted> {
        self.stock.all_units()
    }

    fn all_credit(&self) -> Answer<'_, Counted> {
        self.payment.all_credit()
    }
}

impl Run for Running {
    fn recovered(&self) -> Recovered {
        Box::pin(self.recovered())
    }

    async fn halted(&mut self) -> Halt {
        self.halted().await
    }

    async fn stop(self) -> Result<(), Halt> {
        self.stop().await
    }
}

/// Stock and payment in the same process.
struct LocalQueries {
    stock: StockQueries,
    payment: PaymentQueries,
}

impl Queries for LocalQueries {
    fn price(&self, item: ItemId) -> Answer<'_, Option<Amount>> {
        self.stock.price(item)
    }

    fn knows_user(&self, user: UserId) -> Answer<'_, bool> {
        self.payment.knows_user(user)
    }
}
