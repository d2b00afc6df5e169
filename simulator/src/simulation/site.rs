//! The database of one service, with its disk, and what every commit to it has to keep.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Mutex,
    time::Duration,
};

use bytes::Bytes;
use contract::{CheckoutId, Event};
use observer::Observer;
use saga::{
    Codec, Key, Participant, Partition, read_event,
    store::{Commit, Committed, Identity},
};
use store_memory::{MemoryDatabase, MemoryStore, Persistence, Settings};

use super::lock::lock;
use crate::{Service, market::role::Role};

/// What the names of participants' records begin with in a store.
const RECORD: u8 = b'd';

/// Whose database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A service of the shop.
    Service(Service),
    /// The observer.
    Observer,
}

impl Owner {
    /// How many there are.
    pub(crate) const COUNT: usize = Service::ALL.len() + 1;

    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Service::ALL.into_iter().map(Self::Service).chain([Self::Observer])
    }

    /// Which of all.
    pub(crate) fn place(self) -> usize {
        match self {
            Self::Service(service) => service as usize,
            Self::Observer => Service::ALL.len(),
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Service(service) => service.name(),
            Self::Observer => Observer::NAME,
        }
    }
}

impl From<Service> for Owner {
    fn from(service: Service) -> Self {
        Self::Service(service)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The database of one service, or of the observer.
pub(crate) struct Site {
    pub(crate) owner: Owner,
    database: MemoryDatabase,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_full: bool,
    is_poisoned: bool,
    /// How long a flush takes, where that is longer than usual.
    flush_ms: Option<u64>,
    /// Every record that was ever written.
    names: BTreeMap<Partition, BTreeSet<Bytes>>,
    facts: Vec<Fact>,
    started: BTreeMap<CheckoutId, u64>,
    decided: BTreeMap<CheckoutId, u64>,
}

/// An event that was committed; it goes back with the database.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    position: u64,
    /// The partition of whoever says it, and which of its commits it is of.
    pub(crate) partition: Partition,
    pub(crate) head: u64,
    pub(crate) at: Duration,
    pub(crate) event: Event,
}

impl Site {
    pub(crate) fn new(owner: Owner, is_certain: bool) -> Self {
        // Nothing is left to chance.
        let identity = Identity::from_bits(owner.place() as u64 + 1);
        let settings = Settings {
            persistence: Persistence::Manual,
            may_fail_after_applying: !is_certain,
            identity: Some(identity),
        };
        Self { owner, database: MemoryDatabase::new(settings), state: Mutex::default() }
    }

    /// A connection that is good until the next crash.
    pub(crate) fn open(&self) -> MemoryStore {
        self.database.open(self.owner.name())
    }

    pub(crate) fn is_full(&self) -> bool {
        lock(&self.state).is_full
    }

    pub(crate) fn set_full(&self, is_full: bool) {
        lock(&self.state).is_full = is_full;
    }

    pub(crate) fn set_flush(&self, ms: Option<u64>) {
        lock(&self.state).flush_ms = ms;
    }

    pub(crate) fn flush_ms(&self) -> Option<u64> {
        lock(&self.state).flush_ms
    }

    /// Makes durable what somebody waits for.
    pub(crate) fn flush(&self) {
        self.database.persist_requested();
    }

    /// A flush fails.
    pub(crate) fn poison(&self) {
        lock(&self.state).is_poisoned = true;
        self.database.poison("a flush failed");
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        lock(&self.state).is_poisoned
    }

    /// How many commits are durable, and how many there are.
    pub(crate) fn positions(&self) -> (u64, u64) {
        (self.database.persisted(), self.database.committed())
    }

    /// Loses what was committed after `kept` and is not durable; returns how many commits that were.
    pub(crate) fn crash(&self, kept: u64) -> u64 {
        let lost = self.database.crash_keeping(kept);
        let persisted = self.database.persisted();
        let mut state = lock(&self.state);
        state.is_poisoned = false;
        state.facts.retain(|fact| fact.position <= persisted);
        state.started.retain(|_, position| *position <= persisted);
        state.decided.retain(|_, position| *position <= persisted);
        lost
    }

    /// All events that stand.
    pub(crate) fn facts(&self) -> Vec<Fact> {
        lock(&self.state).facts.clone()
    }

    /// The names of all records that ever were, by partition.
    pub(crate) fn names(&self) -> Vec<(Partition, Vec<Bytes>)> {
        let names = |(partition, names): (&Partition, &BTreeSet<Bytes>)| (*partition, names.iter().cloned().collect());
        lock(&self.state).names.iter().map(names).collect()
    }

    /// Takes note of a commit.
    ///
    /// # Errors
    /// The promise that it breaks.
    pub(crate) fn committed(
        &self,
        partition: Partition,
        commit: &Commit,
        committed: Committed,
        at: Duration,
    ) -> Result<(), String> {
        let Owner::Service(service) = self.owner else { return Ok(()) };
        let mut state = lock(&self.state);
        for write in &commit.writes {
            if write.key.first() == Some(&RECORD) {
                state.names.entry(partition).or_default().insert(write.key.clone());
                if let Some(value) = &write.value {
                    check_balance(service, value)?;
                }
            }
        }
        for event in &commit.events {
            let (_, event) = read_event::<Event>(event).map_err(|error| format!("an event cannot be read: {error}"))?;
            let known = match &event {
                Event::CheckoutStarted(checkout) => state.started.insert(checkout.id, committed.position),
                Event::CheckoutCompleted(checkout) | Event::CheckoutCancelled(checkout, ..) => {
                    state.decided.insert(checkout.id, committed.position)
                }
                _ => None,
            };
            if known.is_some() {
                return Err(format!("a checkout was begun or decided a second time: {event:?}"));
            }
            let Committed { position, head } = committed;
            state.facts.push(Fact { position, partition, head, at, event });
        }
        Ok(())
    }
}

/// No balance is negative, none has more held than there is.
fn check_balance(service: Service, value: &[u8]) -> Result<(), String> {
    let (total, held, shortfall) = contract::of!(service, P => balance::<P>(value)?);
    if held > total || shortfall > 0 {
        return Err(format!("{service}: {held} held of {total}, {shortfall} short"));
    }
    Ok(())
}

/// Whether a service's record, as it is stored, is about a saga that is not settled.
pub(crate) fn is_open(service: Service, value: &[u8]) -> Result<bool, String> {
    Ok(contract::of!(service, P => P::is_open(&decoded::<P>(value)?)))
}

pub(crate) fn decoded<P: Role>(value: &[u8]) -> Result<P::Record, String> {
    P::Record::decode_from(value).map_err(|error| format!("a record cannot be read: {error}"))
}

/// What is there, what of it is held, and what was taken without having been there.
pub(crate) fn balance<P: Role>(value: &[u8]) -> Result<(u64, u64, u64), String> {
    let record = decoded::<P>(value)?;
    Ok(P::pool(&record).map_or((0, 0, 0), |pool| (pool.total(), pool.held(), pool.shortfall())))
}

/// The name of a participant's record in the store.
pub(crate) fn stored_name(key: &impl Key) -> Bytes {
    let mut name = vec![RECORD];
    key.write_to(&mut name);
    name.into()
}
