//! One type for every store. The engine is compiled anew for each type of store, for three services, and it is most of this
//! program: with one type it is compiled once. What a call has to look up for it is which store it goes to.

use std::time::Duration;

use bytes::Bytes;
use saga::{
    Durability, Member, Members, Partition, Store,
    store::{Commit, Committed, Identity, LogEntry, Residents, Result, Snapshot, Visibility},
};
use store_embedded::EmbeddedStore;
use store_memory::MemoryStore;
use store_redis::RedisStore;

/// The data of one service, in whichever store.
#[derive(Clone, Debug)]
pub(crate) enum AnyStore {
    Memory(MemoryStore),
    Embedded(EmbeddedStore),
    Redis(RedisStore),
}

/// Hands a call to the store that it goes to.
macro_rules! to_each {
    ($self:ident, $store:ident => $call:expr) => {
        match $self {
            Self::Memory($store) => $call,
            Self::Embedded($store) => $call,
            Self::Redis($store) => $call,
        }
    };
}

impl Store for AnyStore {
    async fn load(&self, partition: Partition, keys: &[Bytes]) -> Result<Snapshot> {
        to_each!(self, store => store.load(partition, keys).await)
    }

    async fn residents(&self, partition: Partition) -> Result<Residents> {
        to_each!(self, store => store.residents(partition).await)
    }

    async fn commit(&self, partition: Partition, commit: Commit) -> Result<Committed> {
        to_each!(self, store => store.commit(partition, commit).await)
    }

    async fn read_log(
        &self,
        partition: Partition,
        after: u64,
        limit: usize,
        visibility: Visibility,
    ) -> Result<Vec<LogEntry>> {
        to_each!(self, store => store.read_log(partition, after, limit, visibility).await)
    }

    async fn begin_epoch(&self, partition: Partition, above: u64) -> Result<()> {
        to_each!(self, store => store.begin_epoch(partition, above).await)
    }

    fn identity(&self) -> Identity {
        to_each!(self, store => store.identity())
    }

    async fn bound_to(&self, peer: &str, met: Option<Identity>) -> Result<Option<Identity>> {
        to_each!(self, store => store.bound_to(peer, met).await)
    }

    async fn unbind(&self, peer: &str) -> Result<()> {
        to_each!(self, store => store.unbind(peer).await)
    }

    fn is_certain(&self) -> bool {
        to_each!(self, store => store.is_certain())
    }

    fn is_exclusive(&self) -> bool {
        to_each!(self, store => store.is_exclusive())
    }

    fn room(&self) -> Result<(), String> {
        to_each!(self, store => store.room())
    }

    fn partitions_share_fate(&self) -> bool {
        to_each!(self, store => store.partitions_share_fate())
    }

    fn durability(&self) -> &Durability {
        to_each!(self, store => store.durability())
    }
}

/// Replicas find each other through the database that they share; what is in one process has one replica.
impl Members for AnyStore {
    async fn beat(&self, me: &Member, ttl: Duration) -> Result<Vec<Member>> {
        match self {
            Self::Redis(store) => store.beat(me, ttl).await,
            Self::Memory(_) | Self::Embedded(_) => Ok(vec![me.clone()]),
        }
    }

    async fn leave(&self, id: u64) -> Result<()> {
        match self {
            Self::Redis(store) => store.leave(id).await,
            Self::Memory(_) | Self::Embedded(_) => Ok(()),
        }
    }
}
