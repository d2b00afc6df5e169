//! Claims about durability: the gate, and what a closed or crashed store shows when it is opened again.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{
    Outcome, PARTITIONS, Reopen, Subject, Violation,
    fixture::{bytes, ensure, ensure_eq, put, remove, whole_log, writes_only},
    races::outcomes_of,
    reference::Reference,
    world::World,
};
use crate::{Partition, Store, store::Visibility};

/// How often the claims about crashes crash.
const CRASHES: u64 = 6;

/// A commit made after another one has never a lower position: neither in one partition nor across them.
pub async fn positions_follow_the_order_of_the_commits<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    let mut last = 0;
    for turn in 0..40 {
        let partition = turn * 3 % PARTITIONS;
        let position = world.commit_next(&store, (0, partition)).await?.position;
        ensure!(position >= last, "position {position} after {last}");
        last = position;
        if turn % 10 == 0 {
            world.wait(&store, position).await?;
        }
    }
    Ok(())
}

/// Waiting for the position of a snapshot is enough to depend on all that it shows, whoever committed that and
/// whether or not anybody asked for it to be flushed.
pub async fn a_snapshot_says_what_it_depends_on<S: Subject>(subject: &S) -> Outcome {
    let mut store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    for round in 0..CRASHES {
        for turn in 0..=round {
            world.commit_next(&store, (0, partition_of_turn(turn))).await?;
        }
        let last_committed = partition_of_turn(round);
        {
            let reader = subject.another_handle(&store).await;
            let reader = reader.as_ref().filter(|_| round % 2 == 1).unwrap_or(&store);
            let snapshot = reader.load(last_committed, &[]).await?;
            world.wait(reader, snapshot.position).await?;
        }
        store = subject.reopen(store, Reopen::Crash).await;
        world.recover(&[&store]).await?;
    }
    Ok(())
}

/// A store that was closed shows everything that was committed when it is opened again: what was removed stays
/// removed, what was trimmed stays trimmed, and it goes on from there.
pub async fn a_clean_reopening_keeps_everything<S: Subject>(subject: &S) -> Outcome {
    let mut store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    for round in 0..4_u64 {
        let many = (0..20).map(|index| put(format!("round-{index}"), format!("{round}")));
        world.commit(&store, (0, 0), writes_only(many)).await?;
        let fewer = (0..20).filter(|index| (index + round).is_multiple_of(3));
        let removes = fewer.map(|index| remove(format!("round-{index}")));
        world.commit(&store, (0, 0), writes_only(removes)).await?;
        for turn in 0..30 {
            world.commit_next(&store, (0, partition_of_turn(turn))).await?;
        }
        world.check(&[&store]).await?;
        store = subject.reopen(store, Reopen::Clean).await;
        world.close();
        world.recover(&[&store]).await?;
        world.commit_in_vain(&store, (0, 0), 0).await?;
    }
    Ok(())
}

/// No crash takes back what somebody waited for, in whichever partition, nor what was committed before that.
pub async fn a_crash_keeps_all_that_was_waited_for<S: Subject>(subject: &S) -> Outcome {
    let mut store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    for round in 0..CRASHES {
        for turn in 0..20 {
            let committed = world.commit_next(&store, (0, partition_of_turn(turn))).await?;
            if turn % (round + 2) == round {
                world.wait(&store, committed.position).await?;
            }
        }
        store = subject.reopen(store, Reopen::Crash).await;
        world.recover(&[&store]).await?;
    }
    Ok(())
}

/// Tasks of all partitions that commit and wait at the same time, so that their flushes are shared, all get what they
/// waited for.
pub async fn waiters_of_all_partitions_are_served<S: Subject>(subject: &S) -> Outcome {
    let store = Arc::new(subject.fresh().await);
    let commits = subject.effort().commits_per_writer;
    let mut tasks = JoinSet::new();
    for partition in 0..PARTITIONS {
        let store = Arc::clone(&store);
        tasks.spawn(async move { commit_and_wait(&*store, partition, commits).await });
    }
    let waiters = outcomes_of(tasks).await?;
    let Some(store) = Arc::into_inner(store) else {
        return Err(Violation::new("a finished task still holds the store"));
    };
    let store = subject.reopen(store, Reopen::Crash).await;
    for Waiter { partition, waited_for, made } in waiters {
        let head = store.load(partition, &[]).await?.head;
        ensure!(head >= waited_for, "partition {partition} is back at head {head}, {waited_for} was waited for");
        let survived = usize::try_from(head).unwrap_or(usize::MAX);
        let Some(wanted) = made.get(survived) else {
            return Err(Violation::new(format!("partition {partition} has head {head} of {}", made.len() - 1)));
        };
        wanted.check(&store, partition, subject.known_differences()).await?;
    }
    Ok(())
}

struct Waiter {
    partition: Partition,
    /// The head that the last finished wait was for.
    waited_for: u64,
    /// What the partition looked like at each head.
    made: Vec<Reference>,
}

/// Waits after two commits of three, and leaves a few at the end that nobody waits for.
async fn commit_and_wait<T: Store>(store: &T, partition: Partition, commits: u64) -> Result<Waiter, Violation> {
    let mut waiter = Waiter { partition, waited_for: 0, made: vec![Reference::default()] };
    let mut reference = Reference::default();
    for turn in 0..commits + 3 {
        let commit = reference.next_commit(&partition.to_string());
        let committed = store.commit(partition, commit.clone()).await?;
        reference.apply(&commit);
        waiter.made.push(reference.clone());
        if turn < commits && turn % 3 != 0 {
            store.durability().wait(committed.position).await?;
            waiter.waited_for = committed.head;
        }
    }
    Ok(waiter)
}

/// What a crash leaves is what the first so many commits had made, in every partition and across them, and records,
/// events, cursors and heads agree on how many. The store goes on from there, with the numbers that follow.
pub async fn a_crash_leaves_a_prefix_of_the_commits<S: Subject>(subject: &S) -> Outcome {
    let mut store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    for round in 0..CRASHES {
        for turn in 0..25 {
            let place = (0, partition_of_turn(turn * round + turn / 2));
            let committed = world.commit_next(&store, place).await?;
            if turn == 8 {
                store.durability().request(committed.position);
                tokio::task::yield_now().await;
            }
        }
        store = subject.reopen(store, Reopen::Crash).await;
        world.recover(&[&store]).await?;
    }
    Ok(())
}

/// What a read of durable events has shown to anybody is still there after a crash.
pub async fn a_durable_read_never_shows_what_a_crash_takes_back<S: Subject>(subject: &S) -> Outcome {
    let mut store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    for round in 0..CRASHES {
        for turn in 0..25 {
            let place = (0, partition_of_turn(turn));
            let committed = world.commit_next(&store, place).await?;
            if turn % 8 == round {
                store.durability().request(committed.position);
            }
            world.read_durable(&store, place).await?;
            tokio::task::yield_now().await;
        }
        if round % 2 == 1
            && let Some(other) = subject.another_handle(&store).await
        {
            for partition in 0..PARTITIONS {
                world.read_durable_of_another(&other, (0, partition)).await?;
            }
        }
        store = subject.reopen(store, Reopen::Crash).await;
        world.recover(&[&store]).await?;
    }
    Ok(())
}

/// An event that somebody waited for is shown to readers of durable events: at once through the same handle, and
/// sooner or later through another one.
pub async fn a_durable_read_shows_what_was_waited_for<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let other = subject.another_handle(&store).await;
    let mut world = World::new(subject.known_differences());
    for turn in 0..20 {
        let place = (0, partition_of_turn(turn));
        let committed = world.commit_next(&store, place).await?;
        if turn % 3 != 2 {
            continue;
        }
        world.wait(&store, committed.position).await?;
        world.read_durable(&store, place).await?;
        if let Some(other) = &other {
            let log_end = world.at(place).log_end();
            // Bounded by the time that the claim has.
            while world.read_durable_of_another(other, place).await? < log_end {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    Ok(())
}

/// What a store shows once it is open can be depended on: whatever survived the first crash survives a second one
/// that follows at once, and the log shows all of it as durable.
pub async fn a_reopened_store_loses_nothing_it_has_shown<S: Subject>(subject: &S) -> Outcome {
    let mut store = subject.fresh().await;
    let mut world = World::new(subject.known_differences());
    for round in 0..CRASHES {
        for turn in 0..10 {
            world.commit_next(&store, (0, partition_of_turn(turn + round))).await?;
        }
        store = subject.reopen(store, Reopen::Crash).await;
        world.recover(&[&store]).await?;
        for partition in 0..PARTITIONS {
            world.read_durable(&store, (0, partition)).await?;
        }
        let how = if round % 2 == 0 { Reopen::Crash } else { Reopen::Clean };
        store = subject.reopen(store, how).await;
        world.recover(&[&store]).await?;
    }
    Ok(())
}

/// Two services in one domain see nothing of each other, yet what a crash leaves of both is one prefix of all their
/// commits; or each service has a domain of its own, where [`Differences::no_siblings`](super::Differences) says so.
pub async fn siblings_are_apart_and_lose_their_tails_together<S: Subject>(subject: &S) -> Outcome {
    let mut store = subject.fresh().await;
    let differences = subject.known_differences();
    let mut world = World::new(differences);
    for round in 0..CRASHES {
        let Some(sibling) = subject.sibling(&store).await else {
            ensure!(differences.no_siblings, "no sibling, although no known difference says so");
            return Ok(());
        };
        ensure!(!differences.no_siblings, "a sibling, although a known difference says that there is none");
        ensure!(store.durability().same_domain(sibling.durability()), "siblings do not share one durability gate");
        world.recover(&[&store, &sibling]).await?;
        for turn in 0..20_u64 {
            let service = usize::from((turn * 5 + round).is_multiple_of(3));
            let handle = if service == 0 { &store } else { &sibling };
            let committed = world.commit_next(handle, (service, partition_of_turn(turn))).await?;
            if turn == round * 3 {
                world.wait(handle, committed.position).await?;
            }
        }
        world.check(&[&store, &sibling]).await?;
        drop(sibling);
        store = subject.reopen(store, Reopen::Crash).await;
    }
    let found = whole_log(&store, 0, Visibility::Committed).await?;
    let foreign = found.iter().find(|entry| entry.event.starts_with(&bytes("1/")));
    ensure_eq!(foreign, None, "event of the sibling");
    Ok(())
}

fn partition_of_turn(turn: u64) -> Partition {
    (turn % u64::from(PARTITIONS)) as Partition
}
