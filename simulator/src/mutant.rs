//! Guards of the protocol, each of which can be taken away to show that its absence is noticed.
//!
//! The steps that ship have no switches: a mutant changes what goes into them, or what came out, in the way in which it
//! would change if the guard were not there.

use contract::{Event, Reason, Station};

use crate::{attempt::operation_of, shop::Outcome};

/// The guard that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// What does not fit now is refused, although it would if a hold were undone.
    RefusesAtOnce,
    /// Every other checkout visits the stock partitions in descending order.
    WalksUnsorted,
    /// A cancel that came before its start leaves no tombstone.
    ForgetsEarlyCancel,
    /// A cancel leaves the parked request in its queue.
    LeavesParked,
    /// A find shows what is available at once.
    ShowsAvailable,
    /// A find shows what is there at once, whatever is held.
    ShowsTotal,
    /// Events reach other services before they are durable.
    SendsBeforeDurable,
    /// Replies to writes leave before what they tell is durable.
    RepliesBeforeDurable,
    /// Replies to finds leave before what they show is durable.
    ShowsBeforeDurable,
    /// Cursors are kept outside of the store and do not go back with it.
    KeepsCursors,
    /// Events that were consumed before are consumed again when they come again.
    ConsumesAgain,
    /// A consumer whose queue is full waits for a place instead of refusing.
    BlocksWhenFull,
    /// A participant that was released before it held anything says nothing to the next one.
    WithdrawsSilently,
    /// A request that is carried out again begins its attempt under the same name again.
    ReusesAttempt,
    /// A log is trimmed although consumers still need it.
    TrimsUnread,
    /// A log is trimmed although it holds the only trace of an open deadline.
    TrimsDeadlines,
    /// An order that forgets a cancelled attempt does not remember when it was asked.
    ForgetsFloor,
    /// A bulk command sets what others hold or check out.
    RenewsBusy,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::RefusesAtOnce,
        Self::WalksUnsorted,
        Self::ForgetsEarlyCancel,
        Self::LeavesParked,
        Self::ShowsAvailable,
        Self::ShowsTotal,
        Self::SendsBeforeDurable,
        Self::RepliesBeforeDurable,
        Self::ShowsBeforeDurable,
        Self::KeepsCursors,
        Self::ConsumesAgain,
        Self::BlocksWhenFull,
        Self::WithdrawsSilently,
        Self::ReusesAttempt,
        Self::TrimsUnread,
        Self::TrimsDeadlines,
        Self::ForgetsFloor,
        Self::RenewsBusy,
    ];

    /// What is missing, in a few words.
    #[must_use]
    pub fn guard(self) -> &'static str {
        match self {
            Self::RefusesAtOnce => "waiting for what might be given back",
            Self::WalksUnsorted => "one order of partitions for all",
            Self::ForgetsEarlyCancel => "tombstones",
            Self::LeavesParked => "cancelling what is parked",
            Self::ShowsAvailable => "waiting finds (shows what is available)",
            Self::ShowsTotal => "waiting finds (shows what is there)",
            Self::SendsBeforeDurable => "events that wait for the flush",
            Self::RepliesBeforeDurable => "replies that wait for the flush",
            Self::ShowsBeforeDurable => "finds that wait for the flush",
            Self::KeepsCursors => "cursors in the transaction",
            Self::ConsumesAgain => "cursors that pass over repetitions",
            Self::BlocksWhenFull => "refusing instead of blocking the log",
            Self::WithdrawsSilently => "a word to the next after a cancel",
            Self::ReusesAttempt => "a new name for every attempt",
            Self::TrimsUnread => "keeping events until they are consumed",
            Self::TrimsDeadlines => "keeping events until the deadline is over",
            Self::ForgetsFloor => "knowing when what is forgotten was asked",
            Self::RenewsBusy => "refusing to set what is in use",
        }
    }

    /// What an event is once this guard is missing; `None`: it is not said at all.
    pub(crate) fn changed_event(self, event: Event) -> Option<Event> {
        match (self, event) {
            (Self::RefusesAtOnce, Event::StockRefused(checkout, station, Reason::Busy, _)) => {
                // A stock partition's refusal names the item; with one line, which it is is clear.
                let item = checkout.lines.first()?.item.clone();
                Some(Event::StockRefused(checkout, station, Reason::OutOfStock { item }, None))
            }
            (Self::RefusesAtOnce, Event::PaymentRefused(checkout, Reason::Busy, _)) => {
                Some(Event::PaymentRefused(checkout, Reason::NotEnoughCredit, None))
            }
            (Self::WithdrawsSilently, Event::StockWithdrawn(..)) => None,
            (Self::WalksUnsorted, event) if walks_down(&event) => Some(seen_in_a_mirror(event)),
            (_, event) => Some(event),
        }
    }

    /// What a reply is once this guard is missing. `short` is the refusal for want of what was asked for.
    pub(crate) fn changed_outcome(self, outcome: Outcome, short: Option<Outcome>) -> Outcome {
        match (self, outcome, short) {
            (Self::RefusesAtOnce, Outcome::Busy, Some(short)) => short,
            (_, outcome, _) => outcome,
        }
    }
}

/// Whether a checkout walks from the last partition to the first.
pub(crate) fn walks_down(event: &Event) -> bool {
    event.checkout().is_some_and(|checkout| operation_of(checkout.id) % 2 == 1)
}

/// With two partitions, a walk down is a walk up in a mirror: station 1 says what station 0 would.
fn seen_in_a_mirror(event: Event) -> Event {
    let mirror = |station: Station| Station { partition: 1 - station.partition, is_last: !station.is_last };
    match event {
        Event::StockReserved(checkout, station) => Event::StockReserved(checkout, mirror(station)),
        Event::StockRefused(checkout, station, reason, shortage) => {
            Event::StockRefused(checkout, mirror(station), reason, shortage)
        }
        Event::StockWithdrawn(checkout, station) => Event::StockWithdrawn(checkout, mirror(station)),
        other => other,
    }
}
