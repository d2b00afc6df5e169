//! Payment's part in a checkout, and its own commands: pure steps.

use contract::{Amount, Checkout, CheckoutId, Event, Reason, UserId};
use saga::{
    Destinations, Effect, Input, Missing, Participant, Partition, RequestId, Step,
    hold::{self, Claim, Hold, Ledger, Pool, Refusal, Word},
    minicbor::{self, Decode, Encode},
    partition_of,
};

use crate::record::{PaymentKey, PaymentRecord};

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
}

/// The payment service.
#[derive(Clone, Debug)]
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
    type Key = PaymentKey;
    type Record = PaymentRecord;
    type Command = Command;
    type Reply = Reply;
    type Event = Event;

    fn name(&self) -> &'static str {
        "payment"
    }

    fn step(&self, step: &mut Step<'_, Self>, input: Input<'_, Self>) -> Result<(), Missing> {
        let mut till = Till { payment: self, step };
        match input {
            Input::Command { request, command } => till.command(request, command),
            Input::Expired { request, command: Command::Find { user } | Command::Pay { user, .. } } => {
                hold::expire(&mut till, request, user)
            }
            Input::Event(event) => till.event(event),
            Input::Expired { .. } | Input::Deadline(_) => Ok(()),
        }
    }

    fn destinations(&self, event: &Event, partitions: Partition, to: &mut Destinations) {
        let is_ours = match event {
            Event::StockReserved(_, station)
            | Event::StockRefused(_, station, _)
            | Event::StockWithdrawn(_, station) => station.is_last,
            Event::CheckoutCompleted(_) | Event::CheckoutCancelled(..) => true,
            Event::CheckoutStarted(_) | Event::PaymentAuthorized(_) | Event::PaymentRefused(..) => false,
        };
        if is_ours {
            to.add(partition_of(event.checkout().user.as_str().as_bytes(), partitions));
        }
    }

    fn prefetch(&self, input: &Input<'_, Self>, _: Partition, _: Partition, keys: &mut Vec<PaymentKey>) {
        match input {
            Input::Command { command, .. } => match command {
                Command::Initialise { users, .. } => keys.extend(users.iter().cloned().map(PaymentKey::User)),
                Command::Create { user }
                | Command::Find { user }
                | Command::Exists { user }
                | Command::AddFunds { user, .. }
                | Command::Pay { user, .. } => keys.push(PaymentKey::User(user.clone())),
            },
            Input::Event(event) => keys.push(PaymentKey::User(event.checkout().user.clone())),
            Input::Expired { .. } | Input::Deadline(_) => {}
        }
    }

    fn effect(command: &Command) -> Effect {
        match command {
            Command::Find { .. } | Command::Exists { .. } => Effect::None,
            Command::Initialise { .. } => Effect::Idempotent,
            Command::Create { .. } | Command::AddFunds { .. } | Command::Pay { .. } => Effect::Once,
        }
    }

    fn is_final(&self, reply: &Reply) -> bool {
        !matches!(reply, Reply::Busy(_))
    }
}

/// One step of payment.
struct Till<'a, 'b> {
    payment: &'a Payment,
    step: &'a mut Step<'b, Payment>,
}

impl Till<'_, '_> {
    fn command(&mut self, request: RequestId, command: &Command) -> Result<(), Missing> {
        match command {
            Command::Create { user } => {
                self.step.put(&PaymentKey::User(user.clone()), PaymentRecord::User(Pool::new(0)));
                self.step.reply(request, Reply::Created(user.clone()));
            }
            Command::Initialise { users, credit } => self.initialise(request, users, *credit)?,
            Command::Find { user } => hold::read(self, request, user)?,
            Command::Exists { user } => self.show(request, user)?,
            Command::AddFunds { user, amount } => self.add_funds(request, user, *amount)?,
            Command::Pay { user, amount } => hold::take(self, request, user, amount.get())?,
        }
        Ok(())
    }

    fn initialise(&mut self, request: RequestId, users: &[UserId], credit: Amount) -> Result<(), Missing> {
        for user in users {
            if self.peek(user)?.is_some_and(Pool::is_busy) {
                self.step.reply(request, Reply::Busy(user.clone()));
                return Ok(());
            }
        }
        for user in users {
            self.step.put(&PaymentKey::User(user.clone()), PaymentRecord::User(Pool::new(credit.get())));
        }
        self.step.reply(request, Reply::Done);
        Ok(())
    }

    fn add_funds(&mut self, request: RequestId, user: &UserId, amount: Amount) -> Result<(), Missing> {
        let Some(pool) = self.pool(user)? else {
            self.step.reply(request, Reply::Unknown(user.clone()));
            return Ok(());
        };
        if pool.add(amount.get(), Amount::MAX.get()).is_none() {
            self.step.reply(request, Reply::TooLarge(user.clone()));
            return Ok(());
        }
        self.step.reply(request, Reply::Done);
        hold::added(self, user)
    }

    fn event(&mut self, event: &Event) -> Result<(), Missing> {
        let checkout = event.checkout();
        let claims = || vec![Claim::new(checkout.user.clone(), checkout.amount.get())];
        match event {
            Event::StockReserved(..) => hold::request(self, checkout.id, checkout, claims()),
            Event::StockRefused(..) | Event::StockWithdrawn(..) => hold::bar(self, checkout.id, checkout),
            Event::CheckoutCompleted(_) => hold::commit(self, checkout.id, claims()),
            Event::CheckoutCancelled(..) => hold::release(self, checkout.id, checkout),
            Event::CheckoutStarted(_) | Event::PaymentAuthorized(_) | Event::PaymentRefused(..) => Ok(()),
        }
    }
}

impl Ledger for Till<'_, '_> {
    type Account = UserId;
    type Saga = CheckoutId;
    type Context = Checkout;

    fn pool(&mut self, user: &UserId) -> Result<Option<&mut Pool<CheckoutId>>, Missing> {
        Ok(match self.step.edit(&PaymentKey::User(user.clone()))? {
            Some(PaymentRecord::User(pool)) => Some(pool),
            _ => None,
        })
    }

    fn peek(&mut self, user: &UserId) -> Result<Option<&Pool<CheckoutId>>, Missing> {
        Ok(match self.step.get(&PaymentKey::User(user.clone()))? {
            Some(PaymentRecord::User(pool)) => Some(pool),
            _ => None,
        })
    }

    fn hold(&mut self, checkout: CheckoutId) -> Result<Option<&Hold<UserId, Checkout>>, Missing> {
        Ok(match self.step.get(&PaymentKey::Checkout(checkout))? {
            Some(PaymentRecord::Hold(hold)) => Some(hold),
            _ => None,
        })
    }

    fn set_hold(&mut self, checkout: CheckoutId, hold: Option<Hold<UserId, Checkout>>) {
        let key = PaymentKey::Checkout(checkout);
        match hold {
            Some(hold) => self.step.put(&key, PaymentRecord::Hold(hold)),
            None => self.step.remove(&key),
        }
    }

    fn say(&mut self, _: CheckoutId, checkout: &Checkout, word: Word<UserId>) {
        let checkout = checkout.clone();
        match word {
            Word::Held => self.step.emit(Event::PaymentAuthorized(checkout)),
            // Nobody comes after payment.
            Word::Withdrawn => {}
            Word::Refused { refusal, .. } => {
                let reason = match refusal {
                    Refusal::Unknown => Reason::UnknownUser,
                    Refusal::Short => Reason::NotEnoughCredit,
                    Refusal::Busy | Refusal::Expired => Reason::Busy,
                };
                self.step.emit(Event::PaymentRefused(checkout, reason));
            }
        }
    }

    fn answer(&mut self, request: RequestId, user: &UserId, refusal: Option<Refusal>) -> Result<(), Missing> {
        let user = user.clone();
        self.step.reply(
            request,
            match refusal {
                None => Reply::Done,
                Some(Refusal::Unknown) => Reply::Unknown(user),
                Some(Refusal::Short) => Reply::NotEnoughCredit(user),
                Some(Refusal::Busy | Refusal::Expired) => Reply::Busy(user),
            },
        );
        Ok(())
    }

    fn show(&mut self, request: RequestId, user: &UserId) -> Result<(), Missing> {
        let reply = match self.step.get(&PaymentKey::User(user.clone()))? {
            // A pool never holds more than an amount can count: every way in is checked.
            Some(PaymentRecord::User(pool)) => Reply::Found(Amount::new(pool.total()).unwrap_or(Amount::MAX)),
            _ => Reply::Unknown(user.clone()),
        };
        self.step.reply(request, reply);
        Ok(())
    }

    fn note(&mut self, what: &'static str) {
        self.step.note(what);
    }

    fn parked_max(&self) -> usize {
        self.payment.parked_max
    }
}
