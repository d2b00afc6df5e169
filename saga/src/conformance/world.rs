//! Stores and what they should look like, commit by commit, through crashes.

use std::collections::BTreeMap;

use super::{
    Differences, PARTITIONS, Violation,
    fixture::{ensure, ensure_eq, page_of_log, whole_log},
    reference::Reference,
};
use crate::{
    Partition, Store,
    store::{Commit, Committed, Error, Visibility},
};

/// A partition of one of the services in the domain: 0 is the store itself, 1 its sibling.
pub(super) type Place = (usize, Partition);

/// What every partition of the stores of one durability domain should look like.
///
/// ```text
///  order:  c1 c2 c3 c4 c5 c6 c7      every commit, in the order in which they were made
///          └────────┘ │     │
///           durable   └──┬──┘        waited for, or shown by a durable read: no crash may take these back
///                        may be lost, from the end
/// ```
#[derive(Debug)]
pub(super) struct World {
    differences: Differences,
    order: Vec<(Place, Commit)>,
    /// How many commits, from the first, are known to be durable.
    durable: usize,
    places: BTreeMap<Place, Reference>,
}

impl World {
    pub(super) fn new(differences: Differences) -> Self {
        Self { differences, order: Vec::new(), durable: 0, places: BTreeMap::new() }
    }

    pub(super) fn at(&mut self, place: Place) -> &mut Reference {
        self.places.entry(place).or_default()
    }

    /// Commits on the head that should be current.
    pub(super) async fn commit<T: Store>(
        &mut self,
        store: &T,
        place: Place,
        mut commit: Commit,
    ) -> Result<Committed, Violation> {
        commit.expected_head = self.at(place).head;
        let committed = store.commit(place.1, commit.clone()).await?;
        ensure_eq!(committed.head, commit.expected_head + 1, "head after a commit to partition {}", place.1);
        self.at(place).apply(&commit);
        self.order.push((place, commit));
        Ok(committed)
    }

    /// Commits something of everything.
    pub(super) async fn commit_next<T: Store>(&mut self, store: &T, place: Place) -> Result<Committed, Violation> {
        let commit = self.at(place).next_commit(&format!("{}/{}", place.0, place.1));
        self.commit(store, place, commit).await
    }

    /// Tries to commit on `expected_head`, which is not the current one.
    pub(super) async fn commit_in_vain<T: Store>(
        &mut self,
        store: &T,
        place: Place,
        expected_head: u64,
    ) -> Result<(), Violation> {
        let mut commit = self.at(place).next_commit("in vain");
        commit.expected_head = expected_head;
        match store.commit(place.1, commit).await {
            Err(Error::Conflict) => Ok(()),
            other => {
                let head = self.at(place).head;
                Err(Violation::new(format!(
                    "a commit on head {expected_head} of a partition with head {head} was answered {other:?}"
                )))
            }
        }
    }

    /// Waits until the commit at `position`, which must be the last one made, is durable.
    pub(super) async fn wait<T: Store>(&mut self, store: &T, position: u64) -> Result<(), Violation> {
        store.durability().wait(position).await?;
        let durable = store.durability().durable();
        ensure!(durable >= position, "wait({position}) returned at durable position {durable}");
        self.durable = self.order.len();
        Ok(())
    }

    /// Waits for the `position` of a snapshot of `place`: all that is in it is durable then, and what was committed
    /// before that.
    pub(super) async fn wait_for_place<T: Store>(
        &mut self,
        store: &T,
        place: Place,
        position: u64,
    ) -> Result<(), Violation> {
        store.durability().wait(position).await?;
        let last = self.order.iter().rposition(|(at, _)| *at == place);
        self.durable = self.durable.max(last.map_or(0, |last| last + 1));
        Ok(())
    }

    /// The store was closed as by a service that drains: all there is is durable.
    pub(super) fn close(&mut self) {
        self.durable = self.order.len();
    }

    /// Ensures that one partition looks as it should.
    pub(super) async fn check_place<T: Store>(&mut self, store: &T, place: Place) -> Result<(), Violation> {
        let differences = self.differences;
        self.at(place).check(store, place.1, differences).await
    }

    /// Ensures that every partition of every store (the sibling second, where there is one) looks as it should.
    pub(super) async fn check<T: Store>(&mut self, stores: &[&T]) -> Result<(), Violation> {
        for (service, store) in stores.iter().enumerate() {
            for partition in 0..PARTITIONS {
                self.check_place(*store, (service, partition)).await?;
            }
        }
        Ok(())
    }

    /// Reads what the log shows as durable, which is at least what was waited for; from now on no crash may take back
    /// what was shown.
    pub(super) async fn read_durable<T: Store>(&mut self, store: &T, place: Place) -> Result<(), Violation> {
        let due = self.log_end_after(place, self.durable);
        let trimmed = self.at(place).trimmed;
        let shown = self.read_durable_of_another(store, place).await?;
        ensure!(shown >= due || due <= trimmed, "a durable read ends at event {shown} although event {due} is durable");
        Ok(())
    }

    /// The same through a handle other than the one that was waited on, which may be late to know; returns the last
    /// event shown.
    pub(super) async fn read_durable_of_another<T: Store>(
        &mut self,
        store: &T,
        place: Place,
    ) -> Result<u64, Violation> {
        let log = whole_log(store, place.1, Visibility::Durable).await?;
        let reference = self.at(place);
        reference.check_entries(place.1, &log)?;
        let (trimmed, log_end) = (reference.trimmed, reference.log_end());
        let shown = log.last().map_or(0, |last| last.position);
        ensure!(shown <= log_end, "a durable read shows event {shown} of a log that ends at {log_end}");
        if let Some(first) = log.first() {
            ensure!(first.position <= trimmed + 1, "a durable read misses event {}", first.position - 1);
        }
        let appended_by = (0..=self.order.len()).find(|count| self.log_end_after(place, *count) >= shown);
        self.durable = self.durable.max(appended_by.unwrap_or_default());
        Ok(shown)
    }

    /// Reads a page of what is committed and ensures that it is what should be there.
    pub(super) async fn read_page<T: Store>(
        &mut self,
        store: &T,
        place: Place,
        after: u64,
        limit: usize,
    ) -> Result<(), Violation> {
        let page = page_of_log(store, place.1, after, limit, Visibility::Committed).await?;
        let lazily = self.differences.trims_lazily;
        let reference = self.at(place);
        reference.check_entries(place.1, &page)?;
        let wanted_first = after.max(reference.trimmed) + 1;
        match page.first().map(|first| first.position) {
            None => ensure!(
                limit == 0 || wanted_first > reference.log_end(),
                "nothing after {after} in a log that ends at {}",
                reference.log_end()
            ),
            Some(first) => ensure!(
                first == wanted_first || (lazily && first < wanted_first),
                "reading after {after} started at event {first}, wanted {wanted_first}"
            ),
        }
        Ok(())
    }

    /// After a crash: finds out which commits survived, ensures that they are the first ones, in every partition and
    /// across them, that nothing known to be durable is missing and that everything agrees; forgets the others.
    pub(super) async fn recover<T: Store>(&mut self, stores: &[&T]) -> Result<(), Violation> {
        let mut heads = BTreeMap::new();
        for (service, store) in stores.iter().enumerate() {
            for partition in 0..PARTITIONS {
                let snapshot = store.load(partition, &[]).await?;
                heads.insert((service, partition), snapshot.head);
            }
        }
        let survivors = usize::try_from(heads.values().sum::<u64>()).unwrap_or(usize::MAX);
        ensure!(
            survivors >= self.durable,
            "{survivors} commits survived of {} that were known to be durable",
            self.durable
        );
        ensure!(survivors <= self.order.len(), "{survivors} commits survived of {}", self.order.len());
        self.order.truncate(survivors);
        self.durable = survivors;
        self.places.clear();
        for (place, commit) in &self.order {
            self.places.entry(*place).or_default().apply(commit);
        }
        for (place, found) in heads {
            let wanted = self.at(place).head;
            ensure_eq!(found, wanted, "not a prefix: commits that survived in {place:?} of {survivors} altogether");
        }
        self.check(stores).await
    }

    /// Where the log of `place` ended after the first `count` commits.
    fn log_end_after(&self, place: Place, count: usize) -> u64 {
        let commits = self.order.iter().take(count).filter(|(at, _)| *at == place);
        commits.map(|(_, commit)| commit.events.len() as u64).sum()
    }
}
