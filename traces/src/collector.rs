//! What was heard of checkouts that may be worth a trace.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use contract::{Checkout, CheckoutId, Event};
use observer::{Noted, Story, What, Witness};

use crate::{Sampling, counts::Counts};

#[cfg(test)]
mod tests;

/// After so many ticks since its decision was heard, whatever else there is to hear of a checkout has been: of two partitions, an
/// effect may be heard of before its cause.
const LINGER_TICKS: u32 = 2;

/// More than that would take a noticeable share of a processor.
pub(crate) const CHOSEN_PER_TICK_MAX: u32 = 500;

/// Checkouts that are not decided, or were within the last ticks; some 500 bytes each.
const KEPT_MAX: usize = 200_000;

/// A checkout is forgotten when it is not decided for so much longer than it may take: the decision was missed.
const UNDECIDED_TICKS: u32 = 60;

/// How often it is looked for those.
const SWEEP_TICKS: u32 = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Collector {
    sampling: Sampling,
    counts: Counts,
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    checkouts: HashMap<CheckoutId, Kept, foldhash::fast::RandomState>,
    /// Those that are decided, and when that was heard.
    decided: VecDeque<(u32, CheckoutId)>,
    tick: u32,
    chosen: u32,
}

#[derive(Debug)]
struct Kept {
    story: Story,
    since: u32,
    choice: Choice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Undecided,
    Chosen,
    Passed,
}

impl Collector {
    pub(crate) fn new(sampling: Sampling, counts: Counts) -> Self {
        Self { sampling, counts, heard: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time goes on. Returns those of which there is to be a trace.
    pub(crate) fn tick(&self) -> Vec<Story> {
        let mut heard = self.lock();
        heard.tick += 1;
        heard.chosen = 0;
        let mut due = Vec::new();
        while let Some((at, id)) = heard.decided.front().copied()
            && heard.tick - at >= LINGER_TICKS
        {
            heard.decided.pop_front();
            due.extend(heard.checkouts.remove(&id).filter(|kept| kept.choice == Choice::Chosen).map(|kept| kept.story));
        }
        if heard.tick.is_multiple_of(SWEEP_TICKS) {
            let tick = heard.tick;
            heard.checkouts.retain(|_, kept| {
                let patience = u32::try_from(kept.story.checkout.timeout_ms / 1000).unwrap_or(u32::MAX);
                let is_lost = tick - kept.since > patience.saturating_add(UNDECIDED_TICKS);
                // One that has not begun is what comes after a decision that was heard long ago.
                if is_lost && kept.story.has_begun() {
                    self.counts.dropped("undecided", 1);
                }
                !is_lost
            });
        }
        due
    }

    fn is_worth_it(&self, checkout: &Checkout, decision: &What, took_ms: i64) -> bool {
        let is_slow = u128::try_from(took_ms).is_ok_and(|took| took >= self.sampling.slow.as_millis());
        *decision != What::Completed || is_slow || checkout.trace().is_in_share(self.sampling.share)
    }
}

impl Witness for Collector {
    fn heard(&self, event: &Event, at: u64, partition: u16) {
        if event.checkout().is_none() {
            return;
        }
        let mut heard = self.lock();
        let heard = &mut *heard;
        for noted in Noted::of(event, at, partition) {
            let Noted::Checkout(checkout, happening) = noted else { continue };
            let is_full = heard.checkouts.len() >= KEPT_MAX;
            let kept = match heard.checkouts.get_mut(&checkout.id) {
                Some(kept) => kept,
                None if is_full => return self.counts.dropped("undecided", u64::from(happening.what == What::Started)),
                None => {
                    let story = Story { checkout: checkout.clone(), happenings: Vec::with_capacity(4) };
                    let kept = Kept { story, since: heard.tick, choice: Choice::Undecided };
                    heard.checkouts.entry(checkout.id).or_insert(kept)
                }
            };
            if kept.choice == Choice::Passed {
                continue;
            }
            if happening.what.is_decision() && kept.choice == Choice::Undecided {
                heard.decided.push_back((heard.tick, checkout.id));
                kept.choice = match self.is_worth_it(&checkout, &happening.what, happening.after_ms) {
                    false => Choice::Passed,
                    true if heard.chosen >= CHOSEN_PER_TICK_MAX => {
                        self.counts.dropped("rate", 1);
                        Choice::Passed
                    }
                    true => {
                        heard.chosen += 1;
                        Choice::Chosen
                    }
                };
                if kept.choice == Choice::Passed {
                    kept.story.happenings = Vec::new();
                    continue;
                }
            }
            // Told again after a restart, it is the same.
            if !kept.story.happenings.contains(&happening) {
                kept.story.happenings.push(happening);
            }
        }
    }
}
