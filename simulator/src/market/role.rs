//! The three participants, as the market sees them: which commands the clients' operations become, and what the replies
//! say.

use std::hash::Hash;

use contract::{CheckoutId, Event, Reason};
use order::{Order, OrderKey, Orders, Stage};
use payment::{Payment, PaymentKey, PaymentRecord};
use saga::{
    Participant, Partition,
    hold::{Hold, Pool},
};
use stock::{Stock, StockKey, StockRecord};

use crate::{
    mutant::{Mutant, walks_down},
    plan::{ServiceName, Setup, amount, attempt, quantity},
    shop::{Operation, Outcome},
};

/// A participant of the market.
pub(crate) trait Role: Participant<Event = Event, Record: Eq + Hash> + Clone {
    const SERVICE: ServiceName;

    fn participant(setup: &Setup) -> &Self;

    /// The command that puts the plan's part of partition `partition` in place.
    fn initial(setup: &Setup, partition: Partition) -> Vec<Self::Command>;

    /// The command of an operation that is for this service, in whose partition these records are.
    fn command(setup: &Setup, operation: usize, records: &[(Self::Key, Self::Record)]) -> Self::Command;

    fn outcome(setup: &Setup, reply: &Self::Reply) -> Outcome;

    /// The pool in a record, if it has one.
    fn pool(_: &Self::Record) -> Option<&Pool<CheckoutId>> {
        None
    }

    /// Whether the record is about a saga that is not settled.
    fn is_open(record: &Self::Record) -> bool;

    /// Whether the record is there only so that a request that comes after its cancel is not served.
    fn is_tombstone(_: &Self::Record) -> bool {
        false
    }

    /// The record of a checkout, where that is parked.
    fn parked(_: CheckoutId) -> Option<ParkedTest<Self>> {
        None
    }

    /// Whether this is the key of the pool of an item or user of this name.
    fn is_named(_: &Self::Key, _name: &str) -> bool {
        false
    }

    /// The partition that `partition` stands for in the walk of this event's checkout.
    fn mirrored(_: &Setup, _: &Event, partition: Partition) -> Partition {
        partition
    }
}

/// Where a checkout's record is, and whether it says that the checkout waits.
pub(crate) type ParkedTest<P> = (<P as Participant>::Key, fn(&<P as Participant>::Record) -> bool);

/// The service that an operation is for, and the partition, as a number of the thing it is about.
pub(crate) fn service_of(operation: &Operation) -> ServiceName {
    match operation {
        Operation::Checkout { .. } | Operation::FindOrder { .. } | Operation::AddItem { .. } => ServiceName::Order,
        Operation::FindItem { .. } | Operation::Add { .. } | Operation::Subtract { .. } => ServiceName::Stock,
        Operation::FindUser { .. } | Operation::AddFunds { .. } | Operation::Pay { .. } => ServiceName::Payment,
    }
}

/// The name by which the partition of an operation is chosen.
pub(crate) fn name_of<'a>(setup: &'a Setup, operation: &Operation) -> &'a str {
    match *operation {
        Operation::Checkout { order } | Operation::FindOrder { order } | Operation::AddItem { order, .. } => {
            setup.orders[order].as_str()
        }
        Operation::FindItem { item } | Operation::Add { item, .. } | Operation::Subtract { item, .. } => {
            setup.items[item].as_str()
        }
        Operation::FindUser { user } | Operation::AddFunds { user, .. } | Operation::Pay { user, .. } => {
            setup.users[user].as_str()
        }
    }
}

impl Role for Orders {
    const SERVICE: ServiceName = ServiceName::Order;

    fn participant(setup: &Setup) -> &Self {
        &setup.order
    }

    fn initial(setup: &Setup, partition: Partition) -> Vec<order::Command> {
        let home = |name: &str| saga::partition_of(name.as_bytes(), setup.plan.partitions.order);
        let orders = setup.orders.iter().zip(&setup.plan.shop.orders);
        let new = orders.filter(|(id, _)| home(id.as_str()) == partition).map(|(id, order)| order::NewOrder {
            order: id.clone(),
            user: setup.users[order.user].clone(),
            lines: setup.lines(order),
            total_cost: amount(order.units()),
        });
        vec![order::Command::Initialise { orders: new.collect() }]
    }

    fn command(setup: &Setup, operation: usize, records: &[(OrderKey, Order)]) -> order::Command {
        match *setup.operation(operation) {
            Operation::Checkout { order } => {
                let order = setup.orders[order].clone();
                let made = records.iter().find(|(key, _)| key.0 == order).map_or(0, |(_, record)| record.attempts);
                // The step adds the count again, and so takes it away.
                let count = if setup.plan.mutant == Some(Mutant::ReusesAttempt) { made } else { 0 };
                order::Command::Checkout { order, attempt: attempt(operation).after_attempts(count) }
            }
            Operation::FindOrder { order } => order::Command::Find { order: setup.orders[order].clone() },
            Operation::AddItem { order, item, quantity: units } => order::Command::AddItem {
                order: setup.orders[order].clone(),
                item: setup.items[item].clone(),
                quantity: quantity(units),
                price: amount(1),
            },
            ref other => unreachable!("not for the order service: {other:?}"),
        }
    }

    fn outcome(setup: &Setup, reply: &order::Reply) -> Outcome {
        match reply {
            order::Reply::Done => Outcome::Done,
            order::Reply::Found { order } => Outcome::Found {
                paid: order.stage == Stage::Paid,
                units: order.lines.iter().map(|line| line.quantity.get()).sum(),
            },
            order::Reply::InCheckout => Outcome::InCheckout,
            order::Reply::Paid => Outcome::Paid,
            order::Reply::Empty => Outcome::Empty,
            order::Reply::Cancelled(reason) => match reason {
                Reason::OutOfStock { item } => Outcome::OutOfStock(setup.item_number(item)),
                Reason::NotEnoughCredit => Outcome::NotEnoughCredit,
                Reason::Busy => Outcome::Busy,
                Reason::Timeout => Outcome::Timeout,
                Reason::UnknownItem { .. } | Reason::UnknownUser => unreachable!("plans name what exists: {reason:?}"),
            },
            order::Reply::Created(_)
            | order::Reply::Unknown(_)
            | order::Reply::TooManyLines
            | order::Reply::TooLarge => unreachable!("no plan leads to {reply:?}"),
        }
    }

    fn is_open(order: &Order) -> bool {
        matches!(order.stage, Stage::InCheckout(_)) || !order.waiting.is_empty()
    }
}

impl Role for Stock {
    const SERVICE: ServiceName = ServiceName::Stock;

    fn participant(setup: &Setup) -> &Self {
        &setup.stock
    }

    fn initial(setup: &Setup, partition: Partition) -> Vec<stock::Command> {
        let home = |name: &str| saga::partition_of(name.as_bytes(), setup.plan.partitions.stock);
        let items = setup.items.iter().zip(&setup.plan.shop.stock);
        let here = items.filter(|(id, _)| home(id.as_str()) == partition);
        here.map(|(id, units)| stock::Command::Initialise {
            items: vec![id.clone()],
            stock: amount(*units),
            price: amount(1),
        })
        .collect()
    }

    fn command(setup: &Setup, operation: usize, _: &[(StockKey, StockRecord)]) -> stock::Command {
        let id = |item: usize| setup.items[item].clone();
        match *setup.operation(operation) {
            Operation::FindItem { item } => stock::Command::Find { item: id(item) },
            Operation::Add { item, quantity } => stock::Command::Add { item: id(item), amount: amount(quantity) },
            Operation::Subtract { item, quantity } => {
                stock::Command::Subtract { item: id(item), amount: amount(quantity) }
            }
            ref other => unreachable!("not for the stock service: {other:?}"),
        }
    }

    fn outcome(setup: &Setup, reply: &stock::Reply) -> Outcome {
        match reply {
            stock::Reply::Done => Outcome::Done,
            stock::Reply::Found { stock, .. } => Outcome::Units(stock.get()),
            stock::Reply::OutOfStock(item) => Outcome::OutOfStock(setup.item_number(item)),
            stock::Reply::Busy(_) => Outcome::Busy,
            stock::Reply::Created(_) | stock::Reply::Unknown(_) | stock::Reply::TooLarge(_) => {
                unreachable!("no plan leads to {reply:?}")
            }
        }
    }

    fn pool(record: &StockRecord) -> Option<&Pool<CheckoutId>> {
        match record {
            StockRecord::Item(item) => Some(&item.pool),
            StockRecord::Hold(_) => None,
        }
    }

    fn is_open(record: &StockRecord) -> bool {
        match record {
            StockRecord::Item(item) => item.pool.is_busy() || item.pool.held() > 0,
            StockRecord::Hold(_) => true,
        }
    }

    fn is_tombstone(record: &StockRecord) -> bool {
        matches!(record, StockRecord::Hold(Hold::Tombstone))
    }

    fn parked(checkout: CheckoutId) -> Option<ParkedTest<Self>> {
        let is_parked = |record: &StockRecord| matches!(record, StockRecord::Hold(Hold::Parked { .. }));
        Some((StockKey::Checkout(checkout), is_parked))
    }

    fn is_named(key: &StockKey, name: &str) -> bool {
        matches!(key, StockKey::Item(item) if item.as_str() == name)
    }

    fn mirrored(setup: &Setup, event: &Event, partition: Partition) -> Partition {
        let is_mirrored = setup.plan.mutant == Some(Mutant::WalksUnsorted) && walks_down(event);
        if is_mirrored { 1 - partition } else { partition }
    }
}

impl Role for Payment {
    const SERVICE: ServiceName = ServiceName::Payment;

    fn participant(setup: &Setup) -> &Self {
        &setup.payment
    }

    fn initial(setup: &Setup, partition: Partition) -> Vec<payment::Command> {
        let home = |name: &str| saga::partition_of(name.as_bytes(), setup.plan.partitions.payment);
        let users = setup.users.iter().zip(&setup.plan.shop.credit);
        let here = users.filter(|(id, _)| home(id.as_str()) == partition);
        here.map(|(id, credit)| payment::Command::Initialise { users: vec![id.clone()], credit: amount(*credit) })
            .collect()
    }

    fn command(setup: &Setup, operation: usize, _: &[(PaymentKey, PaymentRecord)]) -> payment::Command {
        let id = |user: usize| setup.users[user].clone();
        match *setup.operation(operation) {
            Operation::FindUser { user } => payment::Command::Find { user: id(user) },
            Operation::AddFunds { user, amount: credit } => {
                payment::Command::AddFunds { user: id(user), amount: amount(credit) }
            }
            Operation::Pay { user, amount: credit } => payment::Command::Pay { user: id(user), amount: amount(credit) },
            ref other => unreachable!("not for the payment service: {other:?}"),
        }
    }

    fn outcome(_: &Setup, reply: &payment::Reply) -> Outcome {
        match reply {
            payment::Reply::Done => Outcome::Done,
            payment::Reply::Found(credit) => Outcome::Credit(credit.get()),
            payment::Reply::NotEnoughCredit(_) => Outcome::NotEnoughCredit,
            payment::Reply::Busy(_) => Outcome::Busy,
            payment::Reply::Created(_) | payment::Reply::Unknown(_) | payment::Reply::TooLarge(_) => {
                unreachable!("no plan leads to {reply:?}")
            }
        }
    }

    fn pool(record: &PaymentRecord) -> Option<&Pool<CheckoutId>> {
        match record {
            PaymentRecord::User(pool) => Some(pool),
            PaymentRecord::Hold(_) => None,
        }
    }

    fn is_open(record: &PaymentRecord) -> bool {
        match record {
            PaymentRecord::User(pool) => pool.is_busy() || pool.held() > 0,
            PaymentRecord::Hold(_) => true,
        }
    }

    fn is_tombstone(record: &PaymentRecord) -> bool {
        matches!(record, PaymentRecord::Hold(Hold::Tombstone))
    }

    fn parked(checkout: CheckoutId) -> Option<ParkedTest<Self>> {
        let is_parked = |record: &PaymentRecord| matches!(record, PaymentRecord::Hold(Hold::Parked { .. }));
        Some((PaymentKey::Checkout(checkout), is_parked))
    }

    fn is_named(key: &PaymentKey, name: &str) -> bool {
        matches!(key, PaymentKey::User(user) if user.as_str() == name)
    }
}
