//! What operators ask, on a listener of its own.

use std::{net::SocketAddr, time::Duration};

use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use utoipa_axum::router::OpenApiRouter;
use web::{
    Browsers, Dialect, Readiness, Site,
    metrics::HttpMetrics,
    openapi::About,
    server::{self, Front},
};

use super::{Error, life::Stop};

/// What follows events is cut off after this long: it goes on elsewhere, or later.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The listener for operators.
#[derive(Debug)]
pub(crate) struct Admin {
    address: SocketAddr,
    /// Ends it when it is dropped.
    open: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), server::Error>>,
}

impl Admin {
    /// Lets operators in.
    pub(crate) fn begin(
        listener: TcpListener,
        routes: OpenApiRouter,
        browsers: Browsers,
        readiness: Readiness,
        stop: Stop,
    ) -> Result<Self, Error> {
        let address = listener.local_addr()?;
        let site = Site {
            about: about(&routes),
            readiness,
            registry: Registry::default(),
            metrics: HttpMetrics::default(),
            kinds: [order::problems::ALL, api::problems::ALL].concat(),
            dialect: Dialect::default(),
            behind_gateway: false,
            browsers: browsers.clone(),
        };
        let (router, _) = site.router(routes);
        let bounds = server::Settings { drain_timeout: DRAIN_TIMEOUT, browsers, ..server::Settings::default() };
        let mut stop = stop;
        let (open, closed) = oneshot::channel::<()>();
        let stopping = async move {
            tokio::select! {
                _ = stop.told() => {}
                _ = closed => {}
            }
        };
        let serving =
            tokio::spawn(server::serve(listener, Front::new(router), bounds, server::Metrics::default(), stopping));
        Ok(Self { address, open, serving })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the last operator has gone, who is cut off soon: nothing of the shop depends on it.
    pub(crate) async fn end(self) {
        // A store that failed ends the process, too, and nobody tells it to stop then.
        drop(self.open);
        if let Ok(Err(error)) = self.serving.await {
            tracing::debug!(%error, "operators were cut off");
        }
    }
}

const HISTORY: (&str, &str) = ("history", "What happened: checkouts, accounts, events.");
const CONSOLE: (&str, &str) = ("console", "The same as pages for people.");
const PROCESS: (&str, &str) = ("process", "What runs in this process, and what it is like now.");

/// What the operators' listener says about itself.
fn about(routes: &OpenApiRouter) -> About {
    let has_history = routes.get_openapi().paths.paths.contains_key("/history");
    About {
        name: "sagamart admin",
        version: env!("CARGO_PKG_VERSION"),
        description: "What became of every checkout, item and user of the shop, and what its processes are like now, for those \
                      who operate it. Not for the public.",
        tags: if has_history { vec![HISTORY, PROCESS, CONSOLE] } else { vec![PROCESS] },
        example: None,
        steps: Vec::new(),
        pages: has_history.then_some(("/console", "Open the console")),
    }
}
