//! The thread that makes commits durable: it closes the open group, writes it as one frame, and tells the gate.

use std::{
    io,
    sync::{Arc, PoisonError, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    frame,
    journal::Journal,
    ops::OpBuffer,
    options::Flush,
    section::Section,
    shared::{PoisonOnPanic, Shared},
    stats::{add, add_time},
    sync::lock,
};

/// What a buffer keeps after an unusually large group.
const BUFFER_BYTES_KEPT: usize = 4 << 20;

#[derive(Debug)]
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    journal: Journal,
    /// The last group that is durable.
    flushed: u64,
    frame: Vec<u8>,
    sections: Vec<Section>,
    spares: Vec<OpBuffer>,
}

/// A group that was closed.
struct Group {
    number: u64,
    commits: u64,
}

impl Flusher {
    pub(crate) fn new(shared: Arc<Shared>, journal: Journal) -> Self {
        let flushed = shared.durability.durable();
        Self { shared, journal, flushed, frame: Vec::new(), sections: Vec::new(), spares: Vec::new() }
    }

    /// Flushes whenever somebody wants it, and the last time when the gate is closed.
    pub(crate) fn run(mut self) {
        let _guard = PoisonOnPanic(Arc::clone(&self.shared));
        loop {
            let wanted = self.shared.durability.wanted(self.flushed, self.shared.options.flush_delay_max);
            if let Err(error) = self.flush() {
                self.shared.poison(&format!("the journal could not be flushed: {error}"));
                return;
            }
            let Some(wanted) = wanted else { return };
            if wanted > self.flushed {
                // Somebody wants what was never committed. That must not keep this thread spinning.
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(group) = self.close_group() else { return Ok(()) };
        frame::begin(&mut self.frame);
        for section in &self.sections {
            section.write_to(&mut self.frame);
        }
        let started = Instant::now();
        self.journal.append(group.number, &mut self.frame)?;
        let duration = started.elapsed();

        let shared = &self.shared;
        self.flushed = group.number;
        shared.durability.advance(group.number);
        shared.caught_up.notify_waiters();
        shared.bell.ring();

        let bytes = self.frame.len() as u64;
        add(&shared.counters.flushes, 1);
        add(&shared.counters.journal_bytes, bytes);
        add_time(&shared.counters.flush_nanoseconds, duration);
        if let Some(on_flush) = &shared.options.on_flush {
            on_flush(Flush { duration, bytes, commits: group.commits });
        }
        self.recycle();
        Ok(())
    }

    /// Ends the open group, if there is anything in it, and begins the next one: a consistent cut through everything
    /// that was committed. What the group did is in `self.sections` then.
    fn close_group(&mut self) -> Option<Group> {
        let shared = &self.shared;
        let mut open = shared.open.write().unwrap_or_else(PoisonError::into_inner);
        let commits = shared.pending_commits.swap(0, Ordering::SeqCst);
        if commits == 0 {
            return None;
        }
        let number = open.group;
        for service in &open.services {
            for (place, partition) in service.places() {
                self.sections.extend(lock(partition).cut(place, number, &mut self.spares));
            }
        }
        shared.pending_bytes.store(0, Ordering::Relaxed);
        open.group += 1;
        open.segment = self.journal.segment();
        Some(Group { number, commits })
    }

    fn recycle(&mut self) {
        self.frame.clear();
        self.frame.shrink_to(BUFFER_BYTES_KEPT);
        for mut section in self.sections.drain(..) {
            section.ops.clear();
            section.ops.shrink(BUFFER_BYTES_KEPT);
            self.spares.push(section.ops);
        }
    }
}
