//! Looking things up in the history.

use std::{cell::Cell, collections::BTreeMap};

use contract::{Checkout, CheckoutId, OrderId};
use saga::{Missing, Participant, Step};

use crate::{
    filter::{Filter, State},
    index::Index,
    page::{Accounts, Act, Page, Story, What},
    query::{Account, Changes, Counts, Cursor, Entry, Found, Placed, Row, Span},
    record::{HistoryKey, HistoryRecord, Tail, UndecidedRecord},
    undecided::{Place, SHARDS},
};

/// Pages that one question looks at: so many that most are answered at once, so few that none takes long.
const PAGES_AT_ONCE: usize = 24;

/// Pages that are looked at for the beginning of a checkout before the page with its end.
const PIECES_MAX: usize = 4;

/// The most that is answered at once.
const LIMIT_MAX: u32 = 1000;

/// One question.
pub(crate) struct Search<'step, 'a, P: Participant> {
    step: &'step mut Step<'a, P>,
    tail: Tail,
    /// What is on no page yet, as if it were.
    newest: Page,
    /// Pages that may still be looked at.
    left: usize,
}

impl<'step, 'a, P> Search<'step, 'a, P>
where
    P: Participant<Key = HistoryKey, Record = HistoryRecord>,
{
    pub(crate) fn new(step: &'step mut Step<'a, P>) -> Result<Self, Missing> {
        let tail = match step.get(&HistoryKey::Tail)? {
            Some(HistoryRecord::Tail(tail)) => tail.clone(),
            _ => Tail::default(),
        };
        let newest = tail.page();
        Ok(Self { step, tail, newest, left: PAGES_AT_ONCE })
    }

    /// Checkouts, and where there may be more.
    pub(crate) fn checkouts(
        &mut self,
        filter: &Filter,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<(Vec<Entry>, Option<Cursor>), Missing> {
        match filter.state {
            Some(State::Open | State::Parked) => self.undecided(filter, after, limit),
            _ => self.decided(filter, after, limit),
        }
    }

    fn decided(
        &mut self,
        filter: &Filter,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<(Vec<Entry>, Option<Cursor>), Missing> {
        let (limit, now) = (capped(limit), self.step.now().0);
        let mut entries = Vec::new();
        let mut from = after.unwrap_or(self.end());
        while let Some(number) = self.before(from, |index| filter.may_be_on(index))? {
            if self.left == 0 {
                return Ok((entries, Some(from)));
            }
            let place_max = if number == from.page { from.place } else { u32::MAX };
            let mut found: Vec<(u32, Story)> = self.look(number, |page| {
                let decided = page.stories.iter().filter_map(|story| Some((story.decision()?.place, story)));
                let wanted = decided.filter(|(place, story)| *place < place_max && filter.accepts(story, now));
                wanted.map(|(place, story)| (place, story.clone())).collect()
            })?;
            found.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(*place));
            for (place, story) in found {
                let cursor = Cursor { page: number, place };
                if entries.len() == limit {
                    return Ok((entries, Some(Cursor { place: place + 1, ..cursor })));
                }
                let story = self.with_beginning(story, number)?;
                entries.push(Entry { cursor, story });
            }
            from = Cursor { page: number, place: 0 };
        }
        Ok((entries, None))
    }

    fn undecided(
        &mut self,
        filter: &Filter,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<(Vec<Entry>, Option<Cursor>), Missing> {
        let (limit, now) = (capped(limit), self.step.now().0);
        let mut open: Vec<_> =
            self.all_undecided()?.into_iter().map(|(id, place)| (oldest_first(&id, &place), id, place)).collect();
        open.sort_unstable_by_key(|(cursor, ..)| *cursor);
        let mut entries = Vec::new();
        let mut last = after;
        for (cursor, id, place) in open {
            if after.is_some_and(|after| cursor <= after) {
                continue;
            }
            if entries.len() == limit || self.left == 0 {
                return Ok((entries, last));
            }
            last = Some(cursor);
            let found = self.pieces_of(&id, &place)?;
            entries.extend(
                found.into_iter().filter(|story| filter.accepts(story, now)).map(|story| Entry { cursor, story }),
            );
        }
        Ok((entries, None))
    }

    /// All attempts of an order, and where there may be more.
    pub(crate) fn order(
        &mut self,
        order: &OrderId,
        after: Option<Cursor>,
    ) -> Result<(Vec<Story>, Option<Cursor>), Missing> {
        let mut pieces: Vec<Story> = Vec::new();
        let mut from = after.unwrap_or(self.end());
        let mut next = None;
        while let Some(number) = self.before(from, |index| index.may_have(order.as_str()))? {
            if self.left == 0 {
                next = Some(from);
                break;
            }
            let found = self.look(number, |page| stories_where(page, |checkout| checkout.order == *order))?;
            pieces.extend(found);
            from = Cursor { page: number, place: 0 };
        }
        let mut stories: Vec<Story> = Vec::new();
        // The oldest pieces are the last.
        for piece in pieces.into_iter().rev() {
            match stories.iter_mut().find(|story| story.checkout.id == piece.checkout.id) {
                Some(story) => story.happenings.extend(piece.happenings),
                None => stories.push(piece),
            }
        }
        stories.sort_by_key(|story| std::cmp::Reverse(story.checkout.started_at_ms));
        Ok((stories, next))
    }

    /// What happened to an account, up to some time or now, and where there may be more.
    pub(crate) fn account(
        &mut self,
        account: &Account,
        until: Option<u64>,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Changes, Missing> {
        let limit = capped(limit);
        let mut rows: Vec<Row> = Vec::new();
        let mut from = after.unwrap_or(self.end());
        let has_gap = Cell::new(!self.newest.gaps.is_empty());
        let is_wanted = |index: &Index| {
            has_gap.set(has_gap.get() || index.missed > 0);
            until.is_none_or(|until| index.from <= until) && index.may_have(account.id())
        };
        while let Some(number) = self.before(from, is_wanted)? {
            if self.left == 0 {
                return Ok(Changes { rows, next: Some(from), has_gap: has_gap.get() });
            }
            let place_max = if number == from.page { from.place } else { u32::MAX };
            let mut found = self.look(number, |page| rows_of(page, number, account))?;
            found.retain(|row| row.cursor.place < place_max && until.is_none_or(|until| row.at <= until));
            found.sort_unstable_by_key(|row| std::cmp::Reverse(row.cursor));
            for row in found {
                if rows.len() == limit {
                    let next = Cursor { place: row.cursor.place + 1, ..row.cursor };
                    return Ok(Changes { rows, next: Some(next), has_gap: has_gap.get() });
                }
                rows.push(row);
            }
            from = Cursor { page: number, place: 0 };
        }
        Ok(Changes { rows, next: None, has_gap: has_gap.get() })
    }

    /// What comes after a place, from where on to ask for more, and whether there is a gap in between.
    pub(crate) fn events(&mut self, after: Option<Cursor>, limit: u32) -> Result<(Vec<Placed>, Cursor, bool), Missing> {
        let limit = capped(limit);
        let first = Cursor { page: self.tail.first, place: 0 };
        let Some(after) = after.filter(|after| *after <= self.end()) else {
            return Ok((Vec::new(), self.last(), after.is_some()));
        };
        let is_cut = after < first && after != Cursor::default();
        let (mut events, mut next) = (Vec::new(), after);
        for number in after.page.max(first.page)..=self.tail.next {
            if self.left == 0 || events.len() >= limit {
                break;
            }
            let noted = self.look(number, Page::noted)?;
            // A place is the number of things up to it, so that the beginning has one too.
            let placed = noted.into_iter().map(|noted| (Cursor { page: number, place: noted.place() + 1 }, noted));
            let room = limit - events.len();
            events.extend(placed.filter(|(cursor, _)| *cursor > after).take(room));
            next = events.last().map_or(next, |(cursor, _)| *cursor);
        }
        Ok((events, next, is_cut))
    }

    /// How far the history goes.
    pub(crate) fn span(&mut self) -> Result<Span, Missing> {
        let newest = Index::of(&self.newest);
        let from = match self.index(self.tail.first)? {
            Some(index) => Some(index.from),
            None => (self.tail.heard.count() > 0).then_some(newest.from),
        };
        let Tail { first, next, bytes, completed, cancelled, missed, .. } = self.tail;
        let is_doubtful = self.tail.missed_at.is_some();
        Ok(Span {
            from,
            pages: next - first,
            bytes: bytes + newest.bytes,
            completed: completed + u64::from(newest.completed),
            cancelled: cancelled + u64::from(newest.cancelled),
            missed: missed + newest.missed,
            undecided: self.all_undecided()?.len() as u64,
            is_doubtful: is_doubtful || newest.missed > 0,
        })
    }

    /// What all events come to.
    pub(crate) fn ledger(&mut self) -> Result<Counts, Missing> {
        let mut ledger = self.tail.ledger(self.step.now().0);
        ledger.contradicted += self.newest.contradicted();
        let missed = self.tail.missed + Index::of(&self.newest).missed;
        Ok(Counts { ledger, undecided: self.all_undecided()?.len() as u64, missed })
    }

    /// What operators had done last, the last one first.
    pub(crate) fn acts(&mut self) -> Result<Vec<Act>, Missing> {
        Ok(match self.step.get(&HistoryKey::Acts)? {
            Some(HistoryRecord::Acts(acts)) => acts.iter().rev().cloned().collect(),
            _ => Vec::new(),
        })
    }

    /// After everything.
    fn end(&self) -> Cursor {
        Cursor { page: self.tail.next, place: u32::MAX }
    }

    /// The place of the last thing.
    fn last(&self) -> Cursor {
        Cursor { page: self.tail.next, place: self.tail.heard.count() }
    }

    /// The last page before `from` that is wanted; the page of `from` itself if something on it comes before.
    fn before(&mut self, from: Cursor, is_wanted: impl Fn(&Index) -> bool) -> Result<Option<u64>, Missing> {
        let last = if from.place > 0 { Some(from.page) } else { from.page.checked_sub(1) };
        let Some(last) = last else { return Ok(None) };
        for number in (self.tail.first..=last.min(self.tail.next)).rev() {
            if number == self.tail.next || self.index(number)?.is_some_and(&is_wanted) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn index(&mut self, number: u64) -> Result<Option<&Index>, Missing> {
        Ok(match self.step.get(&HistoryKey::Index(number))? {
            Some(HistoryRecord::Index(index)) => Some(index),
            _ => None,
        })
    }

    /// Looks at a page; one that is gone is empty.
    fn look<T>(&mut self, number: u64, at: impl FnOnce(&Page) -> T) -> Result<T, Missing> {
        if number == self.tail.next {
            return Ok(at(&self.newest));
        }
        self.left = self.left.saturating_sub(1);
        Ok(match self.step.get(&HistoryKey::Page(number))? {
            Some(HistoryRecord::Page(page)) => at(page),
            _ => at(&Page::default()),
        })
    }

    /// Adds what is known of a checkout from before the page that its decision is on.
    fn with_beginning(&mut self, mut story: Story, number: u64) -> Result<Story, Missing> {
        let (id, order) = (story.checkout.id, story.checkout.order.clone());
        let mut from = Cursor { page: number, place: 0 };
        for _ in 0..PIECES_MAX {
            if story.has_begun() {
                break;
            }
            let Some(before) = self.before(from, |index| index.may_have(order.as_str()))? else { break };
            let piece = self.look(before, |page| stories_where(page, |checkout| checkout.id == id))?;
            for Story { mut happenings, .. } in piece {
                happenings.append(&mut story.happenings);
                story.happenings = happenings;
            }
            from = Cursor { page: before, place: 0 };
        }
        Ok(story)
    }

    /// A checkout that is not decided, from the page on that it began on.
    fn pieces_of(&mut self, id: &CheckoutId, place: &Place) -> Result<Option<Story>, Missing> {
        let mut whole: Option<Story> = None;
        for number in place.page..=self.tail.next {
            let may_be_there = number == self.tail.next
                || self.index(number)?.is_some_and(|index| index.may_have(place.order.as_str()));
            if !may_be_there || self.left == 0 {
                continue;
            }
            for piece in self.look(number, |page| stories_where(page, |checkout| checkout.id == *id))? {
                match &mut whole {
                    Some(story) => story.happenings.extend(piece.happenings),
                    None => whole = Some(piece),
                }
            }
        }
        Ok(whole)
    }

    fn all_undecided(&mut self) -> Result<BTreeMap<CheckoutId, Place>, Missing> {
        let mut open = BTreeMap::new();
        for shard in 0..SHARDS {
            if let Some(HistoryRecord::Undecided(UndecidedRecord(known))) =
                self.step.get(&HistoryKey::Undecided(shard))?
            {
                open.extend(known.iter().map(|(id, place)| (*id, place.clone())));
            }
        }
        for story in &self.newest.stories {
            if story.decision().is_some() {
                open.remove(&story.checkout.id);
            } else if story.has_begun() {
                let (order, started_at) = (story.checkout.order.clone(), story.checkout.started_at_ms);
                open.insert(story.checkout.id, Place { order, started_at, page: self.tail.next });
            }
        }
        Ok(open)
    }
}

fn capped(limit: u32) -> usize {
    usize::try_from(limit.min(LIMIT_MAX)).unwrap_or(usize::MAX)
}

/// A place in the list of those that are not decided.
fn oldest_first(id: &CheckoutId, place: &Place) -> Cursor {
    let name = saga::fingerprint([id.to_bytes().as_slice()]) & u64::from(u32::MAX);
    Cursor { page: place.started_at, place: u32::try_from(name).expect("its lower half") }
}

fn stories_where(page: &Page, is_wanted: impl Fn(&Checkout) -> bool) -> Vec<Story> {
    page.stories.iter().filter(|story| is_wanted(&story.checkout)).cloned().collect()
}

fn rows_of(page: &Page, number: u64, account: &Account) -> Vec<Row> {
    let taken = |checkout: &Checkout| match account {
        Account::Item(item) => {
            let line = checkout.lines.iter().find(|line| line.item == *item)?;
            contract::Amount::new(line.quantity.get()).ok()
        }
        Account::User(user) => (checkout.user == *user).then_some(checkout.amount),
    };
    let mut rows = Vec::new();
    for story in &page.stories {
        let Some(decision) = story.decision().filter(|decision| decision.what == What::Completed) else { continue };
        if let Some(amount) = taken(&story.checkout) {
            let cursor = Cursor { page: number, place: decision.place };
            let found = Found::Checkout(story.checkout.order.clone(), amount);
            rows.push(Row { cursor, at: story.at(decision), found });
        }
    }
    for movement in &page.movements {
        let is_of = match (&movement.accounts, account) {
            (Accounts::Items(items, _), Account::Item(item)) => items.contains(item),
            (Accounts::Users(users), Account::User(user)) => users.contains(user),
            _ => false,
        };
        if is_of {
            let cursor = Cursor { page: number, place: movement.place };
            let found = Found::Change(movement.change, movement.total);
            rows.push(Row { cursor, at: movement.at, found });
        }
    }
    rows
}
