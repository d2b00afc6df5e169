//! Claims about tasks, and handles, that use one store at the same time.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{
    Differences, Outcome, PARTITIONS, Subject, Violation,
    fixture::{bytes, cursor, ensure, ensure_eq, page_of_log, put, whole_log},
    reference::Reference,
};
use crate::{
    Partition, Store,
    store::{Commit, Error, Residents, Visibility},
};

/// Of any number of tasks that commit to one partition exactly one wins each head: none is won twice or left out, and
/// what the winners wrote adds up.
pub async fn of_many_writers_one_wins_each_head<S: Subject>(subject: &S) -> Outcome {
    let store = Arc::new(subject.fresh().await);
    let effort = subject.effort();
    compete(&vec![store; effort.writers], effort.commits_per_writer).await
}

/// Two handles on one database compete by the head as two tasks do, and each sees what the other committed; or there
/// is no second handle, where [`Differences::one_handle_only`] says so.
pub async fn two_handles_compete_by_head<S: Subject>(subject: &S) -> Outcome {
    let store = subject.fresh().await;
    let differences = subject.known_differences();
    let Some(other) = subject.another_handle(&store).await else {
        ensure!(differences.one_handle_only, "no other handle, although no known difference says so");
        return Ok(());
    };
    ensure!(!differences.one_handle_only, "another handle, although a known difference says that there is none");
    take_turns(&store, &other, differences).await?;
    let handles = [Arc::new(store), Arc::new(other)];
    let effort = subject.effort();
    let writers: Vec<Arc<S::Store>> = handles.iter().cycle().take(effort.writers.max(2)).cloned().collect();
    compete(&writers, effort.commits_per_writer).await
}

/// Commits through both handles by turns, in partition 1; what one committed, the other has to see at once.
async fn take_turns<T: Store>(store: &T, other: &T, differences: Differences) -> Result<(), Violation> {
    let mut reference = Reference::default();
    for turn in 0..24 {
        // Twice each, and not always tried by the other, who must see what was committed also where it never lost.
        let (winner, loser) = if turn % 4 < 2 { (store, other) } else { (other, store) };
        let commit = reference.next_commit("turns");
        winner.commit(1, commit.clone()).await?;
        if turn % 3 == 0 {
            let answer = loser.commit(1, commit.clone()).await;
            ensure!(
                matches!(answer, Err(Error::Conflict)),
                "a head that the other handle had won was answered {answer:?}"
            );
        }
        reference.apply(&commit);
        reference.check(loser, 1, differences).await?;
        reference.check(winner, 1, differences).await?;
    }
    Ok(())
}

/// Lets one writer per handle given (which may be the same) count up one record of partition 0, and checks the count.
async fn compete<T: Store>(handles: &[Arc<T>], commits_per_writer: u64) -> Result<(), Violation> {
    let mut tasks = JoinSet::new();
    for (writer, handle) in handles.iter().enumerate() {
        let handle = Arc::clone(handle);
        tasks.spawn(async move { count_up(&*handle, writer, commits_per_writer).await });
    }
    let mut heads_won: Vec<u64> = outcomes_of(tasks).await?.into_iter().flatten().collect();
    heads_won.sort_unstable();
    let total = handles.len() as u64 * commits_per_writer;
    ensure_eq!(heads_won, (1..=total).collect::<Vec<u64>>(), "heads won");
    let Some(handle) = handles.first() else {
        return Ok(());
    };
    let snapshot = handle.load(0, &[bytes("count")]).await?;
    ensure_eq!(snapshot.head, total, "head after so many commits");
    ensure_eq!(snapshot.records, [Some(bytes(total.to_string()))], "count that every commit raised by one");
    check_authors(&**handle, handles.len(), commits_per_writer).await
}

/// Commits until this writer has won often enough; returns the heads that it won.
async fn count_up<T: Store>(store: &T, writer: usize, wins_wanted: u64) -> Result<Vec<u64>, Violation> {
    let mut heads_won = Vec::new();
    while (heads_won.len() as u64) < wins_wanted {
        let snapshot = store.load(0, &[bytes("count")]).await?;
        let count = number_in(snapshot.records.first().and_then(Option::as_ref))?;
        // Others must be able to come in between, also where all tasks share one thread.
        tokio::task::yield_now().await;
        let commit = Commit {
            expected_head: snapshot.head,
            writes: vec![put("count", (count + 1).to_string())],
            events: vec![bytes(format!("{writer}:{}", heads_won.len()))],
            ..Commit::default()
        };
        match store.commit(0, commit).await {
            Ok(committed) => heads_won.push(committed.head),
            Err(Error::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(heads_won)
}

/// Ensures that the log has each event of each writer once and in the writer's order.
async fn check_authors<T: Store>(store: &T, writers: usize, commits_per_writer: u64) -> Result<(), Violation> {
    let log = whole_log(store, 0, Visibility::Committed).await?;
    let mut next_of: BTreeMap<String, u64> = BTreeMap::new();
    for entry in &log {
        let text = String::from_utf8_lossy(&entry.event);
        let (writer, number) = text.split_once(':').unwrap_or_default();
        let next = next_of.entry(writer.to_owned()).or_default();
        ensure_eq!(number, next.to_string(), "event of writer {writer} at {}", entry.position);
        *next += 1;
    }
    ensure_eq!(log.len() as u64, writers as u64 * commits_per_writer, "number of events");
    Ok(())
}

/// Writers of different partitions do not wait for, nor get in the way of, each other: none sees a conflict.
pub async fn partitions_are_written_at_the_same_time<S: Subject>(subject: &S) -> Outcome {
    let store = Arc::new(subject.fresh().await);
    let (differences, commits) = (subject.known_differences(), subject.effort().commits_per_writer);
    let mut tasks = JoinSet::new();
    for partition in 0..PARTITIONS {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut reference = Reference::default();
            for _ in 0..commits {
                let commit = reference.next_commit(&partition.to_string());
                store.commit(partition, commit.clone()).await?;
                reference.apply(&commit);
                tokio::task::yield_now().await;
            }
            Ok((partition, reference))
        });
    }
    for (partition, reference) in outcomes_of(tasks).await? {
        reference.check(&*store, partition, differences).await?;
    }
    Ok(())
}

/// A load shows the head, the log's end, the cursors and every record of one and the same moment, whatever is
/// committed meanwhile.
pub async fn a_load_shows_one_moment<S: Subject>(subject: &S) -> Outcome {
    let store = Arc::new(subject.fresh().await);
    let commits = subject.effort().commits_per_writer;
    let name = |index| bytes(format!("{}key-{index}", if index < 4 { "" } else { "*" }));
    let keys: Vec<Bytes> = (0..8).map(name).collect();
    let mut tasks = JoinSet::new();
    for partition in 0..2 {
        tasks.spawn({
            let (store, keys) = (Arc::clone(&store), keys.clone());
            async move { write_moments(&*store, partition, &keys, commits).await }
        });
        let (store, keys) = (Arc::clone(&store), keys.clone());
        tasks.spawn(async move { watch_moments(&*store, partition, &keys, commits).await });
    }
    outcomes_of(tasks).await.map(drop)
}

/// Commits so that everything in the partition always says the same number as its head.
async fn write_moments<T: Store>(
    store: &T,
    partition: Partition,
    keys: &[Bytes],
    commits: u64,
) -> Result<(), Violation> {
    for head in 1..=commits {
        let commit = Commit {
            expected_head: head - 1,
            writes: keys.iter().map(|key| put(key.clone(), head.to_string())).collect(),
            events: vec![bytes(head.to_string())],
            cursors: vec![cursor("upstream", 0, head), cursor("upstream", 1, head)],
            trim: 0,
        };
        store.commit(partition, commit).await?;
        yield_unevenly(head).await;
    }
    Ok(())
}

async fn watch_moments<T: Store>(
    store: &T,
    partition: Partition,
    keys: &[Bytes],
    commits: u64,
) -> Result<(), Violation> {
    let (mut head_before, mut loads) = (0, 0);
    while head_before < commits {
        let snapshot = store.load(partition, keys).await?;
        let head = snapshot.head;
        ensure!(head >= head_before, "head {head} loaded after head {head_before}");
        ensure_eq!(snapshot.log_end, head, "log_end loaded with head {head}");
        let written = (head > 0).then(|| bytes(head.to_string()));
        ensure_eq!(snapshot.records, vec![written; keys.len()], "records loaded with head {head}");
        for cursor in &snapshot.cursors {
            ensure_eq!(cursor.position, head, "cursor {} loaded with head {head}", cursor.log);
        }
        head_before = watch_residents(store, partition, head).await?;
        loads += 1;
        yield_unevenly(loads).await;
    }
    Ok(())
}

/// The same for resident records. Returns the head that they are of.
async fn watch_residents<T: Store>(store: &T, partition: Partition, head_before: u64) -> Result<u64, Violation> {
    let Residents { head, records } = store.residents(partition).await?;
    ensure!(head >= head_before, "residents of head {head} read after head {head_before}");
    let written = bytes(head.to_string());
    let count = if head > 0 { 4 } else { 0 };
    ensure!(
        records.len() == count && records.iter().all(|(_, value)| *value == written),
        "{count} residents of head {head} wanted, found {records:?}"
    );
    Ok(head)
}

/// Lets others run, not every time as often: tasks that share one thread would fall into step and only ever meet at
/// the same points.
async fn yield_unevenly(turn: u64) {
    for _ in 0..=turn % 3 {
        tokio::task::yield_now().await;
    }
}

/// Whoever follows a log while it grows sees each event once, in order and without gaps, under either visibility.
pub async fn a_reader_of_a_growing_log_sees_no_gap<S: Subject>(subject: &S) -> Outcome {
    let store = Arc::new(subject.fresh().await);
    let commits = subject.effort().commits_per_writer;
    let mut tasks = JoinSet::new();
    for visibility in [Visibility::Committed, Visibility::Durable] {
        let store = Arc::clone(&store);
        tasks.spawn(async move { follow(&*store, commits * 2, visibility).await });
    }
    tasks.spawn({
        let store = Arc::clone(&store);
        async move {
            let mut last = None;
            for head in 1..=commits {
                let commit = Commit {
                    expected_head: head - 1,
                    events: vec![bytes((head * 2 - 1).to_string()), bytes((head * 2).to_string())],
                    ..Commit::default()
                };
                let committed = store.commit(0, commit).await?;
                store.durability().request(committed.position);
                last = Some(committed.position);
                tokio::task::yield_now().await;
            }
            if let Some(position) = last {
                store.durability().wait(position).await?;
            }
            Ok(())
        }
    });
    outcomes_of(tasks).await.map(drop)
}

async fn follow<T: Store>(store: &T, until: u64, visibility: Visibility) -> Result<(), Violation> {
    let mut after = 0;
    while after < until {
        for entry in page_of_log(store, 0, after, 7, visibility).await? {
            ensure_eq!(entry.position, after + 1, "event that follows {after}");
            ensure_eq!(entry.event, bytes(entry.position.to_string()), "event {}", entry.position);
            after = entry.position;
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

fn number_in(record: Option<&Bytes>) -> Result<u64, Violation> {
    let Some(record) = record else { return Ok(0) };
    let text = std::str::from_utf8(record).ok();
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or_else(|| Violation::new(format!("a number was written, found {record:?}")))
}

/// Waits for all tasks; the first violation of any of them, or what they all returned.
pub(super) async fn outcomes_of<T: 'static>(mut tasks: JoinSet<Result<T, Violation>>) -> Result<Vec<T>, Violation> {
    let mut outcomes = Vec::new();
    while let Some(joined) = tasks.join_next().await {
        let outcome = joined.map_err(|error| Violation::new(format!("a task of the claim died: {error}")))?;
        outcomes.push(outcome?);
    }
    Ok(outcomes)
}
