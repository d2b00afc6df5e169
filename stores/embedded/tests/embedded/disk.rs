//! A disk for a database that goes wrong when told to.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use saga::{
    Partition, Store as _,
    store::{Commit, Committed, Result, Write},
};
use saga_store_embedded::{Embedded, EmbeddedStore, FaultPoint, OpenError, Options};

/// A directory on a disk that can be unplugged: from then on nothing more is written to it.
pub(crate) struct Disk {
    directory: tempfile::TempDir,
    pub(crate) options: Options,
    unplugged: Arc<AtomicBool>,
    unplug_at: Arc<Mutex<Option<FaultPoint>>>,
}

impl Disk {
    /// An empty disk for a database that writes a checkpoint every so many bytes, and flushes only when asked.
    pub(crate) fn new(checkpoint_bytes: u64) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let unplugged = Arc::new(AtomicBool::new(false));
        let unplug_at = Arc::new(Mutex::new(None));
        let options = Options {
            checkpoint_bytes,
            segment_bytes: 64 << 10,
            cache_bytes: 1 << 20,
            // So that a crash takes with it whatever nobody waited for.
            flush_delay_max: Duration::from_secs(3600),
            fault: Some(Arc::new({
                let (unplugged, unplug_at) = (Arc::clone(&unplugged), Arc::clone(&unplug_at));
                move |point| {
                    if *unplug_at.lock().expect("no panic") == Some(point) {
                        unplugged.store(true, Ordering::SeqCst);
                    }
                    match unplugged.load(Ordering::SeqCst) {
                        true => Err(io::Error::other("the disk is unplugged")),
                        false => Ok(()),
                    }
                }
            })),
            ..Options::new(directory.path().join("data"))
        };
        Self { directory, options, unplugged, unplug_at }
    }

    /// From now on nothing is written any more.
    pub(crate) fn unplug(&self) {
        self.unplugged.store(true, Ordering::SeqCst);
    }

    /// As soon as this point is reached, nothing is written any more.
    pub(crate) fn unplug_at(&self, point: FaultPoint) {
        *self.unplug_at.lock().expect("no panic") = Some(point);
    }

    pub(crate) fn is_unplugged(&self) -> bool {
        self.unplugged.load(Ordering::SeqCst)
    }

    pub(crate) fn plug_in(&self) {
        *self.unplug_at.lock().expect("no panic") = None;
        self.unplugged.store(false, Ordering::SeqCst);
    }

    pub(crate) fn open(&self) -> std::result::Result<Embedded, OpenError> {
        Embedded::open(self.options.clone())
    }

    /// The database's directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The journal's segments, in order.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.data().join("journal")).expect("there is a journal");
        let paths = entries.map(|entry| entry.expect("readable").path());
        let mut segments: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "journal")).collect();
        segments.sort_unstable();
        segments
    }
}

/// Puts one record, whatever the head is.
pub(crate) async fn put(store: &EmbeddedStore, partition: Partition, key: &str, value: &[u8]) -> Result<Committed> {
    let expected_head = store.load(partition, &[]).await?.head;
    let write = Write { key: key.to_owned().into(), value: Some(Bytes::copy_from_slice(value)) };
    store.commit(partition, Commit { expected_head, writes: vec![write], ..Commit::default() }).await
}

/// Puts one record and waits until it is durable.
pub(crate) async fn put_durably(store: &EmbeddedStore, partition: Partition, key: &str, value: &[u8]) -> Result<()> {
    let committed = put(store, partition, key, value).await?;
    Ok(store.durability().wait(committed.position).await?)
}

pub(crate) async fn get(store: &EmbeddedStore, partition: Partition, key: &str) -> Result<Option<Bytes>> {
    let snapshot = store.load(partition, &[key.to_owned().into()]).await?;
    Ok(snapshot.records.into_iter().next().flatten())
}
