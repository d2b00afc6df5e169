//! The sums, compared with a list of all that happened.

use std::time::Duration;

use contract::{Change, Event, Reason, Sum, UserId};
use observer::{Command, From, Ledger, Reply, Retention, Sums};
use saga::{Input, LogName, RequestId, Timestamp};

use crate::{Told, amount, busy_shop, checkout, user};

/// The sums as they follow from a list of events.
fn sums(events: &[Event]) -> [i128; 3] {
    let mut sums = [0; 3];
    for event in events {
        let [completed, units, credit] = &mut sums;
        match event {
            Event::CheckoutCompleted(checkout) => {
                *completed += 1;
                *units -= checkout.lines.iter().map(|line| i128::from(line.quantity.get())).sum::<i128>();
                *credit -= i128::from(checkout.amount.get());
            }
            Event::StockChanged { change: Change::Added(amount), .. } => *units += i128::from(amount.get()),
            _ => {}
        }
    }
    sums
}

impl Told {
    fn ledger(&mut self) -> Ledger {
        match self.ask(Command::Ledger) {
            Reply::Ledger(counts) => counts.ledger,
            other => panic!("{other:?}"),
        }
    }

    fn count_from(&mut self, heard: u64, units: i128, credit: i128) -> Ledger {
        let command = Command::CountFrom { heard, units: Sum(units), credit: Sum(credit) };
        let input = Input::Command { request: RequestId(1), command: &command };
        let outcome = self.observer.step(input, Timestamp(self.now));
        match outcome.replies.into_iter().next() {
            Some((_, Reply::Ledger(counts))) => counts.ledger,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn sums_are_of_all_events_also_of_those_that_are_no_longer_kept() {
    let mut told = busy_shop(9, 2000);
    let [completed, units, credit] = sums(&told.events);
    let ledger = told.ledger();
    assert_eq!((ledger.units.net(), ledger.credit.net()), (units, credit));
    assert_eq!((i128::from(ledger.completed), ledger.heard), (completed, told.events.len() as u64));
    assert_eq!((ledger.from, ledger.contradicted, ledger.is_certain), (From::Beginning, 0, false));
    // It is certain once both sides agree; what is found later changes nothing.
    let certain = told.count_from(ledger.heard, units, credit);
    assert_eq!(certain, Ledger { is_certain: true, ..ledger });
    assert_eq!(told.count_from(ledger.heard, units + 1, credit), certain);
    // Of pages that were dropped too: in a history of next to no time.
    let mut short = Told::new(Retention { time: Duration::from_millis(1), ..Retention::default() });
    told.events.iter().for_each(|event| short.tell(event.clone()));
    assert!(short.span().pages < told.span().pages);
    assert_eq!(short.ledger(), ledger);
    // Of a shop that has more than was ever heard of.
    let from = From::Counted { at: short.now, units: Sum(units + 1), credit: Sum(credit) };
    let counted = short.count_from(ledger.heard, units + 1, credit);
    assert_eq!((counted.from, counted.is_certain, counted.completed), (from, true, 0));
}

#[test]
fn what_was_set_counts_for_each_and_what_it_replaced_is_taken_off() {
    let mut told = Told::new(Retention::default());
    // More users than one entry of the history has.
    let users: Vec<_> = (0..450).map(user).collect();
    let set = |users: &[UserId], total, replaced| Event::CreditChanged {
        users: users.to_vec(),
        change: Change::Set,
        total: amount(total),
        replaced: Sum(replaced),
    };
    told.tell(set(&users, 1000, 0));
    told.tell(set(&users[..3], 10, 3000));
    told.tell(Event::CreditChanged {
        users: vec![user(1)],
        change: Change::Taken(amount(4)),
        total: amount(6),
        replaced: Sum(0),
    });
    told.tell(Event::CreditChanged {
        users: vec![user(999)],
        change: Change::Created,
        total: amount(0),
        replaced: Sum(0),
    });
    let Sums { set, replaced, added, taken, paid } = told.ledger().credit;
    assert_eq!([set, replaced, added, taken, paid], [450_030, 3000, 0, 4, 0].map(Sum));
    assert_eq!(told.ledger().units, Sums::default());
}

#[test]
fn after_a_gap_it_is_counted_from_what_the_services_have_once_nothing_happens() {
    let mut told = busy_shop(10, 50);
    let log = LogName { service: "stock".into(), partition: 0 };
    let outcome = told.observer.missed(&log, 3, Timestamp(told.now));
    assert!(outcome.written > 0);
    let lost = told.ledger();
    assert_eq!((lost.from, lost.units, lost.completed), (From::Unknown(told.now), Sums::default(), 0));
    let paid = checkout(700_000, 1, told.now);
    told.tell(Event::CheckoutCompleted(paid));
    assert_eq!(told.ledger().from, lost.from);
    // Something was heard since it was looked at.
    assert_eq!(told.count_from(lost.heard, 500, 70), told.ledger());
    assert_eq!(told.ledger().from, lost.from);
    let heard = told.ledger().heard;
    let from = From::Counted { at: told.now, units: Sum(500), credit: Sum(70) };
    assert_eq!(told.count_from(heard, 500, 70).from, from);
    assert_eq!((told.ledger().credit, told.ledger().began_with()), (Sums::default(), Some((500, 70))));
    let heard = told.ledger().heard;
    assert_eq!(told.count_from(heard, 1, 1).from, from, "what it counts from is not changed again");
    told.tell(Event::CheckoutCompleted(checkout(700_001, 1, told.now)));
    assert_eq!(told.ledger().credit.paid, Sum(10));
}

#[test]
fn a_checkout_that_is_decided_twice_is_noticed_on_the_newest_page_and_on_others() {
    let mut told = Told::new(Retention::default());
    let twice = checkout(1, 1, told.now);
    told.tell(Event::CheckoutCompleted(twice.clone()));
    assert_eq!(told.ledger().contradicted, 0);
    told.tell(Event::CheckoutCancelled(twice, Reason::Timeout, None));
    assert_eq!(told.ledger().contradicted, 1);
    for number in 100..1200 {
        told.tell(Event::CheckoutCompleted(checkout(number, 2, told.now)));
    }
    assert!(told.span().pages > 0);
    assert_eq!(told.ledger().contradicted, 1);
}
