//! The order service's part in a checkout, the pivot, and its own commands: pure steps.

use std::time::Duration;

use contract::{
    Amount, CallerSpan, Checkout, CheckoutData, CheckoutId, Event, ItemId, LINES_MAX, Line, OrderId, Quantity, Reason,
    Remark, RequestName, Service, Shortage, UserId,
};
use saga::{
    Deadline, Destinations, Input, Missing, Participant, Partition, Repeatability, RequestId, Step, Timestamp,
    minicbor::{self, Decode, Encode},
    partition_of,
};

use crate::{
    log::Log,
    metrics::Metrics,
    record::{Order, OrderKey, Stage},
};

/// What callers may ask of an order partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Command {
    /// Create an empty order.
    #[n(0)]
    Create {
        /// A new id.
        #[n(0)]
        order: OrderId,
        /// Whose.
        #[n(1)]
        user: UserId,
    },
    /// Set orders to a state, whether they exist or not. None of them may be in checkout.
    #[n(1)]
    Initialise {
        /// Each with its id.
        #[n(0)]
        orders: Vec<NewOrder>,
    },
    /// Show an order.
    #[n(2)]
    Find {
        /// Which.
        #[n(0)]
        order: OrderId,
    },
    /// Add a line.
    #[n(3)]
    AddItem {
        /// To which order.
        #[n(0)]
        order: OrderId,
        /// Of which item.
        #[n(1)]
        item: ItemId,
        /// How many units.
        #[n(2)]
        quantity: Quantity,
        /// What one unit costs now.
        #[n(3)]
        price: Amount,
    },
    /// Check the order out, or join the attempt that runs.
    #[n(4)]
    Checkout {
        /// Which order.
        #[n(0)]
        order: OrderId,
        /// The request's name, from which that of the attempt is made if one is begun; its copies have the same.
        #[n(1)]
        attempt: CheckoutId,
        /// When it was first asked, in milliseconds since 1970; its copies have the same. Whoever's clock that is, a copy
        /// that comes after the order has forgotten its attempt is known by it.
        #[n(2)]
        #[cbor(default)]
        asked: u64,
        /// What the request is called, for the log.
        #[n(3)]
        request: Option<RequestName>,
        /// The trace that it belongs to, where that is not its own.
        #[n(4)]
        caller: Option<CallerSpan>,
    },
    /// End the attempt that runs as cancelled: an operator's command.
    #[n(5)]
    Cancel {
        /// Of which order.
        #[n(0)]
        order: OrderId,
        /// Who says so.
        #[n(1)]
        by: Remark,
        /// Why.
        #[n(2)]
        because: Remark,
    },
    /// Say to observers that an operator had this partition read the logs of its sources again.
    #[n(6)]
    Redelivered {
        /// Who says so.
        #[n(0)]
        by: Remark,
        /// Why.
        #[n(1)]
        because: Remark,
    },
}

impl Command {
    /// What to ask instead of a checkout that came too late, where nobody but the asker has copies of it: none of those
    /// was decided for, and none will begin anything any more.
    #[must_use]
    pub fn asked_anew(&self, reply: &Reply) -> Option<Self> {
        match (self, reply) {
            (this @ Self::Checkout { .. }, Reply::Late { floor, may_be_paid: false }) => {
                let mut anew = this.clone();
                if let Self::Checkout { asked, .. } = &mut anew {
                    *asked = floor.saturating_add(1);
                }
                Some(anew)
            }
            _ => None,
        }
    }
}

/// An order to be initialised.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct NewOrder {
    /// Its id.
    #[n(0)]
    pub order: OrderId,
    /// Whose.
    #[n(1)]
    pub user: UserId,
    /// What.
    #[n(2)]
    pub lines: Vec<Line>,
    /// What it costs.
    #[n(3)]
    pub total_cost: Amount,
}

/// What callers are told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Reply {
    /// It is done.
    #[n(0)]
    Done,
    /// The order was created.
    #[n(1)]
    Created(#[n(0)] OrderId),
    /// The order that was asked for.
    #[n(2)]
    Found {
        /// The order.
        #[n(0)]
        order: Order,
    },
    /// There is no such order.
    #[n(3)]
    Unknown(#[n(0)] OrderId),
    /// It cannot be changed while it is being checked out.
    #[n(4)]
    InCheckout,
    /// It cannot be changed once it is paid.
    #[n(5)]
    Paid,
    /// It has as many lines as it may have.
    #[n(6)]
    TooManyLines,
    /// Its sum would be more than can be counted.
    #[n(7)]
    TooLarge,
    /// There is nothing in it to check out.
    #[n(8)]
    Empty,
    /// The checkout was cancelled and undone.
    #[n(9)]
    Cancelled(#[n(0)] Reason),
    /// The checkout may be a late copy of one that was decided, and begins nothing.
    #[n(10)]
    Late {
        /// Only what is asked after this begins an attempt.
        #[n(0)]
        floor: u64,
        /// Whether it may have been decided for.
        #[n(1)]
        may_be_paid: bool,
    },
    /// No attempt runs that could be cancelled.
    #[n(11)]
    NoCheckout,
}

/// Cancelled attempts of an order that are remembered by name: enough for late copies to be told what the first one was.
const CANCELLED_MAX: usize = 4;

/// The order service.
#[derive(Clone, Debug)]
pub struct Orders {
    timeout: Duration,
    metrics: Metrics,
    log: Option<Log>,
    cancelled_max: usize,
}

impl Orders {
    /// The service, cancelling checkouts that take longer than `timeout`.
    #[must_use]
    pub fn new(timeout: Duration, metrics: Metrics) -> Self {
        Self { timeout, metrics, log: None, cancelled_max: CANCELLED_MAX }
    }

    /// The service, saying in `log` how checkouts end that are not paid.
    #[must_use]
    pub fn with_log(self, log: Log) -> Self {
        Self { log: Some(log), ..self }
    }

    /// The service, remembering so many cancelled attempts of an order by name. For tests: nothing depends on it.
    #[must_use]
    pub fn with_cancelled_max(self, cancelled_max: usize) -> Self {
        Self { cancelled_max, ..self }
    }
}

impl Participant for Orders {
    const NAME: &'static str = Service::Order.name();
    const CONSUMES: &'static [&'static str] = &[Service::Stock.name(), Service::Payment.name()];

    type Key = OrderKey;
    type Record = Order;
    type Command = Command;
    type Reply = Reply;
    type Event = Event;

    fn step(&self, step: &mut Step<'_, Self>, input: Input<'_, Self>) -> Result<(), Missing> {
        match input {
            Input::Command { request, command } => self.command(step, request, command),
            Input::Event(event) => match (event.verdict(), event.checkout()) {
                (Some(Ok(())), Some(checkout)) => self.decide(step, checkout, None),
                (Some(Err(reason)), Some(checkout)) => self.decide(step, checkout, Some((reason, event.shortage()))),
                _ => Ok(()),
            },
            Input::Deadline(key) => match step.get(key)?.map(|order| &order.stage) {
                Some(Stage::InCheckout(checkout)) => {
                    let checkout = checkout.clone();
                    self.decide(step, &checkout, Some((&Reason::Timeout, None)))
                }
                _ => Ok(()),
            },
            Input::Expired { .. } => Ok(()),
        }
    }

    fn destinations(event: &Event, partitions: Partition, to: &mut Destinations) {
        if let (Some(_), Some(checkout)) = (event.verdict(), event.checkout()) {
            to.add(partition_of(checkout.order.as_str().as_bytes(), partitions));
        }
    }

    fn deadline(&self, own: &Event) -> Option<Deadline<OrderKey>> {
        let key = |checkout: &Checkout| OrderKey(checkout.order.clone());
        match own {
            Event::CheckoutStarted(checkout) => {
                let length = Duration::from_millis(checkout.timeout_ms);
                let at = Timestamp(checkout.started_at_ms).after(length);
                Some(Deadline::Set { key: key(checkout), at, length })
            }
            Event::CheckoutCompleted(checkout) | Event::CheckoutCancelled(checkout, ..) => {
                Some(Deadline::Clear { key: key(checkout) })
            }
            _ => None,
        }
    }

    fn prefetch(&self, input: &Input<'_, Self>, _: Partition, _: Partition, keys: &mut Vec<OrderKey>) {
        match input {
            Input::Command { command, .. } => match command {
                Command::Initialise { orders } => keys.extend(orders.iter().map(|new| OrderKey(new.order.clone()))),
                Command::Create { order, .. }
                | Command::Find { order }
                | Command::AddItem { order, .. }
                | Command::Checkout { order, .. }
                | Command::Cancel { order, .. } => keys.push(OrderKey(order.clone())),
                Command::Redelivered { .. } => {}
            },
            Input::Event(event) => keys.extend(event.checkout().map(|checkout| OrderKey(checkout.order.clone()))),
            Input::Expired { .. } | Input::Deadline(_) => {}
        }
    }

    fn committed(&self, own: &Event, now: Timestamp) {
        self.metrics.decided(own, now);
        if let (Some(log), Event::CheckoutCancelled(checkout, reason, shortage)) = (&self.log, own) {
            log.unpaid(checkout, reason, *shortage, now);
        }
    }

    fn may_ask(_: &str, _: &Command) -> bool {
        false
    }

    fn repeatability(command: &Command) -> Repeatability {
        match command {
            Command::Find { .. } => Repeatability::Safe,
            // A checkout that was decided for is answered so again; one that was decided against may be tried again.
            Command::Checkout { .. } => Repeatability::Idempotent,
            // Set again later, an order would lose what came in between.
            Command::Create { .. } | Command::AddItem { .. } | Command::Initialise { .. }
            | Command::Redelivered { .. }
            // A second one might end an attempt that began after the first.
            | Command::Cancel { .. } => Repeatability::Once,
        }
    }

    fn is_final(&self, reply: &Reply) -> bool {
        // A checkout that found no place to wait may be tried again, and so may a change of an order in checkout.
        !matches!(reply, Reply::Cancelled(Reason::Busy) | Reply::InCheckout | Reply::Late { .. })
    }
}

/// Where a checkout comes from.
#[derive(Clone, Copy)]
struct Origin<'a> {
    request: RequestId,
    name: Option<&'a RequestName>,
    caller: Option<CallerSpan>,
}

impl Orders {
    fn command(&self, step: &mut Step<'_, Self>, request: RequestId, command: &Command) -> Result<(), Missing> {
        let reply = match command {
            Command::Create { order, user } => {
                step.put(&OrderKey(order.clone()), Order::new(user.clone()));
                Reply::Created(order.clone())
            }
            Command::Initialise { orders } => initialise(step, orders)?,
            Command::Find { order } => match step.get(&OrderKey(order.clone()))? {
                Some(found) => Reply::Found { order: Order { waiting: Vec::new(), ..found.clone() } },
                None => Reply::Unknown(order.clone()),
            },
            Command::AddItem { order, item, quantity, price } => add_item(step, order, item, *quantity, *price)?,
            Command::Checkout { order, attempt, asked, request: name, caller } => {
                let from = Origin { request, name: name.as_ref(), caller: *caller };
                match self.begin(step, from, order, *attempt, *asked)? {
                    Some(reply) => reply,
                    None => return Ok(()),
                }
            }
            Command::Redelivered { by, because } => {
                let (service, by, because) = (Service::Order, by.clone(), because.clone());
                step.emit(Event::Redelivered { service, by, because });
                Reply::Done
            }
            Command::Cancel { order, by, because } => {
                let reason = Reason::CancelledByOperator { by: by.clone(), because: because.clone() };
                self.cancel(step, order, &reason)?
            }
        };
        step.reply(request, reply);
        Ok(())
    }

    /// Begins an attempt or joins the one that runs; `None`: the reply comes with the decision.
    fn begin(
        &self,
        step: &mut Step<'_, Self>,
        from: Origin<'_>,
        order: &OrderId,
        attempt: CheckoutId,
        asked: u64,
    ) -> Result<Option<Reply>, Missing> {
        let (now, key) = (step.now(), OrderKey(order.clone()));
        let Some(mut found) = step.edit(&key)? else {
            return Ok(Some(Reply::Unknown(order.clone())));
        };
        match found.stage {
            Stage::Paid => return Ok(Some(Reply::Done)),
            Stage::InCheckout(_) => {
                found.volatile().waiting.push((from.request, asked));
                return Ok(None);
            }
            Stage::Open => {}
        }
        if let Some(reason) = found.outcome_of(attempt) {
            return Ok(Some(Reply::Cancelled(reason.clone())));
        }
        if asked <= found.floor {
            return Ok(Some(Reply::Late { floor: found.floor, may_be_paid: asked <= found.paid_floor }));
        }
        let Some(lines) = found.merged_lines() else {
            return Ok(Some(Reply::TooLarge));
        };
        if lines.is_empty() {
            return Ok(Some(Reply::Empty));
        }
        let checkout = Checkout::from(CheckoutData {
            id: attempt.after_attempts(found.attempts),
            order: order.clone(),
            user: found.user.clone(),
            amount: found.total_cost,
            lines,
            started_at_ms: now.0,
            timeout_ms: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
            request: from.name.cloned(),
            caller: from.caller,
        });
        found.attempts += 1;
        found.asked = asked;
        found.stage = Stage::InCheckout(checkout.clone());
        found.waiting.push((from.request, asked));
        step.emit(Event::CheckoutStarted(checkout));
        Ok(None)
    }

    /// Decides against the attempt that runs, as its deadline does.
    fn cancel(&self, step: &mut Step<'_, Self>, order: &OrderId, reason: &Reason) -> Result<Reply, Missing> {
        let running = match step.get(&OrderKey(order.clone()))?.map(|found| &found.stage) {
            None => return Ok(Reply::Unknown(order.clone())),
            Some(Stage::Paid) => return Ok(Reply::Paid),
            Some(Stage::Open) => return Ok(Reply::NoCheckout),
            Some(Stage::InCheckout(checkout)) => checkout.clone(),
        };
        self.decide(step, &running, Some((reason, None)))?;
        Ok(Reply::Done)
    }

    /// The saga's one decision point: what is committed here stands.
    fn decide(
        &self,
        step: &mut Step<'_, Self>,
        checkout: &Checkout,
        refused: Option<(&Reason, Option<Shortage>)>,
    ) -> Result<(), Missing> {
        let key = OrderKey(checkout.order.clone());
        let Some(mut order) = step.edit(&key)? else { return Ok(()) };
        let checkout = match &order.stage {
            // The record's own: it may know what its request is called, which the vote does not say.
            Stage::InCheckout(running) if running.id == checkout.id => running.clone(),
            // The attempt was decided already: what still comes from it changes nothing.
            _ => return Ok(()),
        };
        let waiting = order.take_waiting(refused.is_none());
        match refused {
            None => order.forget_cancelled(),
            Some((reason, _)) => order.remember(checkout.id, reason.clone(), self.cancelled_max),
        }
        let (stage, reply, event) = match refused {
            None => (Stage::Paid, Reply::Done, Event::CheckoutCompleted(checkout)),
            Some((reason, shortage)) => {
                let cancelled = Event::CheckoutCancelled(checkout, reason.clone(), shortage);
                (Stage::Open, Reply::Cancelled(reason.clone()), cancelled)
            }
        };
        order.stage = stage;
        step.emit(event);
        for request in waiting {
            step.reply(request, reply.clone());
        }
        Ok(())
    }
}

fn initialise(step: &mut Step<'_, Orders>, orders: &[NewOrder]) -> Result<Reply, Missing> {
    for new in orders {
        if let Some(Stage::InCheckout(_)) = step.get(&OrderKey(new.order.clone()))?.map(|order| &order.stage) {
            return Ok(Reply::InCheckout);
        }
    }
    for new in orders {
        let key = OrderKey(new.order.clone());
        let (user, lines) = (new.user.clone(), new.lines.clone());
        let order = match step.get(&key)? {
            Some(before) => before.renewed(user, lines, new.total_cost),
            None => Order { lines, total_cost: new.total_cost, ..Order::new(user) },
        };
        step.put(&key, order);
    }
    Ok(Reply::Done)
}

fn add_item(
    step: &mut Step<'_, Orders>,
    order: &OrderId,
    item: &ItemId,
    quantity: Quantity,
    price: Amount,
) -> Result<Reply, Missing> {
    let key = OrderKey(order.clone());
    let Some(mut found) = step.edit(&key)? else {
        return Ok(Reply::Unknown(order.clone()));
    };
    match found.stage {
        Stage::Open => {}
        Stage::InCheckout(_) => return Ok(Reply::InCheckout),
        Stage::Paid => return Ok(Reply::Paid),
    }
    if found.lines.len() >= LINES_MAX {
        return Ok(Reply::TooManyLines);
    }
    let total = price.checked_mul(quantity).and_then(|cost| found.total_cost.checked_add(cost));
    let (Some(total_cost), Some(_)) = (total, found.quantity_with(item, quantity)) else {
        return Ok(Reply::TooLarge);
    };
    found.lines.push(Line { item: item.clone(), quantity });
    found.total_cost = total_cost;
    Ok(Reply::Done)
}

#[cfg(test)]
mod tests;
