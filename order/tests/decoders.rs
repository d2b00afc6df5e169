//! What the order service stores and sends, read from bytes that are not what it wrote.

use std::ops::Deref;

use contract::{
    Amount, CallerSpan, Change, Checkout, CheckoutData, CheckoutId, Event, Id, ItemId, Line, OrderId, Quantity, Reason,
    Remark, Shortage, SpanId, Station, Sum, TraceId, UserId, Wait,
};
use order::{Order, Reply, Stage};
use saga::{
    Codec,
    conformance::codec::{check, limit_memory},
};

fn item(name: &str) -> ItemId {
    ItemId(name.parse().expect("an id"))
}

fn remark(text: &str) -> Remark {
    text.parse().expect("a remark")
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
        request: None,
        caller: None,
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
        Reason::CancelledByOperator { by: remark("alice"), because: remark("no longer wanted: “é”") },
    ];
    let cancelled = reasons.map(|reason| Event::CheckoutCancelled(checkout(), reason, None));
    let shortage = Some(Shortage::new(70_000, 69_999));
    let wait = Wait::new(70_000, 3, 12);
    let (items, users) = (vec![item("0"), item("an-item")], vec![checkout().user.clone()]);
    let caller =
        TraceId::new(u128::MAX / 3).zip(SpanId::new(7)).map(|(trace, span)| CallerSpan { trace, span: Some(span) });
    let others = [
        Event::CheckoutStarted(CheckoutData { caller, ..checkout().deref().clone() }.into()),
        Event::CheckoutStarted(checkout()),
        Event::CheckoutCompleted(checkout()),
        Event::StockReserved(checkout(), station),
        Event::CheckoutCancelled(checkout(), Reason::NotEnoughCredit, shortage),
        Event::StockRefused(checkout(), station, Reason::Busy, None),
        Event::StockRefused(checkout(), station, Reason::OutOfStock { item: item("0") }, shortage),
        Event::StockWithdrawn(checkout(), station),
        Event::PaymentAuthorized(checkout()),
        Event::PaymentRefused(checkout(), Reason::UnknownUser, None),
        Event::PaymentRefused(checkout(), Reason::NotEnoughCredit, shortage),
        Event::StockParked(checkout(), station, item("an-item"), wait),
        Event::PaymentParked(checkout(), wait),
        Event::StockChanged {
            items,
            change: Change::Added(Amount::MAX),
            total: Amount::MAX,
            price: Amount::default(),
            replaced: Sum::default(),
        },
        Event::CreditChanged {
            users,
            change: Change::Taken(Amount::default()),
            total: Amount::default(),
            replaced: Sum::default(),
        },
        Event::CreditChanged { users: Vec::new(), change: Change::Created, total: Amount::MAX, replaced: Sum(-1) },
        Event::CreditChanged { users: Vec::new(), change: Change::Set, total: Amount::MAX, replaced: Sum(i128::MAX) },
    ];
    check(&[&cancelled[..], &others].concat(), include_str!("corpus/event.txt"));
}

/// Events without numbers are written as they were before refusals carried any, byte for byte.
#[test]
fn refusals_without_numbers_are_written_as_ever() {
    let data = CheckoutData { lines: Vec::new(), ..checkout().deref().clone() };
    let encoded = |event: Event| {
        let mut bytes = Vec::new();
        event.encode_to(&mut bytes);
        bytes
    };
    let (mut plain, station) = (Vec::new(), Station { partition: 3, is_last: true });
    data.encode_to(&mut plain);
    let checkout = Checkout::from(data);
    // The format; an array of the variant and its fields.
    let before =
        |variant: u8, fields: u8, rest: &[u8]| [&[1, 0x82, variant, 0x80 + fields], &plain[1..], rest].concat();
    let busy = [0x82, 4, 0x80];
    let refused = before(4, 3, &[&[0x82, 3, 0xf5], &busy[..]].concat());
    for (event, bytes) in [
        (Event::StockRefused(checkout.clone(), station, Reason::Busy, None), refused),
        (Event::CheckoutCancelled(checkout.clone(), Reason::Busy, None), before(2, 2, &busy)),
        (Event::PaymentRefused(checkout, Reason::Busy, None), before(7, 2, &busy)),
    ] {
        assert_eq!(encoded(event.clone()), bytes, "{event:?}");
        assert_eq!(Event::decode_from(&bytes).expect("it is read as it was written before"), event);
    }
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
        Reply::NoCheckout,
    ]);
    check(&replies, "");
}
