//! Schedules that once broke a promise.

use sagamart_simulator::{Action, Address, Market, Operation, Order, Plan, Service, Shop};

/// Runs `schedule`, brings the market to rest, and checks everything on the way.
fn replay(plan: Plan, schedule: &[Action]) -> Market {
    let mut market = Market::new(plan);
    for action in schedule {
        assert!(market.apply(action), "{action:?} cannot happen");
        assert_eq!(market.violation(), None, "after {action:?}");
    }
    assert!(market.settle());
    assert_eq!((market.violation(), market.violation_at_rest()), (None, None), "{market:#?}");
    let (shop, operations) = (&market.plan().shop, &market.plan().operations);
    assert!(market.history().is_strictly_serializable(shop, operations), "{:?}", market.history());
    market
}

/// The second writer cancels the attempt, the first one asks again what it had not answered: that began the same
/// attempt a second time under the same name, and participants that had heard the first decision and not yet the word
/// before it took the second request for a repetition. It now begins none: it is told what became of the first.
#[test]
fn a_request_that_is_asked_again_begins_no_second_attempt() {
    let plan = Plan {
        shop: Shop { stock: vec![1], credit: vec![1], orders: vec![Order::new(0, [(0, 1)])] },
        operations: vec![Operation::Checkout { order: 0 }],
        deadlines: true,
        overtaken: vec![Service::Order],
        overtakes_max: 1,
        ..Plan::default()
    };
    let order = Address { service: Service::Order, partition: 0 };
    let schedule = [Action::Begin(0), Action::Overtake(order), Action::Deadline(0, 0), Action::Return(order)];
    let market = replay(plan, &schedule);
    assert!(!market.books().orders[0].paid, "its caller was told that it is not");
}
