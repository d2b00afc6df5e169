//! What stock says for those who observe it.

use contract::{
    Amount, Change, Checkout, CheckoutData, CheckoutId, Event, Id, ItemId, Line, OrderId, Quantity, Reason, Shortage,
    Station, Sum, UserId, Wait,
};
use saga::{Input, RequestId, Solo, Timestamp, hold::Totals};
use stock::{Command, Reply, Stock};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const ALONE: Station = Station { partition: 0, is_last: true };

fn item(number: u64) -> ItemId {
    ItemId(Id::from_number(number))
}

fn amount(value: u64) -> Amount {
    Amount::new(value).expect("an amount")
}

fn ask(stock: &mut Solo<Stock>, command: &Command) -> Vec<Event> {
    stock.step(Input::Command { request: RequestId(1), command }, NOW).events
}

fn hear(stock: &mut Solo<Stock>, event: &Event) -> Vec<Event> {
    stock.step(Input::Event(event), NOW).events
}

/// A checkout of so many units of item 1.
fn checkout(number: u128, units: u64) -> Checkout {
    Checkout::from(CheckoutData {
        id: CheckoutId::from_random(number),
        order: OrderId(Id::from_number(1)),
        user: UserId(Id::from_number(1)),
        amount: amount(5),
        lines: vec![Line { item: item(1), quantity: Quantity::new(units).expect("a quantity") }],
        started_at_ms: 0,
        timeout_ms: 5000,
        request: None,
        caller: None,
    })
}

fn changed(items: &[ItemId], change: Change, total: u64) -> [Event; 1] {
    [Event::StockChanged {
        items: items.to_vec(),
        change,
        total: amount(total),
        price: amount(7),
        replaced: Sum::default(),
    }]
}

/// The same for items that were set, and had so much before.
fn replaced(items: &[ItemId], before: i128, total: u64) -> [Event; 1] {
    let items = items.to_vec();
    [Event::StockChanged { items, change: Change::Set, total: amount(total), price: amount(7), replaced: Sum(before) }]
}

/// Items 1 and 2 with four units each.
fn four_of_each() -> Solo<Stock> {
    let mut stock = Solo::new(Stock::default(), 0, 1);
    let set = Command::Initialise { items: vec![item(1), item(2)], stock: amount(4), price: amount(7) };
    assert_eq!(ask(&mut stock, &set), changed(&[item(1), item(2)], Change::Set, 4));
    stock
}

#[test]
fn every_change_by_a_caller_is_one_event_with_the_units_after_it() {
    let mut stock = four_of_each();
    let nothing = Command::Initialise { items: Vec::new(), stock: amount(4), price: amount(7) };
    assert_eq!(ask(&mut stock, &nothing), []);
    let create = Command::Create { item: item(3), price: amount(7) };
    assert_eq!(ask(&mut stock, &create), changed(&[item(3)], Change::Created, 0));
    let add = Command::Add { item: item(3), amount: amount(9) };
    assert_eq!(ask(&mut stock, &add), changed(&[item(3)], Change::Added(amount(9)), 9));
    let take = Command::Subtract { item: item(3), amount: amount(2) };
    assert_eq!(ask(&mut stock, &take), changed(&[item(3)], Change::Taken(amount(2)), 7));
    for command in [Command::Find { item: item(3) }, Command::Price { item: item(3) }] {
        assert_eq!(ask(&mut stock, &command), [], "{command:?}");
    }
}

#[test]
fn units_that_a_caller_waits_for_are_told_of_when_they_are_taken() {
    let mut stock = four_of_each();
    hear(&mut stock, &Event::CheckoutStarted(checkout(1, 3)));
    let take = Command::Subtract { item: item(1), amount: amount(3) };
    assert_eq!(ask(&mut stock, &take), []);
    let told = hear(&mut stock, &Event::CheckoutCancelled(checkout(1, 3), Reason::Timeout, None));
    assert_eq!(told, changed(&[item(1)], Change::Taken(amount(3)), 1));
}

#[test]
fn a_checkout_that_waits_says_so_once_and_then_reserves() {
    let mut stock = four_of_each();
    let reserved = |number, units| [Event::StockReserved(checkout(number, units), ALONE)];
    assert_eq!(hear(&mut stock, &Event::CheckoutStarted(checkout(1, 3))), reserved(1, 3));
    let parked = |number, units, wait| [Event::StockParked(checkout(number, units), ALONE, item(1), wait)];
    assert_eq!(hear(&mut stock, &Event::CheckoutStarted(checkout(2, 2))), parked(2, 2, Wait::new(2, 1, 0)));
    assert_eq!(hear(&mut stock, &Event::CheckoutStarted(checkout(3, 1))), parked(3, 1, Wait::new(1, 1, 1)));
    let told = hear(&mut stock, &Event::CheckoutCancelled(checkout(1, 3), Reason::Timeout, None));
    assert_eq!(told, [reserved(2, 2), reserved(3, 1)].concat());
}

#[test]
fn a_refusal_says_what_was_wanted_and_what_was_left() {
    let mut stock = four_of_each();
    let short = |number, units, left| {
        let reason = Reason::OutOfStock { item: item(1) };
        [Event::StockRefused(checkout(number, units), ALONE, reason, Some(Shortage::new(units, left)))]
    };
    assert_eq!(hear(&mut stock, &Event::CheckoutStarted(checkout(1, 5))), short(1, 5, 4));
    // The same after a wait, when what it waited for is gone.
    hear(&mut stock, &Event::CheckoutStarted(checkout(2, 3)));
    hear(&mut stock, &Event::CheckoutStarted(checkout(3, 2)));
    assert_eq!(hear(&mut stock, &Event::CheckoutCompleted(checkout(2, 3))), short(3, 2, 1));
    let mut nowhere = Solo::new(Stock::default(), 0, 1);
    let unknown = Event::StockRefused(checkout(4, 1), ALONE, Reason::UnknownItem { item: item(1) }, None);
    assert_eq!(hear(&mut nowhere, &Event::CheckoutStarted(checkout(4, 1))), [unknown]);
}

#[test]
fn what_is_only_observed_asks_nothing_of_stock() {
    let mut stock = four_of_each();
    let [event] = changed(&[item(1)], Change::Taken(amount(4)), 0);
    let parked = Event::StockParked(checkout(1, 3), ALONE, item(1), Wait::new(3, 0, 0));
    for event in [event, parked] {
        let outcome = stock.step(Input::Event(&event), NOW);
        assert_eq!((outcome.events.len(), outcome.written), (0, 0), "{event:?}");
    }
}

#[test]
fn items_that_are_set_again_say_what_they_had_and_all_are_counted() {
    let mut stock = four_of_each();
    ask(&mut stock, &Command::Add { item: item(1), amount: amount(3) });
    let set = Command::Initialise { items: vec![item(1), item(2), item(3)], stock: amount(5), price: amount(7) };
    assert_eq!(ask(&mut stock, &set), replaced(&[item(1), item(2), item(3)], 7 + 4, 5));
    let begun = Event::CheckoutStarted(checkout(1, 2));
    hear(&mut stock, &begun);
    let counted = |stock: &mut Solo<Stock>| {
        let replies = stock.step(Input::Command { request: RequestId(1), command: &Command::Count }, NOW).replies;
        replies.into_iter().map(|(_, reply)| reply).collect::<Vec<_>>()
    };
    let totals = Totals { accounts: 3, total: 15, held: 2, shortfall: 0 };
    assert_eq!(counted(&mut stock), [Reply::Counted(totals)]);
    hear(&mut stock, &Event::CheckoutCompleted(checkout(1, 2)));
    assert_eq!(counted(&mut stock), [Reply::Counted(Totals { total: 13, held: 0, ..totals })]);
}
