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
        } else if turns.taken.load(Ordering::Relaxed) >= issued || elapsed >= duration + GRACE {
            // Not by the permits left: one that was given to a worker is lost if this closes before the worker wakes.
            turns.due.close();
            return;
        } else {
            PAUSE_MIN
        };
        thread::sleep(pause.clamp(PAUSE_MIN, PAUSE_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everything_that_comes_due_is_given_out_in_order_and_not_before() {
        let duration = Duration::from_millis(100);
        let schedule = Schedule::new(2_000, duration);
        let turns = Arc::new(OpenTurns::new(schedule));
        let start = Instant::now();
        let pacer = Pacer::start(&turns, start, duration).unwrap();
        let mut given = 0;
        while let Some(due) = turns.next().await {
            assert_eq!(due, schedule.due_at(given));
            assert!(start.elapsed() >= due);
            given += 1;
        }
        assert_eq!(given, 200);
        assert!(start.elapsed() >= duration);
        drop(pacer);
    }

    #[tokio::test]
    async fn what_is_not_taken_up_is_given_up_after_the_end() {
        let duration = Duration::from_millis(10);
        let turns = Arc::new(OpenTurns::new(Schedule::new(1_000, duration)));
        let pacer = Pacer::start(&turns, Instant::now(), duration).unwrap();
        tokio::time::sleep(duration + GRACE + Duration::from_millis(500)).await;
        assert_eq!(turns.next().await, None);
        drop(pacer);
    }

    #[tokio::test]
    async fn dropping_the_pacer_ends_it_at_once() {
        let duration = Duration::from_secs(3_600);
        let turns = Arc::new(OpenTurns::new(Schedule::new(1, duration)));
        let started = Instant::now();
        drop(Pacer::start(&turns, started, duration).unwrap());
        assert!(started.elapsed() < Duration::from_secs(10));
        assert_eq!(turns.next().await, None);
    }
}
