//! Payment's part in a checkout, and its own commands: pure steps.

use contract::{
    Amount, Change, Checkout, CheckoutId, Event, Reason, Remark, Service, Shortage, Sum, Turn, UserId, Wait,
};
use saga::{
    Destinations, Input, Missing, Participant, Partition, Repeatability, RequestId, Step,
    hold::{self, Claim, Cue, Holder, Place, Pool, Refusal, Vote},
    minicbor::{self, Decode, Encode},
    partition_of,
};

/// Names a record.
pub type PaymentKey = hold::Key<Payment>;

/// A record.
pub type PaymentRecord = hold::Record<Pool<CheckoutId>, UserId, Checkout>;

/// What callers may ask of a payment partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Command {
    /// Create a user without credit.
    #[n(0)]
    Create {
        /// A new id.
        #[n(0)]
        user: UserId,
    },
    /// Set users to a credit, whether they exist or not. None of it may be held.
    #[n(1)]
    Initialise {
        /// Which.
        #[n(0)]
        users: Vec<UserId>,
        /// Their credit.
        #[n(1)]
        credit: Amount,
    },
    /// Show the credit.
    #[n(2)]
    Find {
        /// Of which user.
        #[n(0)]
        user: UserId,
    },
    /// Say whether the user exists, which no checkout changes.
    #[n(3)]
    Exists {
        /// Which user.
        #[n(0)]
        user: UserId,
    },
    /// Add credit.
    #[n(4)]
    AddFunds {
        /// To which user.
        #[n(0)]
        user: UserId,
        /// How much.
        #[n(1)]
        amount: Amount,
    },
    /// Take credit away.
    #[n(5)]
    Pay {
        /// From which user.
        #[n(0)]
        user: UserId,
        /// How much.
        #[n(1)]
        amount: Amount,
    },
    /// Say what the credit of all users comes to.
    #[n(6)]
    Count,
    /// Say to observers that an operator had this partition read the logs of its sources again.
    #[n(7)]
    Redelivered {
        /// Who says so.
        #[n(0)]
        by: Remark,
        /// Why.
        #[n(1)]
        because: Remark,
    },
}

/// What callers are told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Reply {
    /// It is done.
    #[n(0)]
    Done,
    /// The user was created.
    #[n(1)]
    Created(#[n(0)] UserId),
    /// The credit that was asked for.
    #[n(2)]
    Found(#[n(0)] Amount),
    /// There is no such user.
    #[n(3)]
    Unknown(#[n(0)] UserId),
    /// There is not that much credit.
    #[n(4)]
    NotEnoughCredit(#[n(0)] UserId),
    /// The credit would be more than can be counted.
    #[n(5)]
    TooLarge(#[n(0)] UserId),
    /// Checkouts are using the credit; nothing was changed.
    #[n(6)]
    Busy(#[n(0)] UserId),
    /// What the partition's users have together.
    #[n(7)]
    Counted(#[n(0)] hold::Totals),
}

/// The payment service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Payment {
    /// How many may wait for one user's credit; more are refused as busy.
    pub parked_max: usize,
}

impl Default for Payment {
    fn default() -> Self {
        Self { parked_max: 128 }
    }
}

impl Participant for Payment {
    const NAME: &'static str = Service::Payment.name();
    const CONSUMES: &'static [&'static str] = &[Service::Order.name(), Service::Stock.name()];

    type Key = PaymentKey;
    type Record = PaymentRecord;
    type Command = Command;
    type Reply = Reply;
    type Event = Event;

    fn step(&self, step: &mut Step<'_, Self>, input: Input<'_, Self>) -> Result<(), Missing> {
        match input {
            Input::Command { request, command } => self.command(step, request, command),
            Input::Expired { request, command: Command::Find { user } | Command::Pay { user, .. } } => {
                self.pools(step).expire(request, user)
            }
            Input::Event(event) => self.pools(step).event(event),
            Input::Expired { .. } | Input::Deadline(_) => Ok(()),
        }
    }

    fn destinations(event: &Event, partitions: Partition, to: &mut Destinations) {
        if let (Some(_), Some(checkout)) = (event.turn_of(Service::Payment), event.checkout()) {
            to.add(partition_of(checkout.user.as_str().as_bytes(), partitions));
        }
    }

    fn prefetch(&self, input: &Input<'_, Self>, _: Partition, _: Partition, keys: &mut Vec<PaymentKey>) {
        match input {
            Input::Command { command, .. } => match command {
                Command::Initialise { users, .. } => keys.extend(users.iter().cloned().map(PaymentKey::Account)),
                Command::Create { user }
                | Command::Find { user }
                | Command::Exists { user }
                | Command::AddFunds { user, .. }
                | Command::Pay { user, .. } => keys.push(PaymentKey::Account(user.clone())),
                Command::Count | Command::Redelivered { .. } => {}
            },
            Input::Event(event) => {
                keys.extend(event.checkout().map(|checkout| PaymentKey::Account(checkout.user.clone())));
            }
            Input::Expired { .. } | Input::Deadline(_) => {}
        }
    }

    /// Order and the observer read.
    fn may_ask(_: &str, command: &Command) -> bool {
        matches!(Self::repeatability(command), Repeatability::Safe)
    }

    fn repeatability(command: &Command) -> Repeatability {
        match command {
            Command::Find { .. } | Command::Exists { .. } | Command::Count => Repeatability::Safe,
            // Set again later, it would lose what came in between.
            Command::Create { .. }
            | Command::Initialise { .. }
            | Command::AddFunds { .. }
            | Command::Pay { .. }
            | Command::Redelivered { .. } => Repeatability::Once,
        }
    }

    fn is_final(&self, reply: &Reply) -> bool {
        !matches!(reply, Reply::Busy(_))
    }
}

impl Holder for Payment {
    const TAG: u8 = b'u';
    const TOTAL_MAX: u64 = Amount::MAX.get();
    type Account = UserId;
    type Saga = CheckoutId;
    type Context = Checkout;
    type Entry = Pool<CheckoutId>;

    fn parked_max(&self) -> usize {
        self.parked_max
    }

    fn saga(event: &Event) -> Option<(CheckoutId, &Checkout)> {
        event.checkout().map(|checkout| (checkout.id, checkout))
    }

    fn cue(&self, event: &Event, _: Place) -> Option<Cue<UserId>> {
        let checkout = event.checkout()?;
        let claims = || vec![Claim::new(checkout.user.clone(), checkout.amount.get())];
        Some(match event.turn_of(Service::Payment)? {
            Turn::Request => Cue::Request(claims()),
            Turn::Skip => Cue::Skip,
            Turn::Commit => Cue::Commit(claims()),
            Turn::Release => Cue::Release,
        })
    }

    fn vote(&self, checkout: &Checkout, vote: Vote<UserId>, _: Place) -> Option<Event> {
        let checkout = checkout.clone();
        match vote {
            Vote::Held => Some(Event::PaymentAuthorized(checkout)),
            // Nobody comes after payment.
            Vote::Withdrawn => None,
            Vote::Refused { refusal, .. } => {
                let (reason, shortage) = match refusal {
                    Refusal::Unknown => (Reason::UnknownUser, None),
                    Refusal::Short(hold::Shortage { wanted, left }) => {
                        (Reason::NotEnoughCredit, Some(Shortage::new(wanted, left)))
                    }
                    Refusal::Busy | Refusal::Expired | Refusal::TooMuch => (Reason::Busy, None),
                };
                Some(Event::PaymentRefused(checkout, reason, shortage))
            }
        }
    }

    fn parked(&self, checkout: &Checkout, wait: hold::Wait<UserId>, _: Place) -> Option<Event> {
        Some(Event::PaymentParked(checkout.clone(), Wait::new(wait.wanted, wait.free, wait.ahead)))
    }

    fn changed(users: &[UserId], change: hold::Change, credit: &Pool<CheckoutId>) -> Option<Event> {
        let replaced = match change {
            hold::Change::Set { replaced } => i128::try_from(replaced).map_or(Sum(i128::MAX), Sum),
            _ => Sum::default(),
        };
        let change = match change {
            hold::Change::Created => Change::Created,
            hold::Change::Set { .. } => Change::Set,
            hold::Change::Added(quantity) => Change::Added(Amount::saturating(quantity)),
            hold::Change::Taken(quantity) => Change::Taken(Amount::saturating(quantity)),
        };
        let total = Amount::saturating(credit.total());
        Some(Event::CreditChanged { users: users.to_vec(), change, total, replaced })
    }

    fn taken(user: &UserId, outcome: Result<(), Refusal>) -> Reply {
        let user = user.clone();
        match outcome {
            Ok(()) => Reply::Done,
            Err(Refusal::Unknown) => Reply::Unknown(user),
            Err(Refusal::Short(_)) => Reply::NotEnoughCredit(user),
            Err(Refusal::TooMuch) => Reply::TooLarge(user),
            Err(Refusal::Busy | Refusal::Expired) => Reply::Busy(user),
        }
    }

    fn shown(user: &UserId, credit: Option<&Pool<CheckoutId>>) -> Reply {
        match credit {
            Some(pool) => Reply::Found(Amount::new(pool.total()).expect("every way into a pool is checked")),
            None => Reply::Unknown(user.clone()),
        }
    }
}

impl Payment {
    fn command(&self, step: &mut Step<'_, Self>, request: RequestId, command: &Command) -> Result<(), Missing> {
        let reply = match command {
            Command::Find { user } => return self.pools(step).read(request, user),
            Command::Exists { user } => return self.pools(step).show(request, user),
            Command::AddFunds { user, amount } => return self.pools(step).add(request, user, amount.get()),
            Command::Pay { user, amount } => return self.pools(step).take(request, user, amount.get()),
            Command::Redelivered { by, because } => {
                let (service, by, because) = (Service::Payment, by.clone(), because.clone());
                step.emit(Event::Redelivered { service, by, because });
                Reply::Done
            }
            Command::Count => Reply::Counted(self.pools(step).totals()?),
            Command::Create { user } => {
                self.pools(step).put(user, Pool::new(0))?;
                Reply::Created(user.clone())
            }
            Command::Initialise { users, credit } => {
                let credit = Pool::new(credit.get());
                self.pools(step).renew(users, &credit)?.map_or_else(|busy| Reply::Busy(busy.clone()), |()| Reply::Done)
            }
        };
        step.reply(request, reply);
        Ok(())
    }
}
