//! Requests that set very many records at once: cut into parts, and remembered as a whole.

use futures_util::{StreamExt, TryStreamExt, stream};
use saga::{CallOptions, Handle, Participant, Partition, partition_of};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    Idempotency, Problem,
    call::{engine_key, refused},
    idempotency::note_replayed,
};

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Message {
    /// In words.
    pub msg: &'static str,
}

/// The most records that one bulk request may set: what fits into minutes and gigabytes.
pub const RECORDS_MAX: u64 = 10_000_000;

/// Records set by one command: a commit of a few hundred kilobytes.
const PART_RECORDS: usize = 2000;

/// Commands of one bulk request that run at once: enough to keep every partition busy while others are flushed.
const AT_ONCE: usize = 8;

/// Carries out a bulk request in parts, which all have to be answered with `done`, once even if it is repeated.
///
/// The parts are applied one by one; the request as a whole is remembered under its key when all of them are, so a
/// repetition after a crash in between begins anew, which must be harmless. `last` is a command without effect.
///
/// # Errors
/// The problem that `refusal` makes of the first other reply, or where there was no reply.
pub async fn call_in_parts<P: Participant<Reply: PartialEq>>(
    handle: &Handle<P>,
    parts: Parts<P::Command>,
    last: P::Command,
    done: P::Reply,
    refusal: impl Fn(P::Reply) -> Problem,
    idempotency: Idempotency,
) -> Result<(), Problem> {
    let key = idempotency.0.map(engine_key);
    if let Some(key) = &key
        && handle.claim(key.clone()).await.map_err(|error| refused(&error))?.is_some()
    {
        note_replayed();
        return Ok(());
    }
    let run = |(partition, command): (Partition, P::Command)| async move {
        let reply = handle.call(partition, command, CallOptions::default()).await;
        reply.map_err(|error| refused(&error))
    };
    let replies = stream::iter(parts).map(run).buffer_unordered(AT_ONCE);
    let judge = |reply: P::Reply| if reply == done { Ok(()) } else { Err(refusal(reply)) };
    replies.try_for_each(|reply| std::future::ready(judge(reply))).await?;
    if let Some(key) = key {
        let home = handle.partition_of(key.key.as_bytes());
        let options = CallOptions { key: Some(key), patience: None };
        handle.call(home, last, options).await.map_err(|error| refused(&error))?;
    }
    Ok(())
}

/// Refuses a bulk request for more than is sensible.
///
/// # Errors
/// A malformed parameter `n`.
pub fn check_count(count: u64) -> Result<(), Problem> {
    if count <= RECORDS_MAX {
        return Ok(());
    }
    Err(Problem::malformed(format!("n: at most {RECORDS_MAX}")).with("parameter", "n"))
}

/// The commands of a bulk request, each with its partition.
pub type Parts<C> = Box<dyn Iterator<Item = (Partition, C)> + Send>;

/// The numbers below `count` whose decimal form names something in `partition`.
pub fn numbers_of(partition: Partition, partitions: Partition, count: u64) -> impl Iterator<Item = u64> + Send {
    (0..count)
        .filter(move |number| partition_of(smol_str::format_smolstr!("{number}").as_bytes(), partitions) == partition)
}

/// Cuts what a bulk request sets into parts for one command each.
pub fn in_parts<T>(mut all: impl Iterator<Item = T>) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let part: Vec<T> = all.by_ref().take(PART_RECORDS).collect();
        (!part.is_empty()).then_some(part)
    })
}
