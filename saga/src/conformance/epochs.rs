//! The claim about epochs that begin because somebody says so.

use super::{
    Outcome, Reopen, Subject, Violation,
    fixture::{bytes, ensure, ensure_eq},
};
use crate::{
    Store,
    store::{
        Commit, LogEntry, Visibility,
        position::{epoch_of, sequence_of},
    },
};

/// A new epoch loses nothing: records, heads and events go on counting, what was trimmed stays so, and later events have
/// numbers above all earlier ones. Other partitions notice nothing.
pub async fn an_epoch_keeps_the_log_and_goes_on_counting<S: Subject>(subject: &S) -> Outcome {
    let mut store = subject.fresh().await;
    let lazily = subject.known_differences().trims_lazily;
    append(&store, &["a", "b", "c"], 0).await?;
    append(&store, &[], 1).await?;
    for (above, event) in [(0, "d"), (0, "e"), (5000, "f")] {
        let before = store.load(0, &[]).await?;
        store.begin_epoch(0, above).await?;
        let after = store.load(0, &[]).await?;
        let sequences = |snapshot: &crate::store::Snapshot| (sequence_of(snapshot.head), sequence_of(snapshot.log_end));
        ensure_eq!(sequences(&after), sequences(&before), "what was counted in the epoch before");
        // A subject may hide its epochs; what it shows must make sense.
        let (was, is) = (epoch_of(before.log_end), epoch_of(after.log_end));
        ensure!(is == was || is > was.max(above), "epoch {is} after epoch {was}, above {above}");
        append(&store, &[event], 0).await?;
        check(&store, lazily, sequence_of(before.log_end) + 1).await?;
        store = subject.reopen(store, if above == 0 { Reopen::Clean } else { Reopen::Crash }).await;
        check(&store, lazily, sequence_of(before.log_end) + 1).await?;
    }
    let log = whole(&store, lazily, 1).await?;
    let Some(third) = log.get(1) else { return Err(Violation::new("the log is gone")) };
    append(&store, &[], third.position).await?;
    ensure_eq!(
        whole(&store, lazily, third.position).await?,
        log.get(2..).unwrap_or_default(),
        "after a trim in an earlier epoch"
    );
    append(&store, &[], u64::MAX).await?;
    ensure_eq!(whole(&store, lazily, u64::MAX).await?, [], "after a trim beyond the end");
    ensure_eq!(store.load(1, &[]).await?.log_end, 0, "the log of another partition");
    Ok(())
}

/// Appends to partition 0, trims it, and waits until that is durable.
async fn append<T: Store>(store: &T, events: &[&str], trim: u64) -> Outcome {
    let expected_head = store.load(0, &[]).await?.head;
    let events = events.iter().map(|event| bytes(*event)).collect();
    let committed = store.commit(0, Commit { expected_head, events, trim, ..Commit::default() }).await?;
    store.durability().wait(committed.position).await?;
    Ok(())
}

/// All of the log, without what a store that trims *lazily* may still show at and below `trim`.
async fn whole<T: Store>(store: &T, lazily: bool, trim: u64) -> Result<Vec<LogEntry>, Violation> {
    let mut log = store.read_log(0, 0, 100, Visibility::Durable).await?;
    log.retain(|entry| !lazily || entry.position > trim);
    Ok(log)
}

/// The log has events "b" to the one with number `last`, readable from each on.
async fn check<T: Store>(store: &T, lazily: bool, last: u64) -> Outcome {
    let log = whole(store, lazily, 1).await?;
    let sequences: Vec<u64> = log.iter().map(|entry| sequence_of(entry.position)).collect();
    ensure_eq!(sequences, (2..=last).collect::<Vec<_>>(), "the events that are kept");
    ensure_eq!(
        log.iter().map(|entry| entry.event.clone()).collect::<Vec<_>>(),
        ["b", "c", "d", "e", "f"].into_iter().take(log.len()).map(bytes).collect::<Vec<_>>(),
        "the events that are kept"
    );
    ensure!(log.is_sorted_by_key(|entry| entry.position), "events are not in the order of their numbers: {log:?}");
    for (index, entry) in log.iter().enumerate() {
        let rest = store.read_log(0, entry.position, 100, Visibility::Durable).await?;
        ensure_eq!(rest, log.get(index + 1..).unwrap_or_default(), "what comes after event {}", entry.position);
    }
    Ok(())
}
