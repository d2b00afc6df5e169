//! Claims about which data a store holds, and which others they belong with.

use super::{Outcome, Reopen, Subject, fixture::ensure_eq};
use crate::{Store, store::Identity};

/// Other data have another identity; other handles, crashes and being opened again change nothing of it.
pub async fn an_identity_stays_with_the_data<S: Subject>(subject: &S) -> Outcome {
    let (store, other) = (subject.fresh().await, subject.fresh().await);
    let identity = store.identity();
    ensure_eq!(other.identity() == identity, false, "two databases have one identity");
    drop(other);
    // The subject may have kept the place of the last store it handed out only.
    drop(store);
    let mut store = subject.fresh().await;
    let identity = store.identity();
    if let Some(handle) = subject.another_handle(&store).await {
        ensure_eq!(handle.identity(), identity, "another handle says that it is on other data");
    }
    for how in [Reopen::Clean, Reopen::Crash, Reopen::Clean] {
        store = subject.reopen(store, how).await;
        ensure_eq!(store.identity(), identity, "the data are others since they were opened again");
    }
    Ok(())
}

/// The first data of a peer that are met stay the ones that these belong with, for all handles and through crashes,
/// until somebody says otherwise; each peer for itself.
pub async fn bonds_last_until_they_are_taken_back<S: Subject>(subject: &S) -> Outcome {
    let (first, second) = (Identity::from_bits(1), Identity::from_bits(u64::MAX));
    let mut store = subject.fresh().await;
    ensure_eq!(store.bound_to("stock", None).await?, None, "data belong with others that they never met");
    ensure_eq!(store.bound_to("stock", Some(first)).await?, Some(first), "the first that are met");
    ensure_eq!(store.bound_to("stock", Some(second)).await?, Some(first), "others that are met later");
    ensure_eq!(store.bound_to("stoc", None).await?, None, "another peer");
    ensure_eq!(store.bound_to("payment", Some(second)).await?, Some(second), "another peer");
    if let Some(handle) = subject.another_handle(&store).await {
        ensure_eq!(handle.bound_to("stock", Some(second)).await?, Some(first), "as another handle has it");
    }
    for how in [Reopen::Crash, Reopen::Clean] {
        store = subject.reopen(store, how).await;
        ensure_eq!(store.bound_to("stock", None).await?, Some(first), "opened again");
        ensure_eq!(store.bound_to("payment", None).await?, Some(second), "opened again");
    }
    store.unbind("stock").await?;
    store.unbind("nobody").await?;
    ensure_eq!(store.bound_to("stock", None).await?, None, "taken back");
    store = subject.reopen(store, Reopen::Crash).await;
    ensure_eq!(store.bound_to("stock", Some(second)).await?, Some(second), "met anew after it was taken back");
    ensure_eq!(store.bound_to("payment", None).await?, Some(second), "another bond was taken back");
    Ok(())
}
