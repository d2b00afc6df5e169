//! The memory store passes the conformance suite, in every way in which its commits can become durable.

use std::time::Duration;

use saga::conformance::{Effort, Reopen, Subject, run_all};
use saga_store_memory::{Fault, MemoryDatabase, MemoryStore, Persistence, Settings};

struct Memory {
    settings: Settings,
    /// How long a flush takes, where commits are not durable at once.
    flush: Duration,
    /// How much of the tail a crash loses, in quarters.
    quarters_lost: u64,
    /// How long a call takes.
    latency: Duration,
}

impl Memory {
    /// Everything is durable at once.
    fn immediate() -> Self {
        Self { settings: Settings::default(), flush: Duration::ZERO, quarters_lost: 0, latency: Duration::ZERO }
    }

    /// A disk that flushes what is asked for after a millisecond.
    fn flushed(quarters_lost: u64) -> Self {
        Self {
            settings: Settings { persistence: Persistence::Manual, ..Settings::default() },
            flush: Duration::from_millis(1),
            quarters_lost,
            ..Self::immediate()
        }
    }

    /// A database behind a network that takes a moment and that may lose an answer.
    fn far() -> Self {
        Self {
            settings: Settings {
                persistence: Persistence::Manual,
                may_fail_after_applying: true,
                ..Settings::default()
            },
            latency: Duration::from_millis(1),
            ..Self::flushed(4)
        }
    }
}

impl Subject for Memory {
    type Store = MemoryStore;

    async fn fresh(&self) -> MemoryStore {
        let database = MemoryDatabase::new(self.settings);
        if !self.flush.is_zero() {
            tokio::spawn(database.flusher(self.flush));
        }
        if !self.latency.is_zero() {
            let latency = self.latency;
            database.set_fault_plan(move |_| Fault::slow(latency));
        }
        database.open("main")
    }

    async fn reopen(&self, store: MemoryStore, how: Reopen) -> MemoryStore {
        let database = store.database();
        drop(store);
        match how {
            Reopen::Clean => database.persist_all(),
            Reopen::Crash => {
                let tail = database.committed() - database.persisted();
                database.crash_keeping(database.committed() - tail * self.quarters_lost / 4);
            }
        }
        database.crash();
        database.open("main")
    }

    async fn another_handle(&self, store: &MemoryStore) -> Option<MemoryStore> {
        Some(store.database().open("main"))
    }

    async fn sibling(&self, store: &MemoryStore) -> Option<MemoryStore> {
        Some(store.database().open("sibling"))
    }

    fn effort(&self) -> Effort {
        let effort = Effort::from_environment();
        if self.latency.is_zero() {
            return effort;
        }
        // Every call takes a millisecond or two.
        Effort { histories: effort.histories.div_ceil(10), writers: 4, commits_per_writer: 20, ..effort }
    }
}

saga::conformance_tests!(durable_at_once, Memory::immediate());
saga::conformance_tests!(flushed_and_a_crash_loses_the_tail, Memory::flushed(4));
saga::conformance_tests!(flushed_and_a_crash_loses_half_of_the_tail, Memory::flushed(2));
saga::conformance_tests!(flushed_and_a_crash_loses_nothing, Memory::flushed(0));
saga::conformance_tests!(behind_a_network, Memory::far());

/// As a simulator runs it: one thread, and time that passes only when nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn the_suite_passes_on_one_thread_with_a_paused_clock() {
    let report = run_all(&Memory::far()).await;
    assert_eq!(report.violations().collect::<Vec<_>>(), []);
}
