//! The history as JSON.

use contract::{Change, Reason, Shortage, Wait};
use serde::Serialize;
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use utoipa::ToSchema;

use crate::{
    page::{Accounts, Act, Gap, Happening, Movement, Noted, Story, What},
    query::{Found, Row},
    reason::name_of,
};

const MOMENT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A moment as people and programs write it, to the millisecond.
#[must_use]
pub fn moment(at: u64) -> String {
    let nanoseconds = i128::from(at) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
        .ok()
        .and_then(|at| at.format(MOMENT).ok())
        .unwrap_or_else(|| format!("{at} ms after 1970"))
}

/// Something that happened to a checkout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShownEvent {
    /// When, by the clock of the service that says it.
    pub at: String,
    /// How long after the checkout began.
    pub after_ms: i64,
    /// Who says it.
    pub service: &'static str,
    /// Its partition.
    pub partition: u16,
    /// What happened: the name of the event.
    pub event: &'static str,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Which operator ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why that one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Of which item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// How much was wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u64>,
    /// How much there was, with everything that others held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
    /// How much was held by nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free: Option<u64>,
    /// How many waited for the same already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead: Option<u64>,
}

fn item_of(reason: &Reason) -> Option<String> {
    match reason {
        Reason::OutOfStock { item } | Reason::UnknownItem { item } => Some(item.as_str().to_owned()),
        _ => None,
    }
}

impl ShownEvent {
    /// Of a story.
    #[must_use]
    pub fn of(story: &Story, happening: &Happening) -> Self {
        let mut shown = Self {
            at: moment(story.at(happening)),
            after_ms: happening.after_ms,
            service: happening.what.service().name(),
            partition: happening.partition,
            event: event_name(&happening.what),
            reason: None,
            by: None,
            because: None,
            item_id: None,
            wanted: None,
            left: None,
            free: None,
            ahead: None,
        };
        match &happening.what {
            What::Cancelled(reason, short)
            | What::StockRefused(reason, short)
            | What::PaymentRefused(reason, short) => {
                shown.reason = Some(name_of(reason));
                shown.item_id = item_of(reason);
                if let Reason::CancelledByOperator { by, because } = reason {
                    (shown.by, shown.because) = (Some(by.to_string()), Some(because.to_string()));
                }
                shown.wanted = short.map(|Shortage { wanted, .. }| wanted.get());
                shown.left = short.map(|Shortage { left, .. }| left.get());
            }
            What::StockParked(item, wait) => {
                shown.item_id = Some(item.as_str().to_owned());
                shown.wait(*wait);
            }
            What::PaymentParked(wait) => shown.wait(*wait),
            What::Started | What::Completed | What::Reserved | What::Withdrawn | What::Authorized => {}
        }
        shown
    }

    fn wait(&mut self, Wait { wanted, free, ahead }: Wait) {
        (self.wanted, self.free, self.ahead) = (Some(wanted.get()), Some(free.get()), Some(ahead));
    }
}

fn event_name(what: &What) -> &'static str {
    match what {
        What::Started => "CheckoutStarted",
        What::Completed => "CheckoutCompleted",
        What::Cancelled(..) => "CheckoutCancelled",
        What::Reserved => "StockReserved",
        What::StockRefused(..) => "StockRefused",
        What::Withdrawn => "StockWithdrawn",
        What::Authorized => "PaymentAuthorized",
        What::PaymentRefused(..) => "PaymentRefused",
        What::StockParked(..) => "StockParked",
        What::PaymentParked(_) => "PaymentParked",
    }
}

/// So many units of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShownLine {
    /// Which item.
    pub item_id: String,
    /// How many units.
    pub quantity: u64,
}

/// One attempt to check an order out, with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShownCheckout {
    /// Which order.
    pub order_id: String,
    /// Names the attempt.
    pub checkout_id: String,
    /// Its trace.
    pub trace_id: String,
    /// Who pays.
    pub user_id: String,
    /// How much.
    pub amount: u64,
    /// What is bought.
    pub lines: Vec<ShownLine>,
    /// When it began.
    pub started_at: String,
    /// `open`, `parked`, `completed` or `cancelled`.
    pub state: &'static str,
    /// Why it was cancelled: the name of the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Whether its beginning is known.
    pub has_begun: bool,
    /// What happened to it, in the order in which it was heard of.
    pub events: Vec<ShownEvent>,
}

impl From<&Story> for ShownCheckout {
    fn from(story: &Story) -> Self {
        let checkout = &story.checkout;
        let decision = story.decision().map(|decision| &decision.what);
        let (state, reason) = match decision {
            Some(What::Cancelled(reason, _)) => ("cancelled", Some(name_of(reason))),
            Some(_) => ("completed", None),
            None if story.is_parked() => ("parked", None),
            None => ("open", None),
        };
        let hex = checkout.id.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let line =
            |line: &contract::Line| ShownLine { item_id: line.item.as_str().to_owned(), quantity: line.quantity.get() };
        Self {
            order_id: checkout.order.as_str().to_owned(),
            checkout_id: hex,
            trace_id: checkout.trace().to_string(),
            user_id: checkout.user.as_str().to_owned(),
            amount: checkout.amount.get(),
            lines: checkout.lines.iter().map(line).collect(),
            started_at: moment(checkout.started_at_ms),
            state,
            reason,
            took_ms: story.took_ms(),
            has_begun: story.has_begun(),
            events: story.happenings.iter().map(|happening| ShownEvent::of(story, happening)).collect(),
        }
    }
}

/// One line of a statement of account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShownRow {
    /// When.
    pub at: String,
    /// `checkout`, `created`, `set`, `added` or `taken`.
    pub kind: &'static str,
    /// Which order's checkout took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// How much more there is by it; nothing where it was created or set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<i64>,
    /// How much there is after it; nothing where it is not known.
    pub balance: Option<u64>,
}

impl ShownRow {
    /// A line, and what there is after it.
    #[must_use]
    pub fn of(row: &Row, balance: Option<u64>) -> Self {
        let signed = |amount: contract::Amount| i64::try_from(amount.get()).expect("amounts are below 2^53");
        let (kind, order_id, change) = match &row.found {
            Found::Checkout(order, amount) => ("checkout", Some(order.as_str().to_owned()), Some(-signed(*amount))),
            Found::Change(Change::Created, _) => ("created", None, None),
            Found::Change(Change::Set, _) => ("set", None, None),
            Found::Change(Change::Added(amount), _) => ("added", None, Some(signed(*amount))),
            Found::Change(Change::Taken(amount), _) => ("taken", None, Some(-signed(*amount))),
        };
        Self { at: moment(row.at), kind, order_id, change, balance }
    }
}

/// Something that an operator had done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShownAct {
    /// When.
    pub at: String,
    /// `cancelled` or `redelivered`.
    pub act: &'static str,
    /// Whose partition it was done to.
    pub service: String,
    /// Which.
    pub partition: u16,
    /// Of which order it ended the checkout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// Who had it done.
    pub by: String,
    /// Why.
    pub because: String,
}

impl From<&Act> for ShownAct {
    fn from(act: &Act) -> Self {
        Self {
            at: moment(act.at),
            act: act.name(),
            service: act.service.clone(),
            partition: act.partition,
            order_id: act.order.as_ref().map(|order| order.as_str().to_owned()),
            by: act.by.to_string(),
            because: act.because.to_string(),
        }
    }
}

/// Anything that was heard of, for a stream of events.
pub(crate) fn event(noted: &Noted) -> serde_json::Value {
    match noted {
        Noted::Checkout(checkout, happening) => {
            let story = Story { checkout: checkout.clone(), happenings: Vec::new() };
            let mut value = serde_json::json!(ShownEvent::of(&story, happening));
            if let Some(members) = value.as_object_mut() {
                members.insert("order_id".to_owned(), checkout.order.as_str().into());
                members.insert("user_id".to_owned(), checkout.user.as_str().into());
            }
            value
        }
        Noted::Movement(Movement { at, partition, accounts, change, total, .. }) => {
            let (service, event, ids) = match accounts {
                Accounts::Items(items, _) => {
                    ("stock", "StockChanged", items.iter().map(|item| item.as_str()).collect::<Vec<_>>())
                }
                Accounts::Users(users) => {
                    ("payment", "CreditChanged", users.iter().map(|user| user.as_str()).collect())
                }
            };
            let (kind, amount) = match change {
                Change::Created => ("created", None),
                Change::Set => ("set", None),
                Change::Added(amount) => ("added", Some(amount.get())),
                Change::Taken(amount) => ("taken", Some(amount.get())),
            };
            serde_json::json!({
                "at": moment(*at), "service": service, "partition": partition, "event": event, "ids": ids, "kind": kind,
                "amount": amount, "total": total.get(),
            })
        }
        Noted::Gap(Gap { at, service, partition, events, .. }) => serde_json::json!({
            "at": moment(*at), "service": service, "partition": partition, "event": "Gap", "events": events,
        }),
        Noted::Act(act) => {
            let mut value = serde_json::json!(ShownAct::from(act));
            if let Some(members) = value.as_object_mut() {
                members.remove("act");
                members.insert("event".to_owned(), "Redelivered".into());
            }
            value
        }
    }
}
