//! The lines of a history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{Machine, Outcome};

/// The version of the format; a reader refuses others.
pub const FORMAT: u32 = 1;

/// The first line: what was there before the first operation, and how it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preface {
    /// The version of the format.
    pub history: u32,
    /// The version of the program that recorded.
    pub version: String,
    /// When the run began, in seconds since 1970. All other times count from here, in nanoseconds.
    pub started_unix_seconds: u64,
    /// The server's base URL.
    pub url: String,
    /// What it says of the durability of its answers.
    #[serde(default)]
    pub durability: Option<String>,
    /// Where the load came from.
    pub machine: Machine,
    /// What kind of load it was, for people.
    pub load: BTreeMap<String, String>,
    /// Items "0" to this less one existed.
    pub items: u32,
    /// With this stock each.
    pub stock: u64,
    /// And this price.
    pub price: u64,
    /// Users "0" to this less one existed.
    pub users: u32,
    /// With this credit each.
    pub credit: u64,
    /// Orders "0" to this less one existed, not checked out, with lines that the server chose.
    pub orders: u64,
}

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `POST /stock/add`
    AddStock,
    /// `POST /stock/subtract`
    SubtractStock,
    /// `GET /stock/find`
    FindItem,
    /// `POST /payment/add_funds`
    AddFunds,
    /// `POST /payment/pay`
    Pay,
    /// `GET /payment/find_user`
    FindUser,
    /// `POST /orders/create`
    CreateOrder,
    /// `POST /orders/addItem`
    AddItem,
    /// `POST /orders/checkout`
    Checkout,
    /// `GET /orders/find`
    FindOrder,
}

impl Kind {
    /// Its name in the file and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AddStock => "add_stock",
            Self::SubtractStock => "subtract_stock",
            Self::FindItem => "find_item",
            Self::AddFunds => "add_funds",
            Self::Pay => "pay",
            Self::FindUser => "find_user",
            Self::CreateOrder => "create_order",
            Self::AddItem => "add_item",
            Self::Checkout => "checkout",
            Self::FindOrder => "find_order",
        }
    }
}

/// An operation: the members that its kind has no use for are absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What was asked for.
    pub op: Kind,
    /// The connection that asked.
    pub client: u32,
    /// When the request was sent, in nanoseconds since the run began.
    pub start: u64,
    /// When its answer was there, or was given up.
    pub end: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was refused, or why its outcome is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<SmolStr>,
    /// The item; of a refused checkout, the one that the server blamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<SmolStr>,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<SmolStr>,
    /// The order; of a creation, the name in its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<SmolStr>,
    /// How much was added or taken, or the quantity of a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<u64>,
    /// The stock or the credit that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<i64>,
    /// The order that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<OrderFound>,
}

/// An order as a server describes it. Amounts are signed: a broken server may say anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderFound {
    /// Whether it was checked out.
    pub paid: bool,
    /// Pairs of item and quantity.
    pub items: Vec<(SmolStr, i64)>,
    /// Whose it is.
    pub user_id: SmolStr,
    /// What it costs.
    pub total_cost: i64,
}

/// What was done to the server while it was under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A signal was sent.
    Killed,
    /// It was started again, or let go on.
    Restarted,
    /// Killing or starting did not work.
    Failed,
}

/// A line about a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What was done.
    pub fault: FaultKind,
    /// When, in nanoseconds since the run began.
    pub at: u64,
    /// To which process or container.
    pub target: String,
    /// The signal, the command, or what went wrong.
    pub detail: String,
}

/// A line about what was there after the last operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "final", rename_all = "snake_case")]
pub enum Final {
    /// An item.
    Item {
        /// Its id.
        item: SmolStr,
        /// Its stock, or nothing when the server does not know the item.
        stock: Option<i64>,
        /// Its price.
        price: Option<i64>,
    },
    /// A user.
    User {
        /// Its id.
        user: SmolStr,
        /// Its credit, or nothing when the server does not know the user.
        credit: Option<i64>,
    },
    /// An order.
    Order {
        /// Its id.
        order: SmolStr,
        /// What it is, or nothing when the server does not know it.
        found: Option<OrderFound>,
    },
    /// The last line: nothing is missing.
    End {
        /// How many operations were recorded.
        operations: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_one_line_without_the_members_that_its_kind_has_no_use_for() {
        let entry = Entry {
            op: Kind::AddStock,
            client: 3,
            start: 5,
            end: 9,
            outcome: Outcome::Succeeded,
            reason: None,
            item: Some("7".into()),
            user: None,
            order: None,
            amount: Some(2),
            value: None,
            found: None,
        };
        let line = serde_json::to_string(&entry).unwrap();
        let expected = r#"{"op":"add_stock","client":3,"start":5,"end":9,"outcome":"succeeded","item":"7","amount":2}"#;
        assert_eq!(line, expected);
        assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), entry);
    }

    #[test]
    fn names_are_those_in_the_file() {
        for kind in [
            Kind::AddStock,
            Kind::SubtractStock,
            Kind::FindItem,
            Kind::AddFunds,
            Kind::Pay,
            Kind::FindUser,
            Kind::CreateOrder,
            Kind::AddItem,
            Kind::Checkout,
            Kind::FindOrder,
        ] {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.name()));
        }
    }
}
