//! Asking the history, wherever it is, for more than one question answers.

use std::time::Duration;

use contract::{OrderId, Remark, Sum, UserId};
use saga::Handle;
use tokio::time::Instant;
use web::{Idempotency, Problem, call::call};

use crate::{
    filter::{Filter, HELD_FOR_MS, State},
    page::{Act, Story, What},
    participant::Observer,
    query::{Account, Changes, Command, Counts, Cursor, Entry, Found, Placed, Reply, Span},
};

/// Who waits for the history is told after this long that it does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A list that is asked for is answered with what is found in this time: who wants more asks on from there.
pub(crate) const LOOKING: Duration = Duration::from_millis(50);

/// Questions that one request may take: more than a whole history has pages for most, and few enough to end.
const QUESTIONS_MAX: usize = 64;

/// The history.
#[derive(Clone, Debug)]
pub struct History(pub Handle<Observer>);

fn another_kind<T>() -> Result<T, Problem> {
    Err(Problem::internal("a reply that fits no question"))
}

impl History {
    async fn ask(&self, command: Command) -> Result<Reply, Problem> {
        call(&self.0, 0, command, Idempotency::default(), Some(PATIENCE)).await
    }

    /// Checkouts, and where there may be more.
    ///
    /// # Errors
    /// The history does not answer.
    pub async fn checkouts(
        &self,
        filter: &Filter,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<(Vec<Entry>, Option<Cursor>), Problem> {
        self.checkouts_within(Duration::MAX, filter, after, limit).await
    }

    /// The same, but no more than are found in about so long, and at least a question's worth.
    ///
    /// # Errors
    /// The history does not answer.
    pub async fn checkouts_within(
        &self,
        time: Duration,
        filter: &Filter,
        mut after: Option<Cursor>,
        limit: u32,
    ) -> Result<(Vec<Entry>, Option<Cursor>), Problem> {
        let began = Instant::now();
        let mut all: Vec<Entry> = Vec::new();
        for _ in 0..QUESTIONS_MAX {
            let left = limit - u32::try_from(all.len()).unwrap_or(limit).min(limit);
            let command = Command::Checkouts { filter: filter.clone(), after, limit: left };
            let Reply::Checkouts { entries, next } = self.ask(command).await? else { return another_kind() };
            all.extend(entries);
            after = next;
            if next.is_none() || all.len() >= limit as usize || began.elapsed() >= time {
                break;
            }
        }
        Ok((all, after))
    }

    /// All attempts of an order, the last one first.
    ///
    /// # Errors
    /// The history does not answer.
    pub async fn attempts(&self, order: &OrderId) -> Result<Vec<Story>, Problem> {
        let (mut all, mut after): (Vec<Story>, _) = (Vec::new(), None);
        for _ in 0..QUESTIONS_MAX {
            let Reply::Order { stories, next } = self.ask(Command::Order { order: order.clone(), after }).await? else {
                return another_kind();
            };
            for older in stories {
                match all.iter_mut().find(|story| story.checkout.id == older.checkout.id) {
                    // What is on earlier pages came first.
                    Some(story) => story.happenings.splice(0..0, older.happenings).for_each(drop),
                    None => all.push(older),
                }
            }
            after = next;
            if next.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// What happened to an account, the last first, and where there may be more.
    ///
    /// # Errors
    /// The history does not answer.
    pub async fn account(&self, account: &Account, after: Option<Cursor>, limit: u32) -> Result<Changes, Problem> {
        self.account_until(Duration::MAX, account, None, after, limit).await
    }

    /// The same, but no more than is found in about so long, and at least a question's worth.
    ///
    /// # Errors
    /// The history does not answer.
    pub async fn account_within(
        &self,
        time: Duration,
        account: &Account,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Changes, Problem> {
        self.account_until(time, account, None, after, limit).await
    }

    async fn account_until(
        &self,
        time: Duration,
        account: &Account,
        until: Option<u64>,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Changes, Problem> {
        let (began, mut all) = (Instant::now(), Changes { next: after, ..Changes::default() });
        for _ in 0..QUESTIONS_MAX {
            let left = limit - u32::try_from(all.rows.len()).unwrap_or(limit).min(limit);
            let command = Command::Account { account: account.clone(), after: all.next, limit: left, until };
            let Reply::Account(some) = self.ask(command).await? else { return another_kind() };
            all.rows.extend(some.rows);
            all.next = some.next;
            all.has_gap |= some.has_gap;
            if all.next.is_none() || all.rows.len() >= limit as usize || began.elapsed() >= time {
                break;
            }
        }
        Ok(all)
    }

    /// What comes after a place, from where on to ask for more, and whether there is a gap in between.
    ///
    /// # Errors
    /// The history does not answer.
    pub async fn events(&self, after: Option<Cursor>, limit: u32) -> Result<(Vec<Placed>, Cursor, bool), Problem> {
        match self.ask(Command::Events { after, limit }).await? {
            Reply::Events { events, next, is_cut } => Ok((events, next, is_cut)),
            _ => another_kind(),
        }
    }

    /// How far the history goes.
    ///
    /// # Errors
    /// The history does not answer.
    pub async fn span(&self) -> Result<Span, Problem> {
        match self.ask(Command::Span).await? {
            Reply::Span(span) => Ok(span),
            _ => another_kind(),
        }
    }

    /// What all events come to.
    ///
    /// # Errors
    /// The history does not answer.
    pub async fn ledger(&self) -> Result<Counts, Problem> {
        match self.ask(Command::Ledger).await? {
            Reply::Ledger(counts) => Ok(counts),
            _ => another_kind(),
        }
    }

    /// Counts from what the services have, where nothing was heard since `counts` were looked at.
    ///
    /// # Errors
    /// The history does not answer.
    pub async fn count_from(&self, counts: &Counts, units: Sum, credit: Sum) -> Result<Counts, Problem> {
        match self.ask(Command::CountFrom { heard: counts.ledger.heard, units, credit }).await? {
            Reply::Ledger(counts) => Ok(counts),
            _ => another_kind(),
        }
    }

    /// What operators had done last, the last one first.
    ///
    /// # Errors
    /// The history does not answer.
    pub async fn acts(&self) -> Result<Vec<Act>, Problem> {
        match self.ask(Command::Acts).await? {
            Reply::Acts(acts) => Ok(acts),
            _ => another_kind(),
        }
    }

    /// Takes note that an operator had the observer itself read the logs of its sources again.
    ///
    /// # Errors
    /// The history does not answer.
    pub async fn redelivered(&self, by: Remark, because: Remark) -> Result<(), Problem> {
        self.ask(Command::Redelivered { by, because }).await.map(drop)
    }

    /// The orders of checkouts that held some of an account at a moment, as far as it is known: none where that is not in the
    /// history.
    ///
    /// # Errors
    /// The history does not answer.
    pub async fn holders(&self, account: &Account, at: u64) -> Result<Vec<OrderId>, Problem> {
        let mut filter =
            Filter { since: Some(at.saturating_sub(HELD_FOR_MS)), until: Some(at + 1), ..Filter::default() };
        let holds = match account {
            Account::Item(item) => {
                filter.item = Some(item.clone());
                |what: &What| *what == What::Reserved
            }
            Account::User(UserId(user)) => {
                filter.user = Some(UserId(user.clone()));
                |what: &What| *what == What::Authorized
            }
        };
        let open = Filter { state: Some(State::Open), ..filter.clone() };
        let mut holders = Vec::new();
        for filter in [open, filter] {
            let (entries, _) = self.checkouts(&filter, None, 200).await?;
            let held = entries.into_iter().map(|entry| entry.story).filter(|story| {
                let began =
                    story.happenings.iter().any(|happening| holds(&happening.what) && story.at(happening) <= at);
                began && story.decision().is_none_or(|decision| story.at(decision) >= at)
            });
            holders.extend(held.map(|story| story.checkout.order.clone()));
        }
        holders.dedup();
        Ok(holders)
    }

    /// The orders of the last checkouts that took some of an account before a moment, the last one first.
    ///
    /// # Errors
    /// The history does not answer.
    pub async fn takers(&self, account: &Account, before: u64) -> Result<Vec<(OrderId, u64)>, Problem> {
        let changes = self.account_until(Duration::MAX, account, Some(before), None, 200).await?;
        let taken = changes.rows.into_iter().filter_map(|row| match row.found {
            Found::Checkout(order, _) => Some((order, row.at)),
            Found::Change(..) => None,
        });
        Ok(taken.take(3).collect())
    }
}
