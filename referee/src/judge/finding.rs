//! One thing that is wrong, with the operations that show it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::case::{Case, Source};
use crate::{
    AnomalyKind, Outcome,
    history::{Account, Action, History, Operation},
    quote,
};

/// An anomaly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What is wrong.
    pub kind: AnomalyKind,
    /// With what, such as `item 7`.
    pub subject: String,
    /// In which way.
    pub detail: String,
    /// The operations that show it.
    pub operations: Vec<Shown>,
}

/// An operation as a report shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Which connection sent it.
    pub client: u32,
    /// When it began and ended, in nanoseconds since the run began.
    pub start: u64,
    /// See `start`.
    pub end: u64,
    /// What was asked and answered.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} ({})", self.subject, self.detail, self.kind.name())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |nanoseconds: u64| nanoseconds as f64 / 1e6;
        let (start, end) = (milliseconds(self.start), milliseconds(self.end));
        write!(formatter, "{start:.3} – {end:.3} ms, client {}: {}", self.client, self.text)
    }
}

impl Finding {
    pub(super) fn new(
        case: &Case<'_>,
        kind: AnomalyKind,
        subject: String,
        detail: String,
        sources: impl IntoIterator<Item = Source>,
    ) -> Self {
        let mut indices: Vec<u32> = Vec::new();
        for source in sources {
            match source {
                Source::Operation(index) => indices.push(index),
                Source::Sale(sale) => {
                    indices.extend(case.sales.get(sale as usize).into_iter().flat_map(|sale| &sale.attempts));
                }
            }
        }
        let mut seen = std::collections::HashSet::new();
        indices.retain(|index| seen.insert(*index));
        let operations = indices.iter().filter_map(|index| case.operation(*index));
        let operations = operations.map(|operation| show(case, operation)).collect();
        Self { kind, subject, detail, operations }
    }
}

/// An account's name in reports.
pub(super) fn account_name(history: &History, account: Account) -> String {
    match account {
        Account::Item(item) => format!("item {}", safe(history.items.name(item))),
        Account::User(user) => format!("user {}", safe(history.users.name(user))),
    }
}

/// Ids come from a file or a server, and go to a terminal.
pub(super) fn safe(id: &str) -> String {
    quote(id.as_bytes())
}

fn show(case: &Case<'_>, operation: &Operation) -> Shown {
    let history = case.history;
    let item = |item: u32| safe(history.items.name(item));
    let order = |order: u32| safe(history.orders.name(order));
    let asked = match &operation.action {
        Action::Change(account, delta) => {
            let (verb, preposition) = if *delta < 0 { ("take", "from") } else { ("add", "to") };
            format!("{verb} {} {preposition} {}", delta.unsigned_abs(), account_name(history, *account))
        }
        Action::Find(account, read) => {
            let name = account_name(history, *account);
            read.map_or_else(|| format!("read {name}"), |value| format!("read {name} as {value}"))
        }
        Action::Create { user, order: created } => {
            let created = created.map(order).unwrap_or_default();
            format!("create order {created} for user {}", safe(history.users.name(*user)))
        }
        Action::AddItem { order: to, item: what, quantity } => {
            format!("add {quantity} of item {} to order {}", item(*what), order(*to))
        }
        Action::Checkout { order: which, .. } => {
            let sold = case.sale_of_order.get(which).and_then(|sale| case.sales.get(*sale as usize));
            let contents = sold.map(|sale| {
                let lines: Vec<String> =
                    sale.items.iter().map(|(what, quantity)| format!("{quantity} of item {}", item(*what))).collect();
                format!(" ({} for {}, by user {})", lines.join(", "), sale.cost, safe(history.users.name(sale.user)))
            });
            format!("check out order {}{}", order(*which), contents.unwrap_or_default())
        }
        Action::FindOrder { order: which, read } => {
            let read = read.as_ref().map(|read| if read.paid { " as paid" } else { " as not paid" });
            format!("read order {}{}", order(*which), read.unwrap_or_default())
        }
    };
    let reason = operation.reason.as_deref().map(|reason| format!(" ({})", safe(reason))).unwrap_or_default();
    let answer = match operation.outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Refused => "refused",
        Outcome::Unknown => "outcome unknown",
    };
    Shown {
        client: operation.client,
        start: operation.start,
        end: operation.end,
        text: format!("{asked}: {answer}{reason}"),
    }
}
