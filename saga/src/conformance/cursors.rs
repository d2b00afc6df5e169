//! Claims about the cursors that say how far a partition has consumed other logs.

use super::{
    Outcome, Reopen, Subject,
    fixture::cursor,
    world::{Place, World},
};
use crate::{
    Partition,
    store::{Commit, Cursor},
};

const HERE: Place = (0, 0);

/// Each log has a cursor of its own, which stays until it is replaced, is loaded with every snapshot and survives
/// being closed.
pub async fn cursors_are_kept_and_replaced_one_by_one<S: Subject>(subject: &S) -> Outcome {
    /// More than 32 bits: no log is longer than a store can count.
    const FAR: u64 = 1 << 40;
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    let many = (0..50).map(|partition| cursor("many", partition, u64::from(partition) + 1));
    let steps: Vec<Vec<Cursor>> = vec![
        vec![cursor("order", 0, 1)],
        vec![cursor("order", 1, 5)],
        vec![cursor("orde", 1, 6), cursor("order", 11, 7), cursor("order-1", 1, 8), cursor("payment", 0, 9)],
        vec![cursor("order", 1, 10)],
        vec![],
        vec![cursor("order", 0, 2), cursor("payment", 0, FAR + 1)],
        many.collect(),
        vec![cursor("order", Partition::MAX, 3), cursor("zero", 0, 0)],
    ];
    for cursors in steps {
        let commit = Commit { cursors, ..Commit::default() };
        let committed = world.commit(&store, HERE, commit).await?;
        world.check(&[&store]).await?;
        world.wait(&store, committed.position).await?;
    }
    let store = subject.reopen(store, Reopen::Clean).await;
    world.recover(&[&store]).await
}
