//! The clock of an open loop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use super::Schedule;
use crate::{Error, Result};

/// The runtime's timers tick once a millisecond, which at 20,000 requests a second would let twenty come due at once
/// and add half a millisecond to each. A sleeping thread is woken within some 60 µs; sleeping at least this long
/// bounds what it costs to 5,000 wake-ups a second.
const PAUSE_MIN: Duration = Duration::from_micros(200);
/// How soon the thread notices that nobody needs it any more.
const PAUSE_MAX: Duration = Duration::from_millis(50);
/// How long after the end requests that came due before it may still be sent. A server that keeps up needs a fraction
/// of this, even on a busy machine; what one that does not has left over by then is given up and counted.
const GRACE: Duration = Duration::from_secs(1);

/// The turns of an open loop: as many permits as requests have come due and were not taken up yet.
#[derive(Debug)]
pub(super) struct OpenTurns {
    pub(super) schedule: Schedule,
    due: Semaphore,
    taken: AtomicU64,
}

impl OpenTurns {
    pub(super) fn new(schedule: Schedule) -> Self {
        Self { schedule, due: Semaphore::new(0), taken: AtomicU64::new(0) }
    }

    /// Waits for the next request that is due and says when, counted from the start; `None` when the time is over,
    /// also when some that came due were never taken up.
    pub(super) async fn next(&self) -> Option<Duration> {
        self.due.acquire().await.ok()?.forget();
        Some(self.schedule.due_at(self.taken.fetch_add(1, Ordering::Relaxed)))
    }
}

/// The thread that lets requests come due. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Pacer {
    turns: Arc<OpenTurns>,
    thread: Option<JoinHandle<()>>,
}

impl Pacer {
    pub(super) fn start(turns: &Arc<OpenTurns>, start: Instant, duration: Duration) -> Result<Self> {
        let paced = Arc::clone(turns);
        let thread = thread::Builder::new()
            .name("pacer".to_owned())
            .spawn(move || pace(&paced, start, duration))
            .map_err(Error::io("cannot start a thread"))?;
        Ok(Self { turns: Arc::clone(turns), thread: Some(thread) })
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.turns.due.close();
        if let Some(thread) = self.thread.take() {
            // It only sleeps until the next request is due, and panics nowhere.
            drop(thread.join());
        }
    }
}

fn pace(turns: &OpenTurns, start: Instant, duration: Duration) {
    let mut issued = 0;
    while !turns.due.is_closed() {
        let elapsed = start.elapsed();
        let due = turns.schedule.due_after(elapsed);
        let newly_due = usize::try_from(due.saturating_sub(issued)).unwrap_or(Semaphore::MAX_PERMITS);
        turns.due.add_permits(newly_due);
        issued = due;
        let pause = if elapsed < duration {
            turns.schedule.due_at(issued).min(duration).saturating_sub(elapsed)
        } else if turns.due.available_permits() == 0 || elapsed >= duration + GRACE {
            turns.due.close();
            return;
        } else {
            PAUSE_MIN
        };
        thread::sleep(pause.clamp(PAUSE_MIN, PAUSE_MAX));
    }
}
