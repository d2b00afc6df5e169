//! Stock's part in a checkout, and its own commands: pure steps.

use contract::{Amount, Checkout, CheckoutId, Event, ItemId, Line, Reason, Station};
use saga::{
    Destinations, Effect, Input, Missing, Participant, Partition, RequestId, Step,
    hold::{self, Claim, Hold, Ledger, Pool, Refusal, Word},
    minicbor::{self, Decode, Encode},
    partition_of,
};

use crate::record::{Item, StockKey, StockRecord};

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
}

/// The stock service.
#[derive(Clone, Debug)]
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

impl Participant for Stock {
    type Key = StockKey;
    type Record = StockRecord;
    type Command = Command;
    type Reply = Reply;
    type Event = Event;

    fn name(&self) -> &'static str {
        "stock"
    }

    fn step(&self, step: &mut Step<'_, Self>, input: Input<'_, Self>) -> Result<(), Missing> {
        let mut shelf = Shelf { stock: self, step };
        match input {
            Input::Command { request, command } => shelf.command(request, command),
            Input::Expired { request, command: Command::Find { item } | Command::Subtract { item, .. } } => {
                hold::expire(&mut shelf, request, item)
            }
            Input::Event(event) => shelf.event(event),
            Input::Expired { .. } | Input::Deadline(_) => Ok(()),
        }
    }

    fn destinations(&self, event: &Event, partitions: Partition, to: &mut Destinations) {
        match event {
            Event::CheckoutStarted(checkout) => {
                walk(checkout, partitions).first().into_iter().for_each(|&first| to.add(first))
            }
            Event::StockReserved(checkout, station)
            | Event::StockRefused(checkout, station, _)
            | Event::StockWithdrawn(checkout, station) => {
                let next = walk(checkout, partitions).into_iter().find(|partition| *partition > station.partition);
                next.into_iter().for_each(|next| to.add(next));
            }
            Event::CheckoutCompleted(checkout) | Event::CheckoutCancelled(checkout, _) => {
                walk(checkout, partitions).into_iter().for_each(|partition| to.add(partition));
            }
            Event::PaymentAuthorized(_) | Event::PaymentRefused(..) => {}
        }
    }

    fn prefetch(&self, input: &Input<'_, Self>, partition: Partition, partitions: Partition, keys: &mut Vec<StockKey>) {
        match input {
            Input::Command { command, .. } => match command {
                Command::Initialise { items, .. } => keys.extend(items.iter().cloned().map(StockKey::Item)),
                Command::Create { item, .. }
                | Command::Find { item }
                | Command::Price { item }
                | Command::Add { item, .. }
                | Command::Subtract { item, .. } => keys.push(StockKey::Item(item.clone())),
            },
            Input::Event(event) => {
                let here = |line: &&Line| partition_of_item(&line.item, partitions) == partition;
                let lines = event.checkout().lines.iter().filter(here);
                keys.extend(lines.map(|line| StockKey::Item(line.item.clone())));
            }
            Input::Expired { .. } | Input::Deadline(_) => {}
        }
    }

    fn effect(command: &Command) -> Effect {
        match command {
            Command::Find { .. } | Command::Price { .. } => Effect::None,
            Command::Initialise { .. } => Effect::Idempotent,
            Command::Create { .. } | Command::Add { .. } | Command::Subtract { .. } => Effect::Once,
        }
    }

    fn is_final(&self, reply: &Reply) -> bool {
        !matches!(reply, Reply::Busy(_))
    }
}

/// One step of stock.
struct Shelf<'a, 'b> {
    stock: &'a Stock,
    step: &'a mut Step<'b, Stock>,
}

impl Shelf<'_, '_> {
    fn command(&mut self, request: RequestId, command: &Command) -> Result<(), Missing> {
        match command {
            Command::Create { item, price } => {
                let record = StockRecord::Item(Item { price: *price, pool: Pool::new(0) });
                self.step.put(&StockKey::Item(item.clone()), record);
                self.step.reply(request, Reply::Created(item.clone()));
            }
            Command::Initialise { items, stock, price } => self.initialise(request, items, *stock, *price)?,
            Command::Find { item } => hold::read(self, request, item)?,
            Command::Price { item } => self.show(request, item)?,
            Command::Add { item, amount } => self.add(request, item, *amount)?,
            Command::Subtract { item, amount } => hold::take(self, request, item, amount.get())?,
        }
        Ok(())
    }

    fn initialise(
        &mut self,
        request: RequestId,
        items: &[ItemId],
        stock: Amount,
        price: Amount,
    ) -> Result<(), Missing> {
        for item in items {
            if self.peek(item)?.is_some_and(Pool::is_busy) {
                self.step.reply(request, Reply::Busy(item.clone()));
                return Ok(());
            }
        }
        for item in items {
            let record = StockRecord::Item(Item { price, pool: Pool::new(stock.get()) });
            self.step.put(&StockKey::Item(item.clone()), record);
        }
        self.step.reply(request, Reply::Done);
        Ok(())
    }

    fn add(&mut self, request: RequestId, item: &ItemId, amount: Amount) -> Result<(), Missing> {
        let Some(pool) = self.pool(item)? else {
            self.step.reply(request, Reply::Unknown(item.clone()));
            return Ok(());
        };
        if pool.add(amount.get(), Amount::MAX.get()).is_none() {
            self.step.reply(request, Reply::TooLarge(item.clone()));
            return Ok(());
        }
        self.step.reply(request, Reply::Done);
        hold::added(self, item)
    }

    fn event(&mut self, event: &Event) -> Result<(), Missing> {
        let checkout = event.checkout();
        match event {
            Event::CheckoutStarted(_) | Event::StockReserved(..) => {
                let claims = self.claims(checkout);
                hold::request(self, checkout.id, checkout, claims)
            }
            Event::StockRefused(..) | Event::StockWithdrawn(..) => hold::bar(self, checkout.id, checkout),
            Event::CheckoutCompleted(_) => {
                let claims = self.claims(checkout);
                hold::commit(self, checkout.id, claims)
            }
            Event::CheckoutCancelled(..) => hold::release(self, checkout.id, checkout),
            Event::PaymentAuthorized(_) | Event::PaymentRefused(..) => Ok(()),
        }
    }

    /// The lines that are this partition's.
    fn claims(&self, checkout: &Checkout) -> Vec<Claim<ItemId>> {
        let (own, partitions) = (self.step.partition(), self.step.partitions());
        let lines = checkout.lines.iter();
        let here = lines.filter(|line| partition_of_item(&line.item, partitions) == own);
        here.map(|line| Claim::new(line.item.clone(), line.quantity.get())).collect()
    }
}

impl Ledger for Shelf<'_, '_> {
    type Account = ItemId;
    type Saga = CheckoutId;
    type Context = Checkout;

    fn pool(&mut self, item: &ItemId) -> Result<Option<&mut Pool<CheckoutId>>, Missing> {
        Ok(match self.step.edit(&StockKey::Item(item.clone()))? {
            Some(StockRecord::Item(item)) => Some(&mut item.pool),
            _ => None,
        })
    }

    fn peek(&mut self, item: &ItemId) -> Result<Option<&Pool<CheckoutId>>, Missing> {
        Ok(match self.step.get(&StockKey::Item(item.clone()))? {
            Some(StockRecord::Item(item)) => Some(&item.pool),
            _ => None,
        })
    }

    fn hold(&mut self, checkout: CheckoutId) -> Result<Option<&Hold<ItemId, Checkout>>, Missing> {
        Ok(match self.step.get(&StockKey::Checkout(checkout))? {
            Some(StockRecord::Hold(hold)) => Some(hold),
            _ => None,
        })
    }

    fn set_hold(&mut self, checkout: CheckoutId, hold: Option<Hold<ItemId, Checkout>>) {
        let key = StockKey::Checkout(checkout);
        match hold {
            Some(hold) => self.step.put(&key, StockRecord::Hold(hold)),
            None => self.step.remove(&key),
        }
    }

    fn say(&mut self, _: CheckoutId, checkout: &Checkout, word: Word<ItemId>) {
        let partition = self.step.partition();
        let is_last = walk(checkout, self.step.partitions()).last() == Some(&partition);
        let (checkout, station) = (checkout.clone(), Station { partition, is_last });
        self.step.emit(match word {
            Word::Held => Event::StockReserved(checkout, station),
            Word::Withdrawn => Event::StockWithdrawn(checkout, station),
            Word::Refused { account: item, refusal } => {
                let reason = match refusal {
                    Refusal::Unknown => Reason::UnknownItem { item },
                    Refusal::Short => Reason::OutOfStock { item },
                    Refusal::Busy | Refusal::Expired => Reason::Busy,
                };
                Event::StockRefused(checkout, station, reason)
            }
        });
    }

    fn answer(&mut self, request: RequestId, item: &ItemId, refusal: Option<Refusal>) -> Result<(), Missing> {
        let item = item.clone();
        self.step.reply(
            request,
            match refusal {
                None => Reply::Done,
                Some(Refusal::Unknown) => Reply::Unknown(item),
                Some(Refusal::Short) => Reply::OutOfStock(item),
                Some(Refusal::Busy | Refusal::Expired) => Reply::Busy(item),
            },
        );
        Ok(())
    }

    fn show(&mut self, request: RequestId, item: &ItemId) -> Result<(), Missing> {
        let reply = match self.step.get(&StockKey::Item(item.clone()))? {
            Some(StockRecord::Item(found)) => {
                // A pool never holds more than an amount can count: every way in is checked.
                let stock = Amount::new(found.pool.total()).unwrap_or(Amount::MAX);
                Reply::Found { stock, price: found.price }
            }
            _ => Reply::Unknown(item.clone()),
        };
        self.step.reply(request, reply);
        Ok(())
    }

    fn note(&mut self, what: &'static str) {
        self.step.note(what);
    }

    fn parked_max(&self) -> usize {
        self.stock.parked_max
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
        };
        let event = Event::CheckoutStarted(checkout.into());
        for partition in 0..3 {
            let mut keys = Vec::new();
            Stock::default().prefetch(&Input::Event(&event), partition, 3, &mut keys);
            let own = items.iter().filter(|item| partition_of_item(item, 3) == partition);
            assert_eq!(keys, own.cloned().map(StockKey::Item).collect::<Vec<_>>());
        }
    }
}
