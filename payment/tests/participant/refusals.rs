//! A refusal changes nothing, so it leaves nothing to commit.

use contract::{
    Amount, Checkout, CheckoutData, CheckoutId, Event, Id, ItemId, Line, OrderId, Quantity, Station, UserId,
};
use payment::{Command, Payment, Reply};
use saga::{Input, Outcome, Participant, RequestId, Solo, Timestamp};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn user(number: u64) -> UserId {
    UserId(Id::from_number(number))
}

fn amount(value: u64) -> Amount {
    Amount::new(value).expect("an amount")
}

fn run(payment: &mut Solo<Payment>, request: u64, command: &Command) -> Outcome<Event, Reply> {
    payment.step(Input::Command { request: RequestId(request), command }, NOW)
}

/// Names a reply by what it refuses; `None` where it refuses nothing.
fn refusal(reply: &Reply) -> Option<&'static str> {
    match reply {
        Reply::Done | Reply::Created(_) | Reply::Found(_) | Reply::Counted(_) => None,
        Reply::Unknown(_) => Some("unknown"),
        Reply::NotEnoughCredit(_) => Some("not enough credit"),
        Reply::TooLarge(_) => Some("too large"),
        Reply::Busy(_) => Some("busy"),
    }
}

fn check(outcome: &Outcome<Event, Reply>, what: &str, expected: &str) {
    let replies: Vec<_> = outcome.replies.iter().map(|(_, reply)| refusal(reply)).collect();
    assert_eq!(replies, [Some(expected)], "{what}");
    assert_eq!((outcome.written, outcome.events.len()), (0, 0), "{what} is refused as {expected}");
}

fn refuse(payment: &mut Solo<Payment>, command: &Command, expected: &str) {
    check(&run(payment, 99, command), &format!("{command:?}"), expected);
}

/// A checkout that costs user 1 all the credit there is.
fn checkout(number: u128) -> Checkout {
    Checkout::from(CheckoutData {
        id: CheckoutId::from_random(number),
        order: OrderId(Id::from_number(1)),
        user: user(1),
        amount: amount(1),
        lines: vec![Line { item: ItemId(Id::from_number(1)), quantity: Quantity::new(1).expect("a quantity") }],
        started_at_ms: 0,
        timeout_ms: 5000,
        request: None,
        caller: None,
    })
}

/// User 1 with a credit of one.
fn one_credit() -> Solo<Payment> {
    let mut payment = Solo::new(Payment { parked_max: 1 }, 0, 1);
    run(&mut payment, 0, &Command::Initialise { users: vec![user(1)], credit: amount(1) });
    payment
}

#[test]
fn no_refusal_leaves_anything_to_commit() {
    let mut payment = one_credit();
    refuse(&mut payment, &Command::Find { user: user(2) }, "unknown");
    refuse(&mut payment, &Command::Exists { user: user(2) }, "unknown");
    refuse(&mut payment, &Command::AddFunds { user: user(2), amount: amount(1) }, "unknown");
    refuse(&mut payment, &Command::Pay { user: user(2), amount: amount(1) }, "unknown");
    refuse(&mut payment, &Command::AddFunds { user: user(1), amount: Amount::MAX }, "too large");
    refuse(&mut payment, &Command::Pay { user: user(1), amount: amount(2) }, "not enough credit");
    payment.step(Input::Event(&Event::StockReserved(checkout(1), Station { partition: 0, is_last: true })), NOW);
    let set = Command::Initialise { users: vec![user(2), user(1)], credit: amount(1) };
    refuse(&mut payment, &set, "busy");
    // One may wait, one who wants to take or a reader among them, until their patience is over.
    let take = Command::Pay { user: user(1), amount: amount(1) };
    let waits = run(&mut payment, 7, &take);
    assert_eq!((waits.replies.len(), waits.written), (0, 0), "who waits is known in memory only");
    refuse(&mut payment, &take, "busy");
    let find = Command::Find { user: user(1) };
    let reads = run(&mut payment, 8, &find);
    assert_eq!((reads.replies.len(), reads.written), (0, 0), "who reads is known in memory only");
    for (request, command) in [(7, &take), (8, &find)] {
        let expired = payment.step(Input::Expired { request: RequestId(request), command }, NOW);
        check(&expired, &format!("the patience for {command:?}"), "busy");
        assert_eq!(payment.step(Input::Expired { request: RequestId(request), command }, NOW).written, 0);
    }
}

#[test]
fn other_services_may_read_and_change_nothing() {
    let (user, some) = (user(1), amount(1));
    for (command, is_allowed) in [
        (Command::Find { user: user.clone() }, true),
        (Command::Exists { user: user.clone() }, true),
        (Command::Count, true),
        (Command::Create { user: user.clone() }, false),
        (Command::Initialise { users: vec![user.clone()], credit: some }, false),
        (Command::AddFunds { user: user.clone(), amount: some }, false),
        (Command::Pay { user, amount: some }, false),
    ] {
        assert_eq!(Payment::may_ask("order", &command), is_allowed, "{command:?}");
    }
}
