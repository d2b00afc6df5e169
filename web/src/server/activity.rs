//! What a connection is doing, and when that has gone on for too long.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

#[cfg(test)]
mod tests;

/// What a connection is doing. One task writes and reads it, so no order has to be kept; it is atomic only because
/// tasks move between threads.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Bytes arrived since the last request began: a part of the next one.
    reading: AtomicBool,
    running: AtomicBool,
    /// How often a request began or ended; wraps.
    changes: AtomicU32,
}

impl Activity {
    pub(super) fn bytes_arrive(&self) {
        self.reading.store(true, Ordering::Relaxed);
    }

    /// Whether there is something that did not become a request.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.load(Ordering::Relaxed)
    }

    /// A whole request is here.
    pub(super) fn request_begins(&self) {
        self.reading.store(false, Ordering::Relaxed);
        self.running.store(true, Ordering::Relaxed);
        self.changed();
    }

    /// Its reply is known, if not yet sent.
    pub(super) fn request_ends(&self) {
        self.running.store(false, Ordering::Relaxed);
        self.changed();
    }

    fn changed(&self) {
        // Not `fetch_add`, which locks the memory bus for nothing: there is one writer.
        let changes = self.changes.load(Ordering::Relaxed).wrapping_add(1);
        self.changes.store(changes, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Close,
}

/// Judges an [`Activity`] from tick to tick. It costs a request nothing but a few stores, where a timer would have to
/// be set and removed for each.
#[derive(Debug)]
pub(super) struct Watchdog {
    request_read_timeout: Duration,
    idle_timeout: Duration,
    /// For how long nothing has changed.
    quiet: Duration,
    reading: bool,
    changes: u32,
}

impl Watchdog {
    pub(super) fn new(request_read_timeout: Duration, idle_timeout: Duration) -> Self {
        Self { request_read_timeout, idle_timeout, quiet: Duration::ZERO, reading: false, changes: 0 }
    }

    /// How often to [`Self::inspect`]: fine enough to be exact to a second, or to a quarter where bounds are shorter.
    pub(super) fn tick(&self) -> Duration {
        let shortest = self.request_read_timeout.min(self.idle_timeout);
        (shortest / 4).clamp(Duration::from_millis(1), Duration::from_secs(1))
    }

    /// Whether the connection may stay. To be called every [`Self::tick`].
    ///
    /// A running request is its handler's affair. A server that drains gives what is not running a tick, for a reply to
    /// get out.
    pub(super) fn inspect(&mut self, activity: &Activity, draining: bool) -> Verdict {
        let reading = activity.is_reading();
        let changes = activity.changes.load(Ordering::Relaxed);
        let begins_to_read = reading && !self.reading;
        if activity.running.load(Ordering::Relaxed) || changes != self.changes || begins_to_read {
            self.quiet = Duration::ZERO;
        } else {
            self.quiet += self.tick();
        }
        self.reading = reading;
        self.changes = changes;
        let patience = match reading {
            _ if draining => self.tick(),
            true => self.request_read_timeout,
            false => self.idle_timeout,
        };
        if self.quiet >= patience { Verdict::Close } else { Verdict::Keep }
    }
}
