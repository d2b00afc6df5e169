//! Requests: how callers ask a partition, and how those who wait are kept.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use crate::{Effect, Participant, RequestId};

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
    /// The partition cannot be reached, or its store does not answer. Nothing was done.
    #[error("the service cannot be reached now")]
    Unavailable,
    /// Another replica looks after the partition. Nothing was done; who asks through a [`Handle`](crate::Handle) never
    /// sees this, for it is asked there.
    #[error("another replica looks after the partition")]
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
    /// What is left of it.
    pub(crate) fn effect<P: Participant<Command = C>>(&self) -> Effect {
        match self {
            Self::Command(command) => P::effect(command),
            // Noting a key twice notes it once.
            Self::Claim => Effect::Idempotent,
        }
    }
}

/// A reply, or `None` to a claim.
pub(crate) type Answer<R> = Result<Option<R>, CallError>;

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

/// A request that a sequencer has taken and not answered.
pub(crate) struct Pending<P: Participant> {
    pub(crate) ask: Ask<P::Command>,
    pub(crate) key: Option<IdempotencyKey>,
    reply_to: Vec<oneshot::Sender<Answer<P::Reply>>>,
    expires: Option<Instant>,
}

/// An answer with those who wait for it.
pub(crate) struct Reply<P: Participant> {
    to: Vec<oneshot::Sender<Answer<P::Reply>>>,
    answer: Answer<P::Reply>,
}

impl<P: Participant> Reply<P> {
    pub(crate) fn send(mut self) {
        let last = self.to.pop();
        for waiter in self.to {
            // A caller who is gone needs no answer.
            drop(waiter.send(self.answer.clone()));
        }
        if let Some(waiter) = last {
            drop(waiter.send(self.answer));
        }
    }
}

/// The requests that a partition has taken and not answered.
pub(crate) struct Desk<P: Participant> {
    pending: HashMap<RequestId, Pending<P>, foldhash::fast::FixedState>,
    /// Requests that run under an idempotency key: a repetition joins them.
    running: HashMap<Arc<str>, RequestId>,
    patience: BTreeSet<(Instant, RequestId)>,
    next: u64,
}

impl<P: Participant> Desk<P> {
    pub(crate) fn new() -> Self {
        Self { pending: HashMap::default(), running: HashMap::new(), patience: BTreeSet::new(), next: 1 }
    }

    /// Takes a request in. `None` when it needs no work of its own: it joined a running one, or was answered.
    pub(crate) fn admit(&mut self, request: Request<P>) -> Option<RequestId> {
        let Request { ask, key, patience, reply_to } = request;
        if let Some(key) = &key
            && let Some(running) = self.running.get(&key.key).and_then(|id| self.pending.get_mut(id))
        {
            if running.key.as_ref() == Some(key) {
                running.reply_to.push(reply_to);
            } else {
                drop(reply_to.send(Err(CallError::KeyReused)));
            }
            return None;
        }
        let id = RequestId(self.next);
        self.next += 1;
        if let Some(key) = &key {
            self.running.insert(Arc::clone(&key.key), id);
        }
        let expires = patience.map(|patience| Instant::now() + patience);
        if let Some(at) = expires {
            self.patience.insert((at, id));
        }
        self.pending.insert(id, Pending { ask, key, reply_to: vec![reply_to], expires });
        Some(id)
    }

    pub(crate) fn get(&self, id: RequestId) -> Option<&Pending<P>> {
        self.pending.get(&id)
    }

    /// Requests whose patience is over by `now`; each is named once.
    pub(crate) fn expired(&mut self, now: Instant, limit: usize) -> Vec<RequestId> {
        let mut expired = Vec::new();
        while expired.len() < limit {
            match self.patience.first() {
                Some((at, id)) if *at <= now => {
                    expired.push(*id);
                    self.patience.pop_first();
                }
                _ => break,
            }
        }
        expired
    }

    /// All that are not answered, oldest first, to be asked again because what steps made of them is lost. So is
    /// what became of those whose patience is over: they are told again. Requests that nobody waits for any more are
    /// dropped: their callers have asked elsewhere, and may have been answered.
    pub(crate) fn ask_again(&mut self) -> Vec<RequestId> {
        let is_abandoned = |pending: &Pending<P>| pending.reply_to.iter().all(oneshot::Sender::is_closed);
        let abandoned: Vec<_> =
            self.pending.iter().filter(|(_, pending)| is_abandoned(pending)).map(|(id, _)| *id).collect();
        for id in abandoned {
            // Nobody is there to be told.
            drop(self.close(id, Err(CallError::Unknown)));
        }
        let expires = self.pending.iter().filter_map(|(id, pending)| Some((pending.expires?, *id)));
        self.patience.extend(expires);
        let mut all: Vec<_> = self.pending.keys().copied().collect();
        all.sort_unstable();
        all
    }

    /// Pairs an answer with those who wait for it. `None` when nobody does.
    pub(crate) fn close(&mut self, id: RequestId, answer: Answer<P::Reply>) -> Option<Reply<P>> {
        let pending = self.pending.remove(&id)?;
        if let Some(key) = &pending.key {
            self.running.remove(&key.key);
        }
        if let Some(at) = pending.expires {
            self.patience.remove(&(at, id));
        }
        Some(Reply { to: pending.reply_to, answer })
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }
}

#[cfg(test)]
mod tests;
