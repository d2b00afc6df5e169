//! Which replica looks after which partition: spread over those that live, by a list in the service's own store.
//!
//! All of it is a hint. Two replicas that both believe a partition to be theirs get into each other's way, and the
//! comparison of heads decides; a partition that nobody believes to be theirs waits for the next beat.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use crate::{Member, Members, Partition, remote::peer::Peer, watch};

/// How often a replica says that it lives.
const BEAT: Duration = Duration::from_millis(500);

/// Who has not said so for this long is taken for dead: a few beats, so that a slow moment is not taken for it.
const TTL: Duration = Duration::from_secs(2);

/// Without a beat for this long the store is taken to be out of reach.
const STALE: Duration = Duration::from_secs(4);

/// The view that one replica has of who looks after what.
#[derive(Debug)]
pub(crate) struct Ownership {
    pub(crate) me: Member,
    partitions: Partition,
    /// By partition, the address of who looks after it.
    places: watch::Sender<Arc<Vec<String>>>,
    /// By partition, whether it is this replica's.
    active: Vec<watch::Sender<bool>>,
    /// Counts changes of `active`.
    pub(crate) activity: watch::Sender<u64>,
    /// Asks for a beat at once.
    pub(crate) doubt: Notify,
    reached: AtomicBool,
    /// Leaving: nothing is this replica's any more.
    leaving: AtomicBool,
}

impl Ownership {
    pub(crate) fn new(me: Member, active: Vec<watch::Sender<bool>>) -> Self {
        let partitions = Partition::try_from(active.len()).unwrap_or(Partition::MAX);
        let places = watch::Sender::new(Arc::new(vec![String::new(); active.len()]));
        Self {
            me,
            partitions,
            places,
            active,
            activity: watch::Sender::new(0),
            doubt: Notify::new(),
            reached: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
        }
    }

    pub(crate) fn places(&self) -> watch::Receiver<Arc<Vec<String>>> {
        self.places.subscribe()
    }

    pub(crate) fn is_mine(&self, partition: Partition) -> bool {
        self.active.get(usize::from(partition)).is_some_and(|active| *active.borrow())
    }

    /// Whether the list could be reached lately.
    pub(crate) fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Acquire)
    }

    /// Keeps the replica on the list and the partitions spread, for as long as this is polled.
    pub(crate) async fn run(self: Arc<Self>, members: Arc<impl Members>, siblings: Arc<Peer>) {
        let mut events = siblings.events.subscribe();
        let mut listed: Vec<Member> = Vec::new();
        let mut last = Instant::now();
        let mut is_new = true;
        loop {
            match timeout(TTL, members.beat(&self.me, TTL)).await {
                Ok(Ok(list)) => {
                    last = Instant::now();
                    self.reached.store(true, Ordering::Release);
                    if std::mem::take(&mut is_new) && list.len() > 1 {
                        // The others see this one at their next beat, and let go of what becomes its own.
                        self.announce(&list, &siblings, false);
                        sleep(BEAT).await;
                    }
                    listed = list;
                }
                Ok(Err(error)) => tracing::debug!(%error, "the list of replicas cannot be reached"),
                Err(_) => tracing::debug!("the list of replicas does not answer"),
            }
            if last.elapsed() > STALE {
                self.reached.store(false, Ordering::Release);
            }
            self.announce(&listed, &siblings, true);
            let next = sleep(BEAT);
            tokio::pin!(next);
            events.mark_unchanged();
            loop {
                tokio::select! {
                    biased;
                    () = self.doubt.notified() => break,
                    // A replica came or went: what is known of the list is enough to spread anew.
                    _ = events.changed() => self.announce(&listed, &siblings, true),
                    () = &mut next => break,
                }
            }
        }
    }

    /// Spreads the partitions over those who live; `take`: also takes its own.
    fn announce(&self, listed: &[Member], siblings: &Peer, take: bool) {
        if listed.is_empty() || self.leaving.load(Ordering::Acquire) {
            return;
        }
        siblings.set_known(listed.iter().map(|member| member.address.clone()).collect());
        let suspects = siblings.suspects();
        let places = spread(&self.me, listed, &suspects, self.partitions);
        if **self.places.borrow() != places {
            self.places.send_replace(Arc::new(places.clone()));
            siblings.set_places(places.clone());
        }
        let mut changed = false;
        for (active, place) in self.active.iter().zip(&places) {
            let mine = *place == self.me.address && (take || *active.borrow());
            changed |= active.send_if_modified(|active| std::mem::replace(active, mine) != mine);
        }
        if changed {
            self.activity.send_modify(|count| *count += 1);
        }
    }

    /// Gives everything up, and tells the others.
    pub(crate) async fn leave(&self, members: &impl Members) {
        self.leaving.store(true, Ordering::Release);
        if let Ok(Err(error)) = timeout(TTL, members.leave(self.me.id)).await {
            tracing::debug!(%error, "the list of replicas cannot be reached");
        }
        self.places.send_replace(Arc::new(vec![String::new(); self.partitions.into()]));
        for active in &self.active {
            active.send_replace(false);
        }
        self.activity.send_modify(|count| *count += 1);
    }
}

/// By partition, the address of who is to look after it: one after the other in the order of their ids.
fn spread(me: &Member, listed: &[Member], suspects: &BTreeSet<String>, partitions: Partition) -> Vec<String> {
    let is_alive = |member: &&Member| member.id == me.id || !suspects.contains(&member.address);
    let mut alive: Vec<&Member> = listed.iter().filter(is_alive).collect();
    if alive.iter().all(|member| member.id != me.id) {
        alive.push(me);
        alive.sort_unstable_by_key(|member| member.id);
    }
    let in_turn = alive.iter().cycle();
    in_turn.take(partitions.into()).map(|member| member.address.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64) -> Member {
        Member { id, address: format!("replica-{id}:1") }
    }

    #[test]
    fn partitions_are_spread_evenly_over_those_who_live() {
        let listed = [member(3), member(5), member(9)];
        let places = spread(&listed[1], &listed, &BTreeSet::new(), 6);
        for member in &listed {
            assert_eq!(places.iter().filter(|place| **place == member.address).count(), 2);
        }
        let suspects = BTreeSet::from([member(3).address]);
        let places = spread(&listed[1], &listed, &suspects, 6);
        assert_eq!(places.iter().filter(|place| **place == member(3).address).count(), 0);
    }

    #[test]
    fn a_replica_never_takes_itself_for_dead() {
        let me = member(4);
        let suspects = BTreeSet::from([me.address.clone()]);
        assert_eq!(spread(&me, &[member(2)], &suspects, 2), ["replica-2:1", "replica-4:1"]);
        assert_eq!(spread(&me, std::slice::from_ref(&me), &suspects, 1), ["replica-4:1"]);
    }
}
