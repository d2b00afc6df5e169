//! Room on the disk: looked at ahead, so that a disk that fills up refuses what is new and never fails what was begun.
//!
//! ```text
//!  free │ new work is taken │ ◀── enough, with a margin: taken again
//!       │ ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ │ ◀── kept free: new work is refused
//!       │ running sagas, compensations, decisions, expiry, checkpoints
//! ```

use std::{
    io,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    options::{FaultPoint, Options},
    sync::{Bell, lock},
};

/// At 200 MB/s a disk fills by 20 MB in the meantime, far less than what is kept free.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Whether there is room for new work, as it was when last looked.
#[derive(Debug, Default)]
pub(crate) struct Space {
    is_full: AtomicBool,
    reason: Mutex<String>,
    /// The database's own rings with every flush, which is nothing to wake up for here.
    bell: Bell,
}

impl Space {
    /// `Err` says why not.
    pub(crate) fn room(&self) -> Result<(), String> {
        if self.is_full.load(Ordering::Acquire) { Err(lock(&self.reason).clone()) } else { Ok(()) }
    }

    /// Looks again and again until `is_stopped`, and [`Self::wake`] is called then.
    pub(crate) fn watch(&self, options: &Options, is_stopped: impl Fn() -> bool) {
        loop {
            self.look(options);
            if self.bell.wait_for(LOOK_EVERY, &is_stopped) {
                return;
            }
        }
    }

    /// To be called once it is to stop.
    pub(crate) fn wake(&self) {
        self.bell.ring();
    }

    pub(crate) fn look(&self, options: &Options) {
        let (free, total) = match options.check(FaultPoint::FreeSpace).and_then(|()| free_and_total(options)) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => (0, u64::MAX),
            // A disk that is not there any more is for those to tell who write to it.
            Err(error) => return tracing::debug!(%error, "it is not known how much room the disk has"),
        };
        let was_full = self.is_full.load(Ordering::Relaxed);
        let kept_free = kept_free(options, total);
        // Not back and forth with every segment that is used again.
        let needed = if was_full { kept_free + kept_free / 4 } else { kept_free };
        let is_full = free < needed;
        if is_full {
            let reason = format!("the disk has {free} bytes free, and new changes need {needed}");
            *lock(&self.reason) = reason;
        }
        self.is_full.store(is_full, Ordering::Release);
        let directory = options.directory.display();
        match (was_full, is_full) {
            (false, true) => tracing::warn!(%directory, free, needed, "the disk is nearly full: changes are refused"),
            (true, false) => tracing::info!(%directory, free, "the disk has room again"),
            _ => {}
        }
    }
}

fn free_and_total(options: &Options) -> io::Result<(u64, u64)> {
    let disk = rustix::fs::statvfs(&options.directory)?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    Ok((bytes(disk.f_bavail), bytes(disk.f_blocks)))
}

/// Room for a checkpoint and the segments until the next one is done, but no more than an eighth of a small disk.
fn kept_free(options: &Options, total: u64) -> u64 {
    let wanted = options.checkpoint_bytes.saturating_add(options.segment_bytes.saturating_mul(4));
    wanted.min(total / 8)
}
