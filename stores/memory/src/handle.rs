//! One service's handle on a database in memory.

use std::{
    fmt,
    sync::{Arc, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use saga::{
    Durability, Member, Members, Partition, Store,
    store::{Commit, Committed, Error, Identity, LogEntry, Residents, Result, Snapshot, Visibility},
};

use crate::{
    Call, Effect, Fault, MemoryDatabase, Operation,
    database::{Service, Shared},
    members::List,
};

/// A handle on the data of one service in a [`MemoryDatabase`]; clones are further handles.
///
/// It has as many partitions as are used.
#[derive(Clone)]
pub struct MemoryStore {
    database: Arc<Shared>,
    name: Arc<str>,
    service: Arc<Service>,
    /// In which life of the database the handle was opened.
    life: u64,
    identity: Identity,
    durability: Durability,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MemoryStore")
            .field("service", &self.name)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryDatabase {
    /// A store for `service`: its own data, or a further handle on them where it was opened before.
    ///
    /// The handle is good until the next crash.
    #[must_use]
    pub fn open(&self, service: &str) -> MemoryStore {
        let mut life = self.shared.life_mut();
        let name: Arc<str> = service.into();
        let service = life.service(&name);
        MemoryStore {
            database: Arc::clone(&self.shared),
            name,
            service,
            life: life.number,
            identity: life.identity,
            durability: life.durability.clone(),
        }
    }
}

impl MemoryStore {
    /// The store of a service that has a database to itself and may forget everything when it stops.
    ///
    /// Its gate is always open, so nobody ever waits for it. Memory is bounded by what the service keeps: trimmed
    /// events and removed records are gone at once.
    #[must_use]
    pub fn new() -> Self {
        MemoryDatabase::default().open("memory")
    }

    /// The database that the data are in.
    #[must_use]
    pub fn database(&self) -> MemoryDatabase {
        MemoryDatabase::of(Arc::clone(&self.database))
    }

    fn members(&self) -> Result<&List> {
        let _life = self.database.life_of(self.life)?;
        Ok(&self.service.members)
    }

    /// The fault that waits for this call, if any.
    fn fate(&self, partition: Partition, call: Call<'_>) -> Option<Fault> {
        self.database.faults.decide(&Operation { service: &self.name, partition, call })
    }

    /// Applies a call, or lets its fate happen to it.
    async fn meet<T>(&self, fate: Option<Fault>, apply: impl FnOnce() -> Result<T>) -> Result<T> {
        match fate {
            None => apply(),
            Some(fault) => self.suffer(fault, apply).await,
        }
    }

    async fn suffer<T>(&self, fault: Fault, apply: impl FnOnce() -> Result<T>) -> Result<T> {
        if !fault.delay_before.is_zero() {
            tokio::time::sleep(fault.delay_before).await;
        }
        let answer = match fault.effect {
            Effect::None => apply(),
            Effect::FailBefore(reason) => Err(Error::Failed(reason.to_string())),
            Effect::FailAfter(_) if self.is_certain() => Err(self
                .poison("a failure after applying was injected into a database whose settings say that none can be")),
            Effect::FailAfter(reason) => {
                // Whether it worked, conflicted or failed is what the caller does not get to know.
                let _lost = apply();
                Err(Error::Failed(reason.to_string()))
            }
            Effect::Poison(reason) => Err(self.poison(&reason)),
        };
        if !fault.delay_after.is_zero() {
            tokio::time::sleep(fault.delay_after).await;
        }
        answer
    }

    /// Poisons the database, unless this handle is one of an earlier life.
    fn poison(&self, reason: &str) -> Error {
        match self.database.life_of(self.life) {
            Ok(life) => {
                life.poison(reason);
                Error::Poisoned(reason.to_owned())
            }
            Err(error) => error,
        }
    }
}

impl Store for MemoryStore {
    async fn load(&self, partition: Partition, keys: &[Bytes]) -> Result<Snapshot> {
        let fate = self.fate(partition, Call::Load { keys });
        let apply = || {
            let _life = self.database.life_of(self.life)?;
            Ok(self.service.partition(partition).lock().load(keys))
        };
        self.meet(fate, apply).await
    }

    async fn residents(&self, partition: Partition) -> Result<Residents> {
        let fate = self.fate(partition, Call::Load { keys: &[] });
        let apply = || {
            let _life = self.database.life_of(self.life)?;
            Ok(self.service.partition(partition).lock().residents())
        };
        self.meet(fate, apply).await
    }

    async fn commit(&self, partition: Partition, commit: Commit) -> Result<Committed> {
        let fate = self.fate(partition, Call::Commit(&commit));
        let apply = || {
            let life = self.database.life_of(self.life)?;
            let partition = self.service.partition(partition);
            let mut state = partition.lock();
            life.commit(&partition, &mut state, commit)
        };
        self.meet(fate, apply).await
    }

    async fn read_log(
        &self,
        partition: Partition,
        after: u64,
        limit: usize,
        visibility: Visibility,
    ) -> Result<Vec<LogEntry>> {
        let call = Call::ReadLog { after, limit, visibility };
        let fate = self.fate(partition, call);
        let apply = || {
            let life = self.database.life_of(self.life)?;
            let persisted = life.persisted();
            Ok(self.service.partition(partition).lock().read_log(after, limit, visibility, persisted))
        };
        self.meet(fate, apply).await
    }

    async fn begin_epoch(&self, partition: Partition, above: u64) -> Result<()> {
        let _life = self.database.life_of(self.life)?;
        self.service.partition(partition).lock().begin_epoch(above)
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    async fn bound_to(&self, peer: &str, met: Option<Identity>) -> Result<Option<Identity>> {
        let _life = self.database.life_of(self.life)?;
        let mut bonds = self.service.bonds.lock().unwrap_or_else(PoisonError::into_inner);
        if let (None, Some(met)) = (bonds.get(peer), met) {
            bonds.insert(peer.into(), met);
        }
        Ok(bonds.get(peer).copied())
    }

    async fn unbind(&self, peer: &str) -> Result<()> {
        let _life = self.database.life_of(self.life)?;
        self.service.bonds.lock().unwrap_or_else(PoisonError::into_inner).remove(peer);
        Ok(())
    }

    fn is_certain(&self) -> bool {
        !self.database.settings().may_fail_after_applying
    }

    fn room(&self) -> Result<(), String> {
        self.database.faults.full().map_or(Ok(()), |reason| Err(reason.to_string()))
    }

    fn durability(&self) -> &Durability {
        &self.durability
    }
}

/// Shared by all handles on one service of one database. No crash takes it back, for it is no commit; but it is reached
/// through handles of this life only.
impl Members for MemoryStore {
    async fn beat(&self, me: &Member, ttl: Duration) -> Result<Vec<Member>> {
        Ok(self.members()?.beat(me, ttl))
    }

    async fn leave(&self, id: u64) -> Result<()> {
        self.members()?.leave(id);
        Ok(())
    }
}
