//! What every serving process does around its services: its listeners from the first moment on, readiness, and an orderly
//! end.
//!
//! ```text
//!  listen() ─▶ starting ── serve() ─▶ recovering ─▶ ready ── told to stop ─▶ draining ─▶ services stopped
//!              /livez 200, all else 503 │ requests wait      /readyz 200       running requests finish
//! ```

use std::{io, net::SocketAddr, pin::Pin, sync::Arc};

use prometheus_client::registry::Registry;
use saga::{Halt, Health};
use tokio::{net::TcpListener, task::JoinHandle};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use web::{
    Readiness, Site,
    access::{self, Scope},
    metrics::HttpMetrics,
    server::{self, Front},
};

use super::{
    Error,
    admin::{Admin, Parts},
    descriptors, documents,
    health::StoreHealth,
    http_options::HttpOptions,
    life::Stop,
    options::ServeOptions,
    vitals::Vitals,
};

/// What the names of the engine's and the store's metrics begin with; those of HTTP bring it along.
const PREFIX: &str = "sagamart";

/// The future of [`Run::recovered`].
pub(crate) type Recovered = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Services that run in this process.
pub(crate) trait Run: Send {
    /// Waits until every partition has recovered. `false`: one halted instead.
    fn recovered(&self) -> Recovered;

    /// Waits until a partition stops by itself.
    fn halted(&mut self) -> impl Future<Output = Halt> + Send;

    /// Ends, with everything durable.
    fn stop(self) -> impl Future<Output = Result<(), Halt>> + Send;
}

/// Where operators ask.
pub(crate) enum Operators {
    /// At a listener of their own.
    Apart(TcpListener),
    /// Where clients would: there are none.
    AtListen,
    /// Nowhere.
    Nowhere,
}

/// What a process answers.
pub(crate) struct Routes {
    /// To clients.
    pub(crate) shop: OpenApiRouter,
    /// To those who set very much at once.
    pub(crate) bulk: OpenApiRouter,
    /// To operators.
    pub(crate) operated: OpenApiRouter,
}

/// The HTTP side of a process.
pub(crate) struct Host {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where operators ask, if that is elsewhere.
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) readiness: Readiness,
    /// What `/readyz` and metrics say of the store.
    pub(crate) store: StoreHealth,
    stop: Stop,
    registry: Registry,
    public: Public,
    has_public_bulk: bool,
    front: Front,
    serving: JoinHandle<Result<(), server::Error>>,
    /// Of operators, and of those who have the metrics alone.
    others: [Option<Admin>; 2],
}

/// What the public listener answers from.
struct Public {
    parts: Parts,
    http: HttpOptions,
    /// Whether operators ask there, for there are no clients.
    is_operators: bool,
}

/// What all listeners answer from.
fn parts_of(options: &ServeOptions, readiness: &Readiness) -> Result<Parts, Error> {
    let (access, audit, tls) = (options.access.access()?, options.access.audit()?, options.access.tls()?);
    if let Some(access) = access.clone() {
        readiness.limit("tokens", move || access.trouble().map_or(Ok(()), Err));
    }
    if let Some(tls) = tls.clone() {
        readiness.limit("certificate", move || tls.trouble().map_or(Ok(()), Err));
    }
    let (browsers, metrics, readiness) = (options.browsers.of_operators(), HttpMetrics::default(), readiness.clone());
    Ok(Parts { browsers, access, audit, tls, readiness, metrics })
}

impl Host {
    /// Listens, and says from now on that the process is starting. `runs` is what it is to run.
    pub(crate) async fn listen(
        options: &ServeOptions,
        runs: &'static str,
        operators: Operators,
        stop: Stop,
    ) -> Result<Self, Error> {
        descriptors::raise();
        let (readiness, store) = (Readiness::new(), StoreHealth::opening());
        let parts = parts_of(options, &readiness)?;
        let listener = options.listen().listen("--listen").await?;
        let address = listener.local_addr()?;
        options.access.check("--listen", address, parts.access.as_ref())?;
        readiness.state_durability(options.store.durability());
        let trouble = store.clone();
        readiness.check("store", move || trouble.trouble().map_or(Ok(()), Err));
        let connections = server::Metrics::default();
        let [starting, registry] = [(); 2].map(|()| {
            let mut registry = Registry::default();
            parts.metrics.register(&mut registry);
            connections.register(&mut registry);
            registry.register_collector(Box::new(Vitals::new(readiness.clone(), runs)));
            registry.sub_registry_with_prefix(PREFIX).register_collector(Box::new(store.clone()));
            registry
        });
        let starting = Arc::new(starting);
        let is_operators = matches!(operators, Operators::AtListen);
        let begin = |option, listener: TcpListener| {
            options.access.check(option, listener.local_addr()?, parts.access.as_ref())?;
            Admin::begin(listener, Arc::clone(&starting), parts.clone(), stop.clone())
        };
        let counting = match options.metrics_listen() {
            Some(address) => Some(begin("--metrics-listen", address.listen("--metrics-listen").await?)?),
            None => None,
        };
        let operators = match operators {
            Operators::Apart(listener) => Some(begin("--admin-listen", listener)?),
            Operators::AtListen | Operators::Nowhere => None,
        };
        let mut bounds = options.bounds();
        bounds.connections_max = descriptors::connections_max(bounds.connections_max);
        (bounds.tls, bounds.tells_peer) = (parts.tls.clone(), parts.audit.is_some());
        let parts = Parts { browsers: options.shops_browsers(), ..parts };
        let public = Public { parts, http: options.http(), is_operators };
        let nothing = OpenApiRouter::<()>::new();
        let front = Front::new(public.site(is_operators.then_some(starting), nothing.get_openapi()).starting());
        let mut told = stop.clone();
        let stopping = readiness.clone().drain_after(async move { told.told().await }, options.drain_notice());
        let serving = tokio::spawn(server::serve(listener, front.clone(), bounds, connections, stopping));
        let admin = operators.as_ref().map(Admin::address);
        tracing::info!(%address, admin = admin.map(tracing::field::display), "listening; the data are being opened");
        let has_public_bulk = options.access.has_public_bulk(address);
        let others = [operators, counting];
        Ok(Self { address, admin, readiness, store, stop, registry, public, has_public_bulk, front, serving, others })
    }

    /// Where services and stores register their metrics.
    pub(crate) fn registry(&mut self) -> &mut Registry {
        self.registry.sub_registry_with_prefix(PREFIX)
    }

    /// Serves until told to stop, or until a service stops by itself. `greet` is called once requests are welcome.
    pub(crate) async fn serve(
        mut self,
        services: impl Run,
        routes: Routes,
        greet: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), Error> {
        let Routes { mut shop, bulk, operated } = routes;
        let operated = access::guarded(operated, Scope::AdminRead, Scope::AdminRepair);
        if self.has_public_bulk {
            shop = shop.merge(bulk.clone());
        }
        let registry = Arc::new(std::mem::take(&mut self.registry));
        let [operators, counting] = &self.others;
        if let Some(counting) = counting {
            counting.open(Arc::clone(&registry), OpenApiRouter::new());
        }
        if self.public.is_operators {
            shop = shop.merge(operated).merge(bulk);
        } else if let Some(operators) = operators {
            operators.open(Arc::clone(&registry), operated.merge(bulk));
        }
        let registry = self.public.is_operators.then_some(registry);
        let (router, _) = self.public.site(registry, shop.get_openapi()).router(shop);
        self.front.open(router);
        let others = std::mem::take(&mut self.others);
        let served = self.run(services, greet).await;
        for other in others.into_iter().flatten() {
            other.end().await;
        }
        served
    }

    async fn run(self, mut services: impl Run, greet: impl FnOnce() -> io::Result<()>) -> Result<(), Error> {
        let Self { readiness, mut stop, mut serving, .. } = self;
        let mut recovered = services.recovered();
        let mut greet = Some(greet);
        loop {
            tokio::select! {
                () = stop.told() => break,
                halt = services.halted() => return Err(halt.into()),
                ended = &mut serving => return Ok(ended.map_err(io::Error::other)??),
                is_ready = &mut recovered, if greet.is_some() => {
                    if let Some(greet) = greet.take().filter(|_| is_ready) {
                        readiness.ready();
                        greet()?;
                    }
                }
            }
        }
        if greet.is_some() {
            tracing::info!("stopping while the data are recovered");
            // Nobody is sent here yet, and those who wait would wait for what is not to come.
            services.stop().await?;
            serving.await.map_err(io::Error::other)??;
        } else {
            tracing::info!("stopping: running requests get their answers");
            let drained = tokio::select! {
                drained = &mut serving => drained.map_err(io::Error::other)?,
                halt = services.halted() => return Err(halt.into()),
            };
            services.stop().await?;
            drained?;
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// For readiness.
pub(crate) fn is_well(health: &Health) -> Result<(), String> {
    let reasons = health.reasons();
    match reasons.iter().any(|reason| reason.contains("the data ")) {
        _ if reasons.is_empty() => Ok(()),
        // What others' data say about these takes an operator.
        true => Err(format!(
            "{}; docs/operating.md has the ways out, of which `sagamart repair` is the last",
            reasons.join("; ")
        )),
        false => Err(reasons.join("; ")),
    }
}

impl Public {
    fn site(&self, registry: Option<Arc<Registry>>, document: &OpenApi) -> Site {
        let about = match self.is_operators {
            true => documents::of_operators(document),
            false => documents::of_shop(document, self.http),
        };
        let site = self.parts.clone().site(registry, about);
        Site { dialect: self.http.dialect(), behind_gateway: self.http.behind_gateway, ..site }
    }
}

/// The same for what does not work while the rest does.
pub(crate) fn is_unlimited(health: &Health) -> Result<(), String> {
    let limits = health.limits();
    if limits.is_empty() { Ok(()) } else { Err(limits.join("; ")) }
}
