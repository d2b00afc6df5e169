//! One partition of one service: what its store holds, what a crash would leave of it, and who waits for replies.

mod seat;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use contract::{CheckoutId, Event};
use saga::{Codec, Deadline, Input, Partition, RequestId, Solo, Timestamp};

use super::{Address, log::Log, role::Role, seen::Seen};
use crate::{
    Mutant,
    plan::Setup,
    shop::{Operation, Outcome},
};
pub(crate) use seat::Seat;

/// Replies that leave, by operation.
pub(crate) type Answers = Vec<(usize, Outcome)>;

/// A request whose answer nobody waits for.
const NOBODY: RequestId = RequestId(u64::MAX);

/// Time stands still in a market: deadlines pass when the schedule says so.
const NOW: Timestamp = Timestamp(0);

/// What is known about the run beyond what the services keep; it goes back with the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Facts {
    /// What was decided of each attempt.
    pub(crate) decided: BTreeMap<CheckoutId, bool>,
    started: BTreeSet<CheckoutId>,
    /// Operations other than checkouts that changed something.
    pub(crate) done: BTreeSet<usize>,
    pub(crate) broken: Option<&'static str>,
}

impl Facts {
    fn note(&mut self, event: &Event) {
        let Some(checkout) = event.checkout().map(|checkout| checkout.id) else { return };
        let broken = match event {
            Event::CheckoutStarted(_) => {
                (!self.started.insert(checkout)).then_some("an attempt was begun a second time")
            }
            Event::CheckoutCompleted(_) | Event::CheckoutCancelled(..) => {
                let well = matches!(event, Event::CheckoutCompleted(_));
                self.decided.insert(checkout, well).map(|_| "an attempt was decided a second time")
            }
            _ => None,
        };
        self.broken = self.broken.or(broken);
    }
}

/// What a store holds, and in the records also whoever waits in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Stored<K, R> {
    pub(crate) records: Vec<(K, R)>,
    pub(crate) log: Log,
    cursors: BTreeMap<Address, u64>,
    pub(crate) facts: Facts,
}

/// A [`Node`] without the type of its participant, so that what it can do can be derived.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State<K, R> {
    partition: Partition,
    stored: Arc<Stored<K, R>>,
    /// What a crash leaves; `None` where nothing is ever lost.
    durable: Option<Arc<Stored<K, R>>>,
    /// Operations that were taken in and not answered.
    desk: BTreeSet<usize>,
    /// Replies that wait until what they tell is durable.
    outbox: Answers,
    /// Another writer has the partition.
    away: bool,
}

/// One partition.
pub(crate) struct Node<P: Role> {
    state: State<P::Key, P::Record>,
    seen: Seen,
}

impl<P: Role> Clone for Node<P> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), seen: self.seen }
    }
}

impl<P: Role> fmt::Debug for Node<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.fmt(formatter)
    }
}

impl<P: Role> PartialEq for Node<P> {
    fn eq(&self, other: &Self) -> bool {
        self.state == other.state
    }
}

impl<P: Role> Hash for Node<P> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.state.hash(hasher);
    }
}

impl<P: Role> Node<P> {
    pub(crate) fn new(setup: &Setup, partition: Partition) -> Self {
        let stored =
            Stored { records: Vec::new(), log: Log::default(), cursors: BTreeMap::new(), facts: Facts::default() };
        let state = State {
            partition,
            stored: Arc::new(stored),
            durable: None,
            desk: BTreeSet::new(),
            outbox: Answers::new(),
            away: false,
        };
        let mut node = Self { state, seen: Seen::default() };
        for command in P::initial(setup, partition) {
            node.run(setup, Input::Command { request: NOBODY, command: &command });
        }
        let loses = setup.plan.domain_of(P::SERVICE).is_some();
        node.state.durable = loses.then(|| Arc::clone(&node.state.stored));
        node
    }

    pub(crate) fn records(&self) -> &[(P::Key, P::Record)] {
        &self.state.stored.records
    }

    fn stored(&mut self) -> &mut Stored<P::Key, P::Record> {
        Arc::make_mut(&mut self.state.stored)
    }

    /// Runs the participant's step on the records.
    fn run(&mut self, setup: &Setup, input: Input<'_, P>) -> saga::Outcome<Event, P::Reply> {
        let partition = self.state.partition;
        let partitions = setup.plan.partitions.of(P::SERVICE);
        let stored = self.stored();
        let records = std::mem::take(&mut stored.records);
        let participant = setup.participant::<P>().clone();
        let mut solo = Solo::new(participant, partition, partitions).with_records(records);
        let outcome = solo.step(input, NOW);
        stored.records = solo.into_records();
        if setup.plan.mutant == Some(Mutant::ForgetsEarlyCancel) {
            stored.records.retain(|(_, record)| !P::is_tombstone(record));
        }
        if setup.plan.mutant == Some(Mutant::ForgetsFloor) {
            stored.records.iter_mut().for_each(|(_, record)| P::forget_floor(record));
        }
        outcome
    }

    /// Runs the step, and puts what comes out of it where it goes.
    fn step(&mut self, setup: &Setup, input: Input<'_, P>) -> Answers {
        let saga::Outcome { events, replies, notes, .. } = self.run(setup, input);
        let mut seen = self.seen;
        let stored = self.stored();
        for note in notes {
            seen.note(note);
            if matches!(note, "anomaly" | "shortfall") {
                stored.facts.broken.get_or_insert("a decision does not find what it decides about");
            }
        }
        for event in events {
            let event = match setup.plan.mutant {
                Some(mutant) => mutant.changed_event(event),
                None => Some(event),
            };
            if let Some(event) = event {
                seen.note(event.name());
                stored.facts.note(&event);
                if !event.is_only_observed() {
                    stored.log.append(without_numbers(event));
                }
            }
        }
        self.seen = seen;
        let replies = replies.into_iter().map(|(request, reply)| (request, P::outcome(setup, &reply)));
        let replies: Vec<_> = replies.collect();
        for (RequestId(request), outcome) in replies {
            self.answer(setup, usize::try_from(request).expect("an operation's number"), outcome);
        }
        self.release(setup)
    }

    fn put(&mut self, key: P::Key, record: P::Record) {
        let records = &mut self.stored().records;
        records.retain(|(other, _)| *other != key);
        records.push((key, record));
        records.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    }

    fn answer(&mut self, setup: &Setup, operation: usize, outcome: Outcome) {
        // Whoever asked may have been lost in a crash.
        if !self.state.desk.remove(&operation) {
            return;
        }
        let asked = setup.operation(operation);
        let short = match *asked {
            Operation::Subtract { item, .. } => Some(Outcome::OutOfStock(item)),
            Operation::Pay { .. } => Some(Outcome::NotEnoughCredit),
            _ => None,
        };
        let outcome = match setup.plan.mutant {
            Some(mutant) => mutant.changed_outcome(outcome, short),
            None => outcome,
        };
        let changes = !asked.is_find() && !matches!(asked, Operation::Checkout { .. });
        if changes && outcome == Outcome::Done {
            self.stored().facts.done.insert(operation);
        }
        self.state.outbox.push((operation, outcome));
    }

    /// What may leave: everything once all is durable.
    fn release(&mut self, setup: &Setup) -> Answers {
        if self.is_clean() {
            return std::mem::take(&mut self.state.outbox);
        }
        let is_early = |operation: usize| match setup.plan.mutant {
            Some(Mutant::RepliesBeforeDurable) => !setup.operation(operation).is_find(),
            Some(Mutant::ShowsBeforeDurable) => setup.operation(operation).is_find(),
            _ => false,
        };
        let (early, rest) = std::mem::take(&mut self.state.outbox).into_iter().partition(|(op, _)| is_early(*op));
        self.state.outbox = rest;
        early
    }

    /// What a find shows at once, where the guard that makes it wait is missing.
    fn shown_at_once(&self, setup: &Setup, operation: usize) -> Option<Outcome> {
        let mutant = setup.plan.mutant?;
        let (is_unit, name) = match *setup.operation(operation) {
            Operation::FindItem { item } => (true, setup.items[item].as_str()),
            Operation::FindUser { user } => (false, setup.users[user].as_str()),
            _ => return None,
        };
        let pool =
            self.records().iter().find(|(key, _)| P::is_named(key, name)).and_then(|(_, record)| P::pool(record))?;
        let shown = match mutant {
            Mutant::ShowsAvailable => pool.total() - pool.held(),
            Mutant::ShowsTotal => pool.total(),
            _ => return None,
        };
        Some(if is_unit { Outcome::Units(shown) } else { Outcome::Credit(shown) })
    }

    /// Drops whatever lives in memory only.
    fn lose_memory(&mut self) {
        for (_, record) in &mut self.stored().records {
            let mut bytes = Vec::new();
            record.encode_to(&mut bytes);
            *record = P::Record::decode_from(&bytes).expect("what was encoded can be decoded");
        }
    }

    /// Whether an event would wait in this partition's queue for ever, were it to leave the cancel unheard.
    fn is_parked(&self, event: &Event) -> bool {
        let Some(checkout) = event.checkout() else { return false };
        self.records().iter().any(|(key, record)| P::is_parked(key, record, checkout.id))
    }
}

/// What nobody acts upon is left out of the logs: states that differ in it alone are one.
fn without_numbers(event: Event) -> Event {
    match event {
        Event::CheckoutCancelled(checkout, reason, _) => Event::CheckoutCancelled(checkout, reason, None),
        Event::StockRefused(checkout, station, reason, _) => Event::StockRefused(checkout, station, reason, None),
        Event::PaymentRefused(checkout, reason, _) => Event::PaymentRefused(checkout, reason, None),
        other => other,
    }
}

/// The deadlines that a log leaves open, and the numbers of the events that set them: what a restart rebuilds.
fn open_deadlines<P: Role>(participant: &P, log: &Log) -> BTreeMap<P::Key, u64> {
    let mut open = BTreeMap::new();
    for (position, event) in log.entries() {
        match participant.deadline(event) {
            Some(Deadline::Set { key, .. }) => drop(open.insert(key, position)),
            Some(Deadline::Clear { key }) => drop(open.remove(&key)),
            None => {}
        }
    }
    open
}
