//! What a market starts with and what may happen in it.

use std::{fmt, time::Duration};

use contract::{Amount, CheckoutId, ItemId, Line, OrderId, Quantity, UserId};
use order::Orders;
use payment::Payment;
use saga::{Partition, partition_of};
use stock::Stock;

use crate::{
    Mutant,
    shop::{Operation, Order, Shop},
};

/// One of the three services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceName {
    /// Orders.
    Order,
    /// Stock.
    Stock,
    /// Payment.
    Payment,
}

impl fmt::Display for ServiceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Order => "order",
            Self::Stock => "stock",
            Self::Payment => "payment",
        })
    }
}

/// How many partitions each service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions {
    /// Of orders; order number n lives in partition n modulo this.
    pub order: Partition,
    /// Of stock; see [`Plan::placement`].
    pub stock: Partition,
    /// Of payment; user number n lives in partition n modulo this.
    pub payment: Partition,
}

impl Default for Partitions {
    fn default() -> Self {
        Self { order: 1, stock: 1, payment: 1 }
    }
}

/// What a market starts with, what clients ask, and what may happen.
///
/// By default nothing may: no deadline passes, nobody loses patience, nothing is repeated, lost or overtaken.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The books at the start.
    pub shop: Shop,
    /// How many partitions there are.
    pub partitions: Partitions,
    /// The stock partition of each item; items past the end live in partition 0.
    pub placement: Vec<Partition>,
    /// What clients ask, each once.
    pub operations: Vec<Operation>,
    /// For each operation, one that has to be answered before it is sent; `None` past the end.
    pub after: Vec<Option<usize>>,
    /// How many may wait for an item or a user's credit.
    pub parked_max: usize,
    /// A checkout's deadline may pass at any time.
    pub deadlines: bool,
    /// The patience of a caller of stock or payment may be over at any time.
    pub patience: bool,
    /// Every event may be delivered again at any time.
    pub redelivery: bool,
    /// Services whose stores lose their tails together; a service that is in none loses nothing.
    pub domains: Vec<Vec<ServiceName>>,
    /// How many tails may be lost.
    pub crashes_max: u8,
    /// Services of which another writer may take over a partition, and then give it back.
    pub overtaken: Vec<ServiceName>,
    /// How often.
    pub overtakes_max: u8,
    /// The guard that is missing.
    pub mutant: Option<Mutant>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            shop: Shop::default(),
            partitions: Partitions::default(),
            placement: Vec::new(),
            operations: Vec::new(),
            after: Vec::new(),
            parked_max: 8,
            deadlines: false,
            patience: false,
            redelivery: false,
            domains: Vec::new(),
            crashes_max: 0,
            overtaken: Vec::new(),
            overtakes_max: 0,
            mutant: None,
        }
    }
}

impl Plan {
    /// Which of the [`Self::domains`] a service is in.
    #[must_use]
    pub fn domain_of(&self, service: ServiceName) -> Option<usize> {
        self.domains.iter().position(|domain| domain.contains(&service))
    }
}

/// A plan with what follows from it: names for the numbers, and the participants.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) plan: Plan,
    pub(crate) items: Vec<ItemId>,
    pub(crate) users: Vec<UserId>,
    pub(crate) orders: Vec<OrderId>,
    pub(crate) order: Orders,
    pub(crate) stock: Stock,
    pub(crate) payment: Payment,
}

impl Setup {
    pub(crate) fn new(plan: Plan) -> Self {
        // Refusing at once is what a queue for nobody does; the mutant only has to change how that is told.
        let parked_max = if plan.mutant == Some(Mutant::RefusesAtOnce) { 0 } else { plan.parked_max };
        let Partitions { order, stock, payment } = plan.partitions;
        let place = |item: usize| plan.placement.get(item).copied().unwrap_or_default();
        let home = |number: usize, partitions: Partition| (number % usize::from(partitions)) as Partition;
        Self {
            items: (0..plan.shop.stock.len()).map(|item| name("item", item, place(item), stock).into()).collect(),
            users: (0..plan.shop.credit.len())
                .map(|user| name("user", user, home(user, payment), payment).into())
                .collect(),
            orders: (0..plan.shop.orders.len())
                .map(|number| name("order", number, home(number, order), order).into())
                .collect(),
            order: Orders::new(Duration::from_secs(5), order::Metrics::default()),
            stock: Stock { parked_max },
            payment: Payment { parked_max },
            plan,
        }
    }

    pub(crate) fn operation(&self, operation: usize) -> &Operation {
        &self.plan.operations[operation]
    }

    pub(crate) fn lines(&self, order: &Order) -> Vec<Line> {
        let line = |(item, units): &(usize, u64)| Line { item: self.items[*item].clone(), quantity: quantity(*units) };
        order.lines.iter().map(line).collect()
    }

    pub(crate) fn item_number(&self, item: &ItemId) -> usize {
        self.items.iter().position(|other| other == item).expect("an item of the plan")
    }
}

/// The first of "item-0-0", "item-0-1", … that belongs to `partition`.
fn name(what: &str, number: usize, partition: Partition, partitions: Partition) -> contract::Id {
    let candidates = (0..).map(|salt| format!("{what}-{number}-{salt}"));
    let mut fitting = candidates.filter(|name| partition_of(name.as_bytes(), partitions) == partition);
    let name = fitting.next().expect("some name belongs to every partition");
    name.parse().expect("letters, digits and dashes make a name")
}

/// The name that checkout `operation` brings for its attempt.
pub(crate) fn attempt(operation: usize) -> CheckoutId {
    CheckoutId::from_random((operation as u128 + 1) << 64)
}

/// The checkout that began an attempt: its first, or a later one.
pub(crate) fn operation_of(attempt: CheckoutId) -> usize {
    usize::try_from((u128::from_be_bytes(attempt.to_bytes()) >> 64) - 1).expect("an attempt of the plan")
}

pub(crate) fn amount(value: u64) -> Amount {
    Amount::new(value).expect("plans are made of small numbers")
}

pub(crate) fn quantity(value: u64) -> Quantity {
    Quantity::new(value).expect("plans are made of small numbers above zero")
}
