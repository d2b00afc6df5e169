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
//! checkout in case something does.

use std::{ops::Deref, sync::Arc};

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::{Amount, CheckoutId, ItemId, OrderId, Quantity, UserId};

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
}

/// What happened to a checkout.
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
    CheckoutCancelled(#[n(0)] Checkout, #[n(1)] Reason),
    /// Stock: a partition holds its lines.
    #[n(3)]
    StockReserved(#[n(0)] Checkout, #[n(1)] Station),
    /// Stock: a partition does not, and will not.
    #[n(4)]
    StockRefused(#[n(0)] Checkout, #[n(1)] Station, #[n(2)] Reason),
    /// Stock: a partition was told of the cancel before it held anything, or that nothing comes from the one before it.
    #[n(5)]
    StockWithdrawn(#[n(0)] Checkout, #[n(1)] Station),
    /// Payment: the amount is held.
    #[n(6)]
    PaymentAuthorized(#[n(0)] Checkout),
    /// Payment: it is not, and will not be.
    #[n(7)]
    PaymentRefused(#[n(0)] Checkout, #[n(1)] Reason),
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

impl Event {
    /// The checkout it is about.
    #[must_use]
    pub fn checkout(&self) -> &Checkout {
        match self {
            Self::CheckoutStarted(checkout)
            | Self::CheckoutCompleted(checkout)
            | Self::CheckoutCancelled(checkout, _)
            | Self::StockReserved(checkout, _)
            | Self::StockRefused(checkout, _, _)
            | Self::StockWithdrawn(checkout, _)
            | Self::PaymentAuthorized(checkout)
            | Self::PaymentRefused(checkout, _) => checkout,
        }
    }
}
