//! What operators ask, on a listener of its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use utoipa_axum::router::OpenApiRouter;
use web::{
    Access, AuditLog, Browsers, Dialect, Readiness, Site,
    metrics::HttpMetrics,
    openapi::About,
    server::{self, Front, Tls},
};

use super::{Error, documents, life::Stop};

/// What follows events is cut off after this long: it goes on elsewhere, or later.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The listener for operators, or the one for those who count.
#[derive(Debug)]
pub(crate) struct Admin {
    address: SocketAddr,
    parts: Parts,
    front: Front,
    /// Ends it when it is dropped.
    open: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), server::Error>>,
}

/// What a listener answers from.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) browsers: Browsers,
    pub(crate) access: Option<Access>,
    pub(crate) audit: Option<AuditLog>,
    pub(crate) tls: Option<Tls>,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: HttpMetrics,
}

impl Parts {
    pub(crate) fn site(self, registry: Option<Arc<Registry>>, about: About) -> Site {
        let Self { browsers, access, audit, readiness, metrics, tls: _ } = self;
        Site {
            about,
            readiness,
            registry,
            metrics,
            access,
            audit,
            kinds: documents::kinds(),
            dialect: Dialect::default(),
            behind_gateway: false,
            browsers,
        }
    }
}

impl Admin {
    /// Lets operators see what the process waits for.
    pub(crate) fn begin(
        listener: TcpListener,
        registry: Arc<Registry>,
        parts: Parts,
        stop: Stop,
    ) -> Result<Self, Error> {
        let address = listener.local_addr()?;
        let nothing = OpenApiRouter::<()>::new();
        let front =
            Front::new(parts.clone().site(Some(registry), documents::of_operators(nothing.get_openapi())).starting());
        let (browsers, tls) = (parts.browsers.clone(), parts.tls.clone());
        let bounds = server::Settings {
            drain_timeout: DRAIN_TIMEOUT,
            browsers,
            tls,
            tells_peer: parts.audit.is_some(),
            ..server::Settings::default()
        };
        let mut stop = stop;
        let (open, closed) = oneshot::channel::<()>();
        let stopping = async move {
            tokio::select! {
                _ = stop.told() => {}
                _ = closed => {}
            }
        };
        let serving =
            tokio::spawn(server::serve(listener, front.clone(), bounds, server::Metrics::default(), stopping));
        Ok(Self { address, parts, front, open, serving })
    }

    /// Has it answer all that operators ask.
    pub(crate) fn open(&self, registry: Arc<Registry>, routes: OpenApiRouter) {
        let (router, _) =
            self.parts.clone().site(Some(registry), documents::of_operators(routes.get_openapi())).router(routes);
        self.front.open(router);
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
