//! `sagamart serve`: all three services in one process, on one store.

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use contract::Service;
use observer::Observer;
use saga::Partition;
use store_embedded::Embedded;
use tokio::runtime;

use crate::any_store::AnyStore;

use super::{
    Error, half_the_processors,
    history_options::HistoryOptions,
    host::{self, Host, Operators, Routes},
    life::Stop,
    market::{self, Market},
    operators,
    options::{NO_DATABASE, ServeOptions, Shop},
    store::{OpenError, OpenStore, StoreAddress},
};

impl Shop {
    /// Serves until told to stop. The services run on the first of `threads`, the observer on the second.
    pub(crate) async fn run(self, threads: [runtime::Handle; 2], mut stop: Stop) -> Result<(), Error> {
        let history = self.history.clone();
        let options = self.options()?;
        let admin = history.listen().await?.map_or(Operators::Nowhere, Operators::Apart);
        let mut host = Host::listen(&options, "shop", admin, stop.clone()).await?;
        let Some(store) = stop.or(options.store.open(host.registry())).await else { return Ok(()) };
        let store = store?;
        let served = match &store {
            OpenStore::Memory(database) => {
                let partitions = options.partitions.unwrap_or_else(half_the_processors);
                let store = |service: &'static str, _| Ok(AnyStore::Memory(database.open(service)));
                serve(&options, history, host, &threads, store, partitions).await
            }
            OpenStore::Embedded(database) => {
                let partitions = partitions_of(&options, database);
                let open = |service: &'static str, partitions| Ok(database.service(service, partitions)?);
                let store = |service, partitions| {
                    open(service, partitions).map(AnyStore::Embedded).map_err(|error: OpenError| error.into())
                };
                serve(&options, history, host, &threads, store, partitions).await
            }
            OpenStore::Redis(_) => Err(Error::Options(NO_DATABASE.to_owned())),
        };
        let closed = store.close().await;
        served.and(closed.map_err(Error::from))
    }
}

/// What was asked for, or what the data have, or the default for new data.
fn partitions_of(options: &ServeOptions, database: &Embedded) -> Partition {
    let stored = database.services().into_iter().find(|(name, _)| name == Service::Order.name());
    options.partitions.or(stored.map(|(_, partitions)| partitions)).unwrap_or_else(half_the_processors)
}

/// Who keeps the history, if there is to be one.
fn observer_of(
    options: &ServeOptions,
    history: &HistoryOptions,
    host: &mut Host,
    threads: &runtime::Handle,
) -> Result<Option<Observer>, Error> {
    let Some(retention) = history.retention() else {
        options.traces.check_unused("a shop without a history (--history-hours 0)")?;
        return Ok(None);
    };
    let witness = options.traces.begin(options.sampling(), host.registry(), threads)?;
    Ok(Some(Observer { retention, witness }))
}

async fn serve(
    options: &ServeOptions,
    history: HistoryOptions,
    mut host: Host,
    [engine, observer]: &[runtime::Handle; 2],
    store: impl Fn(&'static str, Partition) -> Result<AnyStore, Error>,
    partitions: Partition,
) -> Result<(), Error> {
    host.store.told_by(|| None);
    let log = order::Log::new(options.slow_checkout());
    let checkouts = (options.checkout_timeout(), log, options.sampling());
    let settings = options.engine();
    let history_kept = observer_of(options, &history, &mut host, observer)?;
    let Market { running: market, routes, bulk, history: admin, operated, notes } =
        market::start([engine, observer], store, partitions, &settings, checkouts, history_kept, host.registry())?;
    let has_history = admin.is_some();
    let process = operators::router(market.inspection(), options.store.durability(), notes);
    let operated = admin.unwrap_or_default().merge(operated).merge(process);
    let health = market.health();
    host.readiness.check("store", move || host::is_well(&health));
    let health = market.health();
    host.readiness.limit("store", move || host::is_unlimited(&health));
    let (address, admin) = ((host.address, options.access.encrypts()), host.admin);
    let greeting = || greet(address, &options.store.store, admin, has_history);
    Box::pin(host.serve(market, Routes { shop: routes, bulk, operated }, greeting)).await
}

/// Says where everything is, and what to try.
fn greet(
    (address, is_encrypted): (SocketAddr, bool),
    store: &StoreAddress,
    admin: Option<SocketAddr>,
    has_history: bool,
) -> io::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let data = match store {
        StoreAddress::Embedded(Some(directory)) => {
            let place = directory.canonicalize().unwrap_or_else(|_| directory.clone());
            format!("{} (an answer is sent once it is on disk)", place.display())
        }
        _ => "in memory (gone when the process ends)".to_owned(),
    };
    let scheme = if is_encrypted { "https" } else { "http" };
    let base = format!("{scheme}://{address}");
    let mut out = io::stdout().lock();
    writeln!(out, "sagamart {version} listens on {base}")?;
    writeln!(out, "data: {data}")?;
    if let Some(admin) = admin.filter(|_| !has_history) {
        writeln!(out, "operators: {scheme}://{admin} (sagamart status)")?;
    } else if let Some(admin) = admin {
        writeln!(out, "history: {scheme}://{admin} (sagamart ls, sagamart why ORDER)")?;
    }
    writeln!(out, "stop: Ctrl-C\n\ntry:")?;
    writeln!(out, "  curl -X POST {base}/payment/create_user")?;
    writeln!(out, "  curl -X POST {base}/stock/item/create/5")?;
    writeln!(out, "  curl {base}/openapi.json")?;
    out.flush()
}
