//! From a handler to a partition of a service on the `saga` engine, and from the engine's errors to problems.

use std::time::Duration;

use saga::{CallError, CallOptions, Handle, IdempotencyKey, Participant, Partition, Repeatability, Replied};

use crate::{Idempotency, Problem, RequestKey, idempotency::note_replayed};

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
    let late = match P::repeatability(&command) {
        Repeatability::Safe => CallError::Unavailable,
        Repeatability::Once => CallError::Unknown,
        // What may take its time has a bound of its caller's.
        Repeatability::Idempotent => {
            return told(handle.call_marked(partition, command, options).await);
        }
    };
    told(tokio::time::timeout(wait, handle.call_marked(partition, command, options)).await.unwrap_or(Err(late)))
}

fn told<R>(answer: Result<Replied<R>, CallError>) -> Result<R, Problem> {
    let Replied { reply, is_replayed } = answer.map_err(|error| refused(&error))?;
    if is_replayed {
        note_replayed();
    }
    Ok(reply)
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

pub(crate) fn engine_key(key: RequestKey) -> IdempotencyKey {
    IdempotencyKey { key: key.key.as_str().into(), fingerprint: key.fingerprint, retention: key.retention }
}

#[cold]
pub(crate) fn refused(error: &CallError) -> Problem {
    match error {
        CallError::Overloaded => Problem::overloaded(1),
        CallError::KeyReused => Problem::idempotency_key_reused(),
        CallError::Unavailable | CallError::Moved => {
            Problem::unavailable("the service or its database does not answer; nothing was done", 1)
        }
        CallError::Stopped => Problem::unavailable("the service is stopping or halted; nothing was done", 1),
        CallError::Unknown => Problem::outcome_unknown(
            "the service or its database does not answer, so the outcome is not known; find what the request names to see \
             whether it took effect, or repeat it with the same Idempotency-Key",
        ),
    }
}
