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
    Access, Browsers, Readiness, Site,
    access::{self, Scope},
    metrics::HttpMetrics,
    server::{self, Front},
};

use super::{
    Error,
    admin::{self, Admin},
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
    operators: Option<Admin>,
    /// Who has the metrics alone.
    counting: Option<Admin>,
}

/// What the public listener answers from.
struct Public {
    readiness: Readiness,
    metrics: HttpMetrics,
    access: Option<Access>,
    http: HttpOptions,
    browsers: Browsers,
    /// Whether operators ask there, for there are no clients.
    is_operators: bool,
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
        let access = options.access.access()?;
        let listener = options.listen().listen("--listen").await?;
        let address = listener.local_addr()?;
        options.access.check("--listen", address, access.as_ref())?;
        let (readiness, store) = (Readiness::new(), StoreHealth::opening());
        readiness.state_durability(options.store.durability());
        let trouble = store.clone();
        readiness.check("store", move || trouble.trouble().map_or(Ok(()), Err));
        if let Some(access) = access.clone() {
            readiness.limit("tokens", move || access.trouble().map_or(Ok(()), Err));
        }
        let (metrics, connections) = (HttpMetrics::default(), server::Metrics::default());
        let registries = [(); 2].map(|()| {
            let mut registry = Registry::default();
            metrics.register(&mut registry);
            connections.register(&mut registry);
            registry.register_collector(Box::new(Vitals::new(readiness.clone(), runs)));
            registry.sub_registry_with_prefix(PREFIX).register_collector(Box::new(store.clone()));
            registry
        });
        let [starting, registry] = registries;
        let starting = Arc::new(starting);
        let counting = match options.metrics_listen() {
            Some(listener) => {
                let listener = listener.listen("--metrics-listen").await?;
                options.access.check("--metrics-listen", listener.local_addr()?, access.as_ref())?;
                let (browsers, metrics) = (options.browsers.of_operators(), metrics.clone());
                let parts = admin::Parts { browsers, access: access.clone(), readiness: readiness.clone(), metrics };
                Some(Admin::begin(listener, Arc::clone(&starting), parts, stop.clone())?)
            }
            None => None,
        };
        let mut public = Public {
            readiness: readiness.clone(),
            metrics: metrics.clone(),
            access: access.clone(),
            http: options.http(),
            browsers: options.shops_browsers(),
            is_operators: false,
        };
        let mut at_listen: Option<Arc<Registry>> = None;
        let operators = match operators {
            Operators::Apart(listener) => {
                options.access.check("--admin-listen", listener.local_addr()?, access.as_ref())?;
                let browsers = options.browsers.of_operators();
                let parts = admin::Parts { browsers, access, readiness: readiness.clone(), metrics };
                Some(Admin::begin(listener, starting, parts, stop.clone())?)
            }
            Operators::AtListen => {
                public.is_operators = true;
                at_listen = Some(starting);
                None
            }
            Operators::Nowhere => None,
        };
        let nothing = OpenApiRouter::<()>::new();
        let front = Front::new(public.site(at_listen, nothing.get_openapi()).starting());
        let mut bounds = options.bounds();
        bounds.connections_max = descriptors::connections_max(bounds.connections_max);
        let mut told = stop.clone();
        let stopping = readiness.clone().drain_after(async move { told.told().await }, options.drain_notice());
        let serving = tokio::spawn(server::serve(listener, front.clone(), bounds, connections, stopping));
        let (admin, has_public_bulk) =
            (operators.as_ref().map(Admin::address), options.access.has_public_bulk(address));
        tracing::info!(%address, admin = admin.map(tracing::field::display), "listening; the data are being opened");
        Ok(Self {
            address,
            admin,
            readiness,
            store,
            stop,
            registry,
            public,
            has_public_bulk,
            front,
            serving,
            operators,
            counting,
        })
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
        if let Some(counting) = &self.counting {
            counting.open(Arc::clone(&registry), OpenApiRouter::new());
        }
        if self.public.is_operators {
            shop = shop.merge(operated).merge(bulk);
        } else if let Some(operators) = &self.operators {
            operators.open(Arc::clone(&registry), operated.merge(bulk));
        }
        let registry = self.public.is_operators.then_some(registry);
        let (router, _) = self.public.site(registry, shop.get_openapi()).router(shop);
        self.front.open(router);
        let others = [self.operators.take(), self.counting.take()];
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
        Site {
            about: if self.is_operators {
                documents::of_operators(document)
            } else {
                documents::of_shop(document, self.http)
            },
            readiness: self.readiness.clone(),
            registry,
            metrics: self.metrics.clone(),
            access: self.access.clone(),
            kinds: documents::kinds(),
            dialect: self.http.dialect(),
            behind_gateway: self.http.behind_gateway,
            browsers: self.browsers.clone(),
        }
    }
}

/// The same for what does not work while the rest does.
pub(crate) fn is_unlimited(health: &Health) -> Result<(), String> {
    let limits = health.limits();
    if limits.is_empty() { Ok(()) } else { Err(limits.join("; ")) }
}
