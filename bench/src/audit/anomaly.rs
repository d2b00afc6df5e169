//! The ways in which a shop can turn out wrong.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// A checkout was answered 2xx but its order is not paid.
    SucceededButUnpaid,
    /// A checkout was answered 4xx but its order is paid.
    RefusedButPaid,
    /// An order is paid that was never checked out.
    UnsentButPaid,
    /// An order, user or item is not there any more.
    Missing,
    /// An order is not the one that was prepared: its user, its lines or its total cost.
    OrderChanged,
    /// An item's price is not the one that was prepared.
    PriceChanged,
    /// More units of an item are in paid orders than there ever were.
    Oversold,
    /// A user's paid orders cost more than the credit it ever had.
    Overspent,
    /// An item has more stock than its paid orders leave: sold but not taken, or invented.
    StockInvented,
    /// An item has less stock than its paid orders leave: taken but not sold.
    StockLost,
    /// A user has more credit than its paid orders leave: bought but not charged, or invented.
    CreditInvented,
    /// A user has less credit than its paid orders leave: charged but not bought.
    CreditLost,
    /// An addition to an order was answered 4xx, but the order has it.
    RefusedButKept,
    /// A checkout was refused although one of the same order had been answered 2xx before.
    RefusedAfterPaid,
    /// A line was added although a checkout of the order had been answered 2xx before.
    ChangedAfterPaid,
    /// Something was refused for want of what was there all the time.
    RefusedWrongly,
    /// What was answered 2xx is missing from then on.
    LostUpdate,
    /// What was asked for once shows twice.
    AppliedTwice,
    /// A read missed what had been answered before it began.
    StaleRead,
    /// A read showed what was refused, or what nobody had done yet.
    DirtyRead,
    /// A read showed what there never was.
    PhantomRead,
    /// A value is off, and no operation explains by how much.
    UnexplainedValue,
    /// A checkout shows in one place and, later, does not in another.
    TornCheckout,
    /// No order of the operations explains what was read.
    NotSerializable,
}

impl AnomalyKind {
    /// The kind's name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SucceededButUnpaid => "succeeded_but_unpaid",
            Self::RefusedButPaid => "refused_but_paid",
            Self::UnsentButPaid => "unsent_but_paid",
            Self::Missing => "missing",
            Self::OrderChanged => "order_changed",
            Self::PriceChanged => "price_changed",
            Self::Oversold => "oversold",
            Self::Overspent => "overspent",
            Self::StockInvented => "stock_invented",
            Self::StockLost => "stock_lost",
            Self::CreditInvented => "credit_invented",
            Self::CreditLost => "credit_lost",
            Self::RefusedButKept => "refused_but_kept",
            Self::RefusedAfterPaid => "refused_after_paid",
            Self::ChangedAfterPaid => "changed_after_paid",
            Self::RefusedWrongly => "refused_wrongly",
            Self::LostUpdate => "lost_update",
            Self::AppliedTwice => "applied_twice",
            Self::StaleRead => "stale_read",
            Self::DirtyRead => "dirty_read",
            Self::PhantomRead => "phantom_read",
            Self::UnexplainedValue => "unexplained_value",
            Self::TornCheckout => "torn_checkout",
            Self::NotSerializable => "not_serializable",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// What is wrong.
    pub kind: AnomalyKind,
    /// With which record, such as `order 17`.
    pub subject: String,
    /// In which way.
    pub detail: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} ({})", self.subject, self.detail, self.kind.name())
    }
}

impl Anomaly {
    pub(super) fn of_order(kind: AnomalyKind, name: &str, detail: impl Into<String>) -> Self {
        Self { kind, subject: format!("order {name}"), detail: detail.into() }
    }

    pub(super) fn missing(what: &str, name: impl fmt::Display) -> Self {
        Self {
            kind: AnomalyKind::Missing,
            subject: format!("{what} {name}"),
            detail: "the server does not know it any more".to_owned(),
        }
    }

    pub(super) fn of_price(item: u64, expected: u64, found: i64) -> Self {
        Self {
            kind: AnomalyKind::PriceChanged,
            subject: format!("item {item}"),
            detail: format!("its price is {found}, not {expected}"),
        }
    }

    /// What is wrong with a user's credit, if anything.
    pub(super) fn of_credit(user: u64, before: u64, spent: i128, found: i64) -> Option<Self> {
        let kinds = [AnomalyKind::Overspent, AnomalyKind::CreditInvented, AnomalyKind::CreditLost];
        Self::of_account(format!("user {user}"), "credit", before, spent, found, kinds)
    }

    /// What is wrong with an item's stock, if anything.
    pub(super) fn of_stock(item: u64, before: u64, sold: i128, found: i64) -> Option<Self> {
        let kinds = [AnomalyKind::Oversold, AnomalyKind::StockInvented, AnomalyKind::StockLost];
        Self::of_account(format!("item {item}"), "stock", before, sold, found, kinds)
    }

    fn of_account(
        subject: String,
        what: &str,
        before: u64,
        taken: i128,
        found: i64,
        [overdrawn, invented, lost]: [AnomalyKind; 3],
    ) -> Option<Self> {
        let explained = i128::from(before) - taken;
        let difference = i128::from(found) - explained;
        let (kind, comparison) = match difference {
            _ if explained < 0 || found < 0 => (overdrawn, "more than there was".to_owned()),
            0 => return None,
            1.. => (invented, format!("{difference} too many")),
            _ => (lost, format!("{} missing", -difference)),
        };
        let detail = format!("{what} was {before}, paid orders took {taken}, found {found}: {comparison}");
        Some(Self { kind, subject, detail })
    }
}
