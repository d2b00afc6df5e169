//! Which checkouts are asked for.

use contract::{Checkout, ItemId, OrderId, UserId};
use minicbor::{Decode, Encode};

use crate::{
    index::Index,
    page::{Story, What},
    reason::name_of,
};

/// Where a checkout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum State {
    /// It is not decided.
    #[n(0)]
    Open,
    /// It is not decided, and waits for what others hold.
    #[n(1)]
    Parked,
    /// It was decided for.
    #[n(2)]
    Completed,
    /// It was decided against.
    #[n(3)]
    Cancelled,
}

/// What a checkout has to be like; whatever is not said may be any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Filter {
    /// Where it stands.
    #[n(0)]
    pub state: Option<State>,
    /// Why it was cancelled: the last part of the problem's name, such as `out-of-stock`.
    #[n(1)]
    pub reason: Option<String>,
    /// What it buys.
    #[n(2)]
    pub item: Option<ItemId>,
    /// Who pays.
    #[n(3)]
    pub user: Option<UserId>,
    /// Which order it is of.
    #[n(4)]
    pub order: Option<OrderId>,
    /// When it began, in milliseconds since 1970: not before this.
    #[n(5)]
    pub since: Option<u64>,
    /// And before this; of those, the ones that were decided within a minute after it.
    #[n(6)]
    pub until: Option<u64>,
    /// How long it took, or is taking, in milliseconds: not less than this.
    #[n(7)]
    pub at_least_ms: Option<u64>,
}

/// How long a checkout may hold something, where those that held it at some time are looked for.
pub(crate) const HELD_FOR_MS: u64 = 60_000;

impl Filter {
    /// Whether a page of which this is the index may have a decision of what is asked for.
    pub(crate) fn may_be_on(&self, index: &Index) -> bool {
        let wanted = |id: Option<&str>| id.is_none_or(|id| index.may_have(id));
        let counts = match (self.state, &self.reason) {
            (Some(State::Completed), _) => index.completed > 0,
            (_, Some(reason)) => index.may_have_reason(reason),
            (Some(State::Cancelled), _) => index.cancelled > 0,
            _ => true,
        };
        counts
            && self.since.is_none_or(|since| index.to >= since)
            && self.until.is_none_or(|until| index.from <= until.saturating_add(HELD_FOR_MS))
            && self.at_least_ms.is_none_or(|least| index.slowest_ms >= least)
            && wanted(self.item.as_ref().map(|item| item.as_str()))
            && wanted(self.user.as_ref().map(|user| user.as_str()))
            && wanted(self.order.as_ref().map(|order| order.as_str()))
    }

    /// Whether a checkout that is decided, or is not at `now`, is one that is asked for.
    pub(crate) fn accepts(&self, story: &Story, now: u64) -> bool {
        self.accepts_checkout(&story.checkout) && self.accepts_course(story, now)
    }

    fn accepts_checkout(&self, checkout: &Checkout) -> bool {
        self.item.as_ref().is_none_or(|item| checkout.lines.iter().any(|line| line.item == *item))
            && self.user.as_ref().is_none_or(|user| checkout.user == *user)
            && self.order.as_ref().is_none_or(|order| checkout.order == *order)
            && self.since.is_none_or(|since| checkout.started_at_ms >= since)
            && self.until.is_none_or(|until| checkout.started_at_ms < until)
    }

    fn accepts_course(&self, story: &Story, now: u64) -> bool {
        let decision = story.decision();
        let is_wanted = match self.state {
            None => true,
            Some(State::Open) => decision.is_none(),
            Some(State::Parked) => story.is_parked(),
            Some(State::Completed) => decision.is_some_and(|decision| decision.what == What::Completed),
            Some(State::Cancelled) => decision.is_some_and(|decision| decision.what != What::Completed),
        };
        let reason = decision.and_then(|decision| match &decision.what {
            What::Cancelled(reason, _) => Some(name_of(reason)),
            _ => None,
        });
        let took = story.took_ms().unwrap_or_else(|| now.saturating_sub(story.checkout.started_at_ms));
        is_wanted
            && self.reason.as_deref().is_none_or(|wanted| reason == Some(wanted))
            && self.at_least_ms.is_none_or(|least| took >= least)
    }
}
