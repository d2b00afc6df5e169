//! The ways in which a shop can turn out wrong.

use serde::{Deserialize, Serialize};

/// What is wrong, the worst first: what cannot be undone, then what is kept wrongly, then what was only shown or refused
/// wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// More units of an item are in paid orders than there ever were.
    Oversold,
    /// A user's paid orders cost more than the credit it ever had.
    Overspent,
    /// A checkout was answered 2xx but its order is not paid.
    SucceededButUnpaid,
    /// A checkout was answered 4xx but its order is paid.
    RefusedButPaid,
    /// An order is paid that was never checked out.
    UnsentButPaid,
    /// A user has less credit than its paid orders leave: charged but not bought.
    CreditLost,
    /// A user has more credit than its paid orders leave: bought but not charged, or invented.
    CreditInvented,
    /// An item has less stock than its paid orders leave: taken but not sold.
    StockLost,
    /// An item has more stock than its paid orders leave: sold but not taken, or invented.
    StockInvented,
    /// What was answered 2xx is missing from then on.
    LostUpdate,
    /// What was asked for once shows twice.
    AppliedTwice,
    /// A value is off, and no operation explains by how much.
    UnexplainedValue,
    /// An order, user or item is not there any more.
    Missing,
    /// An addition to an order was answered 4xx, but the order has it.
    RefusedButKept,
    /// A line was added although a checkout of the order had been answered 2xx before.
    ChangedAfterPaid,
    /// An order is not the one that was prepared: its user, its lines or its total cost.
    OrderChanged,
    /// An item's price is not the one that was prepared.
    PriceChanged,
    /// A checkout shows in one place and, later, does not in another.
    TornCheckout,
    /// No order of the operations explains what was read.
    NotSerializable,
    /// A read showed what was refused, or what nobody had done yet.
    DirtyRead,
    /// A read missed what had been answered before it began.
    StaleRead,
    /// A read showed what there never was.
    PhantomRead,
    /// A checkout was refused although one of the same order had been answered 2xx before.
    RefusedAfterPaid,
    /// Something was refused for want of what was there all the time.
    RefusedWrongly,
}

impl AnomalyKind {
    /// The kind's name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Oversold => "oversold",
            Self::Overspent => "overspent",
            Self::SucceededButUnpaid => "succeeded_but_unpaid",
            Self::RefusedButPaid => "refused_but_paid",
            Self::UnsentButPaid => "unsent_but_paid",
            Self::CreditLost => "credit_lost",
            Self::CreditInvented => "credit_invented",
            Self::StockLost => "stock_lost",
            Self::StockInvented => "stock_invented",
            Self::LostUpdate => "lost_update",
            Self::AppliedTwice => "applied_twice",
            Self::UnexplainedValue => "unexplained_value",
            Self::Missing => "missing",
            Self::RefusedButKept => "refused_but_kept",
            Self::ChangedAfterPaid => "changed_after_paid",
            Self::OrderChanged => "order_changed",
            Self::PriceChanged => "price_changed",
            Self::TornCheckout => "torn_checkout",
            Self::NotSerializable => "not_serializable",
            Self::DirtyRead => "dirty_read",
            Self::StaleRead => "stale_read",
            Self::PhantomRead => "phantom_read",
            Self::RefusedAfterPaid => "refused_after_paid",
            Self::RefusedWrongly => "refused_wrongly",
        }
    }

    /// What usually brings it about.
    #[must_use]
    pub fn usual_cause(self) -> &'static str {
        match self {
            Self::Oversold => "two checkouts read the stock before either wrote it",
            Self::Overspent => "two checkouts read the credit before either wrote it",
            Self::SucceededButUnpaid => "the answer left before the order was written, or was flushed",
            Self::RefusedButPaid => "a step went on after the answer, or a retry after a time-out",
            Self::UnsentButPaid => "another client uses the shop, or a checkout reached another order",
            Self::CreditLost => "a compensation was lost when a process died between two services",
            Self::CreditInvented => "a charge was lost when a process died, or a refund ran twice",
            Self::StockLost => "a compensation was lost when a process died between two services",
            Self::StockInvented => "a write was lost when a process died, or a compensation ran twice",
            Self::LostUpdate => {
                "read, change and write are not one atomic step, or the store lost what it had not flushed"
            }
            Self::AppliedTwice => "a request or a message was repeated without a key that tells the copies apart",
            Self::UnexplainedValue => "several lost or repeated updates together, or another client",
            Self::Missing => "the store lost its tail, or this is another state than the one recorded",
            Self::RefusedButKept => "the write came before the check that refused it",
            Self::ChangedAfterPaid => "the order is not locked while, or after, it is paid",
            Self::OrderChanged => "concurrent additions to one order overwrote each other",
            Self::PriceChanged => "another client initialised the items",
            Self::TornCheckout => "services apply a checkout one after the other, and reads do not wait for it",
            Self::NotSerializable => "reads are answered while several checkouts are half applied",
            Self::DirtyRead => "reads show what may still be undone",
            Self::StaleRead => "reads go to a replica or a cache that lags behind",
            Self::PhantomRead => "a read mixes two states, or shows an intermediate sum",
            Self::RefusedAfterPaid => "a paid order is not recognised as such when its checkout is repeated",
            Self::RefusedWrongly => "what running checkouts hold is counted as gone although they may be undone",
        }
    }
}
