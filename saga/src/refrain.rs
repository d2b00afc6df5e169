//! Lines of a log that would be written again and again: said at once, and from then on now and then with a count.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Different lines that are remembered. What they name comes from outside, so there has to be an end.
const LINES_MAX: usize = 64;

/// Keeps a line of a log from being written again and again: it is said at once, and from then on now and then, with a count.
#[derive(Debug)]
pub struct Refrain {
    times_max: u32,
    every: Duration,
    lines: Mutex<BTreeMap<String, Said>>,
}

#[derive(Debug)]
struct Said {
    since: Instant,
    times: u32,
    kept_back: u64,
}

impl Said {
    fn first(since: Instant) -> Self {
        Self { since, times: 1, kept_back: 0 }
    }
}

/// A line is said once a minute.
impl Default for Refrain {
    fn default() -> Self {
        Self::new(1, Duration::from_secs(60))
    }
}

impl Refrain {
    /// A line is said at most `times_max` times within `every`.
    #[must_use]
    pub fn new(times_max: u32, every: Duration) -> Self {
        Self { times_max, every, lines: Mutex::default() }
    }

    /// How often the line has come up since it was last said, this time included, if it is to be said now.
    pub fn say(&self, line: &str) -> Option<u64> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(said) = lines.get_mut(line) {
            if now.duration_since(said.since) >= self.every {
                return Some(std::mem::replace(said, Said::first(now)).kept_back + 1);
            }
            if said.times < self.times_max {
                said.times += 1;
                return Some(1);
            }
            said.kept_back += 1;
            return None;
        }
        if lines.len() >= LINES_MAX {
            lines.retain(|_, said| now.duration_since(said.since) < self.every);
        }
        if lines.len() < LINES_MAX {
            lines.insert(line.to_owned(), Said::first(now));
        }
        Some(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_is_said_at_once_and_then_once_a_minute_with_a_count() {
        let refrain = Refrain::default();
        assert_eq!(refrain.say("no"), Some(1));
        for _ in 0..599 {
            tokio::time::advance(Duration::from_millis(100)).await;
            assert_eq!(refrain.say("no"), None);
        }
        assert_eq!(refrain.say("another"), Some(1));
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(refrain.say("no"), Some(600));
        assert_eq!(refrain.say("no"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_may_be_said_more_often_is_and_those_kept_back_are_counted() {
        let refrain = Refrain::new(3, Duration::from_secs(10));
        let said: Vec<_> = (0..5).map(|_| refrain.say("no")).collect();
        assert_eq!(said, [Some(1), Some(1), Some(1), None, None]);
        tokio::time::advance(Duration::from_secs(10)).await;
        let said: Vec<_> = (0..4).map(|_| refrain.say("no")).collect();
        assert_eq!(said, [Some(3), Some(1), Some(1), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_nobody_says_any_more_make_room() {
        let refrain = Refrain::default();
        for number in 0..1000 {
            assert_eq!(refrain.say(&number.to_string()), Some(1));
        }
        assert_eq!(refrain.lines.lock().expect("no panic").len(), LINES_MAX);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(refrain.say("new"), Some(1));
        assert_eq!(refrain.say("new"), None);
    }
}
