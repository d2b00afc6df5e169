//! Requests: how callers ask a partition.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use crate::{Participant, Repeatability};

/// Identifies a request across retries: the client's key, and a fingerprint of what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The client's key; at most 128 bytes.
    pub key: Arc<str>,
    /// The same for the same request, and different for any other.
    pub fingerprint: u64,
    /// How long the reply is remembered; `None`: for as long as the settings say. A key with a time of its own is there
    /// for repetitions of one moment only, such as a gateway's: it is not noted anywhere but where the request runs.
    pub retention: Option<Duration>,
}

/// Why a call got no reply from the participant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Too many requests wait already. Nothing was done.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The idempotency key was used for another request. Nothing was done.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The service stops or is halted. The request was not begun.
    #[error("the service is not taking requests")]
    Stopped,
    /// The partition cannot be reached, or its store does not answer or has no room for anything new. Nothing was done.
    #[error("the service cannot be reached now")]
    Unavailable,
    /// Another replica owns the partition. Nothing was done; who asks through a [`Handle`](crate::Handle) never
    /// sees this, for it is asked there.
    #[error("another replica owns the partition")]
    Moved,
    /// No reply came: the service stopped while the request ran. It may or may not have been carried out.
    #[error("the outcome is unknown")]
    Unknown,
}

/// What a caller asks of a partition.
#[derive(Debug)]
pub(crate) enum Ask<C> {
    /// To carry out a command.
    Command(Arc<C>),
    /// To remember the idempotency key for a request that will run in another partition.
    Claim,
}

impl<C> Clone for Ask<C> {
    fn clone(&self) -> Self {
        match self {
            Self::Command(command) => Self::Command(Arc::clone(command)),
            Self::Claim => Self::Claim,
        }
    }
}

impl<C> Ask<C> {
    /// Whether it may be carried out again.
    pub(crate) fn repeatability<P: Participant<Command = C>>(&self) -> Repeatability {
        match self {
            Self::Command(command) => P::repeatability(command),
            // Noting a key twice notes it once.
            Self::Claim => Repeatability::Idempotent,
        }
    }
}

/// A participant's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replied<R> {
    /// What it said.
    pub reply: R,
    /// Whether it was remembered under the request's idempotency key, and nothing was done this time.
    pub is_replayed: bool,
}

impl<R> Replied<R> {
    /// A reply that is given for the first time.
    pub(crate) fn first(reply: R) -> Self {
        Self { reply, is_replayed: false }
    }
}

/// A reply, or `None` to a claim.
pub(crate) type Answer<R> = Result<Option<Replied<R>>, CallError>;

/// A request on its way to a sequencer.
pub(crate) struct Request<P: Participant> {
    pub(crate) ask: Ask<P::Command>,
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) patience: Option<Duration>,
    pub(crate) reply_to: oneshot::Sender<Answer<P::Reply>>,
}

impl<P: Participant> Request<P> {
    /// Answers it without having looked at it.
    pub(crate) fn refuse(self, error: CallError) {
        // A caller who is gone needs no answer.
        drop(self.reply_to.send(Err(error)));
    }
}
