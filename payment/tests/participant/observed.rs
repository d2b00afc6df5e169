//! What payment says for those who observe it.

use contract::{
    Amount, Change, Checkout, CheckoutData, CheckoutId, Event, Id, OrderId, Reason, Shortage, Station, Sum, UserId,
    Wait,
};
use payment::{Command, Payment, Reply};
use saga::{Input, RequestId, Solo, Timestamp, hold::Totals};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn user(number: u64) -> UserId {
    UserId(Id::from_number(number))
}

fn amount(value: u64) -> Amount {
    Amount::new(value).expect("an amount")
}

fn ask(payment: &mut Solo<Payment>, command: &Command) -> Vec<Event> {
    payment.step(Input::Command { request: RequestId(1), command }, NOW).events
}

fn hear(payment: &mut Solo<Payment>, event: &Event) -> Vec<Event> {
    payment.step(Input::Event(event), NOW).events
}

/// A checkout for which user 1 has to pay so much.
fn checkout(number: u128, cost: u64) -> Checkout {
    Checkout::from(CheckoutData {
        id: CheckoutId::from_random(number),
        order: OrderId(Id::from_number(1)),
        user: user(1),
        amount: amount(cost),
        lines: Vec::new(),
        started_at_ms: 0,
        timeout_ms: 5000,
        request: None,
        caller: None,
    })
}

fn asked(number: u128, cost: u64) -> Event {
    Event::StockReserved(checkout(number, cost), Station { partition: 0, is_last: true })
}

fn changed(users: &[UserId], change: Change, total: u64) -> [Event; 1] {
    [Event::CreditChanged { users: users.to_vec(), change, total: amount(total), replaced: Sum::default() }]
}

/// Users 1 and 2 with a credit of four each.
fn four_for_each() -> Solo<Payment> {
    let mut payment = Solo::new(Payment::default(), 0, 1);
    let set = Command::Initialise { users: vec![user(1), user(2)], credit: amount(4) };
    assert_eq!(ask(&mut payment, &set), changed(&[user(1), user(2)], Change::Set, 4));
    payment
}

#[test]
fn every_change_by_a_caller_is_one_event_with_the_credit_after_it() {
    let mut payment = four_for_each();
    let nothing = Command::Initialise { users: Vec::new(), credit: amount(4) };
    assert_eq!(ask(&mut payment, &nothing), []);
    let create = Command::Create { user: user(3) };
    assert_eq!(ask(&mut payment, &create), changed(&[user(3)], Change::Created, 0));
    let add = Command::AddFunds { user: user(3), amount: amount(9) };
    assert_eq!(ask(&mut payment, &add), changed(&[user(3)], Change::Added(amount(9)), 9));
    let pay = Command::Pay { user: user(3), amount: amount(2) };
    assert_eq!(ask(&mut payment, &pay), changed(&[user(3)], Change::Taken(amount(2)), 7));
    for command in [Command::Find { user: user(3) }, Command::Exists { user: user(3) }] {
        assert_eq!(ask(&mut payment, &command), [], "{command:?}");
    }
}

#[test]
fn credit_that_a_caller_waits_for_is_told_of_when_it_is_taken() {
    let mut payment = four_for_each();
    hear(&mut payment, &asked(1, 3));
    let pay = Command::Pay { user: user(1), amount: amount(3) };
    assert_eq!(ask(&mut payment, &pay), []);
    let told = hear(&mut payment, &Event::CheckoutCancelled(checkout(1, 3), Reason::Timeout, None));
    assert_eq!(told, changed(&[user(1)], Change::Taken(amount(3)), 1));
}

#[test]
fn a_checkout_that_waits_says_so_once_and_then_authorizes() {
    let mut payment = four_for_each();
    let authorized = |number, cost| [Event::PaymentAuthorized(checkout(number, cost))];
    assert_eq!(hear(&mut payment, &asked(1, 3)), authorized(1, 3));
    let parked = |number, cost, wait| [Event::PaymentParked(checkout(number, cost), wait)];
    assert_eq!(hear(&mut payment, &asked(2, 2)), parked(2, 2, Wait::new(2, 1, 0)));
    assert_eq!(hear(&mut payment, &asked(3, 1)), parked(3, 1, Wait::new(1, 1, 1)));
    let told = hear(&mut payment, &Event::CheckoutCancelled(checkout(1, 3), Reason::Timeout, None));
    assert_eq!(told, [authorized(2, 2), authorized(3, 1)].concat());
}

#[test]
fn a_refusal_says_what_was_wanted_and_what_was_left() {
    let mut payment = four_for_each();
    let short = |number, cost, left| {
        let shortage = Some(Shortage::new(cost, left));
        [Event::PaymentRefused(checkout(number, cost), Reason::NotEnoughCredit, shortage)]
    };
    assert_eq!(hear(&mut payment, &asked(1, 5)), short(1, 5, 4));
    // The same after a wait, when what it waited for is gone.
    hear(&mut payment, &asked(2, 3));
    hear(&mut payment, &asked(3, 2));
    assert_eq!(hear(&mut payment, &Event::CheckoutCompleted(checkout(2, 3))), short(3, 2, 1));
    let mut nowhere = Solo::new(Payment::default(), 0, 1);
    let unknown = Event::PaymentRefused(checkout(4, 1), Reason::UnknownUser, None);
    assert_eq!(hear(&mut nowhere, &asked(4, 1)), [unknown]);
}

#[test]
fn what_is_only_observed_asks_nothing_of_payment() {
    let mut payment = four_for_each();
    let [event] = changed(&[user(1)], Change::Taken(amount(4)), 0);
    for event in [event, Event::PaymentParked(checkout(1, 3), Wait::new(3, 0, 0))] {
        let outcome = payment.step(Input::Event(&event), NOW);
        assert_eq!((outcome.events.len(), outcome.written), (0, 0), "{event:?}");
    }
}

#[test]
fn users_who_are_set_again_say_what_they_had_and_all_are_counted() {
    let mut payment = four_for_each();
    let set = Command::Initialise { users: vec![user(2), user(3)], credit: amount(5) };
    let users = vec![user(2), user(3)];
    let expected = Event::CreditChanged { users, change: Change::Set, total: amount(5), replaced: Sum(4) };
    assert_eq!(ask(&mut payment, &set), [expected]);
    let counted = payment.step(Input::Command { request: RequestId(1), command: &Command::Count }, NOW).replies;
    let totals = Totals { accounts: 3, total: 14, held: 0, shortfall: 0 };
    assert_eq!(counted.into_iter().map(|(_, reply)| reply).collect::<Vec<_>>(), [Reply::Counted(totals)]);
}
