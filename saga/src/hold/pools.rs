//! What a holder's step does with its pools: a saga's cues, what callers want, and the records of both.

use std::slice;

use super::{
    Change, Claim, Cue, Entry as _, Hold, Holder, Key, Place, Pool, Record, Refusal, Ticket, Totals, Vote, Wait,
};
use crate::{Missing, RequestId, Step};

type HoldOf<P> = Hold<<P as Holder>::Account, <P as Holder>::Context>;

/// What becomes of one who asks.
pub(super) enum Verdict<A> {
    Granted,
    Parked,
    Refused(A, Refusal),
}

/// The pools of one partition, in one step.
#[derive(Debug)]
pub struct Pools<'step, 'view, P: Holder> {
    pub(super) holder: &'step P,
    step: &'step mut Step<'view, P>,
}

impl<'step, 'view, P: Holder> Pools<'step, 'view, P> {
    pub(super) fn new(holder: &'step P, step: &'step mut Step<'view, P>) -> Self {
        Self { holder, step }
    }
}

/// For the participant's step.
impl<P: Holder> Pools<'_, '_, P> {
    /// Does what an event asks for.
    ///
    /// # Errors
    /// [`Missing`], handed on.
    pub fn event(&mut self, event: &P::Event) -> Result<(), Missing> {
        let (Some(cue), Some((saga, context))) = (self.holder.cue(event, self.place()), P::saga(event)) else {
            return Ok(());
        };
        match cue {
            Cue::Request(claims) => self.request(saga, context, claims),
            Cue::Skip => self.skip(saga, context),
            Cue::Commit(claims) => self.commit(saga, claims),
            Cue::Release => self.release(saga, context),
        }
    }

    /// A caller creates an account: puts something in place of whatever is kept under it.
    ///
    /// # Errors
    /// [`Missing`], handed on.
    pub fn put(&mut self, account: &P::Account, entry: P::Entry) -> Result<(), Missing> {
        self.set(account, entry.clone())?;
        self.say(P::changed(slice::from_ref(account), Change::Created, &entry));
        Ok(())
    }

    /// Puts the same in place of whatever is kept under each of `accounts`, unless one of them is in use: then nothing is
    /// changed, and that one is returned.
    ///
    /// # Errors
    /// [`Missing`], handed on.
    pub fn renew<'a>(
        &mut self,
        accounts: &'a [P::Account],
        entry: &P::Entry,
    ) -> Result<Result<(), &'a P::Account>, Missing> {
        let mut replaced = 0;
        for account in accounts {
            if let Some(pool) = self.peek(account)? {
                if pool.is_busy() {
                    return Ok(Err(account));
                }
                replaced += u128::from(pool.total());
            }
        }
        if !accounts.is_empty() {
            self.say(P::changed(accounts, Change::Set { replaced }, entry));
        }
        accounts.iter().try_for_each(|account| self.set(account, entry.clone()))?;
        Ok(Ok(()))
    }

    /// Shows what is kept under an account, as it is now.
    ///
    /// # Errors
    /// [`Missing`], handed on.
    pub fn show(&mut self, request: RequestId, account: &P::Account) -> Result<(), Missing> {
        let entry = self.step.get(&Key::Account(account.clone()))?.and_then(Record::entry);
        let reply = P::shown(account, entry);
        self.step.reply(request, reply);
        Ok(())
    }

    /// A caller takes from one pool at once, or waits in its queue like a saga.
    ///
    /// # Errors
    /// [`Missing`], handed on.
    pub fn take(&mut self, request: RequestId, account: &P::Account, quantity: u64) -> Result<(), Missing> {
        let claim = Claim::new(account.clone(), quantity);
        match self.arrive(Ticket::Direct(request), slice::from_ref(&claim))? {
            Verdict::Granted => {
                self.change(account, |pool| pool.take(quantity))?;
                // Nobody stands in the queue, or it would not have been granted: there is nobody to wake.
                self.answer(request, account, Ok(()));
                self.changed(account, Change::Taken(quantity))?;
            }
            Verdict::Parked => self.note("parked"),
            Verdict::Refused(account, refusal) => self.answer(request, &account, Err(refusal)),
        }
        Ok(())
    }

    /// A caller adds to a pool, up to [`Holder::TOTAL_MAX`]: some who wait may have what they want now.
    ///
    /// # Errors
    /// [`Missing`], handed on.
    pub fn add(&mut self, request: RequestId, account: &P::Account, quantity: u64) -> Result<(), Missing> {
        let Some(pool) = self.peek(account)? else {
            self.answer(request, account, Err(Refusal::Unknown));
            return Ok(());
        };
        let Some(total) = pool.total().checked_add(quantity).filter(|total| *total <= P::TOTAL_MAX) else {
            self.answer(request, account, Err(Refusal::TooMuch));
            return Ok(());
        };
        self.change(account, |pool| pool.set_total(total))?;
        self.answer(request, account, Ok(()));
        self.changed(account, Change::Added(quantity))?;
        self.wake(&[Claim::new(account.clone(), 0)])
    }

    /// A caller wants to read: it is shown the pool at once, or when the holds that are there now are gone.
    ///
    /// # Errors
    /// [`Missing`], handed on.
    pub fn read(&mut self, request: RequestId, account: &P::Account) -> Result<(), Missing> {
        if self.peek(account)?.is_none_or(|pool| !pool.has_holds()) {
            return self.show(request, account);
        }
        if let Some(pool) = self.waiters(account)? {
            pool.read(request);
        }
        Ok(())
    }

    /// The patience of a caller is over. If it still waits, to take or to read, it does so no longer and is told so.
    ///
    /// # Errors
    /// [`Missing`], handed on.
    pub fn expire(&mut self, request: RequestId, account: &P::Account) -> Result<(), Missing> {
        let Some(pool) = self.waiters(account)? else {
            return Ok(());
        };
        if pool.forget_reader(request) {
            self.note("read_in_vain");
            self.answer(request, account, Err(Refusal::Expired));
            return Ok(());
        }
        if pool.unpark(&Ticket::Direct(request)) {
            self.note("unparked");
            self.answer(request, account, Err(Refusal::Expired));
            return self.wake(&[Claim::new(account.clone(), 0)]);
        }
        Ok(())
    }
}

/// Records, votes and answers.
impl<P: Holder> Pools<'_, '_, P> {
    fn place(&self) -> Place {
        Place { partition: self.step.partition(), partitions: self.step.partitions() }
    }

    /// The pool of an account, to be changed.
    pub(super) fn pool(&mut self, account: &P::Account) -> Result<Option<&mut Pool<P::Saga>>, Missing> {
        Ok(self.step.edit(&Key::Account(account.clone()))?.and_then(|record| record.into_mut().pool_mut()))
    }

    /// The same, to be changed in what lives in memory only: who reads it, and which callers wait for it.
    pub(super) fn waiters(&mut self, account: &P::Account) -> Result<Option<&mut Pool<P::Saga>>, Missing> {
        Ok(self.step.edit(&Key::Account(account.clone()))?.and_then(|record| record.volatile().pool_mut()))
    }

    /// The same, to be looked at.
    pub(super) fn peek(&mut self, account: &P::Account) -> Result<Option<&Pool<P::Saga>>, Missing> {
        Ok(self.step.get(&Key::Account(account.clone()))?.and_then(Record::pool))
    }

    /// What is known of a saga.
    pub(super) fn hold(&mut self, saga: P::Saga) -> Result<Option<&HoldOf<P>>, Missing> {
        Ok(self.step.get(&Key::Saga(saga))?.and_then(Record::hold))
    }

    pub(super) fn set_hold(&mut self, saga: P::Saga, hold: Option<HoldOf<P>>) {
        match hold {
            Some(hold) => self.step.put(&Key::Saga(saga), Record::Hold(hold)),
            None => self.step.remove(&Key::Saga(saga)),
        }
    }

    fn set(&mut self, account: &P::Account, entry: P::Entry) -> Result<(), Missing> {
        let (before, after) = (Totals::of(self.peek(account)?), Totals::of(Some(entry.pool())));
        self.step.put(&Key::Account(account.clone()), Record::Account(entry));
        self.count(before, after)
    }

    /// Changes what a pool has or what is held of it, if there is one, and counts it.
    pub(super) fn change<T>(
        &mut self,
        account: &P::Account,
        change: impl FnOnce(&mut Pool<P::Saga>) -> T,
    ) -> Result<Option<T>, Missing> {
        let Some(pool) = self.pool(account)? else { return Ok(None) };
        let before = Totals::of(Some(pool));
        let changed = change(pool);
        let after = Totals::of(Some(pool));
        self.count(before, after)?;
        Ok(Some(changed))
    }

    fn count(&mut self, before: Totals, after: Totals) -> Result<(), Missing> {
        if before == after {
            return Ok(());
        }
        let totals = self.totals()?.changed(before, after);
        self.step.put(&Key::Totals, Record::Totals(totals));
        Ok(())
    }

    /// What all pools of the partition come to.
    ///
    /// # Errors
    /// [`Missing`], handed on.
    pub fn totals(&mut self) -> Result<Totals, Missing> {
        Ok(self.step.get(&Key::Totals)?.and_then(Record::totals).unwrap_or_default())
    }

    pub(super) fn vote(&mut self, context: &P::Context, vote: Vote<P::Account>) {
        self.say(self.holder.vote(context, vote, self.place()));
    }

    pub(super) fn parked(&mut self, context: &P::Context, wait: Wait<P::Account>) {
        self.say(self.holder.parked(context, wait, self.place()));
    }

    /// Says what a caller did to an account, under which is what it left.
    pub(super) fn changed(&mut self, account: &P::Account, change: Change) -> Result<(), Missing> {
        let entry = self.step.get(&Key::Account(account.clone()))?.and_then(Record::entry);
        let event = entry.and_then(|after| P::changed(slice::from_ref(account), change, after));
        self.say(event);
        Ok(())
    }

    fn say(&mut self, event: Option<P::Event>) {
        if let Some(event) = event {
            self.step.emit(event);
        }
    }

    pub(super) fn answer(&mut self, request: RequestId, account: &P::Account, outcome: Result<(), Refusal>) {
        self.step.reply(request, P::taken(account, outcome));
    }

    pub(super) fn note(&mut self, what: &'static str) {
        self.step.note(what);
    }
}
