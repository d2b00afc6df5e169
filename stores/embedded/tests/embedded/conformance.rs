//! The embedded store passes the suite that every store passes, with checkpoints all the time and with none.

use std::sync::Arc;

use saga::{
    conformance::{PARTITIONS, Reopen, Subject},
    store::Wrap,
};
use saga_store_embedded::{Embedded, EmbeddedStore};

use crate::disk::Disk;

/// A store, the database it belongs to, and the disk they are on.
struct Subjected {
    store: EmbeddedStore,
    embedded: Embedded,
    disk: Arc<Disk>,
}

impl Subjected {
    fn open(disk: Arc<Disk>) -> Self {
        let embedded = disk.open().expect("a database that was closed or crashed can be opened");
        let store = embedded.service("subject", PARTITIONS).expect("the same number of partitions every time");
        Self { store, embedded, disk }
    }

    fn with_store(&self, store: EmbeddedStore) -> Self {
        Self { store, embedded: self.embedded.clone(), disk: Arc::clone(&self.disk) }
    }
}

impl Wrap for Subjected {
    type Within = EmbeddedStore;

    fn within(&self) -> &EmbeddedStore {
        &self.store
    }
}

struct WithCheckpointsEvery {
    bytes: u64,
}

impl Subject for WithCheckpointsEvery {
    type Store = Subjected;

    async fn fresh(&self) -> Subjected {
        Subjected::open(Arc::new(Disk::new(self.bytes)))
    }

    async fn reopen(&self, store: Subjected, how: Reopen) -> Subjected {
        let Subjected { store, embedded, disk } = store;
        match how {
            Reopen::Clean => embedded.close().expect("the disk works"),
            Reopen::Crash => disk.unplug(),
        }
        drop((store, embedded));
        disk.plug_in();
        Subjected::open(disk)
    }

    async fn another_handle(&self, store: &Subjected) -> Option<Subjected> {
        Some(store.with_store(store.store.clone()))
    }

    async fn sibling(&self, store: &Subjected) -> Option<Subjected> {
        let sibling = store.embedded.service("sibling", PARTITIONS);
        Some(store.with_store(sibling.expect("the same number of partitions every time")))
    }
}

saga::conformance_tests!(with_checkpoints_all_the_time, WithCheckpointsEvery { bytes: 2 << 10 });
saga::conformance_tests!(without_checkpoints, WithCheckpointsEvery { bytes: 1 << 30 });
