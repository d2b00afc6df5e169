//! What is bounded: what is kept, for how long something is doubtful, and how much one question looks at.

use contract::{Event, Reason, Service, Station};
use observer::{Account, Changes, Command, Cursor, Filter, Reply, Retention, State};
use saga::{LogName, Timestamp};

use crate::{Told, busy_shop, checkout, item};

#[test]
fn the_last_page_is_kept_however_little_may_be() {
    let mut told = Told::new(Retention { bytes: 0, ..Retention::default() });
    for number in 0..4000 {
        told.tell(Event::CheckoutCompleted(checkout(number, 1, told.now)));
    }
    assert_eq!(told.span().pages, 1);
}

#[test]
fn what_was_open_when_something_was_missed_is_forgotten_an_hour_later() {
    let mut told = busy_shop(13, 2000);
    let open = told.span().undecided;
    assert!(open > 0);
    told.observer.missed(&LogName { service: "order".into(), partition: 0 }, 3, Timestamp(told.now));
    assert!(told.span().is_doubtful, "it is on no page yet");
    let fill = |told: &mut Told, from| {
        for number in from..from + 1100 {
            told.tell(Event::CheckoutCompleted(checkout(number, 2, told.now)));
        }
    };
    fill(&mut told, 100_000);
    assert_eq!((told.span().undecided, told.span().is_doubtful), (open, true), "it may still be decided");
    told.now += 60 * 60 * 1000;
    fill(&mut told, 200_000);
    assert_eq!((told.span().undecided, told.span().is_doubtful), (0, false));
}

#[test]
fn one_question_looks_at_so_many_pages_and_says_where_to_go_on() {
    let mut told = busy_shop(14, 20);
    // On every page is what is asked for, and nowhere in one checkout.
    for number in 100..30_000 {
        let event = match number % 2 {
            0 => Event::CheckoutCompleted(checkout(number, 1, told.now)),
            _ => Event::CheckoutCancelled(checkout(number, 3, told.now), Reason::Busy, None),
        };
        told.tell(event);
    }
    assert!(told.span().pages > 24);
    let filter = Filter { item: Some(item(1)), reason: Some("busy".to_owned()), ..Filter::default() };
    let Reply::Checkouts { entries, next: Some(next) } =
        told.ask(Command::Checkouts { filter: filter.clone(), after: None, limit: 50 })
    else {
        panic!("it looked at all pages at once")
    };
    assert!(entries.is_empty() && next.page > 0, "{next}");
    assert_eq!(told.all(&filter, 50), []);
}

#[test]
fn those_that_are_open_come_the_oldest_first_whatever_their_names() {
    let mut told = Told::new(Retention::default());
    for number in (0..10).rev() {
        told.tell(Event::CheckoutStarted(checkout(number, 1, told.now)));
    }
    let open = told.all(&Filter { state: Some(State::Open), ..Filter::default() }, 3);
    assert_eq!(open.len(), 10);
    assert!(open.is_sorted_by_key(|entry| entry.story.checkout.started_at_ms), "{open:?}");
}

/// What one question answers of an item.
fn changes(told: &mut Told, number: u64) -> Changes {
    let account = Account::Item(item(number));
    match told.ask(Command::Account { account, after: None, limit: 50, until: None }) {
        Reply::Account(changes) => changes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_statement_says_that_something_was_missed_wherever_that_was() {
    let mut told = Told::new(Retention::default());
    told.tell(Event::CheckoutCompleted(checkout(1, 1, told.now)));
    assert!(!changes(&mut told, 1).has_gap);
    told.observer.missed(&LogName { service: "stock".into(), partition: 0 }, 3, Timestamp(told.now));
    assert!(changes(&mut told, 1).has_gap, "it is on no page yet");
    for number in 100..2500 {
        told.tell(Event::CheckoutCompleted(checkout(number, 2, told.now)));
    }
    let found = changes(&mut told, 1);
    assert!(found.has_gap && found.rows.len() == 1, "{found:?}");
}

#[test]
fn what_has_nothing_of_an_account_is_not_looked_at() {
    let mut told = Told::new(Retention::default());
    for number in 0..30_000 {
        told.tell(Event::CheckoutCompleted(checkout(number, if number == 0 { 777_777 } else { 2 }, told.now)));
    }
    assert!(told.span().pages > 24);
    let found = changes(&mut told, 777_777);
    assert_eq!((found.rows.len(), found.next), (1, None));
}

#[test]
fn to_begin_at_the_beginning_is_to_miss_nothing() {
    let mut told = Told::new(Retention { bytes: 0, ..Retention::default() });
    for number in 0..4000 {
        told.tell(Event::CheckoutCompleted(checkout(number, 1, told.now)));
    }
    let mut is_cut = |page, place| match told.ask(Command::Events { after: Some(Cursor { page, place }), limit: 1 }) {
        Reply::Events { is_cut, .. } => is_cut,
        other => panic!("{other:?}"),
    };
    assert!(!is_cut(0, 0) && is_cut(0, 1));
}

#[test]
fn an_answer_has_a_thousand_checkouts_at_most_however_many_are_asked_for() {
    let mut told = Told::new(Retention::default());
    for number in 0..1500 {
        told.tell(Event::CheckoutCompleted(checkout(number, 1, told.now)));
    }
    match told.ask(Command::Checkouts { filter: Filter::default(), after: None, limit: u32::MAX }) {
        Reply::Checkouts { entries, next } => assert_eq!((entries.len(), next.is_some()), (1000, true)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_last_fifty_things_that_operators_did_are_listed_the_last_one_first() {
    let mut told = Told::new(Retention::default());
    let remark = |text: String| text.parse().expect("a remark");
    for number in 0..60 {
        let (by, because) = (remark("b".repeat(400)), remark(format!("number {number}")));
        told.tell(Event::Redelivered { service: Service::Payment, by, because });
    }
    let Reply::Acts(acts) = told.ask(Command::Acts) else { panic!("of another kind") };
    let said: Vec<_> = acts.iter().map(|act| act.because.to_string()).collect();
    let expected: Vec<_> = (10..60).rev().map(|number| format!("number {number}")).collect();
    assert_eq!(said, expected);
}

#[test]
fn what_is_heard_of_a_checkout_after_its_decision_does_not_open_it_again() {
    let mut told = Told::new(Retention::default());
    let station = Station { partition: 0, is_last: true };
    told.tell(Event::StockWithdrawn(checkout(1, 1, told.now), station));
    for number in 100..1300 {
        told.tell(Event::CheckoutCompleted(checkout(number, 2, told.now)));
    }
    assert_eq!(told.span().undecided, 0);
}
