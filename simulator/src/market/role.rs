//! The three participants, as the market sees them: which commands the clients' operations become, and what the replies
//! say.

use std::hash::Hash;

use contract::{CheckoutId, Event, Reason, Service};
use order::{Order, OrderKey, Orders, Stage};
use payment::{Payment, PaymentKey, PaymentRecord};
use saga::{
    Participant, Partition,
    hold::{Hold, Key, Pool, Totals},
};
use stock::{Stock, StockKey, StockRecord};

use crate::{
    attempt::attempt,
    mutant::{Mutant, walks_down},
    plan::{Knobs, Plan, Setup, amount, quantity},
    shop::{Operation, Outcome, Shop},
};

/// A participant of the market.
pub(crate) trait Role: Participant<Event = Event, Record: Eq + Hash> + Clone {
    const SERVICE: Service;

    /// The participant that ships, with these settings.
    fn made_with(knobs: &Knobs) -> Self;

    /// The records of all that the plan names, each with the name by which its partition is chosen.
    fn keys(setup: &Setup) -> Vec<(Self::Key, &str)>;

    /// Notes what a record says of the books.
    fn note_books(setup: &Setup, key: &Self::Key, record: &Self::Record, books: &mut Shop);

    /// The command that puts the plan's part of partition `partition` in place.
    fn initial(setup: &Setup, partition: Partition) -> Vec<Self::Command>;

    /// The command of an operation that is for this service, in whose partition these records are.
    fn command(setup: &Setup, operation: usize, records: &[(Self::Key, Self::Record)]) -> Self::Command;

    fn outcome(setup: &Setup, reply: &Self::Reply) -> Outcome;

    /// The pool in a record, if it has one.
    fn pool(_: &Self::Record) -> Option<&Pool<CheckoutId>> {
        None
    }

    /// What all pools come to, if that is the record.
    fn totals(_: &Self::Record) -> Option<Totals> {
        None
    }

    /// Whether the record is about a saga that is not settled.
    fn is_open(record: &Self::Record) -> bool;

    /// Whether the record is there only so that a request that comes after its cancel is not served.
    fn is_tombstone(_: &Self::Record) -> bool {
        false
    }

    /// What a bulk command makes of the record that it sets, if nobody looks what was there.
    fn renewed(_: &Setup, _operation: usize) -> Option<(Self::Key, Self::Record)> {
        None
    }

    /// Forgets until when requests have begun what is forgotten.
    fn forget_floor(_: &mut Self::Record) {}

    /// Whether this is the record of a checkout that waits.
    fn is_parked(_: &Self::Key, _: &Self::Record, _: CheckoutId) -> bool {
        false
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

/// A plan with the participants that ship.
pub(crate) fn set_up(plan: Plan) -> Setup {
    Setup::new(plan, |service, knobs| contract::of!(service, P => Box::new(P::made_with(knobs)) as _))
}

/// What is the same for all whose records are pools.
macro_rules! of_holder {
    () => {
        fn pool(record: &Self::Record) -> Option<&Pool<CheckoutId>> {
            record.pool()
        }

        fn totals(record: &Self::Record) -> Option<Totals> {
            record.totals()
        }

        fn is_open(record: &Self::Record) -> bool {
            match record.totals() {
                Some(totals) => totals.held != 0,
                None => record.pool().is_none_or(|pool| pool.is_busy() || pool.held() > 0),
            }
        }

        fn is_tombstone(record: &Self::Record) -> bool {
            matches!(record.hold(), Some(Hold::Tombstone))
        }

        fn is_parked(key: &Self::Key, record: &Self::Record, checkout: CheckoutId) -> bool {
            *key == Key::Saga(checkout) && matches!(record.hold(), Some(Hold::Parked { .. }))
        }

        fn is_named(key: &Self::Key, name: &str) -> bool {
            matches!(key, Key::Account(account) if account.as_str() == name)
        }
    };
}

/// The service that an operation is for, and the partition, as a number of the thing it is about.
pub(crate) fn service_of(operation: &Operation) -> Service {
    match operation {
        Operation::Checkout { .. }
        | Operation::Cancel { .. }
        | Operation::FindOrder { .. }
        | Operation::AddItem { .. }
        | Operation::RenewOrder { .. } => Service::Order,
        Operation::FindItem { .. }
        | Operation::Add { .. }
        | Operation::Subtract { .. }
        | Operation::RenewItem { .. } => Service::Stock,
        Operation::FindUser { .. }
        | Operation::AddFunds { .. }
        | Operation::Pay { .. }
        | Operation::RenewUser { .. } => Service::Payment,
    }
}

/// The name by which the partition of an operation is chosen.
pub(crate) fn name_of<'a>(setup: &'a Setup, operation: &Operation) -> &'a str {
    match *operation {
        Operation::Checkout { order }
        | Operation::Cancel { order }
        | Operation::FindOrder { order }
        | Operation::AddItem { order, .. }
        | Operation::RenewOrder { order } => setup.orders[order].as_str(),
        Operation::FindItem { item }
        | Operation::Add { item, .. }
        | Operation::Subtract { item, .. }
        | Operation::RenewItem { item, .. } => setup.items[item].as_str(),
        Operation::FindUser { user }
        | Operation::AddFunds { user, .. }
        | Operation::Pay { user, .. }
        | Operation::RenewUser { user, .. } => setup.users[user].as_str(),
    }
}

impl Role for Orders {
    const SERVICE: Service = Service::Order;

    fn made_with(knobs: &Knobs) -> Self {
        Self::new(knobs.checkout_timeout, knobs.checkouts.clone()).with_cancelled_max(knobs.cancelled_max)
    }

    fn keys(setup: &Setup) -> Vec<(OrderKey, &str)> {
        setup.orders.iter().map(|order| (OrderKey(order.clone()), order.as_str())).collect()
    }

    fn note_books(setup: &Setup, key: &OrderKey, record: &Order, books: &mut Shop) {
        let Some(number) = setup.orders.iter().position(|order| *order == key.0) else { return };
        let line = |line: &contract::Line| (setup.item_number(&line.item), line.quantity.get());
        books.orders[number].paid = record.stage == Stage::Paid;
        books.orders[number].lines = record.lines.iter().map(line).collect();
    }

    fn initial(setup: &Setup, partition: Partition) -> Vec<order::Command> {
        let home = |name: &str| saga::partition_of(name.as_bytes(), setup.plan.partitions.of(Self::SERVICE));
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
                let attempt = attempt(operation).after_attempts(count);
                // By clocks that agree with no order of arrival.
                order::Command::Checkout { order, attempt, asked: operation as u64 + 1, request: None, caller: None }
            }
            Operation::RenewOrder { order } => {
                let new = order::NewOrder {
                    order: setup.orders[order].clone(),
                    user: setup.users[setup.plan.shop.orders[order].user].clone(),
                    lines: setup.lines(&crate::Order::new(0, [(0, 1)])),
                    total_cost: amount(1),
                };
                order::Command::Initialise { orders: vec![new] }
            }
            Operation::Cancel { order } => order::Command::Cancel {
                order: setup.orders[order].clone(),
                by: "operator".parse().expect("a remark"),
                because: "the plan says so".parse().expect("a remark"),
            },
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
            order::Reply::NoCheckout => Outcome::NoCheckout,
            order::Reply::Late { .. } => Outcome::Busy,
            order::Reply::Cancelled(reason) => match reason {
                Reason::OutOfStock { item } => Outcome::OutOfStock(setup.item_number(item)),
                Reason::NotEnoughCredit => Outcome::NotEnoughCredit,
                Reason::Busy => Outcome::Busy,
                Reason::Timeout => Outcome::Timeout,
                Reason::CancelledByOperator { .. } => Outcome::Cancelled,
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

    fn renewed(setup: &Setup, operation: usize) -> Option<(OrderKey, Order)> {
        let Operation::RenewOrder { order } = *setup.operation(operation) else { return None };
        let user = setup.users[setup.plan.shop.orders[order].user].clone();
        let lines = setup.lines(&crate::Order::new(0, [(0, 1)]));
        let key = OrderKey(setup.orders[order].clone());
        Some((key, Order { lines, total_cost: amount(1), ..Order::new(user) }))
    }

    fn forget_floor(order: &mut Order) {
        order.floor = 0;
    }
}

impl Role for Stock {
    const SERVICE: Service = Service::Stock;

    fn made_with(knobs: &Knobs) -> Self {
        Self { parked_max: knobs.parked_max }
    }

    fn keys(setup: &Setup) -> Vec<(StockKey, &str)> {
        setup.items.iter().map(|item| (Key::Account(item.clone()), item.as_str())).collect()
    }

    fn note_books(setup: &Setup, key: &StockKey, record: &StockRecord, books: &mut Shop) {
        let (Key::Account(item), Some(pool)) = (key, record.pool()) else { return };
        books.stock[setup.item_number(item)] = pool.total();
    }

    fn initial(setup: &Setup, partition: Partition) -> Vec<stock::Command> {
        let home = |name: &str| saga::partition_of(name.as_bytes(), setup.plan.partitions.of(Self::SERVICE));
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
            Operation::RenewItem { item, units } => {
                stock::Command::Initialise { items: vec![id(item)], stock: amount(units), price: amount(1) }
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
            stock::Reply::Created(_)
            | stock::Reply::Unknown(_)
            | stock::Reply::TooLarge(_)
            | stock::Reply::Counted(_) => {
                unreachable!("no plan leads to {reply:?}")
            }
        }
    }

    of_holder!();

    fn renewed(setup: &Setup, operation: usize) -> Option<(StockKey, StockRecord)> {
        let Operation::RenewItem { item, units } = *setup.operation(operation) else { return None };
        let key = StockKey::Account(setup.items[item].clone());
        Some((key, StockRecord::Account(stock::Item { price: amount(1), pool: Pool::new(units) })))
    }

    fn mirrored(setup: &Setup, event: &Event, partition: Partition) -> Partition {
        let is_mirrored = setup.plan.mutant == Some(Mutant::WalksUnsorted) && walks_down(event);
        if is_mirrored { 1 - partition } else { partition }
    }
}

impl Role for Payment {
    const SERVICE: Service = Service::Payment;

    fn made_with(knobs: &Knobs) -> Self {
        Self { parked_max: knobs.parked_max }
    }

    fn keys(setup: &Setup) -> Vec<(PaymentKey, &str)> {
        setup.users.iter().map(|user| (Key::Account(user.clone()), user.as_str())).collect()
    }

    fn note_books(setup: &Setup, key: &PaymentKey, record: &PaymentRecord, books: &mut Shop) {
        let (Key::Account(user), Some(pool)) = (key, record.pool()) else { return };
        let number = setup.users.iter().position(|other| other == user).expect("a user of the plan");
        books.credit[number] = pool.total();
    }

    fn initial(setup: &Setup, partition: Partition) -> Vec<payment::Command> {
        let home = |name: &str| saga::partition_of(name.as_bytes(), setup.plan.partitions.of(Self::SERVICE));
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
            Operation::RenewUser { user, credit } => {
                payment::Command::Initialise { users: vec![id(user)], credit: amount(credit) }
            }
            ref other => unreachable!("not for the payment service: {other:?}"),
        }
    }

    fn outcome(_: &Setup, reply: &payment::Reply) -> Outcome {
        match reply {
            payment::Reply::Done => Outcome::Done,
            payment::Reply::Found(credit) => Outcome::Credit(credit.get()),
            payment::Reply::NotEnoughCredit(_) => Outcome::NotEnoughCredit,
            payment::Reply::Busy(_) => Outcome::Busy,
            payment::Reply::Created(_)
            | payment::Reply::Unknown(_)
            | payment::Reply::TooLarge(_)
            | payment::Reply::Counted(_) => {
                unreachable!("no plan leads to {reply:?}")
            }
        }
    }

    of_holder!();

    fn renewed(setup: &Setup, operation: usize) -> Option<(PaymentKey, PaymentRecord)> {
        let Operation::RenewUser { user, credit } = *setup.operation(operation) else { return None };
        Some((PaymentKey::Account(setup.users[user].clone()), PaymentRecord::Account(Pool::new(credit))))
    }
}
