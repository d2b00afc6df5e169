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
    /// Whether it reaches what its partitions need. One that does not is given none while another one does.
    pub is_fit: bool,
}

/// What follows the address of one that is not fit.
const UNFIT: &str = " unfit";

impl Member {
    /// What a list keeps of it beside its id.
    #[must_use]
    pub fn entry(&self) -> String {
        if self.is_fit { self.address.clone() } else { format!("{}{UNFIT}", self.address) }
    }

    /// The member that a list has so much of.
    #[must_use]
    pub fn from_entry(id: u64, entry: &str) -> Self {
        let unfit = entry.strip_suffix(UNFIT);
        Self { id, address: unfit.unwrap_or(entry).to_owned(), is_fit: unfit.is_none() }
    }
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
