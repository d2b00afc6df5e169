use std::time::Duration;

use contract::{Amount, CheckoutData, Id, OrderId, Reason, Station, UserId};

use super::*;

const START: u64 = 1_700_000_000_000;

fn collector(share: f64) -> Collector {
    Collector::new(Sampling { share, slow: Duration::from_secs(1) }, Counts::default())
}

fn checkout(number: u64) -> Checkout {
    let data = CheckoutData {
        id: CheckoutId::from_random(u128::from(number + 1) << 64 | u128::from(number) << 32),
        order: OrderId(Id::from_number(number)),
        user: UserId(Id::from_number(1)),
        amount: Amount::default(),
        lines: Vec::new(),
        started_at_ms: START,
        timeout_ms: 5000,
        request: None,
        caller: None,
    };
    data.into()
}

/// What was due in each of so many ticks.
fn ticks(collector: &Collector, count: usize) -> Vec<usize> {
    (0..count).map(|_| collector.tick().len()).collect()
}

#[test]
fn without_a_share_there_are_traces_of_what_was_refused_or_slow() {
    let collector = collector(0.0);
    for (number, took) in [(1, 3), (2, 999), (3, 1000)] {
        collector.heard(&Event::CheckoutStarted(checkout(number)), START, 0);
        collector.heard(&Event::CheckoutCompleted(checkout(number)), START + took, 0);
    }
    collector.heard(&Event::CheckoutStarted(checkout(4)), START, 0);
    collector.heard(&Event::CheckoutCancelled(checkout(4), Reason::Busy, None), START, 0);
    assert_eq!(collector.tick(), []);
    let mut orders: Vec<_> = collector.tick().iter().map(|story| story.checkout.order.to_string()).collect();
    orders.sort_unstable();
    assert_eq!(orders, ["3", "4"]);
    assert_eq!(collector.lock().checkouts.len(), 0, "of the others nothing is kept");
}

#[test]
fn what_is_heard_after_the_decision_or_twice_is_in_the_trace_once() {
    let collector = collector(1.0);
    let station = Station { partition: 3, is_last: true };
    collector.heard(&Event::CheckoutCompleted(checkout(1)), START + 4, 0);
    for _ in 0..2 {
        collector.heard(&Event::CheckoutStarted(checkout(1)), START, 0);
        collector.heard(&Event::StockReserved(checkout(1), station), START + 1, 3);
    }
    assert_eq!(collector.tick(), []);
    collector.heard(&Event::PaymentAuthorized(checkout(1)), START + 2, 1);
    let due = collector.tick();
    let [story] = due.as_slice() else { panic!("{due:?}") };
    assert_eq!(story.happenings.len(), 4, "{story:?}");
    assert!(story.has_begun());
}

#[test]
fn more_than_a_tick_may_bring_is_counted() {
    let collector = collector(1.0);
    let many = u64::from(CHOSEN_PER_TICK_MAX) + 7;
    for number in 0..many {
        collector.heard(&Event::CheckoutCompleted(checkout(number)), START, 0);
    }
    assert_eq!((ticks(&collector, 3), collector.counts.of("rate")), (vec![0, CHOSEN_PER_TICK_MAX as usize, 0], 7));
}

#[test]
fn what_is_never_decided_is_forgotten_and_counted() {
    let collector = collector(1.0);
    collector.heard(&Event::CheckoutStarted(checkout(1)), START, 0);
    // It comes long after its decision was heard.
    collector.heard(&Event::PaymentAuthorized(checkout(2)), START, 0);
    ticks(&collector, 60);
    assert_eq!(collector.lock().checkouts.len(), 2, "it may be decided yet");
    ticks(&collector, 30);
    assert_eq!((collector.lock().checkouts.len(), collector.counts.of("undecided")), (0, 1));
}
