//! What every serving process does around its services: the public listener from the first moment on, readiness, and an orderly
//! end.
//!
//! ```text
//!  listen() ─▶ starting ── serve() ─▶ recovering ─▶ ready ── told to stop ─▶ draining ─▶ services stopped
//!              /livez 200, all else 503 │ requests wait      /readyz 200       running requests finish
//! ```

use std::{io, net::SocketAddr, pin::Pin};

use prometheus_client::registry::Registry;
use saga::{Halt, Health};
use tokio::task::JoinHandle;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use web::{
    Browsers, Readiness, Site,
    metrics::HttpMetrics,
    openapi::{About, Step},
    server::{self, Front},
};

use super::{
    Error, descriptors, health::StoreHealth, http_options::HttpOptions, life::Stop, options::ServeOptions,
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

/// The HTTP side of a process.
pub(crate) struct Host {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    pub(crate) readiness: Readiness,
    /// What `/readyz` and metrics say of the store.
    pub(crate) store: StoreHealth,
    stop: Stop,
    registry: Registry,
    metrics: HttpMetrics,
    http: HttpOptions,
    browsers: Browsers,
    front: Front,
    serving: JoinHandle<Result<(), server::Error>>,
}

impl Host {
    /// Listens, and says from now on that the process is starting. `runs` is what it is to run.
    pub(crate) async fn listen(options: &ServeOptions, runs: &'static str, stop: Stop) -> Result<Self, Error> {
        descriptors::raise();
        let listener = options.listen().listen("--listen").await?;
        let address = listener.local_addr()?;
        let (readiness, store) = (Readiness::new(), StoreHealth::opening());
        readiness.state_durability(options.store.durability());
        let trouble = store.clone();
        readiness.check("store", move || trouble.trouble().map_or(Ok(()), Err));
        let (metrics, connections) = (HttpMetrics::default(), server::Metrics::default());
        let registries = [(); 2].map(|()| {
            let mut registry = Registry::default();
            connections.register(&mut registry);
            registry.register_collector(Box::new(Vitals::new(readiness.clone(), runs)));
            registry.sub_registry_with_prefix(PREFIX).register_collector(Box::new(store.clone()));
            registry
        });
        let [starting, registry] = registries;
        let (http, browsers) = (options.http(), options.shops_browsers());
        let nothing = OpenApiRouter::<()>::new();
        let about = about(nothing.get_openapi(), http);
        let starting = site(starting, &metrics, &readiness, (http, &browsers), about);
        let front = Front::new(starting.starting());
        let mut bounds = options.bounds();
        bounds.connections_max = descriptors::connections_max(bounds.connections_max);
        let mut told = stop.clone();
        let stopping = readiness.clone().drain_after(async move { told.told().await }, options.drain_notice());
        let serving = tokio::spawn(server::serve(listener, front.clone(), bounds, connections, stopping));
        tracing::info!(%address, "listening; the data are being opened");
        Ok(Self { address, readiness, store, stop, registry, metrics, http, browsers, front, serving })
    }

    /// Tells when the process is told to stop.
    pub(crate) fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Where services and stores register their metrics.
    pub(crate) fn registry(&mut self) -> &mut Registry {
        self.registry.sub_registry_with_prefix(PREFIX)
    }

    /// Serves until told to stop, or until a service stops by itself. `greet` is called once requests are welcome.
    pub(crate) async fn serve(
        self,
        mut services: impl Run,
        routes: OpenApiRouter,
        greet: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), Error> {
        let Self { readiness, mut stop, registry, metrics, http, browsers, front, mut serving, .. } = self;
        let about = about(routes.get_openapi(), http);
        let (router, _) = site(registry, &metrics, &readiness, (http, &browsers), about).router(routes);
        front.open(router);
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

fn site(
    registry: Registry,
    metrics: &HttpMetrics,
    readiness: &Readiness,
    (http, browsers): (HttpOptions, &Browsers),
    about: About,
) -> Site {
    Site {
        about,
        readiness: readiness.clone(),
        registry,
        metrics: metrics.clone(),
        kinds: [order::problems::ALL, api::problems::ALL].concat(),
        dialect: http.dialect(),
        behind_gateway: http.behind_gateway,
        browsers: browsers.clone(),
    }
}

/// The same for what does not work while the rest does.
pub(crate) fn is_unlimited(health: &Health) -> Result<(), String> {
    let limits = health.limits();
    if limits.is_empty() { Ok(()) } else { Err(limits.join("; ")) }
}

fn about(document: &OpenApi, http: HttpOptions) -> About {
    let has = |path: &str| document.paths.paths.contains_key(path);
    // What a gateway shows of this is order's, and behind it are all three.
    let is_whole_shop = has("/orders/checkout/{order_id}") && (http.behind_gateway || has("/payment/create_user"));
    About {
        name: "sagamart",
        version: env!("CARGO_PKG_VERSION"),
        description: "Order, stock and payment, whose checkout is a choreographed saga: it happens as a whole or not at \
                      all, and an answer is never taken back.",
        tags: vec![
            ("orders", "Orders, and the checkout."),
            ("stock", "Items, their units and prices."),
            ("payment", "Users and their credit."),
        ],
        example: is_whole_shop.then_some(include_str!("../first-checkout.sh")),
        steps: if is_whole_shop { FIRST_CHECKOUT.to_vec() } else { Vec::new() },
        pages: None,
    }
}

/// The same as the example, by hand.
const FIRST_CHECKOUT: [Step; 10] = [
    step("Create a user", "POST", "/payment/create_user", &[]),
    step("Add credit", "POST", "/payment/add_funds/{user_id}/{amount}", &[("amount", "100")]),
    step("Create an item", "POST", "/stock/item/create/{price}", &[("price", "5")]),
    step("Add stock", "POST", "/stock/add/{item_id}/{amount}", &[("amount", "10")]),
    step("Create an order", "POST", "/orders/create/{user_id}", &[]),
    step("Add to the order", "POST", "/orders/addItem/{order_id}/{item_id}/{quantity}", &[("quantity", "2")]),
    step("Check out", "POST", "/orders/checkout/{order_id}", &[]),
    step("Find the order", "GET", "/orders/find/{order_id}", &[]),
    step("Find the item", "GET", "/stock/find/{item_id}", &[]),
    step("Find the user", "GET", "/payment/find_user/{user_id}", &[]),
];

const fn step(
    title: &'static str,
    method: &'static str,
    path: &'static str,
    values: &'static [(&'static str, &'static str)],
) -> Step {
    Step { title, method, path, values }
}
