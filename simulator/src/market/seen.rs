//! What happened at least once on the way to a state: shows that a set of schedules reached what it is there for.

/// The events, and what the holds note.
const MARKS: [&str; 19] = [
    "CheckoutStarted",
    "CheckoutCompleted",
    "CheckoutCancelled",
    "StockReserved",
    "StockRefused",
    "StockWithdrawn",
    "PaymentAuthorized",
    "PaymentRefused",
    "StockParked",
    "PaymentParked",
    "StockChanged",
    "CreditChanged",
    "parked",
    "unparked",
    "committed",
    "released",
    "tombstone",
    "anomaly",
    "shortfall",
];

/// A set of marks. It is no part of a state: two ways to one state may have seen different things.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen(u32);

impl Seen {
    pub(crate) fn note(&mut self, mark: &str) {
        if let Some(place) = MARKS.iter().position(|other| *other == mark) {
            self.0 |= 1 << place;
        }
    }

    pub(crate) fn marks(self) -> impl Iterator<Item = &'static str> {
        MARKS.into_iter().enumerate().filter(move |(place, _)| self.0 & (1 << place) != 0).map(|(_, mark)| mark)
    }
}
