//! A refusal changes nothing, so it leaves nothing to commit.

use contract::{Amount, Checkout, CheckoutData, CheckoutId, Event, Id, ItemId, Line, OrderId, Quantity, UserId};
use saga::{Input, Outcome, Participant, RequestId, Solo, Timestamp};
use stock::{Command, Reply, Stock};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn item(number: u64) -> ItemId {
    ItemId(Id::from_number(number))
}

fn amount(value: u64) -> Amount {
    Amount::new(value).expect("an amount")
}

fn run(stock: &mut Solo<Stock>, request: u64, command: &Command) -> Outcome<Event, Reply> {
    stock.step(Input::Command { request: RequestId(request), command }, NOW)
}

/// Names a reply by what it refuses; `None` where it refuses nothing.
fn refusal(reply: &Reply) -> Option<&'static str> {
    match reply {
        Reply::Done | Reply::Created(_) | Reply::Found { .. } | Reply::Counted(_) => None,
        Reply::Unknown(_) => Some("unknown"),
        Reply::OutOfStock(_) => Some("out of stock"),
        Reply::TooLarge(_) => Some("too large"),
        Reply::Busy(_) => Some("busy"),
    }
}

fn check(outcome: &Outcome<Event, Reply>, what: &str, expected: &str) {
    let replies: Vec<_> = outcome.replies.iter().map(|(_, reply)| refusal(reply)).collect();
    assert_eq!(replies, [Some(expected)], "{what}");
    assert_eq!((outcome.written, outcome.events.len()), (0, 0), "{what} is refused as {expected}");
}

fn refuse(stock: &mut Solo<Stock>, command: &Command, expected: &str) {
    check(&run(stock, 99, command), &format!("{command:?}"), expected);
}

/// A checkout of one unit of item 1.
fn checkout(number: u128) -> Checkout {
    Checkout::from(CheckoutData {
        id: CheckoutId::from_random(number),
        order: OrderId(Id::from_number(1)),
        user: UserId(Id::from_number(1)),
        amount: amount(5),
        lines: vec![Line { item: item(1), quantity: Quantity::new(1).expect("a quantity") }],
        started_at_ms: 0,
        timeout_ms: 5000,
        request: None,
        caller: None,
    })
}

/// Item 1 with one unit.
fn one_unit() -> Solo<Stock> {
    let mut stock = Solo::new(Stock { parked_max: 1 }, 0, 1);
    run(&mut stock, 0, &Command::Initialise { items: vec![item(1)], stock: amount(1), price: amount(5) });
    stock
}

#[test]
fn no_refusal_leaves_anything_to_commit() {
    let mut stock = one_unit();
    refuse(&mut stock, &Command::Find { item: item(2) }, "unknown");
    refuse(&mut stock, &Command::Price { item: item(2) }, "unknown");
    refuse(&mut stock, &Command::Add { item: item(2), amount: amount(1) }, "unknown");
    refuse(&mut stock, &Command::Subtract { item: item(2), amount: amount(1) }, "unknown");
    refuse(&mut stock, &Command::Add { item: item(1), amount: Amount::MAX }, "too large");
    refuse(&mut stock, &Command::Subtract { item: item(1), amount: amount(2) }, "out of stock");
    stock.step(Input::Event(&Event::CheckoutStarted(checkout(1))), NOW);
    let set = Command::Initialise { items: vec![item(2), item(1)], stock: amount(1), price: amount(5) };
    refuse(&mut stock, &set, "busy");
    // One may wait, one who wants to take or a reader among them, until their patience is over.
    let take = Command::Subtract { item: item(1), amount: amount(1) };
    let waits = run(&mut stock, 7, &take);
    assert_eq!((waits.replies.len(), waits.written), (0, 0), "who waits is known in memory only");
    refuse(&mut stock, &take, "busy");
    let find = Command::Find { item: item(1) };
    let reads = run(&mut stock, 8, &find);
    assert_eq!((reads.replies.len(), reads.written), (0, 0), "who reads is known in memory only");
    for (request, command) in [(7, &take), (8, &find)] {
        let expired = stock.step(Input::Expired { request: RequestId(request), command }, NOW);
        check(&expired, &format!("the patience for {command:?}"), "busy");
        assert_eq!(stock.step(Input::Expired { request: RequestId(request), command }, NOW).written, 0);
    }
}

#[test]
fn other_services_may_read_and_change_nothing() {
    let (item, some) = (item(1), amount(1));
    for (command, is_allowed) in [
        (Command::Find { item: item.clone() }, true),
        (Command::Price { item: item.clone() }, true),
        (Command::Count, true),
        (Command::Create { item: item.clone(), price: some }, false),
        (Command::Initialise { items: vec![item.clone()], stock: some, price: some }, false),
        (Command::Add { item: item.clone(), amount: some }, false),
        (Command::Subtract { item, amount: some }, false),
    ] {
        assert_eq!(Stock::may_ask("order", &command), is_allowed, "{command:?}");
    }
}
