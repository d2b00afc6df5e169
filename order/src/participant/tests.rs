//! What no caller of a single process can bring about: copies of a request that arrive late.

use std::time::Duration;

use contract::{Amount, CheckoutId, Event, Id, ItemId, Line, OrderId, Quantity, Reason, UserId};
use saga::{Input, RequestId, Solo, Timestamp};

use super::{Command, NewOrder, Orders, Reply};
use crate::{Metrics, record::OrderKey};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn order() -> OrderId {
    OrderId(Id::from_number(1))
}

fn checkout(request: u128) -> Command {
    Command::Checkout { order: order(), attempt: CheckoutId::from_random(request) }
}

fn shop() -> Solo<Orders> {
    let mut orders = Solo::new(Orders::new(Duration::from_secs(5), Metrics::default()), 0, 1);
    let line = Line { item: ItemId(Id::from_number(1)), quantity: Quantity::new(1).expect("a quantity") };
    let cost = Amount::new(5).expect("an amount");
    let new = NewOrder { order: order(), user: UserId(Id::from_number(1)), lines: vec![line], total_cost: cost };
    ask(&mut orders, 0, &Command::Initialise { orders: vec![new] });
    orders
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

#[test]
fn an_order_remembers_a_bounded_number_of_cancelled_attempts() {
    let mut orders = shop();
    for request in 0..20 {
        assert_eq!(ask(&mut orders, 1, &checkout(100 + request)), (None, true));
        assert!(time_out(&mut orders).is_some());
    }
    let [(_, record)] = orders.records()[..] else { panic!("one order") };
    assert_eq!(record.cancelled.len(), 4);
}
