//! What the order service stores and sends, read from bytes that are not what it wrote.

use contract::{
    Amount, Checkout, CheckoutData, CheckoutId, Event, Id, ItemId, Line, OrderId, Quantity, Reason, Station, UserId,
};
use saga::conformance::codec::{check, limit_memory};
use sagamart_order::{Order, Reply, Stage};

fn item(name: &str) -> ItemId {
    ItemId(name.parse().expect("an id"))
}

fn line(name: &str, quantity: u64) -> Line {
    Line { item: item(name), quantity: Quantity::new(quantity).expect("a quantity") }
}

fn checkout() -> Checkout {
    Checkout::from(CheckoutData {
        id: CheckoutId::from_random(u128::MAX / 3),
        order: OrderId(Id::from_number(7)),
        user: UserId("a_user-1".parse().expect("an id")),
        amount: Amount::MAX,
        lines: vec![line("0", 1), line("an-item", 70_000)],
        started_at_ms: 1_700_000_000_000,
        timeout_ms: 5_000,
    })
}

fn orders() -> Vec<Order> {
    let empty = Order::new(UserId(Id::from_number(3)));
    let full = Order {
        lines: (0..100).map(|number| line(&format!("item-{number}"), number + 1)).collect(),
        total_cost: Amount::new(123_456).expect("an amount"),
        attempts: 3,
        ..empty.clone()
    };
    let running = Order { stage: Stage::InCheckout(checkout()), ..full.clone() };
    vec![empty.clone(), full, running, Order { stage: Stage::Paid, ..empty }]
}

#[test]
fn events_are_read_or_refused() {
    limit_memory();
    let station = Station { partition: 3, is_last: true };
    let reasons = [
        Reason::OutOfStock { item: item("0") },
        Reason::UnknownItem { item: item("x") },
        Reason::NotEnoughCredit,
        Reason::UnknownUser,
        Reason::Busy,
        Reason::Timeout,
    ];
    let cancelled = reasons.map(|reason| Event::CheckoutCancelled(checkout(), reason));
    let others = [
        Event::CheckoutStarted(checkout()),
        Event::CheckoutCompleted(checkout()),
        Event::StockReserved(checkout(), station),
        Event::StockRefused(checkout(), station, Reason::Busy),
        Event::StockWithdrawn(checkout(), station),
        Event::PaymentAuthorized(checkout()),
        Event::PaymentRefused(checkout(), Reason::NotEnoughCredit),
    ];
    check(&[&cancelled[..], &others].concat(), include_str!("corpus/event.txt"));
}

#[test]
fn orders_are_read_or_refused() {
    limit_memory();
    check(&orders(), include_str!("corpus/order.txt"));
}

#[test]
fn replies_are_read_or_refused() {
    limit_memory();
    let order = OrderId(Id::from_number(7));
    let found = orders().into_iter().map(|order| Reply::Found { order });
    let mut replies: Vec<Reply> = found.collect();
    replies.extend([
        Reply::Done,
        Reply::Created(order.clone()),
        Reply::Unknown(order),
        Reply::InCheckout,
        Reply::Paid,
        Reply::TooManyLines,
        Reply::TooLarge,
        Reply::Empty,
        Reply::Cancelled(Reason::OutOfStock { item: item("0") }),
    ]);
    check(&replies, "");
}
