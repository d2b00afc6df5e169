//! What the order service asks the others while it takes an order down. Answers are true at the moment they are given;
//! a checkout depends on none of them.

use std::{future::Future, pin::Pin};

use crate::{Amount, ItemId, Sum, UserId};

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The service cannot be asked now.
    #[error("the service does not answer now")]
    Unavailable,
}

/// An answer to come.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, QueryError>> + Send + 'a>>;

/// What the books say now, of what no checkout holds any more.
pub trait Books: Send + Sync {
    /// The units of an item, or `None` if there is no such item.
    fn units(&self, item: ItemId) -> Answer<'_, Option<Amount>>;

    /// The credit of a user, or `None` if there is no such user.
    fn credit(&self, user: UserId) -> Answer<'_, Option<Amount>>;

    /// What the units of all items come to.
    fn all_units(&self) -> Answer<'_, Counted>;

    /// What the credit of all users comes to.
    fn all_credit(&self) -> Answer<'_, Counted>;
}

/// What a service counts over all of its accounts, with every change of one. Of data that were there before it counted, what
/// changed since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Accounts.
    pub accounts: i64,
    /// What they have, held or not.
    pub total: Sum,
    /// What checkouts hold of it.
    pub held: Sum,
    /// What was taken for paid checkouts without having been there: nothing, unless a hold was lost.
    pub shortfall: Sum,
}

/// The queries.
pub trait Queries: Send + Sync {
    /// The price of an item at this moment, or `None` if there is no such item.
    fn price(&self, item: ItemId) -> Answer<'_, Option<Amount>>;

    /// Whether there is such a user.
    fn knows_user(&self, user: UserId) -> Answer<'_, bool>;
}
