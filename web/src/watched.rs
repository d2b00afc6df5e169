//! Something that is read from files, and read again when they change.

use std::{
    fmt::Display,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

/// How soon a change is noticed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// See the module. What has become unreadable changes nothing: a slip while a file is edited must not shut everybody out.
#[derive(Debug)]
pub(crate) struct Watched<T, E> {
    /// What it is called in the log.
    what: &'static str,
    files: Vec<PathBuf>,
    read: fn(&[PathBuf]) -> Result<T, E>,
    value: RwLock<Arc<T>>,
    looked: Mutex<Looked>,
}

/// When the files were last looked at, and what they were like.
#[derive(Debug)]
struct Looked {
    at: Instant,
    stamps: Vec<Option<Stamp>>,
    trouble: Option<String>,
}

/// What changes with a file.
type Stamp = (u64, u64, i64, i64);

impl<T, E: Display> Watched<T, E> {
    /// Reads the files for the first time.
    pub(crate) fn open(
        what: &'static str,
        files: Vec<PathBuf>,
        read: fn(&[PathBuf]) -> Result<T, E>,
    ) -> Result<Self, E> {
        let stamps = stamps(&files);
        let value = RwLock::new(Arc::new(read(&files)?));
        Ok(Self { what, files, read, value, looked: Mutex::new(Looked { at: Instant::now(), stamps, trouble: None }) })
    }

    /// What they say now.
    pub(crate) fn current(&self) -> Arc<T> {
        self.look();
        Arc::clone(&self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why it is what an older version of them said, if it is.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.look();
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).trouble.clone()
    }

    fn look(&self) {
        // Whoever finds them being looked at need not wait.
        let Ok(mut looked) = self.looked.try_lock() else { return };
        if looked.at.elapsed() < LOOK_AGAIN {
            return;
        }
        looked.at = Instant::now();
        let now = stamps(&self.files);
        if now == looked.stamps && looked.trouble.is_none() {
            return;
        }
        looked.stamps = now;
        match (self.read)(&self.files) {
            Ok(value) => {
                tracing::info!("{} changed, and were read again", self.what);
                *self.value.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                looked.trouble = None;
            }
            Err(error) => {
                let trouble = format!("{error}; what was there before is still used");
                if looked.trouble.as_ref() != Some(&trouble) {
                    tracing::error!("{trouble}");
                    looked.trouble = Some(trouble);
                }
            }
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| stamp(file).ok()).collect()
}

fn stamp(file: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(file)?;
    Ok((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}
