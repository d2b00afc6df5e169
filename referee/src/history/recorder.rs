//! Writing a history without slowing the load that it is about.
//!
//! A load thread puts an entry into a batch and hands full batches to the recorder's own thread, which turns them into
//! text. The channel is bounded: when the disk cannot follow, the load waits rather than memory filling up.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::Instant,
};

use serde::Serialize;

use super::{Entry, Fault, Final, Preface};
use crate::{Error, Result};

/// A few hundred kilobytes of entries: handing one over is rare, and losing the last at a crash is no loss, since a
/// history without its end is readable.
const BATCH_ENTRIES: usize = 1_024;
/// At most this many batches wait, some tens of megabytes.
const BATCHES_MAX: usize = 64;
const BUFFER_BYTES: usize = 1 << 18;

enum Message {
    Entries(Vec<Entry>),
    Fault(Fault),
}

/// A history that is being written.
#[derive(Debug)]
pub struct Recorder {
    sender: SyncSender<Message>,
    thread: JoinHandle<Result<Writer>>,
    epoch: Instant,
    what: String,
}

#[derive(Debug)]
struct Writer {
    file: BufWriter<File>,
    operations: u64,
}

impl Writer {
    fn line(&mut self, line: &impl Serialize) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.file, line)?;
        self.file.write_all(b"\n")
    }

    fn run(mut self, messages: &Receiver<Message>) -> std::io::Result<Self> {
        for message in messages {
            match message {
                Message::Entries(entries) => {
                    self.operations += entries.len() as u64;
                    for entry in &entries {
                        self.line(entry)?;
                    }
                }
                Message::Fault(fault) => self.line(&fault)?,
            }
        }
        Ok(self)
    }
}

impl Recorder {
    /// Begins the file, whose times count from now.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub fn create(path: &Path, preface: &Preface) -> Result<Self> {
        let what = format!("cannot write {}", path.display());
        let file = File::create(path).map_err(Error::io(what.clone()))?;
        let mut writer = Writer { file: BufWriter::with_capacity(BUFFER_BYTES, file), operations: 0 };
        writer.line(preface).map_err(Error::io(what.clone()))?;
        let (sender, receiver) = sync_channel(BATCHES_MAX);
        let failed = what.clone();
        let thread = thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || writer.run(&receiver).map_err(Error::io(failed)))
            .map_err(Error::io("cannot start a thread"))?;
        Ok(Self { sender, thread, epoch: Instant::now(), what })
    }

    /// A pen for one load thread.
    #[must_use]
    pub fn scribe(&self) -> Scribe {
        Scribe { batch: Vec::new(), sender: self.sender.clone(), epoch: self.epoch }
    }

    /// Ends the operations and appends what was there afterwards. Every [`Scribe`] must be gone, or this waits for it.
    ///
    /// # Errors
    /// [`Error::Io`] when something could not be written, also earlier.
    pub fn finish(self, state: impl IntoIterator<Item = Final>) -> Result<u64> {
        drop(self.sender);
        let mut writer = self.thread.join().map_err(|_panicked| Error::ThreadDied)??;
        let operations = writer.operations;
        let end = Final::End { operations };
        state
            .into_iter()
            .chain([end])
            .try_for_each(|line| writer.line(&line))
            .and_then(|()| writer.file.flush())
            .map_err(Error::io(self.what))?;
        Ok(operations)
    }
}

/// What one load thread writes with. Dropping it hands over what is left.
#[derive(Debug)]
pub struct Scribe {
    batch: Vec<Entry>,
    sender: SyncSender<Message>,
    epoch: Instant,
}

impl Scribe {
    /// An instant as nanoseconds since the run began.
    #[must_use]
    pub fn nanoseconds(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Records one operation.
    pub fn record(&mut self, entry: Entry) {
        self.batch.push(entry);
        if self.batch.len() >= BATCH_ENTRIES {
            self.hand_over();
        }
    }

    /// Records a fault.
    pub fn fault(&self, fault: Fault) {
        // A recorder that could not write has ended; its error is reported at the end of the run.
        drop(self.sender.send(Message::Fault(fault)));
    }

    fn hand_over(&mut self) {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH_ENTRIES));
        drop(self.sender.send(Message::Entries(batch)));
    }
}

impl Clone for Scribe {
    fn clone(&self) -> Self {
        Self { batch: Vec::new(), sender: self.sender.clone(), epoch: self.epoch }
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        if !self.batch.is_empty() {
            self.hand_over();
        }
    }
}
