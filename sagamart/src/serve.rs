//! `sagamart serve`, `order`, `stock` and `payment`: the commands that serve, from their options to their end.
//!
//! ```text
//!  options ─▶ life: signals ─▶ host: listens ─▶ store: opened ─▶ shop or replica: services ─▶ host: serves, drains ─▶ store: closed
//! ```
//!
//! A process listens from its first moment on: `/livez` says that it lives, `/readyz` why it is not ready, and whatever else is asked is
//! a 503. Whatever it waits for, a signal ends the wait.

mod access_options;
mod admin;
mod browser_options;
mod database;
mod descriptors;
mod documents;
mod health;
mod history_metrics;
mod history_options;
mod host;
mod http_options;
mod life;
mod listen;
mod market;
mod operators;
mod options;
mod queries;
mod replica;
mod services;
mod shop;
mod store;
mod trace_options;
mod vitals;

use std::{io, thread};

use saga::{Halt, NotConnected};

pub(crate) use self::{
    database::DatabaseOptions,
    life::live,
    options::{ObserveOptions, ReplicaOptions, Shop, defaults_to},
    replica::run,
    services::{Role, service_parser},
    store::{OpenError, OpenStore, StoreAddress, StoreOptions, of_service},
};

/// Why serving ended, other than by request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Options(String),
    #[error("{0}")]
    Listen(#[from] listen::Error),
    #[error("cannot open the data: {0}")]
    Open(#[from] OpenError),
    #[error("halted to stay consistent: {0}")]
    Halted(#[from] Halt),
    #[error("{0}")]
    Drain(#[from] web::server::Error),
    #[error("second signal ({0}): exiting without draining")]
    Interrupted(&'static str),
    #[error("the data could not be closed in order: {0}")]
    Close(#[from] saga::store::Error),
    #[error("cannot serve: {0}")]
    Serve(#[from] io::Error),
    #[error("{0}")]
    NotConnected(#[from] NotConnected),
}

/// One for every two processors: the rest is for the network's share of the work, the flusher, and the clients of a
/// machine that runs them too. Measured on two processors, where one thread served a tenth more than two.
fn half_the_processors() -> u16 {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(processors / 2).unwrap_or(u16::MAX).max(1)
}
