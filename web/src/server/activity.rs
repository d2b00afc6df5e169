//! What a connection is doing, and when that has gone on for too long.

use std::{
    cmp::Reverse,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use tokio::sync::Notify;

#[cfg(test)]
mod tests;

/// What a connection is doing. One task writes it, so no order has to be kept; it is atomic because tasks move between
/// threads, and because the roster reads of it, too, whom to close. What the roster reads may be out of date: the
/// connection itself looks again before it closes.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Bytes arrived since the last request began: a part of the next one.
    reading: AtomicBool,
    running: AtomicBool,
    /// How often a request began or ended; wraps.
    changes: AtomicU32,
    /// For how many ticks nothing has changed.
    quiet: AtomicU32,
    close: Notify,
}

/// How much a connection is worth keeping, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Worth {
    /// Whether it ever brought a whole request.
    has_asked: bool,
    quiet: Reverse<u32>,
}

impl Activity {
    pub(super) fn bytes_arrive(&self) {
        self.reading.store(true, Ordering::Relaxed);
    }

    /// Whether there is something that did not become a request.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.load(Ordering::Relaxed)
    }

    /// Whether a whole request is here that has no reply yet.
    pub(super) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// What closing this connection would cost; `None` while a request runs.
    pub(super) fn worth(&self) -> Option<Worth> {
        let has_asked = self.changes.load(Ordering::Relaxed) > 0;
        let quiet = Reverse(self.quiet.load(Ordering::Relaxed));
        (!self.is_running()).then_some(Worth { has_asked, quiet })
    }

    /// Asks the connection to close, if no request runs.
    pub(super) fn close(&self) {
        self.close.notify_one();
    }

    /// Waits for [`Self::close`].
    pub(super) async fn told_to_close(&self) {
        self.close.notified().await;
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
        if activity.is_running() || changes != self.changes || begins_to_read {
            self.quiet = Duration::ZERO;
        } else {
            self.quiet += self.tick();
        }
        let ticks = activity.quiet.load(Ordering::Relaxed).saturating_add(1);
        activity.quiet.store(if self.quiet.is_zero() { 0 } else { ticks }, Ordering::Relaxed);
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
