//! Random plans under random schedules, with every fault that a plan can have: whatever happens, the invariants hold
//! after every step, everything comes to rest, and one bookkeeper could have told the clients what they were told.

use std::collections::BTreeSet;

use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{FileFailurePersistence, TestCaseResult, TestRunner},
};
use sagamart_simulator::{Action, Entry, Market, Mutant, Operation, Order, Outcome, Partitions, Plan, Service, Shop};

const ITEMS: usize = 3;
const USERS: usize = 2;
const ORDERS: usize = 3;

fn order() -> impl Strategy<Value = Order> {
    (0..USERS, vec((0..ITEMS, 1_u64..3), 0..4)).prop_map(|(user, lines)| Order::new(user, lines))
}

fn operation() -> impl Strategy<Value = Operation> {
    let (order, item, user) = (0..ORDERS, 0..ITEMS, 0..USERS);
    prop_oneof![
        8 => order.clone().prop_map(|order| Operation::Checkout { order }),
        2 => order.clone().prop_map(|order| Operation::FindOrder { order }),
        2 => (order, item.clone(), 1_u64..3)
            .prop_map(|(order, item, quantity)| Operation::AddItem { order, item, quantity }),
        2 => item.clone().prop_map(|item| Operation::FindItem { item }),
        1 => (item.clone(), 1_u64..3).prop_map(|(item, quantity)| Operation::Add { item, quantity }),
        2 => (item, 1_u64..4).prop_map(|(item, quantity)| Operation::Subtract { item, quantity }),
        2 => user.clone().prop_map(|user| Operation::FindUser { user }),
        1 => (user.clone(), 1_u64..3).prop_map(|(user, amount)| Operation::AddFunds { user, amount }),
        2 => (user, 1_u64..4).prop_map(|(user, amount)| Operation::Pay { user, amount }),
    ]
}

fn domains() -> impl Strategy<Value = Vec<Vec<Service>>> {
    use Service::{Order, Payment, Stock};
    prop::sample::select(vec![
        vec![],
        vec![vec![Order, Stock, Payment]],
        vec![vec![Order], vec![Stock], vec![Payment]],
        vec![vec![Order, Payment], vec![Stock]],
        vec![vec![Stock]],
    ])
}

prop_compose! {
    fn plan()(
        stock in vec(0_u64..4, ITEMS),
        credit in vec(0_u64..8, USERS),
        orders in vec(order(), ORDERS),
        partitions in (1_u16..3, 1_u16..4, 1_u16..3),
        placement in vec(0_u16..3, ITEMS),
        operations in vec(operation(), 1..9),
        parked_max in prop::sample::select(vec![0, 1, 2, 8]),
        deadlines in any::<bool>(),
        patience in any::<bool>(),
        domains in domains(),
        crashes_max in 0_u8..4,
        overtakes_max in 0_u8..3,
    ) -> Plan {
        Plan {
            shop: Shop { stock, credit, orders },
            partitions: Partitions::default()
                .with(Service::Order, partitions.0)
                .with(Service::Stock, partitions.1)
                .with(Service::Payment, partitions.2),
            placement: placement.into_iter().map(|place| place % partitions.1).collect(),
            operations,
            parked_max,
            deadlines,
            patience,
            domains,
            crashes_max,
            overtaken: vec![Service::Order, Service::Stock, Service::Payment],
            overtakes_max,
            ..Plan::default()
        }
    }
}

/// What a bulk command sets, while anything else is under way.
fn renewal() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (0..ORDERS).prop_map(|order| Operation::RenewOrder { order }),
        (0..ITEMS, 0_u64..4).prop_map(|(item, units)| Operation::RenewItem { item, units }),
        (0..USERS, 0_u64..8).prop_map(|(user, credit)| Operation::RenewUser { user, credit }),
    ]
}

prop_compose! {
    /// The same, with copies of checkouts that come after their answer, orders that remember few attempts, and bulk commands.
    fn plan_with_copies()(
        plan in plan(),
        copies_max in 0_u8..5,
        cancelled_max in prop::sample::select(vec![1, 2, 4]),
        renewals in vec((any::<prop::sample::Index>(), renewal()), 0..3),
    ) -> Plan {
        let mut plan = Plan { copies_max, cancelled_max, ..plan };
        for (place, renewal) in renewals {
            plan.operations.insert(place.index(plan.operations.len() + 1), renewal);
        }
        plan
    }
}

prop_compose! {
    /// The same, while an operator ends checkouts.
    fn plan_with_cancels()(
        plan in plan_with_copies(),
        cancels in vec((any::<prop::sample::Index>(), 0..ORDERS), 1..4),
    ) -> Plan {
        let mut plan = plan;
        for (place, order) in cancels {
            plan.operations.insert(place.index(plan.operations.len() + 1), Operation::Cancel { order });
        }
        plan
    }
}

/// What happens next.
#[derive(Clone, Debug)]
enum Choice {
    /// This one of what may happen, counted round.
    Action(usize),
    /// A delivery of these events, counted round: repeated, early, late or overlapping.
    Delivery { subscription: usize, from: u64, length: u64 },
}

fn schedule() -> impl Strategy<Value = Vec<Choice>> {
    let choice = prop_oneof![
        4 => any::<u16>().prop_map(|choice| Choice::Action(choice.into())),
        1 => (any::<u8>(), any::<u8>(), 1_u64..4).prop_map(|(subscription, from, length)| Choice::Delivery {
            subscription: subscription.into(),
            from: from.into(),
            length,
        }),
    ];
    vec(choice, 0..200)
}

fn action(market: &Market, choice: &Choice) -> Option<Action> {
    match *choice {
        Choice::Action(choice) => {
            let mut actions = Vec::new();
            market.actions(&mut actions);
            (!actions.is_empty()).then(|| actions[choice % actions.len()].clone())
        }
        Choice::Delivery { subscription, from, length } => {
            let subscriptions: Vec<_> = market.subscriptions().collect();
            let (consumer, source) = subscriptions[subscription % subscriptions.len()];
            let numbers = market.deliverable(consumer, source);
            let count = (numbers.end() + 1).saturating_sub(*numbers.start());
            let from = numbers.start() - 1 + from.checked_rem(count)?;
            let to = (from + length).min(*numbers.end());
            Some(Action::Deliver { consumer, source, from, to })
        }
    }
}

fn check(market: &Market) -> TestCaseResult {
    prop_assert_eq!(market.violation(), None);
    Ok(())
}

fn check_at_rest(market: &mut Market) -> TestCaseResult {
    prop_assert!(market.settle(), "it does not come to rest");
    check(market)?;
    prop_assert_eq!(market.violation_at_rest(), None, "{:#?}", market);
    let plan = market.plan();
    prop_assert!(
        market.history().is_strictly_serializable(&plan.shop, &plan.operations),
        "no bookkeeper could have given these answers: {:#?}",
        market.history().entries()
    );
    Ok(())
}

/// The schedule in words, for whoever has to understand a failure.
fn run(plan: Plan, schedule: &[Choice]) -> Result<Market, TestCaseError> {
    let mut market = Market::new(plan);
    let mut story = Vec::new();
    for choice in schedule {
        let Some(action) = action(&market, choice) else { continue };
        story.push(format!("{action:?}"));
        market.apply(&action);
        check(&market).map_err(|error| told(error, &story))?;
    }
    check_at_rest(&mut market).map_err(|error| told(error, &story))?;
    Ok(market)
}

fn told(error: TestCaseError, story: &[String]) -> TestCaseError {
    TestCaseError::fail(format!("{error}\nafter:\n  {}", story.join("\n  ")))
}

/// `PROPTEST_CASES` in the environment asks for another number.
fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schedules.regressions");
    let failure_persistence = Some(Box::new(FileFailurePersistence::Direct(kept)) as Box<_>);
    ProptestConfig { cases, failure_persistence, max_shrink_iters: 20_000, ..default }
}

proptest! {
    #![proptest_config(config(3_000))]

    #[test]
    fn every_schedule_keeps_the_promises(plan in plan(), schedule in schedule()) {
        run(plan, &schedule)?;
    }
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn late_copies_and_bulk_commands_keep_the_promises(plan in plan_with_copies(), schedule in schedule()) {
        run(plan, &schedule)?;
    }
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn an_operator_who_ends_checkouts_keeps_the_promises(plan in plan_with_cancels(), schedule in schedule()) {
        run(plan, &schedule)?;
    }
}

/// Otherwise the test before this one would show nothing.
#[test]
fn an_operator_ends_checkouts_comes_too_late_and_finds_none() {
    let mut unheard = BTreeSet::from(["Cancelled", "Paid", "NoCheckout"]);
    let mut runner = TestRunner::deterministic();
    for _ in 0..1_000 {
        let (plan, schedule) = (plan_with_cancels(), schedule()).new_tree(&mut runner).expect("a plan").current();
        let market = run(plan, &schedule).expect("the promises are kept");
        for entry in market.history().entries() {
            let Entry::Ended(operation, outcome) = entry else { continue };
            let is_cancel = matches!(market.plan().operations[*operation], Operation::Cancel { .. });
            let outcome = format!("{outcome:?}");
            unheard.retain(|name| *name != outcome || *name == "Paid" && !is_cancel);
        }
        if unheard.is_empty() {
            return;
        }
    }
    panic!("never heard: {unheard:?}");
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn repeating_every_message_changes_nothing(plan in plan(), schedule in schedule()) {
        let mut market = Market::new(plan);
        for choice in &schedule {
            let Some(action) = action(&market, choice) else { continue };
            market.apply(&action);
            repeat_every_message(&market)?;
        }
        check_at_rest(&mut market)?;
    }
}

/// Delivers every event that was consumed and is kept once more, alone and all together.
fn repeat_every_message(market: &Market) -> TestCaseResult {
    let mut actions = Vec::new();
    let mut repeated = market.clone();
    for (consumer, source) in market.subscriptions() {
        let consumed = market.consumed(consumer, source);
        let first = *market.deliverable(consumer, source).start();
        for from in first - 1..consumed {
            actions.push(Action::Deliver { consumer, source, from, to: from + 1 });
            actions.push(Action::Deliver { consumer, source, from, to: consumed });
        }
    }
    for action in actions {
        repeated.apply(&action);
    }
    prop_assert!(repeated == *market);
    Ok(())
}

/// Everything that the protocol can do is done by some schedule; what it must never do is checked after every step.
#[test]
fn the_schedules_reach_every_event_and_every_answer() {
    let mut unseen: BTreeSet<&str> = BTreeSet::from([
        "CheckoutStarted",
        "CheckoutCompleted",
        "CheckoutCancelled",
        "StockReserved",
        "StockRefused",
        "StockWithdrawn",
        "PaymentAuthorized",
        "PaymentRefused",
        "StockParked",
        "PaymentParked",
        "StockChanged",
        "CreditChanged",
        "parked",
        "unparked",
        "committed",
        "released",
        "tombstone",
    ]);
    let mut unheard: BTreeSet<&str> = BTreeSet::from([
        "Done",
        "Units",
        "Credit",
        "Found",
        "OutOfStock",
        "NotEnoughCredit",
        "Empty",
        "Paid",
        "InCheckout",
        "Busy",
        "Timeout",
    ]);
    let mut runner = TestRunner::deterministic();
    for _ in 0..1_000 {
        let (plan, schedule) = (plan(), schedule()).new_tree(&mut runner).expect("a plan").current();
        let market = run(plan, &schedule).expect("the promises are kept");
        unseen.retain(|mark| !market.seen().contains(mark));
        for entry in market.history().entries() {
            let Entry::Ended(_, outcome) = entry else { continue };
            let outcome = format!("{outcome:?}");
            unheard.retain(|name| !outcome.starts_with(name));
        }
    }
    assert!(unseen.is_empty() && unheard.is_empty(), "never seen: {unseen:?}, never heard: {unheard:?}");
}

/// Copies of checkouts that ended in each way come, and bulk commands are carried out and refused.
#[test]
fn the_schedules_reach_late_copies_and_bulk_commands() {
    let mut missed: BTreeSet<String> = BTreeSet::new();
    for renewed in ["order", "item", "user"] {
        missed.extend([format!("{renewed} set"), format!("{renewed} in use")]);
    }
    missed.extend(["Done", "OutOfStock", "NotEnoughCredit", "Busy", "Timeout"].map(|told| format!("copy of {told}")));
    let mut runner = TestRunner::deterministic();
    for _ in 0..1_000 {
        let (plan, schedule) = (plan_with_copies(), schedule()).new_tree(&mut runner).expect("a plan").current();
        let mut market = Market::new(plan);
        for choice in &schedule {
            let Some(action) = action(&market, choice) else { continue };
            if let Action::Copy(operation) = action
                && let Some(outcome) = market.history().outcome(operation)
            {
                let told = format!("{outcome:?}");
                missed.remove(&format!("copy of {}", told.split('(').next().unwrap_or_default()));
            }
            market.apply(&action);
        }
        for (operation, asked) in market.plan().operations.iter().enumerate() {
            let renewed = match asked {
                Operation::RenewOrder { .. } => "order",
                Operation::RenewItem { .. } => "item",
                Operation::RenewUser { .. } => "user",
                _ => continue,
            };
            match market.history().outcome(operation) {
                Some(Outcome::Done) => drop(missed.remove(&format!("{renewed} set"))),
                Some(Outcome::Busy | Outcome::InCheckout) => drop(missed.remove(&format!("{renewed} in use"))),
                _ => {}
            }
        }
    }
    assert!(missed.is_empty(), "never: {missed:?}");
}

/// A search that never finds anything proves nothing.
#[test]
fn without_their_guards_late_copies_and_bulk_commands_are_found_out() {
    for mutant in [Mutant::ForgetsFloor, Mutant::RenewsBusy] {
        let mut runner = TestRunner::deterministic();
        let is_found = (0..20_000).any(|_| {
            let (plan, schedule) = (plan_with_copies(), schedule()).new_tree(&mut runner).expect("a plan").current();
            run(Plan { mutant: Some(mutant), ..plan }, &schedule).is_err()
        });
        assert!(is_found, "{mutant:?}");
    }
}
