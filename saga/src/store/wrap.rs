//! A store over another one.

use std::future::Future;

use bytes::Bytes;

use super::{Commit, Committed, Identity, LogEntry, Partition, Residents, Result, Snapshot, Store, Visibility};
use crate::Durability;

/// A [`Store`] that does what the one in it does, but for the methods that it has of its own: one that counts calls, delays
/// them or breaks them.
///
/// Every method goes to the store within, those included for which [`Store`] has a default: a wrapper says the same of what it
/// promises as what it wraps.
///
/// ```
/// use saga::store::{self, Residents, Store, Wrap};
///
/// struct Slow<S>(S);
///
/// impl<S: Store> Wrap for Slow<S> {
///     type Within = S;
///
///     fn within(&self) -> &S {
///         &self.0
///     }
///
///     async fn residents(&self, partition: u16) -> store::Result<Residents> {
///         tokio::time::sleep(std::time::Duration::from_secs(1)).await;
///         self.0.residents(partition).await
///     }
/// }
/// ```
pub trait Wrap: Send + Sync + 'static {
    /// The store within.
    type Within: Store;

    /// The store that calls go to.
    fn within(&self) -> &Self::Within;

    /// As [`Store::load`].
    ///
    /// # Errors
    /// As there.
    fn load(&self, partition: Partition, keys: &[Bytes]) -> impl Future<Output = Result<Snapshot>> + Send {
        self.within().load(partition, keys)
    }

    /// As [`Store::residents`].
    ///
    /// # Errors
    /// As there.
    fn residents(&self, partition: Partition) -> impl Future<Output = Result<Residents>> + Send {
        self.within().residents(partition)
    }

    /// As [`Store::commit`].
    ///
    /// # Errors
    /// As there.
    fn commit(&self, partition: Partition, commit: Commit) -> impl Future<Output = Result<Committed>> + Send {
        self.within().commit(partition, commit)
    }

    /// As [`Store::read_log`].
    ///
    /// # Errors
    /// As there.
    fn read_log(
        &self,
        partition: Partition,
        after: u64,
        limit: usize,
        visibility: Visibility,
    ) -> impl Future<Output = Result<Vec<LogEntry>>> + Send {
        self.within().read_log(partition, after, limit, visibility)
    }

    /// As [`Store::begin_epoch`].
    ///
    /// # Errors
    /// As there.
    fn begin_epoch(&self, partition: Partition, above: u64) -> impl Future<Output = Result<()>> + Send {
        self.within().begin_epoch(partition, above)
    }

    /// As [`Store::identity`].
    fn identity(&self) -> Identity {
        self.within().identity()
    }

    /// As [`Store::bound_to`].
    ///
    /// # Errors
    /// As there.
    fn bound_to(&self, peer: &str, met: Option<Identity>) -> impl Future<Output = Result<Option<Identity>>> + Send {
        self.within().bound_to(peer, met)
    }

    /// As [`Store::unbind`].
    ///
    /// # Errors
    /// As there.
    fn unbind(&self, peer: &str) -> impl Future<Output = Result<()>> + Send {
        self.within().unbind(peer)
    }

    /// As [`Store::is_certain`].
    fn is_certain(&self) -> bool {
        self.within().is_certain()
    }

    /// As [`Store::is_exclusive`].
    fn is_exclusive(&self) -> bool {
        self.within().is_exclusive()
    }

    /// As [`Store::room`].
    ///
    /// # Errors
    /// As there.
    fn room(&self) -> Result<(), String> {
        self.within().room()
    }

    /// As [`Store::partitions_share_fate`].
    fn partitions_share_fate(&self) -> bool {
        self.within().partitions_share_fate()
    }

    /// As [`Store::durability`].
    fn durability(&self) -> &Durability {
        self.within().durability()
    }
}

impl<W: Wrap> Store for W {
    fn load(&self, partition: Partition, keys: &[Bytes]) -> impl Future<Output = Result<Snapshot>> + Send {
        Wrap::load(self, partition, keys)
    }

    fn residents(&self, partition: Partition) -> impl Future<Output = Result<Residents>> + Send {
        Wrap::residents(self, partition)
    }

    fn commit(&self, partition: Partition, commit: Commit) -> impl Future<Output = Result<Committed>> + Send {
        Wrap::commit(self, partition, commit)
    }

    fn read_log(
        &self,
        partition: Partition,
        after: u64,
        limit: usize,
        visibility: Visibility,
    ) -> impl Future<Output = Result<Vec<LogEntry>>> + Send {
        Wrap::read_log(self, partition, after, limit, visibility)
    }

    fn begin_epoch(&self, partition: Partition, above: u64) -> impl Future<Output = Result<()>> + Send {
        Wrap::begin_epoch(self, partition, above)
    }

    fn identity(&self) -> Identity {
        Wrap::identity(self)
    }

    fn bound_to(&self, peer: &str, met: Option<Identity>) -> impl Future<Output = Result<Option<Identity>>> + Send {
        Wrap::bound_to(self, peer, met)
    }

    fn unbind(&self, peer: &str) -> impl Future<Output = Result<()>> + Send {
        Wrap::unbind(self, peer)
    }

    fn is_certain(&self) -> bool {
        Wrap::is_certain(self)
    }

    fn is_exclusive(&self) -> bool {
        Wrap::is_exclusive(self)
    }

    fn room(&self) -> Result<(), String> {
        Wrap::room(self)
    }

    fn partitions_share_fate(&self) -> bool {
        Wrap::partitions_share_fate(self)
    }

    fn durability(&self) -> &Durability {
        Wrap::durability(self)
    }
}
