//! The requests that a partition has taken and not answered, with those who wait for each.
//!
//! ```text
//!  admit ──▶ waiting ── close ──▶ Reply, to all who wait
//!    │         │  ▲
//!    │         └──┘ ask_again: the view is gone, and with it what steps made of the request
//!    └─▶ joins one that runs under the same key, or is refused: the key is another request's
//! ```

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tokio::{sync::oneshot, time::Instant};

use crate::{
    CallError, IdempotencyKey, Participant, Repeatability, RequestId,
    request::{Answer, Ask, Request},
};

/// What is asked under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asked {
    Command,
    Claim,
}

impl Asked {
    fn by<C>(ask: &Ask<C>) -> Self {
        match ask {
            Ask::Command(_) => Self::Command,
            Ask::Claim => Self::Claim,
        }
    }
}

/// A request that a sequencer has taken and not answered.
pub(crate) struct Waiting<P: Participant> {
    pub(crate) ask: Ask<P::Command>,
    pub(crate) key: Option<IdempotencyKey>,
    reply_to: Vec<oneshot::Sender<Answer<P::Reply>>>,
    expires: Option<Instant>,
    /// What was made of it before is lost, and may have been committed all the same.
    asked_again: bool,
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
pub(crate) struct Pending<P: Participant> {
    waiting: HashMap<RequestId, Waiting<P>, foldhash::fast::FixedState>,
    /// Requests that run under an idempotency key, commands and claims: who asks the same joins them.
    running: HashMap<(Arc<str>, Asked), RequestId>,
    patience: BTreeSet<(Instant, RequestId)>,
    next: u64,
}

impl<P: Participant> Pending<P> {
    pub(crate) fn new() -> Self {
        Self { waiting: HashMap::default(), running: HashMap::new(), patience: BTreeSet::new(), next: 1 }
    }

    /// Takes a request in. `None` when it needs no work of its own: it joined a running one, or was answered.
    pub(crate) fn admit(&mut self, request: Request<P>) -> Option<RequestId> {
        let Request { ask, key, patience, reply_to } = request;
        for asked in [Asked::Command, Asked::Claim] {
            let Some(key) = &key else { break };
            let running = self.running.get(&(Arc::clone(&key.key), asked)).and_then(|id| self.waiting.get_mut(id));
            let Some(running) = running else { continue };
            if running.key.as_ref().is_none_or(|other| other.fingerprint != key.fingerprint) {
                drop(reply_to.send(Err(CallError::KeyReused)));
                return None;
            }
            // A claim that runs has no reply for a command.
            if asked == Asked::Command || Asked::by(&ask) == Asked::Claim {
                running.reply_to.push(reply_to);
                return None;
            }
        }
        let id = RequestId(self.next);
        self.next += 1;
        if let Some(key) = &key {
            self.running.insert((Arc::clone(&key.key), Asked::by(&ask)), id);
        }
        let expires = patience.map(|patience| Instant::now() + patience);
        if let Some(at) = expires {
            self.patience.insert((at, id));
        }
        self.waiting.insert(id, Waiting { ask, key, reply_to: vec![reply_to], expires, asked_again: false });
        Some(id)
    }

    pub(crate) fn get(&self, id: RequestId) -> Option<&Waiting<P>> {
        self.waiting.get(&id)
    }

    /// What is true of a request that cannot be carried out now.
    pub(crate) fn refusal(&self, id: RequestId) -> CallError {
        let may_be_done =
            |waiting: &Waiting<P>| waiting.asked_again && waiting.ask.repeatability::<P>() != Repeatability::Safe;
        if self.waiting.get(&id).is_some_and(may_be_done) { CallError::Unknown } else { CallError::Unavailable }
    }

    /// Whether nothing was made of a request yet.
    pub(crate) fn is_new(&self, id: RequestId) -> bool {
        self.waiting.get(&id).is_some_and(|waiting| !waiting.asked_again)
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
        let is_abandoned = |waiting: &Waiting<P>| waiting.reply_to.iter().all(oneshot::Sender::is_closed);
        let abandoned: Vec<_> =
            self.waiting.iter().filter(|(_, waiting)| is_abandoned(waiting)).map(|(id, _)| *id).collect();
        for id in abandoned {
            // Nobody is there to be told.
            drop(self.close(id, Err(CallError::Unknown)));
        }
        self.waiting.values_mut().for_each(|waiting| waiting.asked_again = true);
        let expires = self.waiting.iter().filter_map(|(id, waiting)| Some((waiting.expires?, *id)));
        self.patience.extend(expires);
        let mut all: Vec<_> = self.waiting.keys().copied().collect();
        all.sort_unstable();
        all
    }

    /// Answers all of them that somebody waits for.
    pub(crate) fn refuse_all(&mut self, error: &CallError) {
        for request in self.ask_again() {
            if let Some(reply) = self.close(request, Err(error.clone())) {
                reply.send();
            }
        }
    }

    /// Pairs an answer with those who wait for it. `None` when nobody does.
    pub(crate) fn close(&mut self, id: RequestId, answer: Answer<P::Reply>) -> Option<Reply<P>> {
        let waiting = self.waiting.remove(&id)?;
        if let Some(key) = &waiting.key {
            self.running.remove(&(Arc::clone(&key.key), Asked::by(&waiting.ask)));
        }
        if let Some(at) = waiting.expires {
            self.patience.remove(&(at, id));
        }
        Some(Reply { to: waiting.reply_to, answer })
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests;
