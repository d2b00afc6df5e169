//! What the tests share.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use saga_store_embedded::{Embedded, FaultPoint, OpenError, Options};

/// A directory on a disk that can be unplugged: from then on nothing more is written to it.
pub struct Disk {
    directory: tempfile::TempDir,
    options: Options,
    unplugged: Arc<AtomicBool>,
    unplug_at: Arc<Mutex<Option<FaultPoint>>>,
}

impl Disk {
    /// An empty disk for a database that writes a checkpoint every so many bytes, and flushes only when asked.
    pub fn new(checkpoint_bytes: u64) -> Self {
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

    /// Nothing is written any more, at once or as soon as this point is reached.
    pub fn unplug(&self) {
        self.unplugged.store(true, Ordering::SeqCst);
    }

    #[expect(dead_code, reason = "not every test needs it")]
    pub fn unplug_at(&self, point: FaultPoint) {
        *self.unplug_at.lock().expect("no panic") = Some(point);
    }

    pub fn plug_in(&self) {
        *self.unplug_at.lock().expect("no panic") = None;
        self.unplugged.store(false, Ordering::SeqCst);
    }

    pub fn open(&self) -> Result<Embedded, OpenError> {
        Embedded::open(self.options.clone())
    }

    #[expect(dead_code, reason = "not every test needs it")]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}
