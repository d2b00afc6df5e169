//! A holder of nothing but pools, run step by step, with all that it says in the order in which it says it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use minicbor::{Decode, Encode};

use crate::{
    Destinations, Input, Missing, Participant, Partition, RequestId, Solo, Step, Timestamp,
    hold::{Change, Claim, Cue, Hold, Holder, Key, Place, Pool, Record, Refusal, Shortage, Ticket, Totals, Vote, Wait},
};

pub(super) type Saga = u32;
pub(super) type Account = char;
/// What a saga's request brings along; it has to come back with every vote on the saga.
type Context = u32;

/// Something that came out of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Vote(Saga, Vote<Account>),
    Answer(u64, Result<(), Refusal>),
    Shown(u64, Option<u64>),
}

pub(super) fn held(saga: Saga) -> Heard {
    Heard::Vote(saga, Vote::Held)
}

pub(super) fn withdrawn(saga: Saga) -> Heard {
    Heard::Vote(saga, Vote::Withdrawn)
}

pub(super) fn refused(saga: Saga, account: Account, refusal: Refusal) -> Heard {
    Heard::Vote(saga, Vote::Refused { account, refusal })
}

pub(super) fn short(wanted: u64, left: u64) -> Refusal {
    Refusal::Short(Shortage { wanted, left })
}

/// Something that is said for those who observe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Observed {
    Parked(Saga, Wait<Account>),
    /// What a caller did to accounts, and the total of each after it.
    Changed(Vec<Account>, Change, u64),
}

pub(super) fn parked(saga: Saga, account: Account, [wanted, free, ahead]: [u64; 3]) -> Observed {
    Observed::Parked(saga, Wait { account, wanted, free, ahead: ahead as usize })
}

pub(super) fn changed(account: Account, change: Change, total: u64) -> Observed {
    Observed::Changed(vec![account], change, total)
}

/// A saga's name in the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub(super) struct Name(#[n(0)] pub(super) Saga);

impl From<Name> for [u8; 16] {
    fn from(name: Name) -> Self {
        u128::from(name.0).to_be_bytes()
    }
}

impl From<[u8; 16]> for Name {
    fn from(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes) as Saga)
    }
}

/// An account's name in the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub(super) struct Letter(#[n(0)] [u8; 1]);

impl Letter {
    pub(super) fn account(self) -> Account {
        let [letter] = self.0;
        letter.into()
    }
}

impl From<Account> for Letter {
    fn from(account: Account) -> Self {
        Self([account as u8])
    }
}

impl AsRef<[u8]> for Letter {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What is asked of the pools for a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
enum Ask {
    #[n(0)]
    Request,
    #[n(1)]
    Skip,
    #[n(2)]
    Commit,
    #[n(3)]
    Release,
}

#[derive(Clone, Debug, Encode, Decode)]
struct Event {
    #[n(0)]
    saga: Name,
    #[n(1)]
    context: Context,
    #[n(2)]
    ask: Ask,
    #[n(3)]
    claims: Vec<Claim<Letter>>,
}

#[derive(Clone, Debug)]
enum Command {
    Take(Letter, u64),
    Add(Letter, u64),
    Read(Letter),
    Put(Letter, u64),
    Renew(Vec<Letter>, u64),
}

thread_local! {
    /// What is said in a step: events and replies come out of it apart from each other. Who is answered is filled in later.
    static SAID: RefCell<Vec<Heard>> = const { RefCell::new(Vec::new()) };
    static OBSERVED: RefCell<Vec<Observed>> = const { RefCell::new(Vec::new()) };
}

fn say(heard: Heard) {
    SAID.with_borrow_mut(|said| said.push(heard));
}

fn show(observed: Observed) {
    OBSERVED.with_borrow_mut(|all| all.push(observed));
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Bookkeeper {
    parked_max: usize,
}

impl Participant for Bookkeeper {
    const NAME: &'static str = "bookkeeper";
    const CONSUMES: &'static [&'static str] = &[];
    type Key = Key<Self>;
    type Record = Record<Pool<Name>, Letter, Context>;
    type Command = Command;
    type Reply = u8;
    type Event = Event;

    fn step(&self, step: &mut Step<'_, Self>, input: Input<'_, Self>) -> Result<(), Missing> {
        let mut pools = self.pools(step);
        match input {
            Input::Event(event) => pools.event(event),
            Input::Command { request, command } => match command {
                Command::Take(account, quantity) => pools.take(request, account, *quantity),
                Command::Add(account, quantity) => pools.add(request, account, *quantity),
                Command::Read(account) => pools.read(request, account),
                Command::Put(account, total) => pools.put(account, Pool::new(*total)),
                Command::Renew(accounts, total) => {
                    let _ = pools.renew(accounts, &Pool::new(*total))?;
                    Ok(())
                }
            },
            Input::Expired { request, command: Command::Read(account) } => pools.expire(request, account),
            Input::Expired { .. } | Input::Deadline(_) => Ok(()),
        }
    }

    fn destinations(_: &Event, _: Partition, _: &mut Destinations) {}
}

impl Holder for Bookkeeper {
    const TAG: u8 = b'a';
    const TOTAL_MAX: u64 = 1000;
    type Account = Letter;
    type Saga = Name;
    type Context = Context;
    type Entry = Pool<Name>;

    fn parked_max(&self) -> usize {
        self.parked_max
    }

    fn saga(event: &Event) -> Option<(Name, &Context)> {
        Some((event.saga, &event.context))
    }

    fn cue(&self, event: &Event, _: Place) -> Option<Cue<Letter>> {
        let claims = || event.claims.clone();
        Some(match event.ask {
            Ask::Request => Cue::Request(claims()),
            Ask::Skip => Cue::Skip,
            Ask::Commit => Cue::Commit(claims()),
            Ask::Release => Cue::Release,
        })
    }

    fn vote(&self, told: &Context, vote: Vote<Letter>, _: Place) -> Option<Event> {
        let vote = match vote {
            Vote::Held => Vote::Held,
            Vote::Withdrawn => Vote::Withdrawn,
            Vote::Refused { account, refusal } => Vote::Refused { account: account.account(), refusal },
        };
        say(Heard::Vote(told - 1000, vote));
        None
    }

    fn parked(&self, told: &Context, wait: Wait<Letter>, _: Place) -> Option<Event> {
        let Wait { account, wanted, free, ahead } = wait;
        show(Observed::Parked(told - 1000, Wait { account: account.account(), wanted, free, ahead }));
        None
    }

    fn changed(accounts: &[Letter], change: Change, after: &Pool<Name>) -> Option<Event> {
        show(Observed::Changed(accounts.iter().map(|letter| letter.account()).collect(), change, after.total()));
        None
    }

    fn taken(_: &Letter, outcome: Result<(), Refusal>) -> u8 {
        say(Heard::Answer(0, outcome));
        0
    }

    fn shown(_: &Letter, pool: Option<&Pool<Name>>) -> u8 {
        say(Heard::Shown(0, pool.map(Pool::total)));
        0
    }
}

type Kept = Record<Pool<Name>, Letter, Context>;

/// How many records are others in what outlives a restart. Whose turn readers are is not: nobody reads then.
fn changes(before: &[(Key<Bookkeeper>, Kept)], after: &[(Key<Bookkeeper>, Kept)]) -> usize {
    let kept = |records: &[(Key<Bookkeeper>, Kept)]| -> BTreeMap<_, _> {
        let kept = |record: &Kept| {
            let pool = record.pool();
            let sums = pool.map(|pool| [pool.total(), pool.held(), pool.shortfall()]);
            let places = pool.map(|pool| {
                let sagas = pool.parked().iter().filter(|parked| matches!(parked.ticket, Ticket::Saga(_)));
                sagas.copied().collect::<Vec<_>>()
            });
            (sums, places, record.hold().cloned(), record.totals())
        };
        records.iter().map(|(key, record)| (key.clone(), kept(record))).collect()
    };
    let (before, after) = (kept(before), kept(after));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    keys.into_iter().filter(|key| before.get(key) != after.get(key)).count()
}

/// The records, what was noted, and what observers were told.
#[derive(Clone, Debug)]
pub(super) struct Books {
    pub(super) pools: BTreeMap<Account, Pool<Name>>,
    pub(super) holds: BTreeMap<Saga, Hold<Letter, Context>>,
    pub(super) notes: Vec<&'static str>,
    pub(super) observed: Vec<Observed>,
    pub(super) parked_max: usize,
}

impl Books {
    pub(super) fn new(pools: impl IntoIterator<Item = (Account, u64)>) -> Self {
        Self {
            pools: pools.into_iter().map(|(account, total)| (account, Pool::new(total))).collect(),
            holds: BTreeMap::new(),
            notes: Vec::new(),
            observed: Vec::new(),
            parked_max: 8,
        }
    }

    pub(super) fn request(&mut self, saga: Saga, wanted: &[(Account, u64)]) -> Vec<Heard> {
        self.ask(saga, Ask::Request, wanted)
    }

    pub(super) fn skip(&mut self, saga: Saga) -> Vec<Heard> {
        self.ask(saga, Ask::Skip, &[])
    }

    pub(super) fn commit(&mut self, saga: Saga, wanted: &[(Account, u64)]) -> Vec<Heard> {
        self.ask(saga, Ask::Commit, wanted)
    }

    pub(super) fn release(&mut self, saga: Saga) -> Vec<Heard> {
        self.ask(saga, Ask::Release, &[])
    }

    pub(super) fn take(&mut self, request: u64, account: Account, quantity: u64) -> Vec<Heard> {
        self.call(request, Command::Take(account.into(), quantity))
    }

    pub(super) fn add(&mut self, account: Account, quantity: u64) -> Vec<Heard> {
        let mut heard = self.try_add(0, account, quantity);
        assert_eq!(heard.remove(0), Heard::Answer(0, Ok(())));
        heard
    }

    pub(super) fn try_add(&mut self, request: u64, account: Account, quantity: u64) -> Vec<Heard> {
        self.call(request, Command::Add(account.into(), quantity))
    }

    pub(super) fn read(&mut self, request: u64, account: Account) -> Vec<Heard> {
        self.call(request, Command::Read(account.into()))
    }

    pub(super) fn put(&mut self, account: Account, total: u64) {
        self.call(0, Command::Put(account.into(), total));
    }

    pub(super) fn renew(&mut self, accounts: &[Account], total: u64) {
        self.call(0, Command::Renew(accounts.iter().copied().map(Letter::from).collect(), total));
    }

    pub(super) fn expire(&mut self, request: u64, account: Account) -> Vec<Heard> {
        self.run(Input::Expired { request: RequestId(request), command: &Command::Read(account.into()) })
    }

    /// Total and held.
    pub(super) fn balance(&self, account: Account) -> (u64, u64) {
        let pool = &self.pools[&account];
        (pool.total(), pool.held())
    }

    /// What all pools come to, added up.
    pub(super) fn totals(&self) -> Totals {
        self.pools.values().map(|pool| Totals::of(Some(pool))).sum()
    }

    /// Nothing is left of any saga or caller.
    pub(super) fn is_at_rest(&self) -> bool {
        self.holds.is_empty() && self.pools.values().all(|pool| !pool.is_busy() && pool.held() == 0)
    }

    fn ask(&mut self, saga: Saga, ask: Ask, wanted: &[(Account, u64)]) -> Vec<Heard> {
        let claims = wanted.iter().map(|(account, quantity)| Claim::new(Letter::from(*account), *quantity)).collect();
        self.run(Input::Event(&Event { saga: Name(saga), context: saga + 1000, ask, claims }))
    }

    fn call(&mut self, request: u64, command: Command) -> Vec<Heard> {
        self.run(Input::Command { request: RequestId(request), command: &command })
    }

    fn run(&mut self, input: Input<'_, Bookkeeper>) -> Vec<Heard> {
        let totals = (Key::Totals, Record::Totals(self.totals()));
        let pools = std::mem::take(&mut self.pools).into_iter();
        let pools = pools.map(|(account, pool)| (Key::Account(account.into()), Record::Account(pool)));
        let holds = std::mem::take(&mut self.holds).into_iter();
        let holds = holds.map(|(saga, hold)| (Key::Saga(Name(saga)), Record::Hold(hold)));
        let keeper = Bookkeeper { parked_max: self.parked_max };
        let mut solo = Solo::new(keeper, 0, 1).with_records(pools.chain(holds).chain([totals]));
        let before = solo.clone().into_records();
        let outcome = solo.step(input, Timestamp(0));
        self.notes.extend(outcome.notes);
        self.observed.extend(OBSERVED.take());
        let after = solo.into_records();
        let changed = changes(&before, &after);
        assert!(changed <= outcome.written, "{changed} records changed, and {} are stored", outcome.written);
        let mut counted = None;
        for (key, record) in after {
            match (key, record) {
                (Key::Totals, Record::Totals(totals)) => counted = Some(totals),
                (Key::Account(account), Record::Account(pool)) => drop(self.pools.insert(account.account(), pool)),
                (Key::Saga(Name(saga)), Record::Hold(hold)) => drop(self.holds.insert(saga, hold)),
                (key, record) => panic!("under {key:?} is {record:?}"),
            }
        }
        assert_eq!(counted, Some(self.totals()), "what is counted is what the pools have");
        let mut replies = outcome.replies.into_iter().map(|(RequestId(request), _)| request);
        let mut heard = SAID.take();
        for said in &mut heard {
            if let Heard::Answer(request, _) | Heard::Shown(request, _) = said {
                *request = replies.next().expect("what is said to a caller is replied");
            }
        }
        assert_eq!(replies.next(), None);
        heard
    }
}
