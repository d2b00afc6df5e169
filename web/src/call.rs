//! From a handler to a partition of a service on the `saga` engine, and from the engine's errors to problems.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use saga::{CallError, CallOptions, Effect, Handle, IdempotencyKey, Participant, Partition, partition_of};

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{Idempotency, Problem, RequestKey, problem::Kind};

/// A number would be more than can be counted.
pub static AMOUNT_TOO_LARGE: Kind = Kind::new(
    "amount-too-large",
    StatusCode::BAD_REQUEST,
    "The result would be too large",
    "A total or balance may be at most 2^53 - 1 (9007199254740991), so that every JSON reader sees it exactly. Nothing \
     was changed.",
);

/// Others are in the way.
pub static BUSY: Kind = Kind::new(
    "busy",
    StatusCode::CONFLICT,
    "Others are using it right now",
    "Running checkouts hold what the request needs, and did not end while it waited; or too many wait already. Nothing \
     was changed. Try again after `Retry-After` seconds.",
);

/// There are not that many units.
pub static OUT_OF_STOCK: Kind = Kind::new(
    "out-of-stock",
    StatusCode::CONFLICT,
    "Not enough units in stock",
    "The item named by `item_id` has fewer units than asked for, and would have even if everything that running \
     checkouts hold were given back. Nothing was changed. It may succeed once stock was added.",
);

/// There is not that much credit.
pub static NOT_ENOUGH_CREDIT: Kind = Kind::new(
    "not-enough-credit",
    StatusCode::PAYMENT_REQUIRED,
    "Not enough credit",
    "The order's user, or the one named by `user_id`, has less credit than asked for, and would have even if everything \
     that running checkouts hold were given back. Nothing was changed. It may succeed once funds were added.",
);

/// The kinds of problems that several services have.
pub static KINDS: &[&Kind] = &[&AMOUNT_TOO_LARGE, &BUSY, &OUT_OF_STOCK, &NOT_ENOUGH_CREDIT];

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Message {
    /// In words.
    pub msg: &'static str,
}

/// The most records that one bulk request may set: what fits into minutes and gigabytes.
const BULK_MAX: u64 = 10_000_000;

/// Records set by one command: a commit of a few hundred kilobytes.
const BULK_PART: usize = 2000;

/// Commands of one bulk request that run at once: enough to keep every partition busy while others are flushed.
const BULK_AT_ONCE: usize = 8;

/// A caller who was told nothing after this long beyond its patience is told that the outcome is unknown, or, of a read,
/// that there is none: far longer than an answer takes unless a store is gone.
const ANSWER_WAIT: Duration = Duration::from_secs(4);

/// How long callers wait.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For a read that waits for holds to end. Longer than a checkout takes unless something is wrong.
    pub read: Duration,
    /// For a direct change that waits for holds to end.
    pub change: Duration,
    /// How much longer than a checkout's own time its caller waits before it is told that the outcome is unknown.
    pub grace: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { read: Duration::from_secs(3), change: Duration::from_secs(1), grace: Duration::from_secs(10) }
    }
}

/// Asks a partition to carry out a command that is answered within `patience`, or at once.
///
/// # Errors
/// A problem where the participant gave no reply.
pub async fn call<P: Participant>(
    handle: &Handle<P>,
    partition: Partition,
    command: P::Command,
    idempotency: Idempotency,
    patience: Option<Duration>,
) -> Result<P::Reply, Problem> {
    let options = CallOptions { key: idempotency.0.map(engine_key), patience };
    let wait = patience.unwrap_or_default() + ANSWER_WAIT;
    let late = match P::effect(&command) {
        Effect::None => CallError::Unavailable,
        Effect::Once => CallError::Unknown,
        // What may take its time has a bound of its caller's.
        Effect::Idempotent => {
            return handle.call(partition, command, options).await.map_err(|error| refused(&error));
        }
    };
    let answer = tokio::time::timeout(wait, handle.call(partition, command, options)).await;
    answer.unwrap_or(Err(late)).map_err(|error| refused(&error))
}

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
        return Ok(());
    }
    let run = |(partition, command): (Partition, P::Command)| async move {
        let reply = handle.call(partition, command, CallOptions::default()).await;
        reply.map_err(|error| refused(&error))
    };
    let replies = stream::iter(parts).map(run).buffer_unordered(BULK_AT_ONCE);
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
pub fn check_bulk(count: u64) -> Result<(), Problem> {
    if count <= BULK_MAX {
        return Ok(());
    }
    Err(Problem::malformed(format!("n: at most {BULK_MAX}")).with("parameter", "n"))
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
        let part: Vec<T> = all.by_ref().take(BULK_PART).collect();
        (!part.is_empty()).then_some(part)
    })
}

/// Chooses a new random name that belongs to the partition where the request's key is remembered, so that creating it
/// and remembering the reply are one change.
pub fn new_name<P: Participant, T>(
    handle: &Handle<P>,
    idempotency: &Idempotency,
    random: impl Fn() -> T,
    text: impl Fn(&T) -> &str,
) -> (Partition, T) {
    let home = idempotency.0.as_ref().map(|key| handle.partition_of(key.key.as_bytes()));
    loop {
        let name = random();
        let partition = handle.partition_of(text(&name).as_bytes());
        if home.is_none_or(|home| home == partition) {
            return (partition, name);
        }
    }
}

fn engine_key(key: RequestKey) -> IdempotencyKey {
    IdempotencyKey { key: key.key.as_str().into(), fingerprint: key.fingerprint, retention: key.retention }
}

#[cold]
fn refused(error: &CallError) -> Problem {
    match error {
        CallError::Overloaded => Problem::overloaded(1),
        CallError::KeyReused => Problem::idempotency_key_reused(),
        CallError::Unavailable | CallError::Moved => {
            Problem::unavailable("the service or its database cannot be reached; nothing was done", 1)
        }
        CallError::Stopped => Problem::unavailable("the service is stopping or halted; nothing was done", 1),
        CallError::Unknown => Problem::outcome_unknown(
            "the service stopped before the outcome was known; find what the request names to see whether it took \
             effect, or repeat it with the same Idempotency-Key",
        ),
    }
}
