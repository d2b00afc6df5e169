//! What somebody may do.

use std::{fmt, str::FromStr};

/// One thing that somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Find orders.
    OrdersRead,
    /// Create orders, add to them, check them out.
    OrdersWrite,
    /// Find items.
    StockRead,
    /// Create items, add units, take some away.
    StockWrite,
    /// Find users.
    PaymentRead,
    /// Create users, add credit, take some away.
    PaymentWrite,
    /// Set any number of orders, items and users at once.
    Bulk,
    /// Count: the metrics, in which no customer is named.
    Metrics,
    /// See everything of every customer, and of the processes.
    AdminRead,
    /// End checkouts, and what else operators may do.
    AdminRepair,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 10] = [
        Self::OrdersRead,
        Self::OrdersWrite,
        Self::StockRead,
        Self::StockWrite,
        Self::PaymentRead,
        Self::PaymentWrite,
        Self::Bulk,
        Self::Metrics,
        Self::AdminRead,
        Self::AdminRepair,
    ];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OrdersRead => "orders.read",
            Self::OrdersWrite => "orders.write",
            Self::StockRead => "stock.read",
            Self::StockWrite => "stock.write",
            Self::PaymentRead => "payment.read",
            Self::PaymentWrite => "payment.write",
            Self::Bulk => "bulk",
            Self::Metrics => "metrics",
            Self::AdminRead => "admin.read",
            Self::AdminRepair => "admin.repair",
        }
    }

    /// Whether what is changed with it is written down.
    pub(crate) const fn is_audited(self) -> bool {
        matches!(self, Self::Bulk | Self::AdminRepair)
    }

    /// Whether it is about what belongs to users.
    pub(crate) const fn concerns_users(self) -> bool {
        matches!(self, Self::OrdersRead | Self::OrdersWrite | Self::PaymentRead | Self::PaymentWrite)
    }

    /// Whether it is of use to somebody who may speak for one user alone.
    #[must_use]
    pub const fn may_be_bound(self) -> bool {
        !matches!(self, Self::Bulk | Self::Metrics | Self::AdminRead | Self::AdminRepair)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|scope| scope.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no scope {text:?}: they are {names}")
        })
    }
}

/// Some scopes. As text, their names with commas in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u16);

impl Scopes {
    /// Whether a scope is among them. None stands for another: who may change something need not be told of it.
    #[must_use]
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u16) != 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |all, scope| all | 1 << scope as u16))
    }
}

impl FromStr for Scopes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(str::parse).collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.iter().map(Scope::name).collect::<Vec<_>>().join(","))
    }
}
