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

use contract::{Amount, Answer, ItemId, Queries, UserId};
use order::Orders;
use payment::{Payment, PaymentQueries};
use prometheus_client::registry::Registry;
use saga::{Halt, Metrics, Partition, Running, Service, Settings, Store};
use stock::{Stock, StockQueries};
use tokio::runtime;
use utoipa_axum::router::OpenApiRouter;
use web::call::Waits;

use crate::host::{Recovered, Run};

/// The databases of the three services.
#[derive(Clone, Debug)]
pub(crate) struct Stores<S> {
    pub(crate) order: S,
    pub(crate) stock: S,
    pub(crate) payment: S,
    /// How many partitions each service has.
    pub(crate) partitions: Partition,
}

/// The three services, running.
#[derive(Debug)]
pub(crate) struct Market {
    services: [Running; 3],
}

/// Starts the services on the threads of `engine` and returns them with their routes.
pub(crate) fn start<S: Store + Clone>(
    engine: &runtime::Handle,
    stores: Stores<S>,
    settings: &Settings,
    checkout_timeout: Duration,
    registry: &mut Registry,
) -> (Market, OpenApiRouter) {
    let (metrics, checkouts) = (Metrics::default(), order::Metrics::default());
    metrics.register(registry);
    checkouts.register(registry);
    let partitions = stores.partitions;
    let orders = Orders::new(checkout_timeout, checkouts);
    let mut order = Service::new(orders, stores.order, partitions, settings.clone(), metrics.clone());
    let mut stock = Service::new(Stock::default(), stores.stock, partitions, settings.clone(), metrics.clone());
    let mut payment = Service::new(Payment::default(), stores.payment, partitions, settings.clone(), metrics);
    stock.consume(&mut order);
    stock.consume_own();
    payment.consume(&mut order);
    payment.consume(&mut stock);
    order.consume(&mut stock);
    order.consume(&mut payment);

    let waits = Waits::default();
    let queries = LocalQueries { stock: StockQueries(stock.handle()), payment: PaymentQueries(payment.handle()) };
    let routes = order::router(order.handle(), Arc::new(queries), checkout_timeout, waits)
        .merge(stock::router(stock.handle(), waits))
        .merge(payment::router(payment.handle(), waits));
    let _on_its_threads = engine.enter();
    let market = Market { services: [order.start(), stock.start(), payment.start()] };
    (market, routes)
}

impl Run for Market {
    fn recovered(&self) -> Recovered {
        let all = self.services.each_ref().map(Running::recovered);
        Box::pin(async move {
            for mut service in all {
                if service.wait_for(|recovered| *recovered).await.is_err() {
                    return false;
                }
            }
            true
        })
    }

    async fn halted(&mut self) -> Halt {
        let [order, stock, payment] = &mut self.services;
        tokio::select! {
            halt = order.halted() => halt,
            halt = stock.halted() => halt,
            halt = payment.halted() => halt,
        }
    }

    async fn stop(self) -> Result<(), Halt> {
        let mut outcome = Ok(());
        for service in self.services {
            outcome = outcome.and(service.stop().await);
        }
        outcome
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
