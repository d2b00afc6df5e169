//! Who else serves this service now: a hint.
//!
//! Replicas of one service that share a database spread its partitions over those that live, and forward requests to
//! each other. The list may be wrong or late at any time: the comparison of heads keeps data right without it.

use std::{future::Future, time::Duration};

use crate::store::Result;

/// One replica of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// Chosen at random by each process when it starts.
    pub id: u64,
    /// Where the others reach it; not empty, and without a space.
    pub address: String,
}

/// A list of living replicas, kept beside the service's data.
pub trait Members: Send + Sync + 'static {
    /// Says that `me` lives, which is forgotten after `ttl` by the clock of whoever keeps the list, and answers all who
    /// live, `me` among them, sorted by id.
    ///
    /// # Errors
    /// As for [`Store`](crate::Store): [`Error::Failed`](crate::store::Error::Failed) where the list cannot be reached.
    fn beat(&self, me: &Member, ttl: Duration) -> impl Future<Output = Result<Vec<Member>>> + Send;

    /// Says that the replica with this id leaves. One that is not on the list may leave too.
    ///
    /// # Errors
    /// As for [`Self::beat`].
    fn leave(&self, id: u64) -> impl Future<Output = Result<()>> + Send;
}
