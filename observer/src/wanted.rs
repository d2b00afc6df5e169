//! Which checkouts a query string asks for.

use contract::{ItemId, OrderId, UserId};
use serde::Deserialize;
use utoipa::IntoParams;
use web::Problem;

use crate::filter::{Filter, State};

/// Which checkouts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// `open`, `parked`, `completed` or `cancelled`; without it, those that are decided.
    pub(crate) state: Option<String>,
    /// Why it was cancelled, such as `out-of-stock`.
    pub(crate) reason: Option<String>,
    /// Buys this item.
    pub(crate) item: Option<String>,
    /// Is paid by this user.
    pub(crate) user: Option<String>,
    /// Is of this order.
    pub(crate) order: Option<String>,
    /// Began no more than so many seconds ago.
    pub(crate) within: Option<u64>,
    /// Took, or is taking, at least so many milliseconds.
    pub(crate) at_least_ms: Option<u64>,
    /// No more than so many.
    pub(crate) limit: Option<u32>,
    /// What an earlier answer gave as `next`.
    pub(crate) cursor: Option<String>,
}

/// What a parameter says, if it is there.
pub(crate) fn parameter<T: std::str::FromStr>(name: &'static str, text: Option<&String>) -> Result<Option<T>, Problem>
where
    T::Err: std::fmt::Display,
{
    let wrong = |error: T::Err| Problem::malformed(format!("{name}: {error}")).with("parameter", name);
    text.map(|text| text.parse().map_err(wrong)).transpose()
}

impl Wanted {
    /// What is wanted at the moment `now`.
    pub(crate) fn filter(&self, now: u64) -> Result<Filter, Problem> {
        let state = match self.state.as_deref() {
            None => None,
            Some("open") => Some(State::Open),
            Some("parked") => Some(State::Parked),
            Some("completed") => Some(State::Completed),
            Some("cancelled") => Some(State::Cancelled),
            Some(_) => {
                let wrong = Problem::malformed("state: it is open, parked, completed or cancelled");
                return Err(wrong.with("parameter", "state"));
            }
        };
        Ok(Filter {
            state,
            reason: self.reason.clone(),
            item: parameter("item", self.item.as_ref())?.map(ItemId),
            user: parameter("user", self.user.as_ref())?.map(UserId),
            order: parameter("order", self.order.as_ref())?.map(OrderId),
            since: self.within.map(|seconds| now.saturating_sub(seconds.saturating_mul(1000))),
            until: None,
            at_least_ms: self.at_least_ms,
        })
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    elapsed.map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
