//! Claims about heads: who may commit, and what a commit does as a whole.

use super::{
    Outcome, PARTITIONS, Subject, Violation,
    fixture::{bytes, cursor, ensure, ensure_eq, put, remove, whole_log},
    world::{Place, World},
};
use crate::{
    Store,
    store::{Commit, Snapshot, Visibility},
};

const HERE: Place = (0, 0);

/// A partition that nobody committed to has head 0, no records, no cursors and an empty log.
pub async fn an_untouched_partition_is_empty<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    for partition in 0..PARTITIONS {
        let snapshot = store.load(partition, &[bytes("a"), bytes("b")]).await?;
        let durable = store.durability().durable();
        ensure!(snapshot.position <= durable, "nothing was committed, yet it depends on {}", snapshot.position);
        let empty = Snapshot { position: snapshot.position, records: vec![None, None], ..Snapshot::default() };
        ensure_eq!(snapshot, empty, "snapshot of untouched partition {partition}");
        for visibility in [Visibility::Committed, Visibility::Durable] {
            let log = whole_log(&store, partition, visibility).await?;
            ensure!(log.is_empty(), "untouched partition {partition} has {} events", log.len());
        }
    }
    Ok(())
}

/// Every commit raises the head by one, also one that writes, appends and consumes nothing.
pub async fn a_commit_raises_the_head_by_one<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    world.commit(&store, HERE, Commit::default()).await?;
    world.check_place(&store, HERE).await?;
    for _ in 0..5 {
        world.commit_next(&store, HERE).await?;
        world.check_place(&store, HERE).await?;
    }
    world.commit(&store, HERE, Commit::default()).await?;
    world.check_place(&store, HERE).await
}

/// A commit that expects any other head than the current one, older or newer, is answered with a conflict.
pub async fn only_the_current_head_may_commit<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    for current in 0..4_u64 {
        let others = (0..current).chain([current + 1, current + 2, current + 1_000]);
        for other in others {
            world.commit_in_vain(&store, HERE, other).await?;
        }
        world.commit_next(&store, HERE).await?;
    }
    world.check(&[&store]).await
}

/// A commit that lost leaves every trace of itself out: records, events, cursors, trim and head.
pub async fn a_conflict_changes_nothing<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    let before = Commit {
        writes: vec![put("kept", "before"), put("other", "before")],
        events: vec![bytes("one"), bytes("two"), bytes("three")],
        cursors: vec![cursor("upstream", 0, 7)],
        ..Commit::default()
    };
    world.commit(&store, HERE, before).await?;
    for wrong_head in [0, 2, 50] {
        let lost = Commit {
            expected_head: wrong_head,
            writes: vec![put("kept", "lost"), remove("other"), put("new", "lost")],
            events: vec![bytes("lost")],
            cursors: vec![cursor("upstream", 0, 8), cursor("upstream", 1, 1)],
            trim: 2,
        };
        let answer = store.commit(0, lost).await;
        ensure!(
            matches!(answer, Err(crate::store::Error::Conflict)),
            "a commit on head {wrong_head} of a partition with head 1 was answered {answer:?}"
        );
        let keys = [bytes("kept"), bytes("other"), bytes("new")];
        let found = store.load(0, &keys).await?;
        let wanted = Snapshot {
            head: 1,
            log_end: 3,
            position: found.position,
            cursors: vec![cursor("upstream", 0, 7)],
            records: vec![Some(bytes("before")), Some(bytes("before")), None],
        };
        ensure_eq!(found, wanted, "after a conflict on head {wrong_head}");
        world.check(&[&store]).await?;
    }
    world.commit_next(&store, HERE).await?;
    world.check(&[&store]).await
}

/// What a commit did is seen by the first load and the first read that follow its answer, durable or not.
pub async fn a_load_sees_every_commit_before_it<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    for turn in 0..40 {
        world.commit_next(&store, (0, turn % 2)).await?;
        world.check_place(&store, (0, turn % 2)).await?;
    }
    Ok(())
}

/// One commit that does everything does all of it.
pub async fn a_commit_is_applied_whole<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    let first = Commit {
        writes: (0..10).map(|index| put(format!("key-{index}"), "old")).collect(),
        events: vec![bytes("one"), bytes("two")],
        cursors: vec![cursor("upstream", 0, 1), cursor("upstream", 1, 1)],
        ..Commit::default()
    };
    world.commit(&store, HERE, first).await?;
    let mixed = Commit {
        writes: vec![
            put("key-0", "new"),
            remove("key-1"),
            put("key-10", "new"),
            remove("never there"),
            put("key-9", "new"),
        ],
        events: vec![bytes("three"), bytes("four"), bytes("five")],
        cursors: vec![cursor("upstream", 1, 2), cursor("elsewhere", 0, 3)],
        trim: 1,
        ..Commit::default()
    };
    world.commit(&store, HERE, mixed).await?;
    world.check(&[&store]).await
}

/// Partitions share nothing: the same keys, events and cursors live in each of them on their own.
pub async fn partitions_are_apart<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    for partition in 0..PARTITIONS {
        for turn in 0..=partition {
            let commit = Commit {
                writes: vec![put("same", format!("{partition}-{turn}")), remove(format!("own-{}", partition ^ 1))],
                events: vec![bytes(format!("{partition}-{turn}"))],
                cursors: vec![cursor("upstream", 0, u64::from(partition) * 100)],
                trim: u64::from(turn / 2),
                ..Commit::default()
            };
            world.commit(&store, (0, partition), commit).await?;
            world.check(&[&store]).await?;
        }
        let own = Commit { writes: vec![put(format!("own-{partition}"), "kept")], ..Commit::default() };
        world.commit(&store, (0, partition), own).await?;
    }
    world.check(&[&store]).await?;
    let absent = store.load(2, &[bytes("own-0"), bytes("own-1")]).await?;
    if absent.records.iter().any(Option::is_some) {
        return Err(Violation::new("records of partitions 0 and 1 are seen in partition 2"));
    }
    Ok(())
}
