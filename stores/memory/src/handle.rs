//! One service's handle on a database in memory.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use saga::{
    Durability, Partition, Store,
    store::{Commit, Committed, Error, LogEntry, Residents, Result, Snapshot, Visibility},
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

    pub(crate) fn members(&self) -> &List {
        &self.service.members
    }

    pub(crate) fn new_handle(
        database: Arc<Shared>,
        name: Arc<str>,
        service: Arc<Service>,
        life: u64,
        durability: Durability,
    ) -> Self {
        Self { database, name, service, life, durability }
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

    fn is_certain(&self) -> bool {
        !self.database.settings().may_fail_after_applying
    }

    fn durability(&self) -> &Durability {
        &self.durability
    }
}
