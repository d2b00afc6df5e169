//! A ledger in plain maps, which writes down everything it is told to say.

use std::collections::BTreeMap;

use crate::{
    Missing, RequestId,
    hold::{self, Claim, Hold, Ledger, Pool, Refusal, Word},
};

pub(super) type Saga = u32;
pub(super) type Account = char;
/// What a saga's request brings along; it has to come back with every word about the saga.
pub(super) type Context = u32;

/// Something that came out of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Word(Saga, Word<Account>),
    Answer(u64, Result<(), Refusal>),
    Shown(u64, Option<u64>),
}

pub(super) fn held(saga: Saga) -> Heard {
    Heard::Word(saga, Word::Held)
}

pub(super) fn withdrawn(saga: Saga) -> Heard {
    Heard::Word(saga, Word::Withdrawn)
}

pub(super) fn refused(saga: Saga, account: Account, refusal: Refusal) -> Heard {
    Heard::Word(saga, Word::Refused { account, refusal })
}

#[derive(Clone, Debug)]
pub(super) struct Books {
    pub(super) pools: BTreeMap<Account, Pool<Saga>>,
    pub(super) holds: BTreeMap<Saga, Hold<Account, Context>>,
    pub(super) notes: Vec<&'static str>,
    pub(super) parked_max: usize,
    heard: Vec<Heard>,
}

impl Books {
    pub(super) fn new(pools: impl IntoIterator<Item = (Account, u64)>) -> Self {
        Self {
            pools: pools.into_iter().map(|(account, total)| (account, Pool::new(total))).collect(),
            holds: BTreeMap::new(),
            notes: Vec::new(),
            parked_max: 8,
            heard: Vec::new(),
        }
    }

    pub(super) fn request(&mut self, saga: Saga, wanted: &[(Account, u64)]) -> Vec<Heard> {
        let done = hold::request(self, saga, &context(saga), claims(wanted));
        self.heard_after(done)
    }

    pub(super) fn bar(&mut self, saga: Saga) -> Vec<Heard> {
        let done = hold::bar(self, saga, &context(saga));
        self.heard_after(done)
    }

    pub(super) fn commit(&mut self, saga: Saga, wanted: &[(Account, u64)]) -> Vec<Heard> {
        let done = hold::commit(self, saga, claims(wanted));
        self.heard_after(done)
    }

    pub(super) fn release(&mut self, saga: Saga) -> Vec<Heard> {
        let done = hold::release(self, saga, &context(saga));
        self.heard_after(done)
    }

    pub(super) fn take(&mut self, request: u64, account: Account, quantity: u64) -> Vec<Heard> {
        let done = hold::take(self, RequestId(request), &account, quantity);
        self.heard_after(done)
    }

    pub(super) fn add(&mut self, account: Account, quantity: u64) -> Vec<Heard> {
        let pool = self.pools.get_mut(&account).expect("the pool exists");
        pool.add(quantity, u64::MAX).expect("it fits");
        let done = hold::added(self, &account);
        self.heard_after(done)
    }

    pub(super) fn read(&mut self, request: u64, account: Account) -> Vec<Heard> {
        let done = hold::read(self, RequestId(request), &account);
        self.heard_after(done)
    }

    pub(super) fn expire(&mut self, request: u64, account: Account) -> Vec<Heard> {
        let done = hold::expire(self, RequestId(request), &account);
        self.heard_after(done)
    }

    /// Total and held.
    pub(super) fn balance(&self, account: Account) -> (u64, u64) {
        let pool = &self.pools[&account];
        (pool.total(), pool.held())
    }

    /// Nothing is left of any saga or caller.
    pub(super) fn is_at_rest(&self) -> bool {
        self.holds.is_empty() && self.pools.values().all(|pool| !pool.is_busy() && pool.held() == 0)
    }

    fn heard_after(&mut self, done: Result<(), Missing>) -> Vec<Heard> {
        done.expect("all records are in memory");
        std::mem::take(&mut self.heard)
    }
}

pub(super) fn claims(wanted: &[(Account, u64)]) -> Vec<Claim<Account>> {
    wanted.iter().map(|(account, quantity)| Claim::new(*account, *quantity)).collect()
}

fn context(saga: Saga) -> Context {
    saga + 1000
}

impl Ledger for Books {
    type Account = Account;
    type Saga = Saga;
    type Context = Context;

    fn pool(&mut self, account: &Account) -> Result<Option<&mut Pool<Saga>>, Missing> {
        Ok(self.pools.get_mut(account))
    }

    fn peek(&mut self, account: &Account) -> Result<Option<&Pool<Saga>>, Missing> {
        Ok(self.pools.get(account))
    }

    fn hold(&mut self, saga: Saga) -> Result<Option<&Hold<Account, Context>>, Missing> {
        Ok(self.holds.get(&saga))
    }

    fn set_hold(&mut self, saga: Saga, hold: Option<Hold<Account, Context>>) {
        match hold {
            Some(hold) => drop(self.holds.insert(saga, hold)),
            None => drop(self.holds.remove(&saga)),
        }
    }

    fn say(&mut self, saga: Saga, told: &Context, word: Word<Account>) {
        assert_eq!(*told, context(saga), "a word about saga {saga} with another's context");
        self.heard.push(Heard::Word(saga, word));
    }

    fn answer(&mut self, request: RequestId, _: &Account, refusal: Option<Refusal>) -> Result<(), Missing> {
        self.heard.push(Heard::Answer(request.0, refusal.map_or(Ok(()), Err)));
        Ok(())
    }

    fn show(&mut self, request: RequestId, account: &Account) -> Result<(), Missing> {
        let total = self.pools.get(account).map(Pool::total);
        self.heard.push(Heard::Shown(request.0, total));
        Ok(())
    }

    fn note(&mut self, what: &'static str) {
        self.notes.push(what);
    }

    fn parked_max(&self) -> usize {
        self.parked_max
    }
}
