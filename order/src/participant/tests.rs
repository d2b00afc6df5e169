//! What no caller of a single process can bring about: copies of a request that arrive late.

use std::time::Duration;

use contract::{
    Amount, CheckoutId, Event, Id, ItemId, Line, OrderId, Quantity, Reason, RequestName, Shortage, Station, UserId,
    Wait,
};
use saga::{Input, RequestId, Solo, Timestamp};

use super::{Command, NewOrder, Orders, Reply};
use crate::{
    Metrics,
    record::{OrderKey, Stage},
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn order() -> OrderId {
    OrderId(Id::from_number(1))
}

fn checkout(request: u128) -> Command {
    Command::Checkout {
        order: order(),
        attempt: CheckoutId::from_random(request),
        asked: request as u64,
        request: None,
        caller: None,
    }
}

fn shop() -> Solo<Orders> {
    let mut orders = Solo::new(Orders::new(Duration::from_secs(5), Metrics::default()), 0, 1);
    let line = Line { item: ItemId(Id::from_number(1)), quantity: Quantity::new(1).expect("a quantity") };
    let cost = Amount::new(5).expect("an amount");
    let new = NewOrder { order: order(), user: UserId(Id::from_number(1)), lines: vec![line], total_cost: cost };
    ask(&mut orders, 0, &Command::Initialise { orders: vec![new] });
    orders
}

fn late(floor: u64, may_be_paid: bool) -> Reply {
    Reply::Late { floor, may_be_paid }
}

/// What a command is answered at once, and whether it began an attempt.
fn ask(orders: &mut Solo<Orders>, request: u64, command: &Command) -> (Option<Reply>, bool) {
    let outcome = orders.step(Input::Command { request: RequestId(request), command }, NOW);
    let began = outcome.events.iter().any(|event| matches!(event, Event::CheckoutStarted(_)));
    (outcome.replies.into_iter().next().map(|(_, reply)| reply), began)
}

fn time_out(orders: &mut Solo<Orders>) -> Option<Reply> {
    let outcome = orders.step(Input::Deadline(&OrderKey(order())), NOW);
    outcome.replies.into_iter().next().map(|(_, reply)| reply)
}

#[test]
fn a_late_copy_of_a_refused_checkout_begins_nothing_and_is_told_the_same() {
    let (mut orders, refused) = (shop(), Reply::Cancelled(Reason::Timeout));
    assert_eq!(ask(&mut orders, 1, &checkout(7)), (None, true));
    assert_eq!(ask(&mut orders, 2, &checkout(7)), (None, false), "it joins");
    assert_eq!(time_out(&mut orders), Some(refused.clone()));
    assert_eq!(ask(&mut orders, 3, &checkout(7)), (Some(refused.clone()), false), "it was answered already");
    // Another request begins another attempt, after which the first one's copies still begin none.
    assert_eq!(ask(&mut orders, 4, &checkout(8)), (None, true));
    assert_eq!(time_out(&mut orders), Some(refused.clone()));
    for request in [7, 8] {
        assert_eq!(ask(&mut orders, 5, &checkout(request)), (Some(refused.clone()), false), "request {request}");
    }
    assert_eq!(ask(&mut orders, 6, &checkout(9)), (None, true), "whoever tries anew");
}

fn cancel_of(order: OrderId) -> Command {
    let [by, because] = ["alice", "no longer wanted"].map(|text| text.parse().expect("a remark"));
    Command::Cancel { order, by, because }
}

fn cancel(orders: &mut Solo<Orders>) -> (Vec<Event>, Vec<Reply>) {
    let command = cancel_of(order());
    let outcome = orders.step(Input::Command { request: RequestId(99), command: &command }, NOW);
    (outcome.events, outcome.replies.into_iter().map(|(_, reply)| reply).collect())
}

#[test]
fn an_operator_ends_the_attempt_that_runs_and_nothing_else() {
    let mut orders = shop();
    assert_eq!(cancel(&mut orders), (Vec::new(), vec![Reply::NoCheckout]), "none runs");
    let asked = Input::Command { request: RequestId(1), command: &checkout(7) };
    let begun = orders.step(asked, NOW).events;
    let [Event::CheckoutStarted(running)] = &begun[..] else { panic!("{begun:?}") };
    let [by, because] = ["alice", "no longer wanted"].map(|text| text.parse().expect("a remark"));
    let reason = Reason::CancelledByOperator { by, because };
    let (events, replies) = cancel(&mut orders);
    assert_eq!(events, [Event::CheckoutCancelled(running.clone(), reason.clone(), None)]);
    assert_eq!(replies, [Reply::Cancelled(reason.clone()), Reply::Done], "whoever waits, and the operator");
    // What comes of it later changes nothing.
    let late = orders.step(Input::Event(&Event::PaymentAuthorized(running.clone())), NOW);
    assert_eq!((late.events, late.replies.len()), (Vec::new(), 0));
    assert_eq!(time_out(&mut orders), None);
    assert_eq!(ask(&mut orders, 2, &checkout(7)), (Some(Reply::Cancelled(reason)), false), "a copy is told the same");
    assert_eq!(cancel(&mut orders), (Vec::new(), vec![Reply::NoCheckout]));

    assert_eq!(ask(&mut orders, 3, &checkout(8)), (None, true), "whoever tries anew");
    let [(_, record)] = orders.records()[..] else { panic!("one order") };
    let Stage::InCheckout(running) = record.stage.clone() else { panic!("it runs") };
    orders.step(Input::Event(&Event::PaymentAuthorized(running)), NOW);
    assert_eq!(cancel(&mut orders), (Vec::new(), vec![Reply::Paid]), "it is decided");
}

#[test]
fn an_order_remembers_a_bounded_number_of_cancelled_attempts_and_no_copy_of_any_begins_another() {
    let mut orders = shop();
    for request in 100..120 {
        assert_eq!(ask(&mut orders, 1, &checkout(request)), (None, true));
        assert!(time_out(&mut orders).is_some());
    }
    let [(_, record)] = orders.records()[..] else { panic!("one order") };
    assert_eq!(record.cancelled.len(), 4);
    for request in 100..116 {
        assert_eq!(ask(&mut orders, 1, &checkout(request)), (Some(late(119, false)), false), "request {request}");
    }
    for request in 116..120 {
        let told = (Some(Reply::Cancelled(Reason::Timeout)), false);
        assert_eq!(ask(&mut orders, 1, &checkout(request)), told, "request {request}");
    }
}

#[test]
fn whoever_has_a_slow_clock_and_no_copies_under_way_asks_anew() {
    let mut orders = shop();
    for request in 100..120 {
        assert_eq!(ask(&mut orders, 1, &checkout(request)), (None, true));
        assert!(time_out(&mut orders).is_some());
    }
    let slow = checkout(7);
    let (reply, began) = ask(&mut orders, 1, &slow);
    assert!(!began);
    let anew = slow.asked_anew(&reply.expect("at once")).expect("it came late");
    assert_eq!(ask(&mut orders, 1, &anew), (None, true));
    assert!(time_out(&mut orders).is_some());
    let told = (Some(Reply::Cancelled(Reason::Timeout)), false);
    assert_eq!(ask(&mut orders, 1, &slow), told, "the copy it made before");
    assert_eq!(slow.asked_anew(&Reply::InCheckout), None);
}

#[test]
fn an_order_that_is_set_anew_begins_nothing_that_was_asked_before() {
    let set = |orders: &mut Solo<Orders>| {
        let new = NewOrder {
            order: order(),
            user: UserId(Id::from_number(1)),
            lines: vec![Line { item: ItemId(Id::from_number(1)), quantity: Quantity::new(1).expect("a quantity") }],
            total_cost: Amount::new(5).expect("an amount"),
        };
        assert_eq!(ask(orders, 0, &Command::Initialise { orders: vec![new] }), (Some(Reply::Done), false));
    };
    let mut orders = shop();
    assert_eq!(ask(&mut orders, 1, &checkout(7)), (None, true));
    let first = running(&orders);
    assert!(time_out(&mut orders).is_some());
    set(&mut orders);
    assert_eq!(ask(&mut orders, 2, &checkout(7)), (Some(late(7, false)), false), "it was refused");
    // Asked anew by whoever was not answered, it gets a name that no decision is about.
    let anew = checkout(7).asked_anew(&late(7, false)).expect("it came late");
    assert_eq!(ask(&mut orders, 3, &anew), (None, true));
    let second = running(&orders);
    assert_ne!(first.id, second.id);
    orders.step(Input::Event(&Event::PaymentAuthorized(second)), NOW);
    set(&mut orders);
    assert_eq!(ask(&mut orders, 4, &anew), (Some(late(8, true)), false), "it was paid");
    assert_eq!(anew.asked_anew(&late(8, true)), None);
    assert_eq!(ask(&mut orders, 5, &checkout(9)), (None, true));
}

/// Names a reply by what it refuses; `None` where it refuses nothing.
fn refusal(reply: &Reply) -> Option<&'static str> {
    match reply {
        Reply::Done | Reply::Created(_) | Reply::Found { .. } => None,
        Reply::Unknown(_) => Some("unknown"),
        Reply::InCheckout => Some("in checkout"),
        Reply::Paid => Some("paid"),
        Reply::TooManyLines => Some("too many lines"),
        Reply::TooLarge => Some("too large"),
        Reply::Empty => Some("empty"),
        Reply::Cancelled(_) => Some("cancelled"),
        Reply::Late { .. } => Some("late"),
        Reply::NoCheckout => Some("no checkout"),
    }
}

/// Runs a command that has to be refused as said, and to leave nothing to commit.
fn refuse(orders: &mut Solo<Orders>, command: &Command, expected: &str) {
    let outcome = orders.step(Input::Command { request: RequestId(99), command }, NOW);
    let replies: Vec<_> = outcome.replies.iter().map(|(_, reply)| refusal(reply)).collect();
    assert_eq!(replies, [Some(expected)], "{command:?}");
    assert_eq!((outcome.written, outcome.events), (0, Vec::new()), "{command:?} is refused as {expected}");
}

#[test]
fn no_refusal_leaves_anything_to_commit() {
    let (quantity, amount) =
        (|units| Quantity::new(units).expect("a quantity"), |value| Amount::new(value).expect("an amount"));
    let other = || OrderId(Id::from_number(2));
    let add = |to: OrderId, quantity, price| Command::AddItem {
        order: to,
        item: ItemId(Id::from_number(1)),
        quantity,
        price,
    };
    let add_one = |to: OrderId| add(to, quantity(1), amount(1));
    let set = |to: OrderId, lines| {
        let new = NewOrder { order: to, user: UserId(Id::from_number(1)), lines, total_cost: amount(5) };
        Command::Initialise { orders: vec![new] }
    };
    let line = |units| Line { item: ItemId(Id::from_number(1)), quantity: quantity(units) };
    let mut orders = shop();
    refuse(&mut orders, &Command::Find { order: other() }, "unknown");
    refuse(&mut orders, &add_one(other()), "unknown");
    refuse(&mut orders, &cancel_of(other()), "unknown");
    refuse(&mut orders, &cancel_of(order()), "no checkout");
    refuse(
        &mut orders,
        &Command::Checkout {
            order: other(),
            attempt: CheckoutId::from_random(1),
            asked: 1,
            request: None,
            caller: None,
        },
        "unknown",
    );
    refuse(&mut orders, &add(order(), quantity(Amount::MAX.get()), amount(1)), "too large");
    refuse(&mut orders, &add(order(), quantity(1), Amount::MAX), "too large");
    ask(&mut orders, 1, &set(order(), vec![line(1); contract::LINES_MAX]));
    refuse(&mut orders, &add_one(order()), "too many lines");
    ask(&mut orders, 1, &set(order(), Vec::new()));
    refuse(&mut orders, &checkout(1), "empty");
    ask(&mut orders, 1, &set(order(), vec![line(Amount::MAX.get()); 2]));
    refuse(&mut orders, &checkout(1), "too large");
    ask(&mut orders, 1, &set(order(), vec![line(1)]));
    assert_eq!(ask(&mut orders, 1, &checkout(7)), (None, true));
    refuse(&mut orders, &add_one(order()), "in checkout");
    refuse(&mut orders, &set(order(), Vec::new()), "in checkout");
    assert!(time_out(&mut orders).is_some());
    refuse(&mut orders, &checkout(7), "cancelled");
    assert_eq!(ask(&mut orders, 1, &checkout(8)), (None, true));
    let first = running(&orders);
    orders.step(Input::Event(&Event::PaymentAuthorized(first)), NOW);
    refuse(&mut orders, &add_one(order()), "paid");
    refuse(&mut orders, &cancel_of(order()), "paid");
    orders.step(Input::Command { request: RequestId(1), command: &set(order(), vec![line(1)]) }, NOW);
    refuse(&mut orders, &checkout(8), "late");
    assert_eq!(ask(&mut orders, 1, &checkout(9)), (None, true));
    let running = running(&orders);
    orders.step(Input::Event(&Event::PaymentAuthorized(running.clone())), NOW);
    // What is no refusal, but changes nothing either.
    assert_eq!(ask(&mut orders, 1, &checkout(9)), (Some(Reply::Done), false));
    for input in [Input::Event(&Event::PaymentAuthorized(running)), Input::Deadline(&OrderKey(order()))] {
        assert_eq!(orders.step(input, NOW).written, 0, "the attempt was decided");
    }
}

/// The attempt that runs.
fn running(orders: &Solo<Orders>) -> contract::Checkout {
    let records = orders.records();
    let mut stages = records.iter().filter_map(|(_, record)| match &record.stage {
        Stage::InCheckout(checkout) => Some(checkout.clone()),
        Stage::Open | Stage::Paid => None,
    });
    stages.next_back().expect("a running attempt")
}

#[test]
fn a_cancel_says_what_was_too_little_and_a_timeout_says_nothing_of_it() {
    let mut orders = shop();
    let cancelled = |orders: &mut Solo<Orders>, request, input: fn(contract::Checkout) -> Option<Event>| {
        ask(orders, request, &checkout(request.into()));
        let running = running(orders);
        let key = OrderKey(order());
        let event = input(running.clone());
        let outcome = orders.step(event.as_ref().map_or(Input::Deadline(&key), Input::Event), NOW);
        (running, outcome.events)
    };
    let shortage = Some(Shortage::new(5, 4));
    let (running, told) = cancelled(&mut orders, 7, |running| {
        Some(Event::PaymentRefused(running, Reason::NotEnoughCredit, Some(Shortage::new(5, 4))))
    });
    assert_eq!(told, [Event::CheckoutCancelled(running, Reason::NotEnoughCredit, shortage)]);
    let (running, told) = cancelled(&mut orders, 8, |_| None);
    assert_eq!(told, [Event::CheckoutCancelled(running, Reason::Timeout, None)]);
}

#[test]
fn what_is_only_observed_decides_nothing() {
    let mut orders = shop();
    ask(&mut orders, 1, &checkout(7));
    let wait = Wait::new(5, 4, 0);
    let running = running(&orders);
    let (item, station) = (running.lines[0].item.clone(), Station { partition: 0, is_last: true });
    for event in [Event::PaymentParked(running.clone(), wait), Event::StockParked(running, station, item, wait)] {
        let outcome = orders.step(Input::Event(&event), NOW);
        assert_eq!((outcome.events.len(), outcome.replies.len(), outcome.written), (0, 0, 0), "{event:?}");
    }
}

#[test]
fn whoever_joins_an_attempt_leaves_nothing_to_commit() {
    let mut orders = shop();
    assert_eq!(ask(&mut orders, 1, &checkout(7)), (None, true));
    let joined = orders.step(Input::Command { request: RequestId(2), command: &checkout(8) }, NOW);
    assert_eq!((joined.replies, joined.events, joined.written), (Vec::new(), Vec::new(), 0));
    let told = orders.step(Input::Deadline(&OrderKey(order())), NOW).replies;
    assert_eq!(told.iter().map(|(request, _)| request.0).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn whoever_joined_an_attempt_that_was_refused_begins_none_by_a_late_copy() {
    let mut orders = shop();
    assert_eq!(ask(&mut orders, 1, &checkout(8)), (None, true));
    assert_eq!(ask(&mut orders, 2, &checkout(7)), (None, false), "it joins");
    let told = orders.step(Input::Deadline(&OrderKey(order())), NOW).replies;
    assert_eq!(told.len(), 2);
    assert_eq!(ask(&mut orders, 3, &checkout(7)), (Some(late(8, false)), false));
}

#[test]
fn the_decision_knows_what_the_request_is_called_though_the_vote_does_not() {
    let (mut orders, name) = (shop(), RequestName::new("of-the-client"));
    let Command::Checkout { order, attempt, asked, .. } = checkout(7) else { panic!("a checkout") };
    let command = Command::Checkout { order, attempt, asked, request: name.clone(), caller: None };
    let outcome = orders.step(Input::Command { request: RequestId(1), command: &command }, NOW);
    let [Event::CheckoutStarted(started)] = outcome.events.as_slice() else { panic!("{outcome:?}") };
    // As another process tells of it.
    let told = minicbor::decode(&minicbor::to_vec(started).expect("it encodes")).expect("it decodes");
    let vote = Event::PaymentRefused(told, Reason::NotEnoughCredit, None);
    let outcome = orders.step(Input::Event(&vote), NOW);
    let [Event::CheckoutCancelled(cancelled, ..)] = outcome.events.as_slice() else { panic!("{outcome:?}") };
    assert_eq!((&cancelled.request, cancelled.id), (&name, started.id));
    assert_eq!(vote.checkout().expect("it is about one").request, None);
}
