//! Appending to the journal: one frame, one write, one `fdatasync`.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use crate::{
    frame,
    options::FaultPoint,
    segment::{FIRST_FRAME, Pool, Segment},
};

/// The journal's end. One thread owns it.
#[derive(Debug)]
pub(crate) struct Journal {
    pool: Arc<Pool>,
    current: Segment,
    /// The next segments, made ahead: zero-filling one takes longer than anybody would want to wait for a flush.
    prepared: Receiver<io::Result<Segment>>,
}

impl Journal {
    /// The journal that goes on in `current`; `prepared` are the segments that are there already after it.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn new(pool: Arc<Pool>, current: Segment, prepared: Vec<Segment>) -> io::Result<(Self, JoinHandle<()>)> {
        // No capacity: one segment is ready at any time, in the hand of the thread that made it.
        let (sender, receiver) = sync_channel(0);
        let first_number = current.number + 1;
        let preparer = thread::Builder::new().name("journal-segments".into()).spawn({
            let pool = Arc::clone(&pool);
            move || prepare(&pool, first_number, prepared, &sender)
        })?;
        Ok((Self { pool, current, prepared: receiver }, preparer))
    }

    /// The segment that the last frame went to.
    pub(crate) fn segment(&self) -> u64 {
        self.current.number
    }

    /// Completes the frame that [`frame::begin`] started, gives it the number that follows the last one's, and makes it
    /// durable.
    ///
    /// # Errors
    /// The frame may or may not survive then, and so may not any later one: nothing must be appended any more.
    pub(crate) fn append(&mut self, number: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
        frame::seal(buffer, self.pool.identity(), number);
        let end = self.current.offset + buffer.len() as u64;
        let is_first = self.current.offset == FIRST_FRAME as u64;
        // A frame that no segment could hold makes its own one longer.
        if end > self.pool.options().segment_bytes && !is_first {
            self.current = self.prepared.recv().unwrap_or_else(|RecvError| Err(preparer_is_gone()))?;
        }
        self.pool.options().check(FaultPoint::FrameWrite)?;
        self.current.file.write_all_at(buffer, self.current.offset)?;
        self.pool.options().check(FaultPoint::FrameSync)?;
        self.current.file.sync_data()?;
        self.current.offset += buffer.len() as u64;
        Ok(())
    }
}

fn preparer_is_gone() -> io::Error {
    io::Error::other("the thread that makes journal segments is gone")
}

fn prepare(pool: &Pool, first_number: u64, existing: Vec<Segment>, ready: &SyncSender<io::Result<Segment>>) {
    let made = (first_number + existing.len() as u64..).map(|number| pool.make_patiently(number));
    for segment in existing.into_iter().map(Ok).chain(made) {
        let failed = segment.is_err();
        if ready.send(segment).is_err() || failed {
            break;
        }
    }
}
