//! The observer's step.

use std::{fmt, sync::Arc, time::Duration};

use contract::{Event, Service, Sum};
use saga::{Destinations, Input, Missing, Origin, Participant, Partition, Repeatability, RequestId, Step};

use crate::{
    index::Index,
    ledger::Ledger,
    page::{Act, Gap, Noted, Page},
    query::{Command, Reply},
    record::{HistoryKey, HistoryRecord, Tail, UndecidedRecord},
    search::Search,
    undecided::{SHARDS, Undecided, changes_of},
};

/// How long what is undecided is kept after something was missed, for that may have been the decision.
const DOUBTFUL_MS: u64 = 60 * 60 * 1000;

/// Acts of operators that are listed: with the longest remarks and ids some 48 KiB, which a store takes (64 KiB).
const ACTS_MAX: usize = 50;

/// Pages that are dropped when one is added, so that a bound that was lowered is reached bit by bit.
const DROPPED_AT_ONCE: usize = 8;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For so long.
    pub time: Duration,
    /// About so many bytes.
    pub bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { time: Duration::from_secs(24 * 60 * 60), bytes: 1 << 30 }
    }
}

/// Somebody who hears what an observer hears, once that is in the history: mostly once, after a restart perhaps again. Called on
/// the observer's thread.
pub trait Witness: fmt::Debug + Send + Sync {
    /// Takes note of an event that was committed at `at`, in milliseconds since 1970, in a partition of its service.
    fn heard(&self, event: &Event, at: u64, partition: u16);
}

/// The observer.
#[derive(Clone, Debug, Default)]
pub struct Observer {
    /// How much it keeps.
    pub retention: Retention,
    /// Who is told beside.
    pub witness: Option<Arc<dyn Witness>>,
}

impl Participant for Observer {
    const NAME: &'static str = "observer";
    const CONSUMES: &'static [&'static str] = &[Service::Order.name(), Service::Stock.name(), Service::Payment.name()];
    const IS_OBSERVER: bool = true;

    type Key = HistoryKey;
    type Record = HistoryRecord;
    type Command = Command;
    type Reply = Reply;
    type Event = Event;

    fn step(&self, step: &mut Step<'_, Self>, input: Input<'_, Self>) -> Result<(), Missing> {
        match input {
            Input::Event(event) => {
                let (at, partition) = step.origin().map_or((step.now(), 0), |origin| (origin.at, origin.log.partition));
                if let Some(act) = Act::of(event, at.0, partition) {
                    remember(step, act)?;
                }
                let mut counted = Some(event);
                let noted = Noted::of(event, at.0, partition).into_iter();
                noted.into_iter().try_for_each(|noted| self.note(step, noted, counted.take()))
            }
            Input::Command { request, command: Command::CountFrom { heard, units, credit } } => {
                count_from(step, *heard, *units, *credit)?;
                answer(step, request, &Command::Ledger)
            }
            Input::Command { request, command: Command::Redelivered { by, because } } => {
                let (at, partition) = (step.now().0, step.partition());
                let (service, by, because) = (Self::NAME.to_owned(), by.clone(), because.clone());
                let act = Act { place: 0, at, service, partition, order: None, by, because };
                remember(step, act.clone())?;
                self.note(step, Noted::Act(act), None)?;
                answer(step, request, &Command::Acts)
            }
            Input::Command { request, command } => answer(step, request, command),
            Input::Expired { .. } | Input::Deadline(_) => Ok(()),
        }
    }

    fn missed(&self, step: &mut Step<'_, Self>, events: u64) -> Result<(), Missing> {
        let Some(origin) = step.origin() else { return Ok(()) };
        let (service, partition) = (origin.log.service.to_string(), origin.log.partition);
        step.note("missed");
        self.note(step, Noted::Gap(Gap { place: 0, at: step.now().0, service, partition, events }), None)
    }

    /// There is one history, in the order in which it was heard of: whoever asks for the last checkouts asks once.
    fn destinations(_: &Event, _: Partition, to: &mut Destinations) {
        to.add(0);
    }

    fn heard(&self, event: &Event, origin: Origin<'_>) {
        if let Some(witness) = &self.witness {
            witness.heard(event, origin.at.0, origin.log.partition);
        }
    }

    fn may_ask(_: &str, _: &Command) -> bool {
        false
    }

    fn repeatability(command: &Command) -> Repeatability {
        match command {
            Command::CountFrom { .. } | Command::Redelivered { .. } => Repeatability::Once,
            _ => Repeatability::Safe,
        }
    }
}

impl Observer {
    /// Takes note of something, and counts the event that it is the first of.
    fn note(&self, step: &mut Step<'_, Self>, noted: Noted, counted: Option<&Event>) -> Result<(), Missing> {
        let now = step.now().0;
        let is_full = match step.edit(&HistoryKey::Tail)?.map(saga::RecordMut::into_mut) {
            Some(HistoryRecord::Tail(tail)) => {
                tail.count(&noted, counted, now);
                tail.heard.push(noted);
                tail.heard.is_full()
            }
            _ => {
                let mut tail = Tail::default();
                tail.count(&noted, counted, now);
                tail.heard.push(noted);
                step.put(&HistoryKey::Tail, HistoryRecord::Tail(tail));
                false
            }
        };
        if is_full { self.turn(step) } else { Ok(()) }
    }

    /// Makes a page of what was heard, and drops the oldest that are too old or too many.
    fn turn(&self, step: &mut Step<'_, Self>) -> Result<(), Missing> {
        let now = step.now().0;
        let Some(HistoryRecord::Tail(tail)) = step.get(&HistoryKey::Tail)? else { return Ok(()) };
        let mut tail = tail.clone();
        let page = std::mem::take(&mut tail.heard).page();
        let (number, index) = (tail.next, Index::of(&page));
        tail.next += 1;
        tail.add(&index);
        if let Some(ledger) = &mut tail.ledger {
            ledger.contradicted += page.contradicted();
        }
        for (shard, changes) in changes_of(number, &page) {
            change(step, shard, |undecided| {
                let is_changed = undecided.is_changed_by(&changes);
                undecided.apply(changes);
                is_changed
            })?;
        }
        tail.missed_at = page.gaps.iter().map(|gap| gap.at).max().max(tail.missed_at);
        if let Some(missed_at) = tail.missed_at.filter(|missed_at| now >= missed_at + DOUBTFUL_MS) {
            (0..SHARDS).try_for_each(|shard| change(step, shard, |undecided| undecided.forget(missed_at)))?;
            tail.missed_at = None;
        }
        step.put(&HistoryKey::Index(number), HistoryRecord::Index(index));
        step.put(&HistoryKey::Page(number), HistoryRecord::Page(page));
        self.drop_oldest(step, &mut tail, now)?;
        step.put(&HistoryKey::Tail, HistoryRecord::Tail(tail));
        Ok(())
    }

    fn drop_oldest(&self, step: &mut Step<'_, Self>, tail: &mut Tail, now: u64) -> Result<(), Missing> {
        let Retention { time, bytes } = self.retention;
        let oldest = now.saturating_sub(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        for _ in 0..DROPPED_AT_ONCE {
            // The last page stays, however short time is.
            if tail.first + 1 >= tail.next {
                return Ok(());
            }
            let key = HistoryKey::Index(tail.first);
            let (to, size) = match step.get(&key)? {
                Some(HistoryRecord::Index(index)) => (index.to, index.bytes),
                _ => (0, 0),
            };
            if to >= oldest && tail.bytes <= bytes {
                return Ok(());
            }
            step.remove(&key);
            step.remove(&HistoryKey::Page(tail.first));
            tail.first += 1;
            tail.bytes = tail.bytes.saturating_sub(size);
        }
        Ok(())
    }
}

/// Changes some of the undecided; `apply` says whether it did.
fn change(step: &mut Step<'_, Observer>, shard: u8, apply: impl FnOnce(&mut Undecided) -> bool) -> Result<(), Missing> {
    let key = HistoryKey::Undecided(shard);
    let mut undecided = match step.get(&key)? {
        Some(HistoryRecord::Undecided(UndecidedRecord(undecided))) => undecided.clone(),
        _ => Undecided::default(),
    };
    if apply(&mut undecided) {
        step.put(&key, HistoryRecord::Undecided(UndecidedRecord(undecided)));
    }
    Ok(())
}

/// Keeps what an operator had done among the last such things.
fn remember(step: &mut Step<'_, Observer>, act: Act) -> Result<(), Missing> {
    let mut acts = match step.get(&HistoryKey::Acts)? {
        Some(HistoryRecord::Acts(acts)) => acts.clone(),
        _ => Vec::new(),
    };
    acts.push(act);
    let old = acts.len().saturating_sub(ACTS_MAX);
    acts.drain(..old);
    step.put(&HistoryKey::Acts, HistoryRecord::Acts(acts));
    Ok(())
}

/// Begins to count from what the services have (see [`Ledger::count_from`]).
fn count_from(step: &mut Step<'_, Observer>, heard: u64, units: Sum, credit: Sum) -> Result<(), Missing> {
    let now = step.now().0;
    let Some(HistoryRecord::Tail(tail)) = step.get(&HistoryKey::Tail)? else { return Ok(()) };
    let mut ledger = tail.ledger(now);
    if ledger.count_from(heard, units, credit, now) {
        let tail = Tail { ledger: Some(ledger), ..tail.clone() };
        step.put(&HistoryKey::Tail, HistoryRecord::Tail(tail));
    }
    Ok(())
}

impl Tail {
    /// Counts what is noted. What came before a history counted is not known.
    fn count(&mut self, noted: &Noted, event: Option<&Event>, now: u64) {
        let mut ledger = self.ledger(now);
        match (noted, event) {
            (Noted::Gap(_), _) => ledger.lose(now),
            (_, Some(event)) => ledger.hear(event),
            (_, None) => {}
        }
        self.ledger = Some(ledger);
    }

    /// The sums. What a history heard before it kept any is not known.
    pub(crate) fn ledger(&self, now: u64) -> Ledger {
        let is_new = self.next == 0 && self.heard.count() == 0;
        self.ledger.unwrap_or_else(|| if is_new { Ledger::default() } else { Ledger::since(now) })
    }

    fn add(&mut self, index: &Index) {
        self.bytes += index.bytes;
        self.completed += u64::from(index.completed);
        self.cancelled += u64::from(index.cancelled);
        self.missed += index.missed;
    }

    /// What is on no page yet, as if it were.
    pub(crate) fn page(&self) -> Page {
        self.heard.page()
    }
}

fn answer(step: &mut Step<'_, Observer>, request: RequestId, command: &Command) -> Result<(), Missing> {
    let mut search = Search::new(step)?;
    let reply = match command {
        Command::Checkouts { filter, after, limit } => {
            let (entries, next) = search.checkouts(filter, *after, *limit)?;
            Reply::Checkouts { entries, next }
        }
        Command::Order { order, after } => {
            let (stories, next) = search.order(order, *after)?;
            Reply::Order { stories, next }
        }
        Command::Account { account, after, limit, until } => {
            Reply::Account(search.account(account, *until, *after, *limit)?)
        }
        Command::Events { after, limit } => {
            let (events, next, is_cut) = search.events(*after, *limit)?;
            Reply::Events { events, next, is_cut }
        }
        Command::Span => Reply::Span(search.span()?),
        Command::Ledger | Command::CountFrom { .. } => Reply::Ledger(search.ledger()?),
        Command::Acts | Command::Redelivered { .. } => Reply::Acts(search.acts()?),
    };
    step.reply(request, reply);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::From;

    #[test]
    fn a_history_that_did_not_count_yet_does_not_count_from_the_beginning() {
        let gap = Gap { place: 0, at: 3, service: "stock".to_owned(), partition: 0, events: 1 };
        let checkout = Noted::Gap(gap);
        let mut heard = Tail::default();
        heard.heard.push(checkout.clone());
        for mut tail in [heard, Tail { next: 1, ..Tail::default() }] {
            assert_eq!(tail.ledger(5).from, From::Unknown(5));
            tail.count(&checkout, None, 7);
            assert_eq!(tail.ledger(9).from, From::Unknown(7));
        }
        assert_eq!(Tail::default().ledger(5).from, From::Beginning);
    }
}
