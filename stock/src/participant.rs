//! Stock's part in a checkout, and its own commands: pure steps.

use contract::{
    Amount, Change, Checkout, CheckoutId, Event, ItemId, Line, Reason, Remark, Service, Shortage, Station, Sum, Turn,
    Wait,
};
use saga::{
    Destinations, Input, Missing, Participant, Partition, Repeatability, RequestId, Step,
    hold::{self, Claim, Cue, Holder, Place, Pool, Refusal, Vote},
    minicbor::{self, Decode, Encode},
    partition_of,
};

use crate::record::Item;

/// Names a record.
pub type StockKey = hold::Key<Stock>;

/// A record.
pub type StockRecord = hold::Record<Item, ItemId, Checkout>;

/// What callers may ask of a stock partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Command {
    /// Create an item with no units.
    #[n(0)]
    Create {
        /// A new id.
        #[n(0)]
        item: ItemId,
        /// What one unit costs.
        #[n(1)]
        price: Amount,
    },
    /// Set items to a state, whether they exist or not. None of them may be held.
    #[n(1)]
    Initialise {
        /// Which.
        #[n(0)]
        items: Vec<ItemId>,
        /// Their units.
        #[n(1)]
        stock: Amount,
        /// Their price.
        #[n(2)]
        price: Amount,
    },
    /// Show units and price.
    #[n(2)]
    Find {
        /// Of which item.
        #[n(0)]
        item: ItemId,
    },
    /// Show the price only, which no checkout changes.
    #[n(3)]
    Price {
        /// Of which item.
        #[n(0)]
        item: ItemId,
    },
    /// Add units.
    #[n(4)]
    Add {
        /// To which item.
        #[n(0)]
        item: ItemId,
        /// How many.
        #[n(1)]
        amount: Amount,
    },
    /// Take units away.
    #[n(5)]
    Subtract {
        /// From which item.
        #[n(0)]
        item: ItemId,
        /// How many.
        #[n(1)]
        amount: Amount,
    },
    /// Say what the units of all items come to.
    #[n(6)]
    Count,
    /// Say to observers that an operator had this partition read the logs of its sources again.
    #[n(7)]
    Redelivered {
        /// Who says so.
        #[n(0)]
        by: Remark,
        /// Why.
        #[n(1)]
        because: Remark,
    },
}

/// What callers are told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Reply {
    /// It is done.
    #[n(0)]
    Done,
    /// The item was created.
    #[n(1)]
    Created(#[n(0)] ItemId),
    /// What was asked for.
    #[n(2)]
    Found {
        /// The units.
        #[n(0)]
        stock: Amount,
        /// What one costs.
        #[n(1)]
        price: Amount,
    },
    /// There is no such item.
    #[n(3)]
    Unknown(#[n(0)] ItemId),
    /// There are not that many units.
    #[n(4)]
    OutOfStock(#[n(0)] ItemId),
    /// The units would be more than can be counted.
    #[n(5)]
    TooLarge(#[n(0)] ItemId),
    /// Others are using the item; nothing was changed.
    #[n(6)]
    Busy(#[n(0)] ItemId),
    /// What the partition's items come to.
    #[n(7)]
    Counted(#[n(0)] hold::Totals),
}

/// The stock service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stock {
    /// How many may wait for one item; more are refused as busy. Long enough for a rush on the last units to be decided
    /// in order, short enough that an item's record stays small.
    pub parked_max: usize,
}

impl Default for Stock {
    fn default() -> Self {
        Self { parked_max: 128 }
    }
}

fn partition_of_item(item: &ItemId, partitions: Partition) -> Partition {
    partition_of(item.as_str().as_bytes(), partitions)
}

/// The stock partitions that a checkout visits, in the one order in which all checkouts lock.
fn walk(checkout: &Checkout, partitions: Partition) -> Vec<Partition> {
    let mut walk: Vec<_> = checkout.lines.iter().map(|line| partition_of_item(&line.item, partitions)).collect();
    walk.sort_unstable();
    walk.dedup();
    walk
}

fn station(checkout: &Checkout, here: Place) -> Station {
    let is_last = walk(checkout, here.partitions).last() == Some(&here.partition);
    Station { partition: here.partition, is_last }
}

impl Participant for Stock {
    const NAME: &'static str = Service::Stock.name();
    const CONSUMES: &'static [&'static str] = &[Service::Order.name(), Service::Stock.name()];

    type Key = StockKey;
    type Record = StockRecord;
    type Command = Command;
    type Reply = Reply;
    type Event = Event;

    fn step(&self, step: &mut Step<'_, Self>, input: Input<'_, Self>) -> Result<(), Missing> {
        match input {
            Input::Command { request, command } => self.command(step, request, command),
            Input::Expired { request, command: Command::Find { item } | Command::Subtract { item, .. } } => {
                self.pools(step).expire(request, item)
            }
            Input::Event(event) => self.pools(step).event(event),
            Input::Expired { .. } | Input::Deadline(_) => Ok(()),
        }
    }

    fn destinations(event: &Event, partitions: Partition, to: &mut Destinations) {
        let (Some(turn), Some(checkout)) = (event.turn_of(Service::Stock), event.checkout()) else { return };
        let walk = walk(checkout, partitions).into_iter();
        match (turn, event.station()) {
            (Turn::Commit | Turn::Release, _) => walk.for_each(|partition| to.add(partition)),
            (Turn::Request | Turn::Skip, None) => walk.take(1).for_each(|first| to.add(first)),
            (Turn::Request | Turn::Skip, Some(Station { partition: before, .. })) => {
                walk.filter(|partition| *partition > before).take(1).for_each(|next| to.add(next));
            }
        }
    }

    fn prefetch(&self, input: &Input<'_, Self>, partition: Partition, partitions: Partition, keys: &mut Vec<StockKey>) {
        match input {
            Input::Command { command, .. } => match command {
                Command::Initialise { items, .. } => keys.extend(items.iter().cloned().map(StockKey::Account)),
                Command::Create { item, .. }
                | Command::Find { item }
                | Command::Price { item }
                | Command::Add { item, .. }
                | Command::Subtract { item, .. } => keys.push(StockKey::Account(item.clone())),
                Command::Count | Command::Redelivered { .. } => {}
            },
            Input::Event(event) => {
                let here = |line: &&Line| partition_of_item(&line.item, partitions) == partition;
                let lines = event.checkout().into_iter().flat_map(|checkout| &checkout.lines).filter(here);
                keys.extend(lines.map(|line| StockKey::Account(line.item.clone())));
            }
            Input::Expired { .. } | Input::Deadline(_) => {}
        }
    }

    /// Order and the observer read.
    fn may_ask(_: &str, command: &Command) -> bool {
        matches!(Self::repeatability(command), Repeatability::Safe)
    }

    fn repeatability(command: &Command) -> Repeatability {
        match command {
            Command::Find { .. } | Command::Price { .. } | Command::Count => Repeatability::Safe,
            // Set again later, it would lose what came in between.
            Command::Create { .. }
            | Command::Initialise { .. }
            | Command::Add { .. }
            | Command::Subtract { .. }
            | Command::Redelivered { .. } => Repeatability::Once,
        }
    }

    fn is_final(&self, reply: &Reply) -> bool {
        !matches!(reply, Reply::Busy(_))
    }
}

impl Holder for Stock {
    const TAG: u8 = b'i';
    const TOTAL_MAX: u64 = Amount::MAX.get();
    type Account = ItemId;
    type Saga = CheckoutId;
    type Context = Checkout;
    type Entry = Item;

    fn parked_max(&self) -> usize {
        self.parked_max
    }

    fn saga(event: &Event) -> Option<(CheckoutId, &Checkout)> {
        event.checkout().map(|checkout| (checkout.id, checkout))
    }

    fn cue(&self, event: &Event, here: Place) -> Option<Cue<ItemId>> {
        let checkout = event.checkout()?;
        // The lines that are this partition's.
        let claims = || {
            let here = |line: &&Line| partition_of_item(&line.item, here.partitions) == here.partition;
            let lines = checkout.lines.iter().filter(here);
            lines.map(|line| Claim::new(line.item.clone(), line.quantity.get())).collect()
        };
        Some(match event.turn_of(Service::Stock)? {
            Turn::Request => Cue::Request(claims()),
            Turn::Skip => Cue::Skip,
            Turn::Commit => Cue::Commit(claims()),
            Turn::Release => Cue::Release,
        })
    }

    fn vote(&self, checkout: &Checkout, vote: Vote<ItemId>, here: Place) -> Option<Event> {
        let (checkout, station) = (checkout.clone(), station(checkout, here));
        Some(match vote {
            Vote::Held => Event::StockReserved(checkout, station),
            Vote::Withdrawn => Event::StockWithdrawn(checkout, station),
            Vote::Refused { account: item, refusal } => {
                let (reason, shortage) = match refusal {
                    Refusal::Unknown => (Reason::UnknownItem { item }, None),
                    Refusal::Short(hold::Shortage { wanted, left }) => {
                        (Reason::OutOfStock { item }, Some(Shortage::new(wanted, left)))
                    }
                    Refusal::Busy | Refusal::Expired | Refusal::TooMuch => (Reason::Busy, None),
                };
                Event::StockRefused(checkout, station, reason, shortage)
            }
        })
    }

    fn parked(&self, checkout: &Checkout, wait: hold::Wait<ItemId>, here: Place) -> Option<Event> {
        let hold::Wait { account: item, wanted, free, ahead } = wait;
        Some(Event::StockParked(checkout.clone(), station(checkout, here), item, Wait::new(wanted, free, ahead)))
    }

    fn changed(items: &[ItemId], change: hold::Change, Item { price, pool }: &Item) -> Option<Event> {
        let replaced = match change {
            hold::Change::Set { replaced } => i128::try_from(replaced).map_or(Sum(i128::MAX), Sum),
            _ => Sum::default(),
        };
        let change = match change {
            hold::Change::Created => Change::Created,
            hold::Change::Set { .. } => Change::Set,
            hold::Change::Added(quantity) => Change::Added(Amount::saturating(quantity)),
            hold::Change::Taken(quantity) => Change::Taken(Amount::saturating(quantity)),
        };
        let total = Amount::saturating(pool.total());
        Some(Event::StockChanged { items: items.to_vec(), change, total, price: *price, replaced })
    }

    fn taken(item: &ItemId, outcome: Result<(), Refusal>) -> Reply {
        let item = item.clone();
        match outcome {
            Ok(()) => Reply::Done,
            Err(Refusal::Unknown) => Reply::Unknown(item),
            Err(Refusal::Short(_)) => Reply::OutOfStock(item),
            Err(Refusal::TooMuch) => Reply::TooLarge(item),
            Err(Refusal::Busy | Refusal::Expired) => Reply::Busy(item),
        }
    }

    fn shown(item: &ItemId, found: Option<&Item>) -> Reply {
        match found {
            Some(Item { price, pool }) => Reply::Found {
                stock: Amount::new(pool.total()).expect("every way into a pool is checked"),
                price: *price,
            },
            None => Reply::Unknown(item.clone()),
        }
    }
}

impl Stock {
    fn command(&self, step: &mut Step<'_, Self>, request: RequestId, command: &Command) -> Result<(), Missing> {
        let reply = match command {
            Command::Find { item } => return self.pools(step).read(request, item),
            Command::Price { item } => return self.pools(step).show(request, item),
            Command::Add { item, amount } => return self.pools(step).add(request, item, amount.get()),
            Command::Subtract { item, amount } => return self.pools(step).take(request, item, amount.get()),
            Command::Redelivered { by, because } => {
                let (service, by, because) = (Service::Stock, by.clone(), because.clone());
                step.emit(Event::Redelivered { service, by, because });
                Reply::Done
            }
            Command::Count => Reply::Counted(self.pools(step).totals()?),
            Command::Create { item, price } => {
                self.pools(step).put(item, Item { price: *price, pool: Pool::new(0) })?;
                Reply::Created(item.clone())
            }
            Command::Initialise { items, stock, price } => {
                let item = Item { price: *price, pool: Pool::new(stock.get()) };
                self.pools(step).renew(items, &item)?.map_or_else(|busy| Reply::Busy(busy.clone()), |()| Reply::Done)
            }
        };
        step.reply(request, reply);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use contract::{CheckoutData, Id, OrderId, Quantity, UserId};

    use super::*;

    #[test]
    fn a_partition_asks_for_its_own_items_only() {
        let id = Id::from_number;
        let items: Vec<_> = (0..20).map(|number| ItemId(id(number))).collect();
        let line = |item: &ItemId| Line { item: item.clone(), quantity: Quantity::new(1).expect("a quantity") };
        let checkout = CheckoutData {
            id: CheckoutId::from_random(1),
            order: OrderId(id(1)),
            user: UserId(id(1)),
            amount: Amount::new(20).expect("an amount"),
            lines: items.iter().map(line).collect(),
            started_at_ms: 0,
            timeout_ms: 5000,
            request: None,
            caller: None,
        };
        let event = Event::CheckoutStarted(checkout.into());
        for partition in 0..3 {
            let mut keys = Vec::new();
            Stock::default().prefetch(&Input::Event(&event), partition, 3, &mut keys);
            let own = items.iter().filter(|item| partition_of_item(item, 3) == partition);
            assert_eq!(keys, own.cloned().map(StockKey::Account).collect::<Vec<_>>());
        }
    }
}
