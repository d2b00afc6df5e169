//! How mutants are opened, closed and crashed; some have their flaw here.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use saga::{
    Durability,
    conformance::{Differences, Effort, Reopen, Subject},
};
use saga_store_memory::{MemoryDatabase, Persistence, Settings};

use super::{
    Flaw,
    store::{Memory, Mutant},
};

impl Flaw {
    fn mutant(self, database: &MemoryDatabase, apart: &MemoryDatabase, memory: Arc<Memory>) -> Mutant {
        let gate = match self {
            Flaw::OpensTheGateAtOnce => Some(Durability::immediate()),
            Flaw::LosesPartitionsSeparately => Some(Durability::new(memory.position.load(Ordering::Relaxed))),
            _ => None,
        };
        if let (Flaw::LosesPartitionsSeparately, Some(gate)) = (self, &gate) {
            tokio::spawn(flush_both(gate.clone(), database.clone(), apart.clone()));
        }
        Mutant {
            flaw: self,
            store: database.open("main"),
            apart: apart.open("apart"),
            gate,
            memory,
            cache: Mutex::default(),
        }
    }

    fn database(self) -> MemoryDatabase {
        let database = MemoryDatabase::new(Settings { persistence: Persistence::Manual, ..Settings::default() });
        let is_flushed =
            !matches!(self, Flaw::NeverFlushes | Flaw::OpensTheGateAtOnce | Flaw::LosesPartitionsSeparately);
        if is_flushed {
            tokio::spawn(database.flusher(Duration::from_millis(1)));
        }
        database
    }
}

/// Opens one gate when two databases were flushed.
async fn flush_both(gate: Durability, one: MemoryDatabase, other: MemoryDatabase) {
    loop {
        if let Some(wanted) = gate.wanted(0, Duration::ZERO) {
            one.persist_all();
            other.persist_all();
            gate.advance(wanted);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl Subject for Flaw {
    type Store = Mutant;

    async fn fresh(&self) -> Mutant {
        self.mutant(&self.database(), &self.database(), Arc::default())
    }

    async fn reopen(&self, mutant: Mutant, how: Reopen) -> Mutant {
        let (database, apart) = (mutant.store.database(), mutant.apart.database());
        let memory = Arc::clone(&mutant.memory);
        drop(mutant);
        let reopenings = memory.reopenings.fetch_add(1, Ordering::Relaxed) + 1;
        if how == Reopen::Clean && *self != Flaw::LosesTheTailWhenClosed {
            database.persist_all();
            apart.persist_all();
        }
        let is_kept_for_now = *self == Flaw::RecoversWhatIsNotDurable && !reopenings.is_multiple_of(2);
        if !is_kept_for_now {
            database.crash();
        }
        match self {
            Flaw::KeepsTheLogApart | Flaw::LosesPartitionsSeparately => apart.crash_keeping(u64::MAX),
            _ => apart.crash(),
        };
        self.mutant(&database, &apart, memory)
    }

    async fn another_handle(&self, mutant: &Mutant) -> Option<Mutant> {
        match self {
            Flaw::HasNoOtherHandle => None,
            Flaw::OpensOtherHandlesElsewhere => Some(self.fresh().await),
            _ => {
                let gate = mutant.gate.clone();
                let store = mutant.store.database().open("main");
                let apart = mutant.apart.database().open("apart");
                let memory = Arc::clone(&mutant.memory);
                Some(Mutant { flaw: *self, store, apart, gate, memory, cache: Mutex::default() })
            }
        }
    }

    async fn sibling(&self, mutant: &Mutant) -> Option<Mutant> {
        if *self == Flaw::HasNoSiblings {
            return None;
        }
        let name = if *self == Flaw::MixesItsSiblingsData { "main" } else { "sibling" };
        let database = match self {
            Flaw::HasSiblingsOfAnotherDomain => self.database(),
            _ => mutant.store.database(),
        };
        Some(Mutant {
            flaw: *self,
            store: database.open(name),
            apart: mutant.apart.database().open("apart sibling"),
            gate: mutant.gate.clone(),
            memory: Arc::clone(&mutant.memory),
            cache: Mutex::default(),
        })
    }

    fn effort(&self) -> Effort {
        let hangs = matches!(
            self,
            Flaw::NeverFlushes
                | Flaw::NeverShowsEventsAsDurable
                | Flaw::OpensTheGateAtOnce
                | Flaw::KeepsTheLogApart
                | Flaw::LosesPartitionsSeparately
                | Flaw::OpensOtherHandlesElsewhere
        );
        let effort =
            Effort { histories: 30, writers: 4, commits_per_writer: 25, big_batch_writes: 2_000, ..Effort::default() };
        Effort { claim_timeout: if hangs { Duration::from_millis(200) } else { effort.claim_timeout }, ..effort }
    }
}

/// A flaw that the subject owns up to, or a difference that is not there.
pub(crate) struct Declared {
    pub(crate) flaw: Flaw,
    pub(crate) differences: Differences,
}

impl Subject for Declared {
    type Store = Mutant;

    async fn fresh(&self) -> Mutant {
        self.flaw.fresh().await
    }

    async fn reopen(&self, mutant: Mutant, how: Reopen) -> Mutant {
        self.flaw.reopen(mutant, how).await
    }

    async fn another_handle(&self, mutant: &Mutant) -> Option<Mutant> {
        self.flaw.another_handle(mutant).await
    }

    async fn sibling(&self, mutant: &Mutant) -> Option<Mutant> {
        self.flaw.sibling(mutant).await
    }

    fn known_differences(&self) -> Differences {
        self.differences
    }

    fn effort(&self) -> Effort {
        self.flaw.effort()
    }
}
