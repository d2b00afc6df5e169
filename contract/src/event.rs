//! The events of a checkout.
//!
//! ```text
//! order ── CheckoutStarted ──▶ stock (each partition with a line, in sorted order) ── StockReserved ──▶ payment ── PaymentAuthorized ──▶ order
//!   ▲                            │ StockRefused                                          │ PaymentRefused                                │
//!   └────────────────────────────┴───────────────────────────────────────────────────────┴──────────────────────── decides: ◀────────────┘
//! order ── CheckoutCompleted ──▶ stock commits the reservation, payment captures the authorization
//! order ── CheckoutCancelled ──▶ stock releases, payment voids
//! ```
//!
//! Every stock partition of the walk says exactly one of `StockReserved`, `StockRefused` and `StockWithdrawn` to the
//! next one, or, if it is the last, to payment: whoever hears that nothing will come need not remember a cancelled
//! checkout in case something does. Who comes next is read from [`Service::ALL`] alone: in [`Event::turn_of`] for those
//! who hold something, in [`Event::verdict`] for the order.
//!
//! Beside the walk, stock and payment say what nobody on it acts upon ([`Event::is_only_observed`]):
//!
//! ```text
//! stock, payment ── StockParked, PaymentParked ────▶ observers: a checkout has to wait
//!                ── StockChanged, CreditChanged ───▶ observers: a caller created, set, added or took, without a checkout
//! any of them    ── Redelivered ───────────────────▶ observers: an operator had a partition read its sources' logs again
//! ```

use std::{ops::Deref, sync::Arc};

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::{
    Amount, CallerSpan, CheckoutId, ItemId, OrderId, Quantity, Remark, RequestName, Service, Sum, TraceId, UserId,
};

/// So many units of an item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Line {
    /// Which item.
    #[n(0)]
    pub item: ItemId,
    /// How many units.
    #[n(1)]
    pub quantity: Quantity,
}

/// One attempt to check an order out, with everything that a participant needs to take part or to obey the decision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct CheckoutData {
    /// Names the attempt.
    #[n(0)]
    pub id: CheckoutId,
    /// Which order.
    #[n(1)]
    pub order: OrderId,
    /// Who pays.
    #[n(2)]
    pub user: UserId,
    /// How much.
    #[n(3)]
    pub amount: Amount,
    /// What is bought: each item once.
    #[n(4)]
    pub lines: Vec<Line>,
    /// When it began, in milliseconds since 1970.
    #[n(5)]
    pub started_at_ms: u64,
    /// How long it may take.
    #[n(6)]
    pub timeout_ms: u64,
    /// What the request is called that began it. Known only where the attempt is in memory since then, for nothing depends on it.
    #[cbor(skip)]
    pub request: Option<RequestName>,
    /// The trace that the attempt belongs to, where that is not its own.
    #[n(7)]
    pub caller: Option<CallerSpan>,
}

impl CheckoutData {
    /// The trace that the attempt belongs to: its caller's, or one of its own.
    #[must_use]
    pub fn trace(&self) -> TraceId {
        self.caller.map_or_else(|| self.id.trace(), |caller| caller.trace)
    }
}

/// A shared [`CheckoutData`]: the same attempt travels through many events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checkout(Arc<CheckoutData>);

impl From<CheckoutData> for Checkout {
    fn from(data: CheckoutData) -> Self {
        Self(Arc::new(data))
    }
}

impl Deref for Checkout {
    type Target = CheckoutData;

    fn deref(&self) -> &CheckoutData {
        &self.0
    }
}

impl<C> Encode<C> for Checkout {
    fn encode<W: encode::Write>(
        &self,
        encoder: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        self.0.encode(encoder, context)
    }
}

impl<'b, C> Decode<'b, C> for Checkout {
    fn decode(decoder: &mut Decoder<'b>, context: &mut C) -> Result<Self, decode::Error> {
        CheckoutData::decode(decoder, context).map(Self::from)
    }
}

/// Why a checkout is cancelled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Reason {
    /// Not enough units, even if everything held were given back.
    #[n(0)]
    OutOfStock {
        /// Of this item.
        #[n(0)]
        item: ItemId,
    },
    /// There is no such item.
    #[n(1)]
    UnknownItem {
        /// Its id.
        #[n(0)]
        item: ItemId,
    },
    /// Not enough credit, even if everything held were given back.
    #[n(2)]
    NotEnoughCredit,
    /// There is no such user.
    #[n(3)]
    UnknownUser,
    /// Too many wait for the same item or credit already.
    #[n(4)]
    Busy,
    /// It was not decided in time.
    #[n(5)]
    Timeout,
    /// An operator ended it.
    #[n(6)]
    CancelledByOperator {
        /// Who.
        #[n(0)]
        by: Remark,
        /// Why.
        #[n(1)]
        because: Remark,
    },
}

/// What was too little, for a refusal that says so. Nothing depends on it: it is there to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Shortage {
    /// So much was wanted.
    #[n(0)]
    pub wanted: Amount,
    /// So much was there, with everything that others held.
    #[n(1)]
    pub left: Amount,
}

impl Shortage {
    /// Of numbers that amounts can count.
    #[must_use]
    pub fn new(wanted: u64, left: u64) -> Self {
        Self { wanted: Amount::saturating(wanted), left: Amount::saturating(left) }
    }
}

/// What a checkout waits for, as it was when the wait began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Wait {
    /// So much is wanted.
    #[n(0)]
    pub wanted: Amount,
    /// So much is held by nobody.
    #[n(1)]
    pub free: Amount,
    /// So many wait for the same already.
    #[n(2)]
    pub ahead: u64,
}

impl Wait {
    /// Of numbers that amounts can count.
    #[must_use]
    pub fn new(wanted: u64, free: u64, ahead: usize) -> Self {
        Self { wanted: Amount::saturating(wanted), free: Amount::saturating(free), ahead: ahead as u64 }
    }
}

/// What a caller did, without a checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Change {
    /// Created it.
    #[n(0)]
    Created,
    /// Set it to a state, whether it existed or not.
    #[n(1)]
    Set,
    /// Added so much.
    #[n(2)]
    Added(#[n(0)] Amount),
    /// Took so much.
    #[n(3)]
    Taken(#[n(0)] Amount),
}

/// What happened: to a checkout, or to items and users without one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Event {
    /// Order: an attempt began.
    #[n(0)]
    CheckoutStarted(#[n(0)] Checkout),
    /// Order: the decision, for it.
    #[n(1)]
    CheckoutCompleted(#[n(0)] Checkout),
    /// Order: the decision, against it.
    #[n(2)]
    CheckoutCancelled(#[n(0)] Checkout, #[n(1)] Reason, #[n(2)] Option<Shortage>),
    /// Stock: a partition holds its lines.
    #[n(3)]
    StockReserved(#[n(0)] Checkout, #[n(1)] Station),
    /// Stock: a partition does not, and will not.
    #[n(4)]
    StockRefused(#[n(0)] Checkout, #[n(1)] Station, #[n(2)] Reason, #[n(3)] Option<Shortage>),
    /// Stock: a partition was told of the cancel before it held anything, or that nothing comes from the one before it.
    #[n(5)]
    StockWithdrawn(#[n(0)] Checkout, #[n(1)] Station),
    /// Payment: the amount is held.
    #[n(6)]
    PaymentAuthorized(#[n(0)] Checkout),
    /// Payment: it is not, and will not be.
    #[n(7)]
    PaymentRefused(#[n(0)] Checkout, #[n(1)] Reason, #[n(2)] Option<Shortage>),
    /// Stock: a partition's lines have to wait, above all for this item.
    #[n(8)]
    StockParked(#[n(0)] Checkout, #[n(1)] Station, #[n(2)] ItemId, #[n(3)] Wait),
    /// Payment: the amount has to wait.
    #[n(9)]
    PaymentParked(#[n(0)] Checkout, #[n(1)] Wait),
    /// Stock: a caller changed items, all in the same way.
    #[n(10)]
    StockChanged {
        /// Which.
        #[n(0)]
        items: Vec<ItemId>,
        /// How.
        #[n(1)]
        change: Change,
        /// The units of each after it, whether they are held or not.
        #[n(2)]
        total: Amount,
        /// What one unit costs.
        #[n(3)]
        price: Amount,
        /// What all of them had before, together, where they were set.
        #[n(4)]
        #[cbor(default)]
        replaced: Sum,
    },
    /// Payment: a caller changed users' credit, all in the same way.
    #[n(11)]
    CreditChanged {
        /// Whose.
        #[n(0)]
        users: Vec<UserId>,
        /// How.
        #[n(1)]
        change: Change,
        /// The credit of each after it, whether it is held or not.
        #[n(2)]
        total: Amount,
        /// What all of them had before, together, where it was set.
        #[n(3)]
        #[cbor(default)]
        replaced: Sum,
    },
    /// Any: an operator had the partition that says it read the logs of its sources again.
    #[n(12)]
    Redelivered {
        /// Whose partition.
        #[n(0)]
        service: Service,
        /// Who had it done.
        #[n(1)]
        by: Remark,
        /// Why.
        #[n(2)]
        because: Remark,
    },
}

/// Which stock partition speaks, and whether it is the last of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Station {
    /// The partition.
    #[n(0)]
    pub partition: u16,
    /// Whether no other one comes after it.
    #[n(1)]
    pub is_last: bool,
}

/// What an event asks of a service on the route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// All before it hold what they were asked for: it is to do so too.
    Request,
    /// One before it does not: it will not be asked.
    Skip,
    /// The checkout is decided for.
    Commit,
    /// The checkout is decided against.
    Release,
}

/// The vote of one partition on a checkout.
struct Vote {
    service: Service,
    /// Whether no other partition of the service is asked after this one.
    is_last: bool,
    holds: bool,
}

impl Event {
    /// What this asks of `service`, if anything. Where the next of several partitions of one service is asked, its vote is
    /// for that service again.
    #[must_use]
    pub fn turn_of(&self, service: Service) -> Option<Turn> {
        match self {
            Self::CheckoutCompleted(_) => return Some(Turn::Commit),
            Self::CheckoutCancelled(..) => return Some(Turn::Release),
            _ => {}
        }
        let vote = self.vote()?;
        let next = if vote.is_last { vote.service.next() } else { Some(vote.service) };
        (next == Some(service)).then_some(if vote.holds { Turn::Request } else { Turn::Skip })
    }

    /// What this decides of the checkout: for it once the last on the route holds what it was asked for, against it as soon as
    /// one refuses.
    #[must_use]
    pub fn verdict(&self) -> Option<Result<(), &Reason>> {
        match self {
            Self::StockRefused(_, _, reason, _) | Self::PaymentRefused(_, reason, _) => Some(Err(reason)),
            _ => self.vote().filter(|vote| vote.holds && vote.is_last && vote.service.next().is_none()).map(|_| Ok(())),
        }
    }

    /// Whether nobody on the route acts upon it: it is there for those who observe.
    #[must_use]
    pub fn is_only_observed(&self) -> bool {
        match self {
            Self::StockParked(..)
            | Self::PaymentParked(..)
            | Self::StockChanged { .. }
            | Self::CreditChanged { .. }
            | Self::Redelivered { .. } => true,
            Self::CheckoutStarted(_)
            | Self::CheckoutCompleted(_)
            | Self::CheckoutCancelled(..)
            | Self::StockReserved(..)
            | Self::StockRefused(..)
            | Self::StockWithdrawn(..)
            | Self::PaymentAuthorized(_)
            | Self::PaymentRefused(..) => false,
        }
    }

    /// The vote that this is. To begin a checkout is the order's vote for it; a decision is none.
    fn vote(&self) -> Option<Vote> {
        let vote = |service, is_last, holds| Some(Vote { service, is_last, holds });
        match self {
            Self::CheckoutStarted(_) => vote(Service::Order, true, true),
            Self::StockReserved(_, station) => vote(Service::Stock, station.is_last, true),
            Self::StockRefused(_, station, ..) | Self::StockWithdrawn(_, station) => {
                vote(Service::Stock, station.is_last, false)
            }
            Self::PaymentAuthorized(_) => vote(Service::Payment, true, true),
            Self::PaymentRefused(..) => vote(Service::Payment, true, false),
            Self::CheckoutCompleted(_)
            | Self::CheckoutCancelled(..)
            | Self::StockParked(..)
            | Self::PaymentParked(..)
            | Self::StockChanged { .. }
            | Self::CreditChanged { .. }
            | Self::Redelivered { .. } => None,
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::CheckoutStarted(_) => "CheckoutStarted",
            Self::CheckoutCompleted(_) => "CheckoutCompleted",
            Self::CheckoutCancelled(..) => "CheckoutCancelled",
            Self::StockReserved(..) => "StockReserved",
            Self::StockRefused(..) => "StockRefused",
            Self::StockWithdrawn(..) => "StockWithdrawn",
            Self::PaymentAuthorized(_) => "PaymentAuthorized",
            Self::PaymentRefused(..) => "PaymentRefused",
            Self::StockParked(..) => "StockParked",
            Self::PaymentParked(..) => "PaymentParked",
            Self::StockChanged { .. } => "StockChanged",
            Self::CreditChanged { .. } => "CreditChanged",
            Self::Redelivered { .. } => "Redelivered",
        }
    }

    /// Which of stock's partitions says this; `None` where none of them does.
    #[must_use]
    pub fn station(&self) -> Option<Station> {
        match self {
            Self::StockReserved(_, station)
            | Self::StockRefused(_, station, ..)
            | Self::StockWithdrawn(_, station)
            | Self::StockParked(_, station, ..) => Some(*station),
            _ => None,
        }
    }

    /// What was too little, where it says so.
    #[must_use]
    pub fn shortage(&self) -> Option<Shortage> {
        match self {
            Self::StockRefused(.., shortage)
            | Self::PaymentRefused(.., shortage)
            | Self::CheckoutCancelled(.., shortage) => *shortage,
            _ => None,
        }
    }

    /// The checkout it is about; `None` where there is none: then it is [only observed](Self::is_only_observed).
    #[must_use]
    pub fn checkout(&self) -> Option<&Checkout> {
        match self {
            Self::CheckoutStarted(checkout)
            | Self::CheckoutCompleted(checkout)
            | Self::CheckoutCancelled(checkout, ..)
            | Self::StockReserved(checkout, _)
            | Self::StockRefused(checkout, ..)
            | Self::StockWithdrawn(checkout, _)
            | Self::StockParked(checkout, ..)
            | Self::PaymentAuthorized(checkout)
            | Self::PaymentRefused(checkout, ..)
            | Self::PaymentParked(checkout, _) => Some(checkout),
            Self::StockChanged { .. } | Self::CreditChanged { .. } | Self::Redelivered { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Id;

    fn checkout() -> Checkout {
        let data = CheckoutData {
            id: CheckoutId::from_random(1),
            order: OrderId(Id::from_number(1)),
            user: UserId(Id::from_number(1)),
            amount: Amount::default(),
            lines: Vec::new(),
            started_at_ms: 0,
            timeout_ms: 5000,
            request: None,
            caller: None,
        };
        data.into()
    }

    #[test]
    fn every_vote_is_heard_by_the_next_on_the_route_and_every_decision_by_all_who_hold() {
        let station = |is_last| Station { partition: 0, is_last };
        let turns = |event: Event| [Service::Stock, Service::Payment].map(|service| event.turn_of(service));
        assert_eq!(turns(Event::CheckoutStarted(checkout())), [Some(Turn::Request), None]);
        assert_eq!(turns(Event::StockReserved(checkout(), station(false))), [Some(Turn::Request), None]);
        assert_eq!(turns(Event::StockReserved(checkout(), station(true))), [None, Some(Turn::Request)]);
        assert_eq!(turns(Event::StockWithdrawn(checkout(), station(false))), [Some(Turn::Skip), None]);
        assert_eq!(turns(Event::StockRefused(checkout(), station(true), Reason::Busy, None)), [None, Some(Turn::Skip)]);
        assert_eq!(turns(Event::PaymentAuthorized(checkout())), [None, None]);
        assert_eq!(turns(Event::PaymentRefused(checkout(), Reason::Busy, None)), [None, None]);
        assert_eq!(turns(Event::CheckoutCompleted(checkout())), [Some(Turn::Commit); 2]);
        assert_eq!(turns(Event::CheckoutCancelled(checkout(), Reason::Busy, None)), [Some(Turn::Release); 2]);
    }

    #[test]
    fn what_is_only_observed_is_nobodys_turn_and_decides_nothing() {
        let (station, none) = (Station { partition: 0, is_last: true }, Amount::default());
        let wait = Wait { wanted: none, free: none, ahead: 0 };
        let observed = [
            Event::StockParked(checkout(), station, ItemId(Id::from_number(1)), wait),
            Event::PaymentParked(checkout(), wait),
            Event::StockChanged {
                items: Vec::new(),
                change: Change::Created,
                total: none,
                price: none,
                replaced: Sum::default(),
            },
            Event::CreditChanged { users: Vec::new(), change: Change::Set, total: none, replaced: Sum::default() },
        ];
        for event in observed {
            assert!(event.is_only_observed(), "{event:?}");
            assert_eq!(Service::ALL.map(|service| event.turn_of(service)), [None; 3], "{event:?}");
            assert_eq!(event.verdict(), None, "{event:?}");
        }
        for event in [
            Event::CheckoutStarted(checkout()),
            Event::CheckoutCompleted(checkout()),
            Event::CheckoutCancelled(checkout(), Reason::Busy, None),
            Event::StockReserved(checkout(), station),
            Event::StockRefused(checkout(), station, Reason::Busy, None),
            Event::StockWithdrawn(checkout(), station),
            Event::PaymentAuthorized(checkout()),
            Event::PaymentRefused(checkout(), Reason::Busy, None),
        ] {
            let acts = |service| event.turn_of(service).is_some();
            assert!(!event.is_only_observed(), "{event:?}");
            assert!(Service::ALL.into_iter().any(acts) || event.verdict().is_some(), "{event:?}");
        }
    }

    #[test]
    fn the_last_vote_for_it_or_any_against_it_decides_a_checkout() {
        let station = Station { partition: 0, is_last: true };
        assert_eq!(Event::PaymentAuthorized(checkout()).verdict(), Some(Ok(())));
        assert_eq!(Event::PaymentRefused(checkout(), Reason::Busy, None).verdict(), Some(Err(&Reason::Busy)));
        assert_eq!(Event::StockRefused(checkout(), station, Reason::Busy, None).verdict(), Some(Err(&Reason::Busy)));
        for undecided in [
            Event::CheckoutStarted(checkout()),
            Event::StockReserved(checkout(), station),
            Event::StockWithdrawn(checkout(), station),
            Event::CheckoutCompleted(checkout()),
        ] {
            assert_eq!(undecided.verdict(), None, "{undecided:?}");
        }
    }
}
