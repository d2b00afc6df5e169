//! Which replica owns which partition: assigned in turn to the live members of the list in the service's own store.
//!
//! ```text
//!             beat, every half second                             told to all, with every heartbeat of theirs
//!   absent ──────────────────────▶ member ── due, and let go ──▶ owner of a partition ──▶ its claim
//!     ▲                             │   ▲                          │
//!     │                             │   └──── due to another ──────┘ stops, makes durable, sends its callers away
//!     └── off the list, for good ◀──┴──────────── told to stop: beats no more ◀───┘
//! ```
//!
//! Each member spreads the partitions over the list in the same way. What becomes due to it, it takes once every other
//! living member says that it has let go of it, or after a beat: the members look at the list at different moments.
//! A replica speaks for itself alone: others believe its *claim* to a partition, as long as their connection to it
//! stands, and no word of it about anybody else. So one that leaves or dies takes nothing with it but its own claims.
//!
//! All of it is a hint. Two replicas that both believe a partition to be theirs get into each other's way, and the
//! comparison of heads decides; a partition that nobody believes to be theirs waits for the next beat.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use crate::{
    Member, Members, Partition,
    metrics::ReplicaMetrics,
    remote::{fitness::Fitness, peer::Peer, wire::Places},
    store, watch,
};

/// How often a replica says that it lives.
const BEAT: Duration = Duration::from_millis(500);

/// Who has not said so for this long is taken for dead: a few beats, so that a slow moment is not taken for it.
const TTL: Duration = Duration::from_secs(2);

/// Without a beat for this long the store is taken to be out of reach.
const STALE: Duration = Duration::from_secs(4);

/// A beat and a word of leaving may both have to wait for a store that does not answer.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// The owners of the partitions, as one replica sees them.
#[derive(Debug)]
pub(crate) struct Ownership {
    pub(crate) me: Member,
    partitions: Partition,
    /// What the others are told.
    places: watch::Sender<Arc<Places>>,
    /// By partition, whether it is this replica's.
    active: Vec<watch::Sender<bool>>,
    /// Counts changes of `active`.
    pub(crate) activity: watch::Sender<u64>,
    /// Asks for a beat at once.
    pub(crate) doubt: Notify,
    reached: AtomicBool,
    /// The list, as it was read last.
    listed: Mutex<Vec<Member>>,
    /// From when on there is no more beat.
    leaving: watch::Sender<bool>,
    /// Off the list.
    left: watch::Sender<bool>,
    metrics: ReplicaMetrics,
}

impl Ownership {
    pub(crate) fn new(me: Member, active: Vec<watch::Sender<bool>>, metrics: ReplicaMetrics) -> Self {
        let partitions = Partition::try_from(active.len()).expect("partitions are numbered by this type");
        let places = Places { addresses: vec![String::new(); active.len()], is_current: None };
        Self {
            me,
            partitions,
            places: watch::Sender::new(Arc::new(places)),
            active,
            activity: watch::Sender::new(0),
            doubt: Notify::new(),
            reached: AtomicBool::new(false),
            listed: Mutex::default(),
            leaving: watch::Sender::new(false),
            left: watch::Sender::new(false),
            metrics,
        }
    }

    pub(crate) fn places(&self) -> watch::Receiver<Arc<Places>> {
        self.places.subscribe()
    }

    pub(crate) fn is_mine(&self, partition: Partition) -> bool {
        self.active.get(usize::from(partition)).is_some_and(|active| *active.borrow())
    }

    /// Waits until this replica is told to leave.
    pub(crate) async fn until_leaving(&self) {
        // The sender is here: it cannot be gone.
        let _ = self.leaving.subscribe().wait_for(|leaving| *leaving).await;
    }

    /// The membership list, as it was read last.
    pub(crate) fn listed(&self) -> Vec<Member> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the list could be reached lately.
    pub(crate) fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Acquire)
    }

    pub(crate) fn is_leaving(&self) -> bool {
        *self.leaving.borrow()
    }

    /// Keeps the replica on the list, from when the data are `bound` to others' on, and the partitions spread, until it is to
    /// leave. Nobody else beats or leaves, so that no beat can come after the leave.
    ///
    /// # Errors
    /// When the store is poisoned: a replica that owns no partition does not notice it otherwise, and would neither do
    /// anything nor be replaced.
    pub(crate) async fn run(
        self: Arc<Self>,
        bound: impl Future<Output = store::Result<()>>,
        members: impl Members,
        siblings: Arc<Peer>,
        fitness: Arc<Fitness>,
    ) -> store::Result<()> {
        let bound = tokio::select! {
            biased;
            () = self.until_leaving() => Ok(()),
            bound = bound => bound,
        };
        let kept = match bound {
            Ok(()) => self.keep(&members, &siblings, &fitness).await,
            Err(error) => Err(error),
        };
        if let Ok(Err(error)) = timeout(TTL, members.leave(self.me.id)).await {
            tracing::debug!(%error, "the membership list cannot be reached");
        }
        self.left.send_replace(true);
        kept
    }

    async fn keep(&self, members: &impl Members, siblings: &Peer, fitness: &Fitness) -> store::Result<()> {
        let (mut events, mut leaving) = (siblings.events.subscribe(), self.leaving.subscribe());
        let mut listed: Vec<Member> = Vec::new();
        let mut last = Instant::now();
        let mut due = vec![None; self.active.len()];
        while !self.is_leaving() {
            let me = Member { is_fit: fitness.is_fit(), ..self.me.clone() };
            self.metrics.fit(me.is_fit);
            match timeout(TTL, members.beat(&me, TTL)).await {
                Ok(Ok(list)) => {
                    last = Instant::now();
                    self.reached.store(true, Ordering::Release);
                    let others = || list.iter().filter(|member| member.id != me.id);
                    fitness.set_others(others().next().is_some(), others().any(|member| member.is_fit));
                    listed = list;
                    self.metrics.replicas(listed.len());
                    *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = listed.clone();
                }
                Ok(Err(error @ store::Error::Poisoned(_))) => return Err(error),
                Ok(Err(error)) => tracing::debug!(%error, "the membership list cannot be reached"),
                Err(_) => tracing::debug!("the membership list does not answer"),
            }
            if last.elapsed() > STALE {
                self.reached.store(false, Ordering::Release);
            }
            fitness.report();
            // Before the look: what happens after it is looked at again.
            events.mark_unchanged();
            self.announce(&listed, siblings, &mut due);
            let next = sleep(BEAT);
            tokio::pin!(next);
            loop {
                tokio::select! {
                    biased;
                    _ = leaving.wait_for(|leaving| *leaving) => break,
                    () = self.doubt.notified() => break,
                    // A replica came, went or let go: what is known of the list is enough to spread anew.
                    _ = events.changed() => self.announce(&listed, siblings, &mut due),
                    () = &mut next => break,
                }
            }
        }
        Ok(())
    }

    /// Spreads the partitions over those who live. `due`: by partition, since when it has been this replica's to take.
    fn announce(&self, listed: &[Member], siblings: &Peer, due: &mut [Option<Instant>]) {
        if listed.is_empty() {
            return;
        }
        siblings.set_known(listed.iter().map(|member| member.address.clone()).collect());
        let alive = alive(&self.me, listed, &siblings.suspects());
        let mut addresses = spread(&candidates(&alive), self.partitions);
        siblings.set_places(addresses.clone());
        let now = Instant::now();
        let mut changed = false;
        for (partition, ((active, address), due)) in (0..).zip(self.active.iter().zip(&mut addresses).zip(due)) {
            *due = (*address == self.me.address).then(|| due.unwrap_or(now));
            let mine = due.is_some_and(|due| {
                let lets_go = |member: &Member| member.id == self.me.id || siblings.lets_go(&member.address, partition);
                *active.borrow() || due.elapsed() >= BEAT || alive.iter().all(lets_go)
            });
            if due.is_some() && !mine {
                address.clear();
            }
            changed |= active.send_if_modified(|active| std::mem::replace(active, mine) != mine);
        }
        self.tell(Places { addresses, is_current: Some(self.is_reached()) });
        if changed {
            self.activity.send_modify(|count| *count += 1);
        }
    }

    fn tell(&self, places: Places) {
        self.places.send_if_modified(|told| {
            let changed = **told != places;
            if changed {
                *told = Arc::new(places);
            }
            changed
        });
    }

    /// Has the replica taken off the list, and gives everything up.
    pub(crate) async fn leave(&self) {
        self.leaving.send_replace(true);
        if timeout(LEAVE_MAX, self.left.subscribe().wait_for(|left| *left)).await.is_err() {
            tracing::warn!("could not leave the membership list: the entry expires by itself");
        }
        self.tell(Places { addresses: vec![String::new(); self.partitions.into()], is_current: None });
        for active in &self.active {
            active.send_replace(false);
        }
        self.activity.send_modify(|count| *count += 1);
    }
}

/// Who is taken to live, in the order of their ids. Nobody takes themselves for dead.
fn alive(me: &Member, listed: &[Member], suspects: &BTreeSet<String>) -> Vec<Member> {
    let is_alive = |member: &&Member| member.id == me.id || !suspects.contains(&member.address);
    let mut alive: Vec<Member> = listed.iter().filter(is_alive).cloned().collect();
    if alive.iter().all(|member| member.id != me.id) {
        alive.push(me.clone());
    }
    alive.sort_unstable_by_key(|member| member.id);
    alive
}

/// Who may have partitions: those who are fit, or all where nobody is.
fn candidates(alive: &[Member]) -> Vec<Member> {
    let fit: Vec<_> = alive.iter().filter(|member| member.is_fit).cloned().collect();
    if fit.is_empty() { alive.to_vec() } else { fit }
}

/// By partition, the address of its owner: live members in the order of their ids, in turn.
fn spread(alive: &[Member], partitions: Partition) -> Vec<String> {
    alive.iter().cycle().take(partitions.into()).map(|member| member.address.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64) -> Member {
        Member { id, address: format!("replica-{id}:1"), is_fit: true }
    }

    #[test]
    fn partitions_are_spread_evenly_over_those_who_live() {
        let listed = [member(3), member(5), member(9)];
        let places = spread(&alive(&listed[1], &listed, &BTreeSet::new()), 6);
        for member in &listed {
            assert_eq!(places.iter().filter(|place| **place == member.address).count(), 2);
        }
        let suspects = BTreeSet::from([member(3).address]);
        let places = spread(&alive(&listed[1], &listed, &suspects), 6);
        assert_eq!(places.iter().filter(|place| **place == member(3).address).count(), 0);
    }

    #[test]
    fn one_that_is_not_fit_gets_nothing_while_another_is() {
        let unfit = |id| Member { is_fit: false, ..member(id) };
        let addresses = |listed: &[Member]| spread(&candidates(&alive(&listed[0], listed, &BTreeSet::new())), 2);
        assert_eq!(addresses(&[member(1), unfit(2)]), ["replica-1:1", "replica-1:1"]);
        assert_eq!(addresses(&[unfit(1), member(2)]), ["replica-2:1", "replica-2:1"]);
        assert_eq!(addresses(&[unfit(1), unfit(2)]), ["replica-1:1", "replica-2:1"]);
    }

    #[test]
    fn a_replica_never_takes_itself_for_dead() {
        let me = member(4);
        let suspects = BTreeSet::from([me.address.clone()]);
        assert_eq!(spread(&alive(&me, &[member(2)], &suspects), 2), ["replica-2:1", "replica-4:1"]);
        assert_eq!(spread(&alive(&me, std::slice::from_ref(&me), &suspects), 1), ["replica-4:1"]);
    }
}
