//! One connection that records everything it does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Deserialize;
use smol_str::SmolStr;

use crate::{
    api::{blamed_item, is_id},
    client::{Connection, Method, Target},
    outcome::{STARTING, classify},
};
use referee::Outcome;
use referee::history::{Entry, Kind, OrderFound, Scribe};

/// Between two attempts at connecting: often enough to see a restarted server at once, seldom enough not to flood it.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// A connection with its number and its pen.
#[derive(Debug)]
pub(super) struct Client {
    connection: Connection,
    number: u32,
    scribe: Scribe,
    ended: Arc<AtomicU64>,
}

/// What is asked for: the parts of an [`Entry`] that are known beforehand.
#[derive(Clone, Debug)]
pub(super) struct Request {
    kind: Kind,
    item: Option<SmolStr>,
    user: Option<SmolStr>,
    order: Option<SmolStr>,
    amount: Option<u64>,
}

impl Request {
    fn of(kind: Kind) -> Self {
        Self { kind, item: None, user: None, order: None, amount: None }
    }

    pub(super) fn of_item(kind: Kind, item: u32, amount: Option<u64>) -> Self {
        Self { item: Some(number(item)), amount, ..Self::of(kind) }
    }

    pub(super) fn of_user(kind: Kind, user: u32, amount: Option<u64>) -> Self {
        Self { user: Some(number(user)), amount, ..Self::of(kind) }
    }

    pub(super) fn of_order(kind: Kind, order: &SmolStr) -> Self {
        Self { order: Some(order.clone()), ..Self::of(kind) }
    }

    pub(super) fn add_item(order: &SmolStr, item: u32, quantity: u64) -> Self {
        Self { item: Some(number(item)), amount: Some(quantity), ..Self::of_order(Kind::AddItem, order) }
    }

    fn method(&self) -> Method {
        match self.kind {
            Kind::FindItem | Kind::FindUser | Kind::FindOrder => Method::Get,
            _ => Method::Post,
        }
    }

    fn write_path(&self, path: &mut Vec<u8>) {
        path.extend_from_slice(match self.kind {
            Kind::AddStock => b"/stock/add",
            Kind::SubtractStock => b"/stock/subtract",
            Kind::FindItem => b"/stock/find",
            Kind::AddFunds => b"/payment/add_funds",
            Kind::Pay => b"/payment/pay",
            Kind::FindUser => b"/payment/find_user",
            Kind::CreateOrder => b"/orders/create",
            Kind::AddItem => b"/orders/addItem",
            Kind::Checkout => b"/orders/checkout",
            Kind::FindOrder => b"/orders/find",
        });
        for part in [&self.order, &self.item, &self.user].into_iter().flatten() {
            path.push(b'/');
            path.extend_from_slice(part.as_bytes());
        }
        if let Some(amount) = self.amount {
            path.push(b'/');
            path.extend_from_slice(itoa::Buffer::new().format(amount).as_bytes());
        }
    }
}

fn number(number: u32) -> SmolStr {
    SmolStr::new(itoa::Buffer::new().format(number))
}

#[derive(Deserialize)]
struct Created {
    order_id: SmolStr,
}

#[derive(Deserialize)]
struct FoundItem {
    stock: i64,
}

#[derive(Deserialize)]
struct FoundUser {
    credit: i64,
}

impl Client {
    pub(super) fn new(
        target: &Arc<Target>,
        timeout: Duration,
        number: u32,
        scribe: Scribe,
        ended: Arc<AtomicU64>,
    ) -> Self {
        Self { connection: Connection::new(Arc::clone(target), timeout), number, scribe, ended }
    }

    /// How many operations have ended, over all clients.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Connects, again and again until `until`; false when it could not. Nothing is sent without a connection, so what
    /// could not connect is no operation.
    pub(super) async fn open(&mut self, until: Instant) -> bool {
        while self.connection.ensure_open().await.is_err() {
            if Instant::now() + CONNECT_PAUSE >= until {
                return false;
            }
            tokio::time::sleep(CONNECT_PAUSE).await;
        }
        true
    }

    /// Sends a request, records what became of it, and returns that. Nothing is recorded of what a server that is starting turned away.
    pub(super) async fn send(&mut self, request: Request) -> Entry {
        let sent = Instant::now();
        let end = self.connection.exchange(request.method(), |path| request.write_path(path)).await;
        let ended = Instant::now();
        let (mut outcome, mut reason) = classify(&end);
        let Request { kind, mut item, user, mut order, amount } = request;
        let (mut value, mut found) = (None, None);
        let body = end.as_ref().map_or(&b""[..], |answer| answer.body);
        if outcome == Outcome::Succeeded {
            let understood = match kind {
                Kind::FindItem => parse(body).map(|read: FoundItem| value = Some(read.stock)),
                Kind::FindUser => parse(body).map(|read: FoundUser| value = Some(read.credit)),
                Kind::FindOrder => parse(body).map(|read: OrderFound| found = Some(read)),
                Kind::CreateOrder => parse(body).filter(|created: &Created| is_id(&created.order_id)).map(|created| {
                    order = Some(created.order_id);
                }),
                _ => Some(()),
            };
            if understood.is_none() {
                // An answer that cannot be read tells nothing.
                (outcome, reason) = (Outcome::Unknown, Some(SmolStr::new_static("malformed")));
            }
        } else if kind == Kind::Checkout && outcome == Outcome::Refused {
            item = blamed_item(body);
        }
        let entry = Entry {
            op: kind,
            client: self.number,
            start: self.scribe.nanoseconds(sent),
            end: self.scribe.nanoseconds(ended),
            outcome,
            reason,
            item,
            user,
            order,
            amount,
            value,
            found,
        };
        if entry.reason == Some(STARTING) {
            // No more an operation than one that could not connect.
            tokio::time::sleep(CONNECT_PAUSE).await;
            return entry;
        }
        self.scribe.record(entry.clone());
        self.ended.fetch_add(1, Ordering::Relaxed);
        entry
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(request: &Request) -> String {
        let mut path = Vec::new();
        request.write_path(&mut path);
        String::from_utf8(path).unwrap()
    }

    #[test]
    fn paths_are_those_of_the_api() {
        let order = SmolStr::new("a-b");
        for (request, expected) in [
            (Request::of_item(Kind::AddStock, 7, Some(3)), "/stock/add/7/3"),
            (Request::of_item(Kind::SubtractStock, 7, Some(3)), "/stock/subtract/7/3"),
            (Request::of_item(Kind::FindItem, 7, None), "/stock/find/7"),
            (Request::of_user(Kind::AddFunds, 2, Some(9)), "/payment/add_funds/2/9"),
            (Request::of_user(Kind::Pay, 2, Some(9)), "/payment/pay/2/9"),
            (Request::of_user(Kind::FindUser, 2, None), "/payment/find_user/2"),
            (Request::of_user(Kind::CreateOrder, 2, None), "/orders/create/2"),
            (Request::add_item(&order, 7, 2), "/orders/addItem/a-b/7/2"),
            (Request::of_order(Kind::Checkout, &order), "/orders/checkout/a-b"),
            (Request::of_order(Kind::FindOrder, &order), "/orders/find/a-b"),
        ] {
            assert_eq!(path(&request), expected);
        }
    }
}
