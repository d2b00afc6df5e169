//! What the stock service stores, read from bytes that are not what it wrote.

use contract::{Amount, Checkout, CheckoutData, CheckoutId, Id, ItemId, Line, OrderId, Quantity, UserId};
use saga::{
    conformance::codec::{check, limit_memory},
    hold::{Claim, Hold, Pool, Totals},
};
use stock::{Item, Reply, StockRecord};

fn item() -> ItemId {
    ItemId("an-item".parse().expect("an id"))
}

fn checkout() -> Checkout {
    Checkout::from(CheckoutData {
        id: CheckoutId::from_random(7),
        order: OrderId(Id::from_number(7)),
        user: UserId(Id::from_number(8)),
        amount: Amount::MAX,
        lines: vec![Line { item: item(), quantity: Quantity::new(2).expect("a quantity") }],
        started_at_ms: 1,
        timeout_ms: 5_000,
        request: None,
        caller: None,
    })
}

#[test]
fn records_are_read_or_refused() {
    limit_memory();
    let claims = || vec![Claim::new(item(), 3), Claim::new(ItemId(Id::from_number(0)), u64::MAX)];
    let record = |total| StockRecord::Account(Item { price: Amount::MAX, pool: Pool::new(total) });
    let records = [
        record(0),
        record((1 << 53) - 1),
        StockRecord::Hold(Hold::Parked { claims: claims(), context: checkout() }),
        StockRecord::Hold(Hold::Held { claims: claims() }),
        StockRecord::Hold(Hold::Refused),
        StockRecord::Hold(Hold::Skipped),
        StockRecord::Hold(Hold::Tombstone),
        StockRecord::Totals(Totals { accounts: 3, total: 1 << 70, held: 0, shortfall: -1 }),
    ];
    check(&records, include_str!("../corpus/record.txt"));
}

#[test]
fn replies_are_read_or_refused() {
    limit_memory();
    let replies = [
        Reply::Done,
        Reply::Created(item()),
        Reply::Found { stock: Amount::MAX, price: Amount::default() },
        Reply::Unknown(item()),
        Reply::OutOfStock(item()),
        Reply::TooLarge(item()),
        Reply::Busy(item()),
        Reply::Counted(Totals { accounts: -1, total: i128::MAX, held: 1, shortfall: i128::MIN }),
    ];
    check(&replies, "");
}
