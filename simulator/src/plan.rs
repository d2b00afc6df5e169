//! What a market starts with and what may happen in it.

use std::{any::Any, time::Duration};

use contract::{Amount, ItemId, Line, OrderId, Quantity, Service, UserId};
use saga::{Partition, partition_of};

use crate::{
    Mutant,
    shop::{Operation, Order, Shop},
};

/// How many partitions each service has. Order and user number n live in partition n modulo that; for items see
/// [`Plan::placement`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions([Partition; Service::ALL.len()]);

impl Partitions {
    /// As many as `count` says of each service.
    pub fn new(count: impl FnMut(Service) -> Partition) -> Self {
        Self(Service::ALL.map(count))
    }

    /// Those of `service`.
    #[must_use]
    pub fn of(&self, service: Service) -> Partition {
        self.0[service as usize]
    }

    /// The same with so many of `service`.
    #[must_use]
    pub fn with(mut self, service: Service, count: Partition) -> Self {
        self.0[service as usize] = count;
        self
    }
}

impl Default for Partitions {
    fn default() -> Self {
        Self::new(|_| 1)
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
    pub domains: Vec<Vec<Service>>,
    /// How many tails may be lost.
    pub crashes_max: u8,
    /// Services of which another writer may take over a partition, and then give it back.
    pub overtaken: Vec<Service>,
    /// How often.
    pub overtakes_max: u8,
    /// How many late copies of checkouts may come, each after its checkout was answered.
    pub copies_max: u8,
    /// Cancelled attempts of an order that are remembered by name.
    pub cancelled_max: usize,
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
            copies_max: 0,
            cancelled_max: 4,
            mutant: None,
        }
    }
}

impl Plan {
    /// Which of the [`Self::domains`] a service is in.
    #[must_use]
    pub fn domain_of(&self, service: Service) -> Option<usize> {
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
    /// In the order of [`Service::ALL`].
    participants: [Box<dyn Any + Send + Sync>; Service::ALL.len()],
}

/// What participants are made with.
pub(crate) struct Knobs {
    pub(crate) checkout_timeout: Duration,
    pub(crate) checkouts: order::Metrics,
    /// See [`Plan::cancelled_max`].
    pub(crate) cancelled_max: usize,
    /// See [`Plan::parked_max`].
    pub(crate) parked_max: usize,
}

impl Setup {
    /// With the participant that `made` makes for each service.
    pub(crate) fn new(plan: Plan, made: impl Fn(Service, &Knobs) -> Box<dyn Any + Send + Sync>) -> Self {
        let knobs = Knobs {
            checkout_timeout: Duration::from_secs(5),
            checkouts: order::Metrics::default(),
            cancelled_max: plan.cancelled_max,
            // Refusing at once is what a queue for nobody does; the mutant only has to change how that is told.
            parked_max: if plan.mutant == Some(Mutant::RefusesAtOnce) { 0 } else { plan.parked_max },
        };
        let ids = |what: &str, count: usize, service: Service, home: &dyn Fn(usize) -> Partition| {
            let partitions = plan.partitions.of(service);
            let id = |number| name(what, number, home(number) % partitions, partitions);
            (0..count).map(id).collect::<Vec<_>>()
        };
        let place = |item: usize| plan.placement.get(item).copied().unwrap_or_default();
        let number = |number: usize| number as Partition;
        let Shop { stock, credit, orders } = &plan.shop;
        Self {
            items: ids("item", stock.len(), Service::Stock, &place).into_iter().map(ItemId).collect(),
            users: ids("user", credit.len(), Service::Payment, &number).into_iter().map(UserId).collect(),
            orders: ids("order", orders.len(), Service::Order, &number).into_iter().map(OrderId).collect(),
            participants: Service::ALL.map(|service| made(service, &knobs)),
            plan,
        }
    }

    pub(crate) fn participant<P: Any>(&self) -> &P {
        self.participants.iter().find_map(|made| made.downcast_ref()).expect("one is made for each service")
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

pub(crate) fn amount(value: u64) -> Amount {
    Amount::new(value).expect("plans are made of small numbers")
}

pub(crate) fn quantity(value: u64) -> Quantity {
    Quantity::new(value).expect("plans are made of small numbers above zero")
}
