//! What every serving process does around its services: readiness, the public routes, and an orderly end.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use saga::Halt;
use tokio::{net::TcpListener, sync::Notify};
use utoipa_axum::router::OpenApiRouter;
use web::{Readiness, Site, openapi::About, server};

use crate::signals;

/// What the names of the engine's and the store's metrics begin with; those of HTTP bring it along.
pub(crate) const PREFIX: &str = "sagamart";

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

/// Why serving ended, other than by request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("stopped, because it could not have gone on truthfully: {0}")]
    Halted(#[from] Halt),
    #[error("{0}")]
    Drain(#[from] server::Error),
    #[error("cannot serve: {0}")]
    Serve(#[from] io::Error),
}

/// The HTTP side of a process.
pub(crate) struct Host {
    pub(crate) listener: TcpListener,
    pub(crate) routes: OpenApiRouter,
    pub(crate) readiness: Readiness,
    pub(crate) registry: Registry,
    pub(crate) checkout_timeout: Duration,
    /// How long to go on serving while readiness already fails.
    pub(crate) drain_notice: Duration,
}

impl Host {
    /// Serves until told to stop, or until a service stops by itself. `greet` is called once requests are welcome.
    pub(crate) async fn serve(
        self,
        mut services: impl Run,
        greet: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), Error> {
        let Self { listener, routes, readiness, registry, checkout_timeout, drain_notice } = self;
        let kinds = [order::problems::ALL, web::call::KINDS].concat();
        let site = Site { about: about(), readiness: readiness.clone(), registry, kinds };
        let (router, _) = site.router(routes);

        let stop = Arc::new(Notify::new());
        let stopping = {
            let stop = Arc::clone(&stop);
            readiness.clone().drain_after(async move { stop.notified().await }, drain_notice)
        };
        let mut bounds = server::Settings::default();
        bounds.drain_timeout = checkout_timeout + bounds.drain_timeout;
        let mut serving = tokio::spawn(server::serve(listener, router, bounds, stopping));
        let mut recovered = services.recovered();
        let mut greet = Some(greet);
        loop {
            tokio::select! {
                signal = signals::stop() => {
                    tracing::info!(signal = signal?, "stopping: running requests get their answers");
                    break;
                }
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
        stop.notify_one();
        tokio::select! {
            served = &mut serving => served.map_err(io::Error::other)??,
            halt = services.halted() => return Err(halt.into()),
            signal = signals::stop() => tracing::warn!(signal = signal?, "told twice: not waiting any longer"),
        }
        services.stop().await?;
        tracing::info!("stopped");
        Ok(())
    }
}

fn about() -> About {
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
    }
}
