//! Group commit at its simplest: what arrives while a flush runs is written and flushed together by the next one.

use std::{
    fs::File,
    io::{self, Write as _},
    mem,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::oneshot;

use crate::{Error, Result};

/// The file is filled with zeros first and then written round and round, so that a flush never has to change the
/// file's size or allocate blocks: a yardstick should be as fast as this can be done.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The record was not flushed, and never will be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotFlushed;

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    waiting: Vec<oneshot::Sender<()>>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file to which records are appended. Dropping it ends its thread.
#[derive(Debug)]
pub(super) struct Appender {
    shared: Arc<Shared>,
}

impl Appender {
    /// Creates a file without a name in `directory`; it is gone when the process ends.
    pub(super) fn create(directory: &Path) -> Result<Self> {
        let what = || format!("cannot create a file in {}", directory.display());
        let file = tempfile::tempfile_in(directory).map_err(Error::io(what()))?;
        fill(&file).map_err(Error::io(what()))?;
        let shared = Arc::new(Shared::default());
        let flushed = Arc::clone(&shared);
        thread::Builder::new()
            .name("appender".to_owned())
            .spawn(move || flush_for_ever(&flushed, &file))
            .map_err(Error::io("cannot start a thread"))?;
        Ok(Self { shared })
    }

    /// Appends `record` and returns once it is flushed.
    pub(super) async fn append(&self, record: &[u8]) -> std::result::Result<(), NotFlushed> {
        self.enqueue(record)?.await.map_err(|_dropped| NotFlushed)
    }

    fn enqueue(&self, record: &[u8]) -> std::result::Result<oneshot::Receiver<()>, NotFlushed> {
        let (sender, flushed) = oneshot::channel();
        let mut queue = self.shared.queue();
        if queue.closed {
            return Err(NotFlushed);
        }
        queue.bytes.extend_from_slice(record);
        queue.waiting.push(sender);
        drop(queue);
        self.shared.arrived.notify_one();
        Ok(flushed)
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.arrived.notify_one();
    }
}

fn fill(mut file: &File) -> io::Result<()> {
    let zeros = vec![0; 1024 * 1024];
    for _ in 0..FILE_BYTES / (1024 * 1024) {
        file.write_all(&zeros)?;
    }
    file.sync_all()
}

fn flush_for_ever(shared: &Shared, file: &File) {
    let mut batch = Queue::default();
    let mut position = 0;
    loop {
        let mut queue = shared.queue();
        while queue.bytes.is_empty() && !queue.closed {
            queue = shared.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.bytes.is_empty() {
            return;
        }
        mem::swap(&mut batch.bytes, &mut queue.bytes);
        mem::swap(&mut batch.waiting, &mut queue.waiting);
        drop(queue);
        let length = batch.bytes.len() as u64;
        if position + length > FILE_BYTES {
            position = 0;
        }
        if file.write_all_at(&batch.bytes, position).and_then(|()| file.sync_data()).is_err() {
            // After a failed flush nobody can say what is on the disk: acknowledge nothing any more.
            let mut queue = shared.queue();
            queue.closed = true;
            queue.waiting.clear();
            return;
        }
        position += length;
        batch.bytes.clear();
        for waiting in batch.waiting.drain(..) {
            // A client that hung up does not wait any more, which is no error.
            let _hung_up = waiting.send(());
        }
    }
}
