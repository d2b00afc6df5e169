//! The observer's history, held against what was committed, the books, and what clients were told.
//!
//! What one partition said is in the history in its order, each event once; where something was missed, a gap says of
//! whose and how much. So every entry can be compared with the very event that it is of, gaps or not. Where there are
//! none, the questions that operators ask have to be answered with all of it.

use std::collections::BTreeMap;

use contract::{Amount, CheckoutId, Event, Reason};
use observer::{Account, Accounts, Filter, Gap, Happening, Movement, Noted, Running, State, Story, What};
use order::Orders;
use saga::{LogName, Partition, Store};

use super::{
    ask::ask,
    client::Round,
    connection::wait,
    inspect::LOOK,
    lock::lock,
    reading::Observed,
    site::{Fact, Owner},
    sums,
    world::World,
};
use crate::{
    Service,
    market::role::Role,
    shop::{Operation, Outcome, Shop},
};

/// Entries that are asked for at once.
const PORTION: u32 = 500;

/// Waits until all that was committed was observed.
pub(crate) async fn rest(world: &World) {
    while is_behind(world).await {
        wait(LOOK).await;
    }
}

async fn is_behind(world: &World) -> bool {
    let Ok(history) = world.site(Owner::Observer).open().load(0, &[]).await else { return true };
    for producer in Service::ALL {
        for partition in 0..world.climate.partitions.of(producer) {
            let Ok(snapshot) = world.site(producer).open().load(partition, &[]).await else { return true };
            let log = LogName { service: producer.to_string().into(), partition };
            let cursor = history.cursors.iter().find(|cursor| cursor.log == log);
            if cursor.map_or(0, |cursor| cursor.position) < snapshot.log_end {
                return true;
            }
        }
    }
    false
}

/// Whether the history tells what was committed, and answers about this round as the books do.
pub(crate) async fn judge(world: &World, round: &Round, books: &Shop) -> Result<(), String> {
    let logs = logs(world);
    let mut observed = std::mem::take(&mut *lock(&world.observed));
    let read = read_on(world, &mut observed, &logs).await;
    let missed = observed.missed;
    *lock(&world.observed) = observed;
    read?;
    judge_span(world, &logs, missed).await?;
    let decided = decisions(&logs);
    for order in 0..round.setup.orders.len() {
        judge_order(world, round, books, (order, missed > 0), &decided).await?;
    }
    judge_accounts(world, round, books, missed > 0).await?;
    sums::judge(world, missed).await?;
    world.reach(if missed > 0 { "history says what it missed" } else { "history agrees" });
    Ok(())
}

type Logs = BTreeMap<(Service, Partition), Vec<Fact>>;

/// All events that stand, by log and in its order.
fn logs(world: &World) -> Logs {
    let mut logs = Logs::new();
    for service in Service::ALL {
        for fact in world.site(service).facts() {
            logs.entry((service, fact.partition)).or_default().push(fact);
        }
    }
    logs.values_mut().for_each(|log| log.sort_by_key(|fact| fact.head));
    logs
}

/// Reads what the history has told since it was last looked at, to its end.
async fn read_on(world: &World, observed: &mut Observed, logs: &Logs) -> Result<(), String> {
    loop {
        let (events, next, is_cut) = ask!(world, history => history.events(Some(observed.cursor), PORTION))?;
        if is_cut {
            return Err(format!("the history lost what came after {}", observed.cursor));
        }
        if events.is_empty() {
            break;
        }
        for (cursor, noted) in &events {
            observed.note(noted, logs).map_err(|promise| format!("the history at {cursor}: {promise}"))?;
        }
        observed.cursor = next;
    }
    for (log, facts) in logs {
        let told = observed.told.get(log).copied().unwrap_or_default();
        if told != facts.len() {
            return Err(format!(
                "the history has {told} events of {log:?}, of {}, and says nothing of it",
                facts.len()
            ));
        }
    }
    Ok(())
}

impl Observed {
    /// Compares an entry with the event that it has to be of.
    fn note(&mut self, noted: &Noted, logs: &Logs) -> Result<(), String> {
        let (log, events) = match noted {
            Noted::Checkout(_, happening) => ((happening.what.service(), happening.partition), 1),
            Noted::Movement(Movement { accounts: Accounts::Items(..), partition, .. }) => {
                ((Service::Stock, *partition), 1)
            }
            Noted::Movement(Movement { partition, .. }) => ((Service::Payment, *partition), 1),
            Noted::Act(act) => return Err(format!("no operator did {act:?}")),
            Noted::Gap(Gap { service, partition, events, .. }) => {
                let service = Service::named(service).ok_or_else(|| format!("{service} is no service"))?;
                self.missed += events;
                ((service, *partition), usize::try_from(*events).expect("a small number"))
            }
        };
        let told = self.told.entry(log).or_default();
        let fact = logs.get(&log).and_then(|facts| facts.get(*told));
        let fact = fact.ok_or_else(|| format!("{noted:?} never happened"))?;
        *told += events;
        if matches!(noted, Noted::Gap(_)) || is_of(noted, &fact.event) {
            return Ok(());
        }
        Err(format!("{noted:?}, and what happened is {:?}", fact.event))
    }
}

/// Whether an entry tells this event, and all of it.
fn is_of(noted: &Noted, event: &Event) -> bool {
    match (noted, event) {
        (Noted::Checkout(checkout, Happening { what, .. }), event) => {
            event.checkout() == Some(checkout) && is_what(what, event)
        }
        (
            Noted::Movement(Movement { accounts: Accounts::Items(items, price), change, total, .. }),
            Event::StockChanged { items: changed, change: how, total: after, price: for_one, .. },
        ) => (items, change, total, price) == (changed, how, after, for_one),
        (
            Noted::Movement(Movement { accounts: Accounts::Users(users), change, total, .. }),
            Event::CreditChanged { users: changed, change: how, total: after, .. },
        ) => (users, change, total) == (changed, how, after),
        _ => false,
    }
}

fn is_what(what: &What, event: &Event) -> bool {
    match (what, event) {
        (What::Started, Event::CheckoutStarted(_))
        | (What::Completed, Event::CheckoutCompleted(_))
        | (What::Reserved, Event::StockReserved(..))
        | (What::Withdrawn, Event::StockWithdrawn(..))
        | (What::Authorized, Event::PaymentAuthorized(_)) => true,
        (What::Cancelled(reason, short), Event::CheckoutCancelled(_, why, by))
        | (What::StockRefused(reason, short), Event::StockRefused(_, _, why, by))
        | (What::PaymentRefused(reason, short), Event::PaymentRefused(_, why, by)) => (reason, short) == (why, by),
        (What::StockParked(item, wait), Event::StockParked(_, _, account, how)) => (item, wait) == (account, how),
        (What::PaymentParked(wait), Event::PaymentParked(_, how)) => wait == how,
        _ => false,
    }
}

/// How a checkout was decided.
type Decision = Result<(), Reason>;

fn decisions(logs: &Logs) -> BTreeMap<CheckoutId, Decision> {
    let decision = |fact: &Fact| match &fact.event {
        Event::CheckoutCompleted(checkout) => Some((checkout.id, Ok(()))),
        Event::CheckoutCancelled(checkout, reason, _) => Some((checkout.id, Err(reason.clone()))),
        _ => None,
    };
    logs.values().flatten().filter_map(decision).collect()
}

fn told(story: &Story) -> Option<Decision> {
    match &story.decision()?.what {
        What::Cancelled(reason, _) => Some(Err(reason.clone())),
        _ => Some(Ok(())),
    }
}

async fn judge_span(world: &World, logs: &Logs, missed: u64) -> Result<(), String> {
    let span = ask!(world, history => history.span())?;
    let decided = decisions(logs);
    let completed = decided.values().filter(|decision| decision.is_ok()).count() as u64;
    let counts = (completed, decided.len() as u64 - completed);
    let is_complete = (span.completed, span.cancelled) == counts && span.undecided == 0 && !span.is_doubtful;
    let is_less = span.completed <= counts.0 && span.cancelled <= counts.1;
    if span.missed != missed || !(if missed > 0 { is_less } else { is_complete }) {
        return Err(format!("the history says {span:?}; {counts:?} were decided, and it missed {missed}"));
    }
    let open = Filter { state: Some(State::Open), ..Filter::default() };
    let (open, _) = ask!(world, history => history.checkouts(&open, None, PORTION))?;
    match open.first() {
        Some(entry) if missed == 0 => Err(format!("the history shows a decided checkout as open: {:?}", entry.story)),
        _ => Ok(()),
    }
}

/// Whether the attempts of an order are those that there were, and of this round those that the books and the answers need.
async fn judge_order(
    world: &World,
    round: &Round,
    books: &Shop,
    (order, has_gap): (usize, bool),
    decided: &BTreeMap<CheckoutId, Decision>,
) -> Result<(), String> {
    let name = &round.setup.orders[order];
    let stories = ask!(world, history => history.attempts(name))?;
    let mut outcomes = Vec::new();
    for story in &stories {
        let (decision, truth) = (told(story), decided.get(&story.checkout.id));
        if decision.as_ref() != truth && !(has_gap && decision.is_none()) {
            return Err(format!("the history says {decision:?} of a checkout of {name}, and it is {truth:?}"));
        }
        if round.operation_of(story.checkout.id).is_none() {
            continue;
        }
        if let Some(decision) = &decision {
            judge_words(world, story, decision).await?;
            let reply = decision.clone().map_or_else(order::Reply::Cancelled, |()| order::Reply::Done);
            outcomes.push(Orders::outcome(&round.setup, &reply));
        }
    }
    if has_gap {
        return Ok(());
    }
    let paid = outcomes.iter().filter(|outcome| **outcome == Outcome::Done).count();
    if paid != usize::from(books.orders[order].paid) {
        return Err(format!("the history has {paid} payments of {name}, and it is paid: {}", books.orders[order].paid));
    }
    let history = lock(&round.history).clone();
    for (operation, asked) in round.setup.plan.operations.iter().enumerate() {
        let answer = history.outcome(operation).filter(|_| *asked == Operation::Checkout { order });
        let is_of_attempt = matches!(
            answer,
            Some(Outcome::Done | Outcome::OutOfStock(_) | Outcome::NotEnoughCredit | Outcome::Timeout)
        );
        if is_of_attempt && answer.is_some_and(|answer| !outcomes.contains(answer)) {
            return Err(format!("{operation} was told {answer:?}, and the history has {outcomes:?} of {name}"));
        }
    }
    Ok(())
}

/// What an operator is told of an attempt ends as the attempt did.
async fn judge_words(world: &World, story: &Story, decision: &Decision) -> Result<(), String> {
    let lines = ask!(world, history => observer::explain(&history, story))?;
    let last = lines.last().map_or("", String::as_str);
    let begins = match decision {
        Ok(()) => "paid",
        Err(_) => "cancelled",
    };
    if last.starts_with(begins) { Ok(()) } else { Err(format!("{decision:?} is explained as {last:?}")) }
}

/// Whether every statement of account makes what is in the books. One that was set while it was bought may not be known to.
async fn judge_accounts(world: &World, round: &Round, books: &Shop, has_gap: bool) -> Result<(), String> {
    let items = round.setup.items.iter().cloned().map(Account::Item).zip(&books.stock);
    let users = round.setup.users.iter().cloned().map(Account::User).zip(&books.credit);
    for (account, balance) in items.chain(users) {
        let changes = ask!(world, history => history.account(&account, None, PORTION))?;
        let mut running = Running::new(Amount::new(*balance).map_err(|error| error.to_string())?);
        if changes.has_gap {
            running.note_gap();
        }
        for row in &changes.rows {
            running.next(row);
        }
        match running.adds_up(changes.next.is_none()) {
            Some(true) => world.reach("account adds up"),
            None => world.reach("account set while it was changed"),
            Some(false) => return Err(format!("{account:?} has {balance}, and its statement says no: {changes:?}")),
        }
        if changes.has_gap && !has_gap {
            return Err(format!("{account:?} has a gap, and the history has none"));
        }
    }
    Ok(())
}
