//! Faults on purpose: which call of a store fails, how, and how long it takes.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use saga::{
    Partition,
    store::{Commit, Visibility},
};

/// A call of a store that a fault plan has to decide about.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'call> {
    /// The service whose store was called, by the name that it was opened with.
    pub service: &'call str,
    /// The partition that the call is about.
    pub partition: Partition,
    /// The method called and what was given to it.
    pub call: Call<'call>,
}

/// A method of [`saga::Store`] with its arguments.
#[derive(Clone, Copy, Debug)]
pub enum Call<'call> {
    /// [`saga::Store::load`].
    Load {
        /// The keys asked for.
        keys: &'call [Bytes],
    },
    /// [`saga::Store::commit`].
    Commit(&'call Commit),
    /// [`saga::Store::read_log`].
    ReadLog {
        /// The position after which to read.
        after: u64,
        /// How many events to read at most.
        limit: usize,
        /// Which events may be shown.
        visibility: Visibility,
    },
}

impl Call<'_> {
    /// Which method it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Load { .. } => Kind::Load,
            Self::Commit(_) => Kind::Commit,
            Self::ReadLog { .. } => Kind::ReadLog,
        }
    }
}

/// A method of [`saga::Store`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`saga::Store::load`].
    Load,
    /// [`saga::Store::commit`].
    Commit,
    /// [`saga::Store::read_log`].
    ReadLog,
}

/// What happens to one call.
///
/// ```text
/// call ── delay_before ── effect: applied, or not ── delay_after ── answer
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// How long the call is on its way to the store. Slept in tokio's time, so a paused clock jumps over it.
    pub delay_before: Duration,
    /// What the store does with it.
    pub effect: Effect,
    /// How long the answer is on its way back.
    pub delay_after: Duration,
}

/// What a store does with a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// As it should.
    #[default]
    None,
    /// Answers [`Failed`](saga::store::Error::Failed) for this reason; nothing was done.
    FailBefore(Arc<str>),
    /// Answers [`Failed`](saga::store::Error::Failed) for this reason, whether the call was applied, as it should have
    /// been, or lost to another writer. Only in a database whose
    /// [`Settings::may_fail_after_applying`](crate::Settings::may_fail_after_applying) says that this can be.
    FailAfter(Arc<str>),
    /// Poisons the whole database for this reason, as a failed flush does; nothing was done.
    Poison(Arc<str>),
}

impl Fault {
    /// No fault: the call is answered at once, as it should be.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The call takes `delay` before anything happens.
    #[must_use]
    pub fn slow(delay: Duration) -> Self {
        Self { delay_before: delay, ..Self::default() }
    }

    /// The call fails and changes nothing.
    #[must_use]
    pub fn fail_before(reason: &str) -> Self {
        Self::from(Effect::FailBefore(reason.into()))
    }

    /// The call is applied, and its answer is lost.
    #[must_use]
    pub fn fail_after(reason: &str) -> Self {
        Self::from(Effect::FailAfter(reason.into()))
    }

    /// The call poisons the database.
    #[must_use]
    pub fn poison(reason: &str) -> Self {
        Self::from(Effect::Poison(reason.into()))
    }
}

impl From<Effect> for Fault {
    fn from(effect: Effect) -> Self {
        Self { effect, ..Self::default() }
    }
}

type Plan = Arc<dyn Fn(&Operation<'_>) -> Fault + Send + Sync>;

/// The faults that wait for calls to happen to.
#[derive(Default)]
pub(crate) struct Faults {
    /// Whether there are any, so that a store without faults pays for one load.
    armed: AtomicBool,
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    next: VecDeque<Next>,
    plan: Option<Plan>,
    full: Option<Arc<str>>,
}

struct Next {
    kind: Kind,
    calls_left: u64,
    fault: Fault,
}

impl fmt::Debug for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pending = self.pending();
        formatter
            .debug_struct("Faults")
            .field("next", &pending.next.len())
            .field("plan", &pending.plan.is_some())
            .finish()
    }
}

impl Faults {
    pub(crate) fn inject_next(&self, kind: Kind, calls: u64, fault: Fault) {
        let mut pending = self.pending();
        pending.next.push_back(Next { kind, calls_left: calls, fault });
        self.armed.store(true, Ordering::Release);
    }

    pub(crate) fn set_plan(&self, plan: Plan) {
        let mut pending = self.pending();
        pending.plan = Some(plan);
        self.armed.store(true, Ordering::Release);
    }

    pub(crate) fn set_full(&self, reason: &str) {
        self.pending().full = Some(reason.into());
        self.armed.store(true, Ordering::Release);
    }

    pub(crate) fn full(&self) -> Option<Arc<str>> {
        if self.armed.load(Ordering::Acquire) { self.pending().full.clone() } else { None }
    }

    pub(crate) fn clear(&self) {
        let mut pending = self.pending();
        *pending = Pending::default();
        self.armed.store(false, Ordering::Release);
    }

    /// What happens to this call: what was injected for its kind first, else what the plan says.
    pub(crate) fn decide(&self, operation: &Operation<'_>) -> Option<Fault> {
        if !self.armed.load(Ordering::Acquire) {
            return None;
        }
        let mut pending = self.pending();
        pending.next.retain(|next| next.calls_left > 0);
        if let Some(next) = pending.next.iter_mut().find(|next| next.kind == operation.call.kind()) {
            next.calls_left -= 1;
            return Some(next.fault.clone());
        }
        let plan = pending.plan.clone();
        // A plan may call the database, so it runs without the lock.
        drop(pending);
        plan.map(|plan| plan(operation))
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
