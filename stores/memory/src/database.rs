//! A database in memory: several services, one durability domain, and what may happen to it.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use saga::{
    Durability,
    store::{Commit, Committed, Error, Identity, Result},
};

use crate::{
    Fault, Kind, Operation,
    fault::Faults,
    members::List,
    partition::{Partition, State},
    tail::Tail,
};

/// When commits are persisted, that is, become durable: safe from [`MemoryDatabase::crash`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Persistence {
    /// At once. Costs nothing: what can never be lost needs no way back.
    #[default]
    Immediate,
    /// When told: by [`MemoryDatabase::persist_up_to`] and its kin, or by a [`MemoryDatabase::flusher`] as soon as
    /// somebody waits. Until then the way back from each commit is kept, so memory grows.
    Manual,
}

/// What kind of a database to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// When commits become durable.
    pub persistence: Persistence,
    /// Whether a commit that failed may have been applied, as behind a network:
    /// [`Effect::FailAfter`](crate::Effect::FailAfter) faults then can be, and
    /// [`Store::is_certain`](saga::Store::is_certain) says no.
    pub may_fail_after_applying: bool,
    /// Which data it is to hold; `None`: some that nobody knows. For simulations, which leave nothing to chance.
    pub identity: Option<Identity>,
}

/// A database in memory; clones share it.
#[derive(Clone)]
pub struct MemoryDatabase {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    settings: Settings,
    pub(crate) faults: Faults,
    /// Locked for reading while a call is applied, so that a crash, which locks it for writing, falls between calls.
    /// Taken before the lock of a partition, and that before the lock of the tail.
    life: RwLock<Life>,
}

/// The time from one crash to the next.
pub(crate) struct Life {
    /// How many crashes came before.
    pub(crate) number: u64,
    pub(crate) identity: Identity,
    pub(crate) durability: Durability,
    poisoned: OnceLock<Arc<str>>,
    services: HashMap<Arc<str>, Arc<Service>>,
    commits: Commits,
}

/// The commits so far, in order.
enum Commits {
    /// None can be lost, so only their number matters.
    Immediate(AtomicU64),
    Manual(Mutex<Tail>),
}

/// The partitions of one service.
#[derive(Default)]
pub(crate) struct Service {
    partitions: RwLock<HashMap<saga::Partition, Partition, foldhash::fast::RandomState>>,
    pub(crate) members: List,
    /// Which data of each other service these belong with.
    pub(crate) bonds: Mutex<BTreeMap<Box<str>, Identity>>,
}

impl Default for MemoryDatabase {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl fmt::Debug for MemoryDatabase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MemoryDatabase")
            .field("settings", &self.shared.settings)
            .field("committed", &self.committed())
            .field("persisted", &self.persisted())
            .field("faults", &self.shared.faults)
            .finish_non_exhaustive()
    }
}

impl MemoryDatabase {
    /// An empty database.
    ///
    /// # Panics
    /// If it is to choose its own identity, and the system has no randomness to give.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let random = || Identity::random().expect("a system without randomness runs no service");
        let identity = settings.identity.unwrap_or_else(random);
        let (commits, durability) = match settings.persistence {
            Persistence::Immediate => (Commits::Immediate(AtomicU64::new(0)), Durability::immediate()),
            Persistence::Manual => (Commits::Manual(Mutex::default()), Durability::new(0)),
        };
        let life =
            Life { number: 0, identity, durability, poisoned: OnceLock::new(), services: HashMap::new(), commits };
        let shared = Shared { settings, faults: Faults::default(), life: RwLock::new(life) };
        Self::of(Arc::new(shared))
    }

    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// A copy of everything that is committed, as a server of its own has it: what happens to one does not happen to the
    /// other, and each partition begins a new epoch there. It has the identity of what it is a copy of.
    ///
    /// # Panics
    /// After a million copies of copies.
    #[must_use]
    pub fn copy(&self) -> Self {
        let life = self.shared.life();
        let copy = Self::new(Settings { identity: Some(life.identity), ..self.shared.settings });
        let services = life.services.iter().map(|(name, service)| (Arc::clone(name), Arc::new(service.copy())));
        copy.shared.life_mut().services = services.collect();
        copy
    }

    /// How many commits there have been, in all services.
    #[must_use]
    pub fn committed(&self) -> u64 {
        match &self.shared.life().commits {
            Commits::Immediate(count) => count.load(Ordering::Acquire),
            Commits::Manual(tail) => lock(tail).committed(),
        }
    }

    /// How many of them, from the first, no crash can take back.
    #[must_use]
    pub fn persisted(&self) -> u64 {
        match &self.shared.life().commits {
            Commits::Immediate(count) => count.load(Ordering::Acquire),
            Commits::Manual(tail) => lock(tail).persisted(),
        }
    }

    /// Persists everything committed so far, asked for or not.
    pub fn persist_all(&self) {
        self.persist_up_to(u64::MAX);
    }

    /// Persists every commit up to `position`, or up to the last one where it lies beyond. Poisoned databases persist
    /// nothing more.
    pub fn persist_up_to(&self, position: u64) {
        self.shared.life().persist_up_to(position);
    }

    /// Persists what somebody asked the durability gate for.
    pub fn persist_requested(&self) {
        self.shared.life().persist_requested();
    }

    /// Persists what was asked for, again and again with a `pause` (at least 1 ms, which is as exact as tokio's timer)
    /// in between: a disk that takes so long to flush. To be polled, or spawned, beside what uses the database; ends
    /// when the last handle on the database is gone.
    pub fn flusher(&self, pause: Duration) -> impl Future<Output = ()> + Send + use<> {
        let shared = Arc::downgrade(&self.shared);
        let pause = pause.max(Duration::from_millis(1));
        async move {
            while let Some(shared) = shared.upgrade() {
                shared.life().persist_requested();
                drop(shared);
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Loses every commit that is not persisted. See [`Self::crash_keeping`].
    pub fn crash(&self) -> u64 {
        self.crash_keeping(0)
    }

    /// Loses every commit after `position`, except that what is persisted cannot be lost; returns how many were.
    ///
    /// Handles opened before are dead: their calls answer [`Error::Poisoned`], and so does the gate to whoever waits
    /// for what was lost. A poison is gone. What is left counts as persisted. Pending faults stay.
    pub fn crash_keeping(&self, position: u64) -> u64 {
        let mut life = self.shared.life_mut();
        life.durability.poison("the database crashed");
        life.number += 1;
        life.poisoned = OnceLock::new();
        let (lost, durability) = match &mut life.commits {
            Commits::Immediate(_) => (0, Durability::immediate()),
            Commits::Manual(tail) => {
                let tail = tail.get_mut().unwrap_or_else(PoisonError::into_inner);
                let lost = tail.lose(position);
                (lost, Durability::new(tail.persisted()))
            }
        };
        life.durability = durability;
        lost
    }

    /// Poisons the database, as a failed flush does: until a crash, every call answers [`Error::Poisoned`].
    pub fn poison(&self, reason: &str) {
        self.shared.life().poison(reason);
    }

    /// Makes `fault` happen to the next `calls` calls of the method, of whichever service. Several such wait for their
    /// turn one after the other, and go before the fault plan.
    pub fn inject_next(&self, kind: Kind, calls: u64, fault: Fault) {
        self.shared.faults.inject_next(kind, calls, fault);
    }

    /// Lets `plan` decide the fate of every call from now on.
    pub fn set_fault_plan(&self, plan: impl Fn(&Operation<'_>) -> Fault + Send + Sync + 'static) {
        self.shared.faults.set_plan(Arc::new(plan));
    }

    /// From now on, until faults are cleared, there is no room for new work. Nothing that is committed all the same fails.
    pub fn set_full(&self, reason: &str) {
        self.shared.faults.set_full(reason);
    }

    /// Forgets the fault plan and everything injected that did not happen yet, and that there is no room.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }
}

impl Shared {
    pub(crate) fn settings(&self) -> Settings {
        self.settings
    }

    /// The current life, if it still is the one with this number and fit for use.
    pub(crate) fn life_of(&self, number: u64) -> Result<RwLockReadGuard<'_, Life>> {
        let life = self.life();
        if life.number != number {
            return Err(Error::Poisoned("this handle was opened before the database crashed".to_owned()));
        }
        match life.poisoned.get() {
            Some(reason) => Err(Error::Poisoned(reason.to_string())),
            None => Ok(life),
        }
    }

    fn life(&self) -> RwLockReadGuard<'_, Life> {
        self.life.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn life_mut(&self) -> RwLockWriteGuard<'_, Life> {
        self.life.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Life {
    /// The data of a service, from the first time they are asked for.
    pub(crate) fn service(&mut self, name: &Arc<str>) -> Arc<Service> {
        Arc::clone(self.services.entry(Arc::clone(name)).or_default())
    }

    pub(crate) fn poison(&self, reason: &str) {
        let reason = self.poisoned.get_or_init(|| reason.into());
        self.durability.poison(reason);
    }

    /// Up to where all is persisted; everything, where nothing can be lost.
    pub(crate) fn persisted(&self) -> u64 {
        self.durability.durable()
    }

    /// Commits to a partition that the caller has locked, as `state`.
    pub(crate) fn commit(&self, partition: &Partition, state: &mut State, commit: Commit) -> Result<Committed> {
        state.compare(commit.expected_head)?;
        let committed = match &self.commits {
            Commits::Immediate(count) => state.apply(commit, count.fetch_add(1, Ordering::AcqRel) + 1),
            Commits::Manual(tail) => {
                let mut tail = lock(tail);
                let (committed, undo) = state.apply_undoable(commit, tail.committed() + 1, tail.persisted());
                tail.push(partition.clone(), undo);
                committed
            }
        };
        Ok(committed)
    }

    fn persist_up_to(&self, position: u64) {
        let Commits::Manual(tail) = &self.commits else { return };
        if self.poisoned.get().is_none() {
            let persisted = lock(tail).persist(position);
            self.durability.advance(persisted);
        }
    }

    fn persist_requested(&self) {
        // A patience of zero makes this a question, not a wait.
        if let Some(wanted) = self.durability.wanted(0, Duration::ZERO) {
            self.persist_up_to(wanted);
        }
    }
}

impl Service {
    fn copy(&self) -> Self {
        let partitions = self.partitions.read().unwrap_or_else(PoisonError::into_inner);
        let copied = partitions.iter().map(|(index, partition)| {
            let copy = partition.copy();
            copy.lock().begin_epoch(0).expect("there are a million epochs");
            (*index, copy)
        });
        let bonds = self.bonds.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { partitions: RwLock::new(copied.collect()), members: List::default(), bonds: Mutex::new(bonds) }
    }

    /// The partition with this index, from the first time it is asked for.
    pub(crate) fn partition(&self, index: saga::Partition) -> Partition {
        let known = self.partitions.read().unwrap_or_else(PoisonError::into_inner).get(&index).cloned();
        known.unwrap_or_else(|| {
            let mut partitions = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
            partitions.entry(index).or_default().clone()
        })
    }
}

fn lock(tail: &Mutex<Tail>) -> MutexGuard<'_, Tail> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}
