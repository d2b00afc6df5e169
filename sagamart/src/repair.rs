//! `sagamart repair`: what an operator decides about data that are not what the other services know.

use std::io::{self, Write};

use clap::{Args, Subcommand, value_parser};
use contract::Service;
use prometheus_client::registry::Registry;
use saga::{Partition, Store};
use store_redis::RedisStore;

use crate::serve::{self, OpenError, OpenStore, StoreOptions, of_service, service_parser};

/// Decides about data that are older than they were, or new in the place of others.
///
/// Each of these gives something up for good. docs/operating.md says when that is right, and what else to try first.
#[derive(Args, Debug)]
pub(crate) struct Repair {
    #[command(subcommand)]
    decision: Decision,
}

#[derive(Subcommand, Debug)]
enum Decision {
    /// Accepts that a service's data are older than they were: what was written since is lost, and the service goes on
    AcceptLoss(Database),
    /// Lets a service's data belong with whichever data of another service they meet next
    ForgetPeer {
        #[command(flatten)]
        database: Database,

        /// The service whose data are others now
        #[arg(long, value_name = "SERVICE", value_parser = service_parser())]
        peer: Service,
    },
}

/// The data of one service, as they are given to the service; a directory must not be in use.
#[derive(Args, Debug)]
struct Database {
    /// Whose data they are
    #[arg(value_name = "SERVICE", value_parser = service_parser())]
    service: Service,

    #[command(flatten)]
    store: StoreOptions,

    /// Partitions of the service
    #[arg(
        long, value_name = "N", default_value = "4", env = "SAGAMART_PARTITIONS",
        value_parser = value_parser!(u16).range(1..=256),
    )]
    partitions: Partition,
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("what is in memory is gone with its process: there is nothing to repair")]
    Memory,
    #[error("{0}")]
    Options(#[from] serve::Error),
    #[error("cannot open the data: {0}")]
    Open(#[from] OpenError),
    #[error("not all was decided, try again: {0}")]
    Store(#[from] saga::store::Error),
    #[error("{0}")]
    Output(#[from] io::Error),
}

impl Repair {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let (Decision::AcceptLoss(database) | Decision::ForgetPeer { database, .. }) = &self.decision;
        let (service, partitions) = (database.service, database.partitions);
        database.store.check()?;
        let store = database.store.open(&mut Registry::default()).await?;
        match &store {
            OpenStore::Memory(_) => return Err(Error::Memory),
            OpenStore::Embedded(embedded) => {
                self.decide(&embedded.service(service.name(), partitions).map_err(OpenError::from)?).await?;
            }
            OpenStore::Redis(options) => {
                let opened = RedisStore::open(of_service(options, service.name(), partitions)).await;
                self.decide(&opened.map_err(OpenError::from)?).await?;
            }
        }
        Ok(store.close().await?)
    }

    async fn decide<S: Store>(&self, store: &S) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        let identity = store.identity();
        match &self.decision {
            Decision::AcceptLoss(Database { service, partitions, .. }) => {
                let name = service.name();
                writeln!(out, "the data {identity} of {name}: what they lack is lost")?;
                for partition in 0..*partitions {
                    let end = saga::repair::accept_loss(store, partition).await?;
                    writeln!(out, "{name}/{partition} goes on after event {end} of its log")?;
                }
            }
            Decision::ForgetPeer { database, peer } => {
                let (name, peer) = (database.service.name(), peer.name());
                store.unbind(peer).await?;
                writeln!(out, "the data {identity} of {name} will belong with those of {peer} that they meet next")?;
            }
        }
        Ok(())
    }
}
