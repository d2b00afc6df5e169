//! A small domain: a bank whose accounts pass each other money by events, and a clerk who audits on request.
//!
//! ```text
//!  bank/a ── Sent ──▶ bank/b ── Arrived | Returned ──▶ bank/a: replies          (one service, its partitions)
//!  bank   ── AuditAsked ──▶ clerk ── Audited ──▶ bank: replies, or gives up at the deadline   (two services)
//! ```

use std::time::Duration;

use saga::{
    Deadline, Destinations, Input, Key, Missing, Participant, Partition, Record, RecordMut, Repeatability, RequestId,
    Step, Timestamp,
    minicbor::{self, Decode, Encode},
    partition_of,
};

/// How long an audit may take.
pub(crate) const AUDIT_TIMEOUT: Duration = Duration::from_secs(5);

/// What both services say.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(context_bound = "")]
pub(crate) enum Event {
    #[n(0)]
    Sent {
        #[n(0)]
        id: String,
        #[n(1)]
        from: String,
        #[n(2)]
        to: String,
        #[n(3)]
        amount: u64,
    },
    #[n(1)]
    Arrived {
        #[n(0)]
        id: String,
        #[n(1)]
        from: String,
    },
    #[n(2)]
    Returned {
        #[n(0)]
        id: String,
        #[n(1)]
        from: String,
        #[n(2)]
        amount: u64,
    },
    #[n(3)]
    AuditAsked {
        #[n(0)]
        id: String,
        #[n(1)]
        at: u64,
    },
    #[n(4)]
    Audited {
        #[n(0)]
        id: String,
        #[n(1)]
        seen: u64,
    },
    #[n(5)]
    AuditGivenUp {
        #[n(0)]
        id: String,
    },
    /// For nobody on the way.
    #[n(6)]
    Withdrawn {
        #[n(0)]
        account: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Name {
    /// Resident where it begins with a star.
    Account(String),
    Transfer(String),
    Audit(String),
}

impl Key for Name {
    fn write_to(&self, out: &mut Vec<u8>) {
        let (kind, name) = match self {
            Self::Account(name) => (b'a', name),
            Self::Transfer(name) => (b't', name),
            Self::Audit(name) => (b'u', name),
        };
        out.push(kind);
        out.extend_from_slice(name.as_bytes());
    }

    fn is_resident(&self) -> bool {
        matches!(self, Self::Account(name) if name.starts_with('*'))
    }

    fn read_resident(bytes: &[u8]) -> Option<Self> {
        let name = bytes.strip_prefix(b"a")?;
        Some(Self::Account(str::from_utf8(name).ok()?.to_owned()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Stage {
    #[n(0)]
    Open,
    #[n(1)]
    Done,
    #[n(2)]
    Refused,
}

/// Who waits for how much.
pub(crate) type Waiters = Vec<(RequestId, u64)>;

/// A record of either service; `waiters` live in memory only.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) enum State {
    #[n(0)]
    Account {
        #[n(0)]
        balance: u64,
        #[cbor(skip)]
        waiters: Waiters,
    },
    #[n(1)]
    Process {
        #[n(0)]
        stage: Stage,
        #[n(1)]
        seen: u64,
        #[cbor(skip)]
        waiters: Vec<RequestId>,
    },
}

impl Record for State {
    fn is_pinned(&self) -> bool {
        match self {
            Self::Account { waiters, .. } => !waiters.is_empty(),
            Self::Process { waiters, .. } => !waiters.is_empty(),
        }
    }
}

#[derive(Clone, Debug, Encode, Decode)]
pub(crate) enum Command {
    #[n(0)]
    Deposit {
        #[n(0)]
        account: String,
        #[n(1)]
        amount: u64,
    },
    #[n(1)]
    Withdraw {
        #[n(0)]
        account: String,
        #[n(1)]
        amount: u64,
    },
    /// Withdraws as soon as there is enough.
    #[n(2)]
    Await {
        #[n(0)]
        account: String,
        #[n(1)]
        amount: u64,
    },
    #[n(3)]
    Balance {
        #[n(0)]
        account: String,
    },
    /// Replies when the money has arrived. Money for the account `closed` comes back.
    #[n(4)]
    Transfer {
        #[n(0)]
        id: String,
        #[n(1)]
        from: String,
        #[n(2)]
        to: String,
        #[n(3)]
        amount: u64,
    },
    /// Replies how often the clerk was asked by this name.
    #[n(5)]
    Audit {
        #[n(0)]
        id: String,
    },
    #[n(6)]
    Panic,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Reply {
    #[n(0)]
    Balance(#[n(0)] u64),
    #[n(1)]
    Refused,
    #[n(2)]
    GaveUp,
    #[n(3)]
    Done,
    #[n(4)]
    Audited(#[n(0)] u64),
}

type Done = Result<(), Missing>;

/// The service with the accounts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bank;

impl Bank {
    /// The account's balance, and its waiters if any; both may be changed.
    fn account<'step>(
        step: &'step mut Step<'_, Self>,
        name: &str,
    ) -> Result<(&'step mut u64, &'step mut Waiters), Missing> {
        let key = Name::Account(name.to_owned());
        if step.get(&key)?.is_none() {
            step.put(&key, State::Account { balance: 0, waiters: Vec::new() });
        }
        match step.edit(&key)?.map(RecordMut::into_mut) {
            Some(State::Account { balance, waiters }) => Ok((balance, waiters)),
            other => panic!("account {name} is {other:?}"),
        }
    }

    /// Those who wait for money in an account, if it exists; they are known in memory only.
    fn waiters<'step>(step: &'step mut Step<'_, Self>, name: &str) -> Result<Option<&'step mut Waiters>, Missing> {
        Ok(match step.edit(&Name::Account(name.to_owned()))?.map(RecordMut::volatile) {
            Some(State::Account { waiters, .. }) => Some(waiters),
            _ => None,
        })
    }

    fn balance(step: &mut Step<'_, Self>, name: &str) -> Result<u64, Missing> {
        match step.get(&Name::Account(name.to_owned()))? {
            Some(State::Account { balance, .. }) => Ok(*balance),
            _ => Ok(0),
        }
    }

    fn credit(step: &mut Step<'_, Self>, name: &str, amount: u64) -> Result<u64, Missing> {
        let (balance, waiters) = Self::account(step, name)?;
        *balance += amount;
        let mut served = Vec::new();
        while let Some(&(request, wanted)) = waiters.first()
            && wanted <= *balance
        {
            *balance -= wanted;
            waiters.remove(0);
            served.push((request, *balance));
        }
        let left = *balance;
        for (request, left) in served {
            step.reply(request, Reply::Balance(left));
        }
        Ok(left)
    }

    fn debit(step: &mut Step<'_, Self>, name: &str, amount: u64) -> Result<Option<u64>, Missing> {
        if Self::balance(step, name)? < amount {
            return Ok(None);
        }
        let (balance, _) = Self::account(step, name)?;
        *balance -= amount;
        Ok(Some(*balance))
    }

    /// Begins a process whose reply comes later, or joins it; `false`: it exists.
    fn begin(step: &mut Step<'_, Self>, key: &Name, request: RequestId) -> Result<bool, Missing> {
        let reply = match step.get(key)? {
            None => {
                step.put(key, State::Process { stage: Stage::Open, seen: 0, waiters: vec![request] });
                return Ok(true);
            }
            Some(State::Process { stage: Stage::Done, seen, .. }) => Self::success(key, *seen),
            Some(State::Process { stage: Stage::Refused, .. }) => Self::failure(key),
            Some(_) => {
                if let Some(State::Process { waiters, .. }) = step.edit(key)?.map(RecordMut::volatile)
                    && !waiters.contains(&request)
                {
                    waiters.push(request);
                }
                return Ok(false);
            }
        };
        step.reply(request, reply);
        Ok(false)
    }

    fn success(key: &Name, seen: u64) -> Reply {
        if matches!(key, Name::Audit(_)) { Reply::Audited(seen) } else { Reply::Done }
    }

    fn failure(key: &Name) -> Reply {
        if matches!(key, Name::Audit(_)) { Reply::GaveUp } else { Reply::Refused }
    }

    /// Ends an open process; `false`: it was not open.
    fn end(step: &mut Step<'_, Self>, key: &Name, stage: Stage, seen: u64) -> Result<bool, Missing> {
        let Some(record) = step.edit(key)? else { return Ok(false) };
        if !matches!(*record, State::Process { stage: Stage::Open, .. }) {
            return Ok(false);
        }
        let State::Process { stage: now, seen: of, waiters } = record.into_mut() else { return Ok(false) };
        (*now, *of) = (stage, seen);
        let reply = if stage == Stage::Done { Self::success(key, seen) } else { Self::failure(key) };
        for request in std::mem::take(waiters) {
            step.reply(request, reply.clone());
        }
        Ok(true)
    }

    fn transfer(step: &mut Step<'_, Self>, request: RequestId, parts: [&String; 3], amount: u64) -> Done {
        let [id, from, to] = parts;
        let key = Name::Transfer(id.clone());
        if !Self::begin(step, &key, request)? {
            return Ok(());
        }
        if Self::debit(step, from, amount)?.is_none() {
            Self::end(step, &key, Stage::Refused, 0)?;
            return Ok(());
        }
        if partition_of(to.as_bytes(), step.partitions()) == step.partition() {
            // Nobody hears its own events.
            let closed = to == "closed";
            Self::credit(step, if closed { from } else { to }, amount)?;
            Self::end(step, &key, if closed { Stage::Refused } else { Stage::Done }, 0)?;
        } else {
            step.emit(Event::Sent { id: id.clone(), from: from.clone(), to: to.clone(), amount });
        }
        Ok(())
    }

    fn command(step: &mut Step<'_, Self>, request: RequestId, command: &Command) -> Done {
        let reply = match command {
            Command::Deposit { account, amount } => Reply::Balance(Self::credit(step, account, *amount)?),
            Command::Withdraw { account, amount } => {
                let balance = Self::debit(step, account, *amount)?;
                if balance.is_some() {
                    step.emit(Event::Withdrawn { account: account.clone() });
                }
                balance.map_or(Reply::Refused, Reply::Balance)
            }
            Command::Await { account, amount } => match Self::debit(step, account, *amount)? {
                Some(balance) => Reply::Balance(balance),
                None => {
                    match Self::waiters(step, account)? {
                        Some(waiters) => waiters.push((request, *amount)),
                        None => Self::account(step, account)?.1.push((request, *amount)),
                    }
                    return Ok(());
                }
            },
            Command::Balance { account } => Reply::Balance(Self::balance(step, account)?),
            Command::Transfer { id, from, to, amount } => {
                return Self::transfer(step, request, [id, from, to], *amount);
            }
            Command::Audit { id } => {
                if Self::begin(step, &Name::Audit(id.clone()), request)? {
                    step.emit(Event::AuditAsked { id: id.clone(), at: step.now().0 });
                }
                return Ok(());
            }
            Command::Panic => panic!("as asked"),
        };
        step.reply(request, reply);
        Ok(())
    }

    fn expired(step: &mut Step<'_, Self>, request: RequestId, command: &Command) -> Done {
        step.note("expired");
        let Command::Await { account, .. } = command else { return Ok(()) };
        let Some(waiters) = Self::waiters(step, account)? else { return Ok(()) };
        let before = waiters.len();
        waiters.retain(|(waiter, _)| *waiter != request);
        if waiters.len() < before {
            step.reply(request, Reply::GaveUp);
        }
        Ok(())
    }

    fn event(step: &mut Step<'_, Self>, event: &Event) -> Done {
        match event {
            Event::Sent { id, from, to, amount } if to == "closed" => {
                step.emit(Event::Returned { id: id.clone(), from: from.clone(), amount: *amount });
            }
            Event::Sent { id, from, to, amount } => {
                Self::credit(step, to, *amount)?;
                step.emit(Event::Arrived { id: id.clone(), from: from.clone() });
            }
            Event::Arrived { id, .. } => {
                Self::end(step, &Name::Transfer(id.clone()), Stage::Done, 0)?;
            }
            Event::Returned { id, from, amount } => {
                if Self::end(step, &Name::Transfer(id.clone()), Stage::Refused, 0)? {
                    Self::credit(step, from, *amount)?;
                }
            }
            Event::Audited { id, seen } => {
                // The bank's own word that the audit is over clears the deadline.
                if Self::end(step, &Name::Audit(id.clone()), Stage::Done, *seen)? {
                    step.emit(Event::Audited { id: id.clone(), seen: *seen });
                }
            }
            Event::AuditAsked { .. } | Event::AuditGivenUp { .. } | Event::Withdrawn { .. } => {}
        }
        Ok(())
    }
}

impl Participant for Bank {
    const NAME: &'static str = "bank";
    const CONSUMES: &'static [&'static str] = &["bank", "clerk"];

    type Key = Name;
    type Record = State;
    type Command = Command;
    type Reply = Reply;
    type Event = Event;

    /// The vault is the bank's alone.
    fn may_ask(_: &str, command: &Command) -> bool {
        !matches!(command, Command::Deposit { account, .. } if account == "vault")
    }

    fn repeatability(command: &Command) -> Repeatability {
        match command {
            Command::Balance { .. } => Repeatability::Safe,
            _ => Repeatability::Once,
        }
    }

    fn step(&self, step: &mut Step<'_, Self>, input: Input<'_, Self>) -> Done {
        match input {
            Input::Command { request, command } => Self::command(step, request, command),
            Input::Expired { request, command } => Self::expired(step, request, command),
            Input::Event(event) => Self::event(step, event),
            Input::Deadline(key) => {
                step.note("deadline");
                if Self::end(step, key, Stage::Refused, 0)?
                    && let Name::Audit(id) = key
                {
                    step.emit(Event::AuditGivenUp { id: id.clone() });
                }
                Ok(())
            }
        }
    }

    fn destinations(event: &Event, partitions: Partition, to: &mut Destinations) {
        match event {
            Event::Sent { to: name, .. } | Event::Arrived { from: name, .. } | Event::Returned { from: name, .. } => {
                to.add(partition_of(name.as_bytes(), partitions));
            }
            Event::Audited { id, .. } => to.add(partition_of(id.as_bytes(), partitions)),
            Event::AuditAsked { .. } | Event::AuditGivenUp { .. } | Event::Withdrawn { .. } => {}
        }
    }

    fn deadline(&self, own: &Event) -> Option<Deadline<Name>> {
        match own {
            Event::AuditAsked { id, at } => Some(Deadline::Set {
                key: Name::Audit(id.clone()),
                at: Timestamp(*at).after(AUDIT_TIMEOUT),
                length: AUDIT_TIMEOUT,
            }),
            Event::Audited { id, .. } | Event::AuditGivenUp { id } => {
                Some(Deadline::Clear { key: Name::Audit(id.clone()) })
            }
            _ => None,
        }
    }

    fn is_final(&self, reply: &Reply) -> bool {
        *reply != Reply::GaveUp
    }
}
