//! Whether a replica reaches whatever its partitions need, and is reached by whom it is needed.
//!
//! ```text
//!   unfit ── every peer's partitions have an owner that is reached, every consumer is connected ──▶ fit
//!     ▲                                                                                               │
//!     └───────────────────────────── not so for a while ◀─────────────────────────────────────────────┘
//! ```
//!
//! One that is unfit takes no partition while another one is fit. Where all are, the fault is most likely not theirs: they go
//! on as if none were.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{Refrain, remote::peer::Peer};

/// How long a replica that was fit may lack something before it is unfit: longer than a peer takes to take over from one of
/// its own that froze, so that it is not the consumers that change places.
const GRACE: Duration = Duration::from_secs(4);

/// See the module.
pub(crate) struct Fitness {
    /// Where others are told to reach this replica.
    address: String,
    own: Arc<str>,
    /// The services whose logs are consumed.
    peers: Vec<Arc<Peer>>,
    /// By service that has to reach this replica, how many of its replicas do.
    visitors: BTreeMap<Arc<str>, AtomicUsize>,
    /// Whether other replicas of the service are there, and whether one of them is fit.
    others: [AtomicBool; 2],
    state: Mutex<State>,
    refrain: Refrain,
}

#[derive(Default)]
struct State {
    was_fit: bool,
    lacking_since: Option<Instant>,
}

impl std::fmt::Debug for Fitness {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Fitness").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Fitness {
    pub(crate) fn new(
        address: String,
        own: Arc<str>,
        peers: Vec<Arc<Peer>>,
        consumers: impl IntoIterator<Item = Arc<str>>,
    ) -> Self {
        let visitors = consumers.into_iter().chain([Arc::clone(&own)]).map(|service| (service, AtomicUsize::new(0)));
        Self {
            address,
            visitors: visitors.collect(),
            own,
            peers,
            others: Default::default(),
            state: Mutex::default(),
            refrain: Refrain::default(),
        }
    }

    /// Counts a replica of another service, or another one of this, as connected for as long as what is returned is kept.
    pub(crate) fn visit(self: &Arc<Self>, service: &Arc<str>) -> Visitor {
        if let Some(count) = self.visitors.get(service) {
            count.fetch_add(1, Ordering::AcqRel);
        }
        Visitor { fitness: Arc::clone(self), service: Arc::clone(service) }
    }

    /// Says what is known of the other replicas.
    pub(crate) fn set_others(&self, are_there: bool, are_fit: bool) {
        for (known, now) in self.others.iter().zip([are_there, are_fit]) {
            known.store(now, Ordering::Release);
        }
    }

    fn others(&self) -> (bool, bool) {
        let [are_there, are_fit] = &self.others;
        (are_there.load(Ordering::Acquire), are_fit.load(Ordering::Acquire))
    }

    /// Whether this replica may be preferred to one that is not fit.
    pub(crate) fn is_fit(&self) -> bool {
        self.is_fit_with(&self.lacks())
    }

    fn is_fit_with(&self, lacks: &[String]) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if lacks.is_empty() {
            (state.was_fit, state.lacking_since) = (true, None);
            return true;
        }
        let since = *state.lacking_since.get_or_insert_with(Instant::now);
        state.was_fit && since.elapsed() < GRACE
    }

    /// Why requests are not welcome here: what is lacking, where it has always been lacking, or is not to another replica, or
    /// is a mistake that no waiting mends.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let lacks = self.lacks();
        let is_fit = self.is_fit_with(&lacks);
        let was_fit = self.state.lock().unwrap_or_else(PoisonError::into_inner).was_fit;
        let is_worse = !is_fit && self.others().1;
        let is_mistaken = self.peers.iter().any(|peer| peer.is_shut());
        if was_fit && !is_worse && !is_mistaken { Vec::new() } else { lacks }
    }

    /// Writes into the log what has been lacking for a while.
    pub(crate) fn report(&self) {
        let lacks = self.lacks();
        self.is_fit_with(&lacks);
        let since = self.state.lock().unwrap_or_else(PoisonError::into_inner).lacking_since;
        if since.is_some_and(|since| since.elapsed() >= GRACE) {
            for lack in lacks {
                if let Some(times) = self.refrain.say(&lack) {
                    tracing::warn!(service = %self.own, times, "{lack}");
                }
            }
        }
    }

    /// All that is lacking.
    pub(crate) fn lacks(&self) -> Vec<String> {
        let unreached = self.peers.iter().filter_map(|peer| peer.lack());
        let (others_are_there, _) = self.others();
        let expected = self.visitors.iter().filter(|(service, _)| **service != self.own || others_are_there);
        let unvisited = expected.filter(|(_, count)| count.load(Ordering::Acquire) == 0).map(|(service, _)| {
            format!(
                "no replica of {service} is connected to this one, which says that it is to be reached at {}",
                self.address
            )
        });
        unreached.chain(unvisited).collect()
    }
}

/// Somebody who is connected.
pub(crate) struct Visitor {
    fitness: Arc<Fitness>,
    service: Arc<str>,
}

impl Drop for Visitor {
    fn drop(&mut self) {
        if let Some(count) = self.fitness.visitors.get(&self.service) {
            count.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// One that has to be reached by stock, and by the other replicas of its service.
    fn fitness() -> Arc<Fitness> {
        Arc::new(Fitness::new("here:1".to_owned(), "order".into(), Vec::new(), ["stock".into()]))
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_never_reached_is_not_fit_and_says_why() {
        let fitness = fitness();
        assert!(!fitness.is_fit());
        let expected = "no replica of stock is connected to this one, which says that it is to be reached at here:1";
        assert_eq!(fitness.reasons(), [expected]);
        let stock = fitness.visit(&"stock".into());
        assert!(fitness.is_fit() && fitness.reasons().is_empty());
        fitness.set_others(true, true);
        assert_eq!(fitness.reasons().len(), 0, "it has been fit a moment ago");
        advance(GRACE).await;
        assert_eq!(fitness.reasons().len(), 1, "the other replicas do not reach it");
        drop(stock);
        assert_eq!(fitness.reasons().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_lacking_for_a_while_only_costs_no_partition() {
        let fitness = fitness();
        for _ in 0..3 {
            let stock = fitness.visit(&"stock".into());
            assert!(fitness.is_fit());
            drop(stock);
            assert!(fitness.is_fit());
            advance(GRACE - SECOND).await;
            assert!(fitness.is_fit());
        }
        advance(SECOND).await;
        assert!(!fitness.is_fit(), "since {GRACE:?} nobody has been there");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_unwelcome_only_where_another_replica_is_better() {
        let fitness = fitness();
        let stock = fitness.visit(&"stock".into());
        assert!(fitness.is_fit());
        drop(stock);
        assert!(fitness.is_fit());
        advance(GRACE).await;
        assert!(!fitness.is_fit() && fitness.reasons().is_empty(), "alone, it answers as well as anybody");
        fitness.set_others(true, false);
        assert!(fitness.reasons().is_empty(), "the others lack it too");
        fitness.set_others(true, true);
        assert_eq!(fitness.reasons().len(), 2);
    }
}
