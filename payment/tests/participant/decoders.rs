//! What the payment service stores, read from bytes that are not what it wrote.

use contract::{Amount, Checkout, CheckoutData, CheckoutId, Id, OrderId, UserId};
use payment::{PaymentRecord, Reply};
use saga::{
    conformance::codec::{check, limit_memory},
    hold::{Claim, Hold, Pool, Totals},
};

fn user() -> UserId {
    UserId("a-user".parse().expect("an id"))
}

#[test]
fn records_are_read_or_refused() {
    limit_memory();
    let context = Checkout::from(CheckoutData {
        id: CheckoutId::from_random(7),
        order: OrderId(Id::from_number(7)),
        user: user(),
        amount: Amount::MAX,
        lines: Vec::new(),
        started_at_ms: 1,
        timeout_ms: 5_000,
        request: None,
        caller: None,
    });
    let claims = || vec![Claim::new(user(), 3)];
    let records = [
        PaymentRecord::Account(Pool::new(0)),
        PaymentRecord::Account(Pool::new((1 << 53) - 1)),
        PaymentRecord::Hold(Hold::Parked { claims: claims(), context }),
        PaymentRecord::Hold(Hold::Held { claims: claims() }),
        PaymentRecord::Hold(Hold::Tombstone),
        PaymentRecord::Totals(Totals { accounts: 3, total: 1 << 70, held: 0, shortfall: -1 }),
    ];
    check(&records, include_str!("../corpus/record.txt"));
}

#[test]
fn replies_are_read_or_refused() {
    limit_memory();
    let replies = [
        Reply::Done,
        Reply::Created(user()),
        Reply::Found(Amount::MAX),
        Reply::Unknown(user()),
        Reply::NotEnoughCredit(user()),
        Reply::TooLarge(user()),
        Reply::Busy(user()),
        Reply::Counted(Totals { accounts: -1, total: i128::MAX, held: 1, shortfall: i128::MIN }),
    ];
    check(&replies, "");
}
