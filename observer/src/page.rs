//! What is recorded, and the pages that it is kept on.

use std::{collections::HashMap, sync::Arc};

use contract::{Amount, Change, Checkout, Event, ItemId, OrderId, Reason, Remark, Service, Shortage, UserId, Wait};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// What happened to a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum What {
    /// Order: an attempt began.
    #[n(0)]
    Started,
    /// Order: the decision, for it.
    #[n(1)]
    Completed,
    /// Order: the decision, against it.
    #[n(2)]
    Cancelled(#[n(0)] Reason, #[n(1)] Option<Shortage>),
    /// Stock: a partition holds its lines.
    #[n(3)]
    Reserved,
    /// Stock: a partition does not, and will not.
    #[n(4)]
    StockRefused(#[n(0)] Reason, #[n(1)] Option<Shortage>),
    /// Stock: a partition was told of the cancel before it held anything, or was not asked.
    #[n(5)]
    Withdrawn,
    /// Payment: the amount is held.
    #[n(6)]
    Authorized,
    /// Payment: it is not, and will not be.
    #[n(7)]
    PaymentRefused(#[n(0)] Reason, #[n(1)] Option<Shortage>),
    /// Stock: a partition's lines have to wait, above all for this item.
    #[n(8)]
    StockParked(#[n(0)] ItemId, #[n(1)] Wait),
    /// Payment: the amount has to wait.
    #[n(9)]
    PaymentParked(#[n(0)] Wait),
}

impl What {
    /// Who says so.
    #[must_use]
    pub fn service(&self) -> Service {
        match self {
            Self::Started | Self::Completed | Self::Cancelled(..) => Service::Order,
            Self::Reserved | Self::StockRefused(..) | Self::Withdrawn | Self::StockParked(..) => Service::Stock,
            Self::Authorized | Self::PaymentRefused(..) | Self::PaymentParked(..) => Service::Payment,
        }
    }

    /// Whether it decides the checkout.
    #[must_use]
    pub fn is_decision(&self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled(..))
    }
}

/// Something that happened to a checkout, when and where.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Happening {
    /// Its place among all that is on the page.
    #[n(0)]
    pub place: u32,
    /// How long after the checkout began, in milliseconds, by the clock of who says it.
    #[n(1)]
    pub after_ms: i64,
    /// The partition of who says it.
    #[n(2)]
    pub partition: u16,
    /// What.
    #[n(3)]
    pub what: What,
}

/// A checkout, and what happened to it: all of it, or what is on one page.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Story {
    /// The checkout.
    #[n(0)]
    pub checkout: Checkout,
    /// In the order in which it was heard of.
    #[n(1)]
    pub happenings: Vec<Happening>,
}

impl Story {
    /// Whether its beginning is known.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.happenings.iter().any(|happening| happening.what == What::Started)
    }

    /// Its decision, if there is one yet.
    #[must_use]
    pub fn decision(&self) -> Option<&Happening> {
        self.happenings.iter().find(|happening| happening.what.is_decision())
    }

    /// How long it took from beginning to decision.
    #[must_use]
    pub fn took_ms(&self) -> Option<u64> {
        self.decision().map(|decision| u64::try_from(decision.after_ms).unwrap_or(0))
    }

    /// When something happened, in milliseconds since 1970.
    #[must_use]
    pub fn at(&self, happening: &Happening) -> u64 {
        self.checkout.started_at_ms.saturating_add_signed(happening.after_ms)
    }

    /// Whether it waits for something, as far as it is known.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        let last_of = |service| self.happenings.iter().rev().find(|happening| happening.what.service() == service);
        let waits = |service| {
            last_of(service).is_some_and(|last| matches!(last.what, What::StockParked(..) | What::PaymentParked(_)))
        };
        self.decision().is_none() && (waits(Service::Stock) || waits(Service::Payment))
    }
}

/// What was changed without a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Accounts {
    /// Items.
    #[n(0)]
    Items(#[n(0)] Vec<ItemId>, #[n(1)] Amount),
    /// Users.
    #[n(1)]
    Users(#[n(0)] Vec<UserId>),
}

/// A change by a caller, without a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Movement {
    /// Its place among all that is on the page.
    #[n(0)]
    pub place: u32,
    /// When, in milliseconds since 1970, by the clock of who says it.
    #[n(1)]
    pub at: u64,
    /// The partition of who says it.
    #[n(2)]
    pub partition: u16,
    /// Of what; items with the price of a unit.
    #[n(3)]
    pub accounts: Accounts,
    /// How.
    #[n(4)]
    pub change: Change,
    /// What each of them has after it.
    #[n(5)]
    pub total: Amount,
}

/// Events that were dropped before they were seen.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Gap {
    /// Its place among all that is on the page.
    #[n(0)]
    pub place: u32,
    /// When it was noticed, in milliseconds since 1970.
    #[n(1)]
    pub at: u64,
    /// Of whose log.
    #[n(2)]
    pub service: String,
    /// Of which partition's.
    #[n(3)]
    pub partition: u16,
    /// How many.
    #[n(4)]
    pub events: u64,
}

/// Something that an operator had done.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Act {
    /// Its place among all that is on the page.
    #[n(0)]
    pub place: u32,
    /// When, in milliseconds since 1970, by the clock of who says it.
    #[n(1)]
    pub at: u64,
    /// Whose partition it was done to.
    #[n(2)]
    pub service: String,
    /// Which.
    #[n(3)]
    pub partition: u16,
    /// Of which order it ended the checkout; `None`: it had the partition read the logs of its sources again.
    #[n(4)]
    pub order: Option<OrderId>,
    /// Who had it done.
    #[n(5)]
    pub by: Remark,
    /// Why.
    #[n(6)]
    pub because: Remark,
}

impl Act {
    /// What an event says that an operator had done, when it was committed and in whose partition.
    #[must_use]
    pub fn of(event: &Event, at: u64, partition: u16) -> Option<Self> {
        let (service, order, by, because) = match event {
            Event::Redelivered { service, by, because } => (*service, None, by, because),
            Event::CheckoutCancelled(checkout, Reason::CancelledByOperator { by, because }, _) => {
                (Service::Order, Some(checkout.order.clone()), by, because)
            }
            _ => return None,
        };
        let (service, by, because) = (service.to_string(), by.clone(), because.clone());
        Some(Self { place: 0, at, service, partition, order, by, because })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        if self.order.is_some() { "cancelled" } else { "redelivered" }
    }
}

/// One thing that was heard of.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Noted {
    /// Of a checkout.
    #[n(0)]
    Checkout(#[n(0)] Checkout, #[n(1)] Happening),
    /// Of a change without one.
    #[n(1)]
    Movement(#[n(0)] Movement),
    /// That something was not heard.
    #[n(2)]
    Gap(#[n(0)] Gap),
    /// What an operator had done that is of no checkout.
    #[n(3)]
    Act(#[n(0)] Act),
}

impl Noted {
    /// What an event tells, when it was committed and in whose partition: one thing, or several where it is of many accounts.
    #[must_use]
    pub fn of(event: &Event, at: u64, partition: u16) -> Vec<Self> {
        let of = |checkout: &Checkout, what| {
            let after_ms =
                i64::try_from(at).unwrap_or(i64::MAX) - i64::try_from(checkout.started_at_ms).unwrap_or(i64::MAX);
            vec![Self::Checkout(checkout.clone(), Happening { place: 0, after_ms, partition, what })]
        };
        let moved =
            |accounts, change, total| Self::Movement(Movement { place: 0, at, partition, accounts, change, total });
        match event {
            Event::CheckoutStarted(checkout) => of(checkout, What::Started),
            Event::CheckoutCompleted(checkout) => of(checkout, What::Completed),
            Event::CheckoutCancelled(checkout, reason, short) => of(checkout, What::Cancelled(reason.clone(), *short)),
            Event::StockReserved(checkout, _) => of(checkout, What::Reserved),
            Event::StockRefused(checkout, _, reason, short) => of(checkout, What::StockRefused(reason.clone(), *short)),
            Event::StockWithdrawn(checkout, _) => of(checkout, What::Withdrawn),
            Event::PaymentAuthorized(checkout) => of(checkout, What::Authorized),
            Event::PaymentRefused(checkout, reason, short) => {
                of(checkout, What::PaymentRefused(reason.clone(), *short))
            }
            Event::StockParked(checkout, _, item, wait) => of(checkout, What::StockParked(item.clone(), *wait)),
            Event::PaymentParked(checkout, wait) => of(checkout, What::PaymentParked(*wait)),
            Event::StockChanged { items, change, total, price, .. } => {
                let parts = items.chunks(ACCOUNTS_MAX).map(|part| Accounts::Items(part.to_vec(), *price));
                parts.map(|part| moved(part, *change, *total)).collect()
            }
            Event::Redelivered { .. } => Act::of(event, at, partition).map(Self::Act).into_iter().collect(),
            Event::CreditChanged { users, change, total, .. } => {
                let parts = users.chunks(ACCOUNTS_MAX).map(|part| Accounts::Users(part.to_vec()));
                parts.map(|part| moved(part, *change, *total)).collect()
            }
        }
    }

    /// Its place among all that is on its page.
    #[must_use]
    pub fn place(&self) -> u32 {
        match self {
            Self::Checkout(_, Happening { place, .. })
            | Self::Movement(Movement { place, .. })
            | Self::Gap(Gap { place, .. })
            | Self::Act(Act { place, .. }) => *place,
        }
    }

    /// The most bytes that it takes on a page.
    fn weight(&self) -> usize {
        match self {
            Self::Checkout(checkout, _) => {
                let lines = checkout.lines.iter().map(|line| line.item.as_str().len() + 16);
                160 + checkout.order.as_str().len() + checkout.user.as_str().len() + lines.sum::<usize>()
            }
            Self::Movement(Movement { accounts: Accounts::Items(items, _), .. }) => {
                64 + items.iter().map(|item| item.as_str().len() + 4).sum::<usize>()
            }
            Self::Movement(Movement { accounts: Accounts::Users(users), .. }) => {
                64 + users.iter().map(|user| user.as_str().len() + 4).sum::<usize>()
            }
            Self::Gap(_) => 128,
            Self::Act(Act { by, because, .. }) => 128 + by.as_str().len() + because.as_str().len(),
        }
    }

    fn set_place(&mut self, to: u32) {
        match self {
            Self::Checkout(_, Happening { place, .. })
            | Self::Movement(Movement { place, .. })
            | Self::Gap(Gap { place, .. })
            | Self::Act(Act { place, .. }) => *place = to,
        }
    }
}

/// Some of what was heard of, each thing in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Page {
    /// Checkouts, in the order in which they were first heard of here.
    #[n(0)]
    pub stories: Vec<Story>,
    /// Changes without one.
    #[n(1)]
    pub movements: Vec<Movement>,
    /// What was not heard.
    #[n(2)]
    pub gaps: Vec<Gap>,
    /// What operators had done that is of no checkout.
    #[n(3)]
    #[cbor(default)]
    pub acts: Vec<Act>,
}

impl Page {
    /// Decisions of checkouts that were decided before, on this page.
    #[must_use]
    pub(crate) fn contradicted(&self) -> u64 {
        let decisions =
            |story: &Story| story.happenings.iter().filter(|happening| happening.what.is_decision()).count();
        self.stories.iter().map(|story| decisions(story).saturating_sub(1) as u64).sum()
    }

    /// All that is on the page, one thing after the other.
    #[must_use]
    pub fn noted(&self) -> Vec<Noted> {
        let of_story = |story: &Story| {
            let of = |happening: &Happening| Noted::Checkout(story.checkout.clone(), happening.clone());
            story.happenings.iter().map(of).collect::<Vec<_>>()
        };
        let movements = self.movements.iter().cloned().map(Noted::Movement);
        let gaps = self.gaps.iter().cloned().map(Noted::Gap);
        let acts = self.acts.iter().cloned().map(Noted::Act);
        let mut all: Vec<_> = self.stories.iter().flat_map(of_story).chain(movements).chain(gaps).chain(acts).collect();
        all.sort_unstable_by_key(Noted::place);
        all
    }
}

/// The most items or users in one movement: with the longest ids, some 14 KiB. A bulk command sets more at once.
const ACCOUNTS_MAX: usize = 200;

/// Events on a page: so few that a page is read in a fraction of a millisecond, and that what is written again with every
/// commit of a quiet shop is small; so many that indexes are.
const PAGE_EVENTS: u32 = 1024;

/// The most bytes on a page, but for the last event: with the largest one, a store still takes it (64 KiB).
const PAGE_BYTES: usize = 48 * 1024;

/// What was heard of since the last page was full, the last first. A copy shares it, for the engine makes one before every
/// step that adds to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    last: Option<Arc<Node>>,
    count: u32,
    /// The most bytes that it takes.
    weight: usize,
}

#[derive(Debug)]
struct Node {
    noted: Noted,
    before: Option<Arc<Node>>,
}

impl Heard {
    pub(crate) fn push(&mut self, mut noted: Noted) {
        noted.set_place(self.count);
        self.count += 1;
        self.weight += noted.weight();
        self.last = Some(Arc::new(Node { noted, before: self.last.take() }));
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Whether it is to become a page.
    pub(crate) fn is_full(&self) -> bool {
        self.count >= PAGE_EVENTS || self.weight >= PAGE_BYTES
    }

    /// The last first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Noted> {
        std::iter::successors(self.last.as_deref(), |node| node.before.as_deref()).map(|node| &node.noted)
    }

    /// All of it, sorted to the checkouts that it is of.
    pub(crate) fn page(&self) -> Page {
        let mut noted: Vec<&Noted> = self.iter().collect();
        noted.reverse();
        let (mut page, mut places) = (Page::default(), HashMap::new());
        for noted in noted {
            match noted {
                Noted::Checkout(checkout, happening) => {
                    let place = *places.entry(checkout.id).or_insert(page.stories.len());
                    match page.stories.get_mut(place) {
                        Some(story) => story.happenings.push(happening.clone()),
                        None => {
                            page.stories
                                .push(Story { checkout: checkout.clone(), happenings: vec![happening.clone()] });
                        }
                    }
                }
                Noted::Movement(movement) => page.movements.push(movement.clone()),
                Noted::Gap(gap) => page.gaps.push(gap.clone()),
                Noted::Act(act) => page.acts.push(act.clone()),
            }
        }
        page
    }
}

impl From<&Page> for Heard {
    fn from(page: &Page) -> Self {
        let mut heard = Self::default();
        page.noted().into_iter().for_each(|noted| heard.push(noted));
        heard
    }
}

impl PartialEq for Heard {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.iter().eq(other.iter())
    }
}

impl<C> Encode<C> for Heard {
    fn encode<W: encode::Write>(
        &self,
        encoder: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        self.page().encode(encoder, context)
    }
}

impl<'b, C> Decode<'b, C> for Heard {
    fn decode(decoder: &mut Decoder<'b>, context: &mut C) -> Result<Self, decode::Error> {
        Ok(Self::from(&Page::decode(decoder, context)?))
    }
}
