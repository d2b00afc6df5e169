//! The gate between "committed" and "as durable as promised".
//!
//! A store raises the gate's position after each flush; the sequencers hold back replies and events until the gate has
//! reached the position of the commit that they depend on (the *output-commit rule*).
//!
//! ```text
//!  sequencer ── commit ──▶ position 7 ── request(7) ──▶ ┌──────┐ ◀── wanted() ── the store's flusher
//!      ▲                                               │ gate │
//!      └────────────── durable() ≥ 7: reply ◀────────── └──────┘ ◀── advance(7) ── after fdatasync
//! ```

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::watch;

/// Why a position will never become durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missed {
    /// A flush failed: what is not durable by now never will be.
    #[error("the store is poisoned: {0}")]
    Poisoned(Arc<str>),
}

#[derive(Clone, Debug)]
struct State {
    durable: u64,
    poisoned: Option<Arc<str>>,
}

struct Shared {
    state: watch::Sender<State>,
    /// A copy of `state.durable` that can be read without a lock.
    durable: AtomicU64,
    requested: Mutex<Requested>,
    changed: Condvar,
}

#[derive(Default)]
struct Requested {
    position: u64,
    closed: bool,
}

/// A handle on one durability domain; clones share it.
#[derive(Clone)]
pub struct Durability {
    shared: Arc<Shared>,
}

impl fmt::Debug for Durability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Durability").field("durable", &self.durable()).finish_non_exhaustive()
    }
}

impl Durability {
    /// A gate at which everything up to `durable` has passed.
    #[must_use]
    pub fn new(durable: u64) -> Self {
        let state = watch::Sender::new(State { durable, poisoned: None });
        let shared =
            Shared { state, durable: AtomicU64::new(durable), requested: Mutex::default(), changed: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    /// A gate that is always open: for stores whose commits are durable when they return, or never promised to be.
    #[must_use]
    pub fn immediate() -> Self {
        Self::new(u64::MAX)
    }

    /// Whether both are the same gate, so that what passes in order through one can never be lost separately.
    #[must_use]
    pub fn same_domain(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Up to which position everything is durable.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// Asks the store to make everything up to `position` durable soon. Does not wait.
    pub fn request(&self, position: u64) {
        if position <= self.durable() {
            return;
        }
        let mut requested = self.requested();
        if position > requested.position {
            requested.position = position;
            drop(requested);
            self.shared.changed.notify_one();
        }
    }

    /// Waits until everything up to `position` is durable. Asks for it first.
    ///
    /// # Errors
    /// [`Missed::Poisoned`] when it never will be.
    pub async fn wait(&self, position: u64) -> Result<(), Missed> {
        self.request(position);
        self.watch().reached(position).await
    }

    /// A view for one task that waits for many positions.
    #[must_use]
    pub fn watch(&self) -> DurabilityWatch {
        DurabilityWatch { receiver: self.shared.state.subscribe() }
    }

    /// For stores: everything up to `position` is durable now.
    pub fn advance(&self, position: u64) {
        self.shared.state.send_if_modified(|state| {
            let moved = position > state.durable;
            if moved {
                state.durable = position;
                self.shared.durable.store(position, Ordering::Release);
            }
            moved
        });
    }

    /// For stores: a flush failed. Every waiter, now and later, is told so.
    pub fn poison(&self, reason: &str) {
        self.shared.state.send_modify(|state| {
            state.poisoned.get_or_insert_with(|| reason.into());
        });
        self.shared.changed.notify_all();
    }

    /// Why the domain was poisoned, if it was.
    #[must_use]
    pub fn poisoned(&self) -> Option<Arc<str>> {
        self.shared.state.borrow().poisoned.clone()
    }

    /// For a store's flusher, which is a thread of its own: blocks until somebody wants a position above `flushed`,
    /// `patience` has passed, or the gate was closed; returns the position wanted (which may be no higher than
    /// `flushed` after a time-out), or `None` once closed.
    #[must_use]
    pub fn wanted(&self, flushed: u64, patience: Duration) -> Option<u64> {
        let requested = self.requested();
        let (requested, _) = self
            .shared
            .changed
            .wait_timeout_while(requested, patience, |requested| requested.position <= flushed && !requested.closed)
            .unwrap_or_else(PoisonError::into_inner);
        (!requested.closed).then_some(requested.position)
    }

    /// For a store that shuts down: wakes its flusher for the last time.
    pub fn close(&self) {
        self.requested().closed = true;
        self.shared.changed.notify_all();
    }

    fn requested(&self) -> MutexGuard<'_, Requested> {
        self.shared.requested.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One task's view of a [`Durability`].
#[derive(Debug)]
pub struct DurabilityWatch {
    receiver: watch::Receiver<State>,
}

impl DurabilityWatch {
    /// Waits until everything up to `position` is durable.
    ///
    /// # Errors
    /// [`Missed::Poisoned`] when it never will be.
    pub async fn reached(&mut self, position: u64) -> Result<(), Missed> {
        let is_over = |state: &State| state.durable >= position || state.poisoned.is_some();
        self.receiver.wait_for(is_over).await.map_err(|_| Missed::Poisoned("the store is gone".into()))?;
        let state = self.receiver.borrow();
        match &state.poisoned {
            Some(reason) if state.durable < position => Err(Missed::Poisoned(Arc::clone(reason))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiter_is_released_by_the_flush_that_covers_it() {
        let gate = Durability::new(0);
        let waiter = tokio::spawn({
            let gate = gate.clone();
            async move { gate.wait(2).await }
        });
        tokio::task::yield_now().await;
        gate.advance(1);
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        gate.advance(2);
        assert_eq!(waiter.await.expect("no panic"), Ok(()));
    }

    #[tokio::test]
    async fn poison_reaches_those_who_wait_and_spares_what_was_durable() {
        let gate = Durability::new(3);
        gate.poison("disk gone");
        assert_eq!(gate.wait(3).await, Ok(()));
        assert_eq!(gate.wait(4).await, Err(Missed::Poisoned("disk gone".into())));
    }

    #[test]
    fn the_flusher_sees_what_is_wanted_and_the_close() {
        let gate = Durability::new(0);
        gate.request(5);
        assert_eq!(gate.wanted(0, Duration::ZERO), Some(5));
        assert_eq!(gate.wanted(5, Duration::ZERO), Some(5));
        gate.close();
        assert_eq!(gate.wanted(0, Duration::from_secs(60)), None);
    }
}
