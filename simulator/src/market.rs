//! The whole shop without a runtime: three services' partitions, the logs between them, and everything that may happen.
//!
//! What the engine's sequencer does around a step is done here in the same way, one step at a time: an event is consumed
//! if the cursor is not past it, the cursor moves with the records, nothing that may still be lost is seen by a service
//! that would not be lost with it, replies wait for durability, and a log is trimmed as soon as it may be.

mod action;
mod identity;
mod log;
mod logs;
mod node;
mod nodes;
mod rest;
pub(crate) mod role;
mod seen;

use std::{collections::BTreeSet, sync::Arc};

use order::Stage;
use saga::{Participant, partition_of};

use crate::{
    History, Plan, Service,
    attempt::operation_of,
    plan::Setup,
    shared::Shared,
    shop::{Operation, Outcome},
};
pub use action::{Action, Address};
use node::{Answers, Node, Seat};
use nodes::Nodes;

/// A state of the shop. Copies share what they have in common.
#[derive(Clone)]
pub struct Market {
    setup: Arc<Setup>,
    nodes: Nodes,
    history: Shared<History>,
    crashes: u8,
    overtakes: u8,
    copies: u8,
    /// A consumer that came too late for an event that was trimmed: the engine would halt here.
    gap: bool,
}

/// Whether a service consumes another's logs, by its own word.
pub(crate) fn consumes(consumer: Service, producer: Service) -> bool {
    contract::of!(consumer, P => P::CONSUMES).contains(&producer.name())
}

impl Market {
    /// The market at the start of `plan`.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let setup = Arc::new(role::set_up(plan));
        Self {
            nodes: Nodes::new(&setup),
            history: Shared::new(History::default()),
            crashes: 0,
            overtakes: 0,
            copies: 0,
            gap: false,
            setup,
        }
    }

    /// What it started with and what may happen.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.setup.plan
    }

    /// What clients saw so far.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The events that were emitted on the way here and what the holds noted, by name.
    #[must_use]
    pub fn seen(&self) -> BTreeSet<&'static str> {
        self.addresses().flat_map(|address| self.node(address).seen().marks()).collect()
    }

    /// Every partition.
    pub fn addresses(&self) -> impl Iterator<Item = Address> + use<> {
        let setup = Arc::clone(&self.setup);
        Service::ALL.into_iter().flat_map(move |service| {
            (0..setup.plan.partitions.of(service)).map(move |partition| Address { service, partition })
        })
    }

    /// Every partition with each log that it consumes.
    pub fn subscriptions(&self) -> impl Iterator<Item = (Address, Address)> + '_ {
        self.addresses().flat_map(|source| self.consumers(source).map(move |consumer| (consumer, source)))
    }

    fn consumers(&self, source: Address) -> impl Iterator<Item = Address> + use<> {
        self.addresses().filter(move |other| *other != source && consumes(other.service, source.service))
    }

    fn node(&self, address: Address) -> &dyn Seat {
        self.nodes.get(address)
    }

    fn edit(&mut self, address: Address) -> &mut dyn Seat {
        self.nodes.edit(address)
    }

    /// The partition that an operation is for.
    fn home(&self, operation: usize) -> Address {
        let operation = self.setup.operation(operation);
        let service = role::service_of(operation);
        let name = role::name_of(&self.setup, operation);
        Address { service, partition: partition_of(name.as_bytes(), self.setup.plan.partitions.of(service)) }
    }

    /// Everything that may happen now.
    pub fn actions(&self, actions: &mut Vec<Action>) {
        self.progress(actions);
        let plan = &self.setup.plan;
        actions.extend((0..plan.operations.len()).filter(|operation| self.may_begin(*operation)).map(Action::Begin));
        if plan.deadlines {
            for partition in 0..plan.partitions.of(Service::Order) {
                let address = Address { service: Service::Order, partition };
                let open = self.node(address).deadlines(&self.setup).len();
                actions.extend((0..open).map(|place| Action::Deadline(partition, place)));
            }
        }
        if plan.patience {
            let waits = |operation: &usize| {
                let home = self.home(*operation);
                home.service != Service::Order
                    && !self.node(home).is_away()
                    && self.node(home).desk().contains(operation)
            };
            actions.extend((0..plan.operations.len()).filter(waits).map(Action::Expire));
        }
        if plan.redelivery {
            for (consumer, source) in self.subscriptions() {
                let consumed = self.node(consumer).cursor(source);
                let kept = self.node(source).log().entries().map(|(position, _)| position);
                let again = kept.take_while(|position| *position <= consumed);
                actions.extend(again.map(|to| Action::Deliver { consumer, source, from: to - 1, to }));
            }
        }
        if self.crashes < plan.crashes_max {
            actions.extend((0..plan.domains.len()).map(Action::Crash));
        }
        if self.overtakes < plan.overtakes_max {
            let may = |address: &Address| plan.overtaken.contains(&address.service) && !self.node(*address).is_away();
            actions.extend(self.addresses().filter(may).map(Action::Overtake));
        }
        if self.copies < plan.copies_max {
            actions.extend(
                (0..plan.operations.len()).filter(|operation| self.may_come_again(*operation)).map(Action::Copy),
            );
        }
    }

    /// What will happen sooner or later, whatever else may: when there is none of it, the market is at rest.
    pub fn progress(&self, actions: &mut Vec<Action>) {
        for (consumer, source) in self.subscriptions() {
            if self.next_event(consumer, source).is_some() {
                actions.push(Action::Consume { consumer, source });
            }
        }
        actions
            .extend((0..self.setup.plan.domains.len()).filter(|domain| !self.is_clean(*domain)).map(Action::Persist));
        actions.extend(self.addresses().filter(|address| self.node(*address).is_away()).map(Action::Return));
    }

    fn may_begin(&self, operation: usize) -> bool {
        let waits_for = self.setup.plan.after.get(operation).copied().flatten();
        !self.history.has_begun(operation)
            && waits_for.is_none_or(|other| self.history.outcome(other).is_some())
            && !self.node(self.home(operation)).is_away()
    }

    /// Whether a late copy of it may come. Not of a checkout that was told that its order is empty: that was so at that
    /// moment, and began no attempt that could be remembered.
    fn may_come_again(&self, operation: usize) -> bool {
        matches!(self.setup.operation(operation), Operation::Checkout { .. })
            && self.history.outcome(operation).is_some_and(|outcome| *outcome != Outcome::Empty)
            && !self.node(self.home(operation)).is_away()
    }

    fn domain(&self, domain: usize) -> impl Iterator<Item = Address> + use<> {
        let services = self.setup.plan.domains[domain].clone();
        self.addresses().filter(move |address| services.contains(&address.service))
    }

    fn is_clean(&self, domain: usize) -> bool {
        self.domain(domain).all(|address| self.node(address).is_clean())
    }

    /// Lets `action` happen. `false`: it could not.
    pub fn apply(&mut self, action: &Action) -> bool {
        let setup = Arc::clone(&self.setup);
        match *action {
            Action::Begin(operation) => self.begin(operation),
            Action::Consume { consumer, source } => {
                let Some(to) = self.next_event(consumer, source) else { return false };
                // A reader of the log finds the next event or nothing: here it notices that one was lost.
                self.gap |= self.node(source).log().trimmed() >= to;
                if !self.deliver(consumer, source, to - 1, to) {
                    return false;
                }
            }
            Action::Deliver { consumer, source, from, to } => {
                if !self.deliver(consumer, source, from, to) {
                    return false;
                }
            }
            Action::Deadline(partition, place) => {
                let address = Address { service: Service::Order, partition };
                let answers = self.edit(address).pass_deadline(&setup, place);
                self.hear(answers);
            }
            Action::Expire(operation) => {
                let answers = self.edit(self.home(operation)).expire(&setup, operation);
                self.hear(answers);
            }
            Action::Persist(domain) => {
                for address in self.domain(domain) {
                    let answers = self.edit(address).persist(&setup);
                    self.hear(answers);
                }
            }
            Action::Crash(domain) => {
                self.crashes += 1;
                self.domain(domain).for_each(|address| self.edit(address).crash(&setup));
            }
            Action::Overtake(address) => {
                self.overtakes += 1;
                self.edit(address).leave();
            }
            Action::Copy(operation) => {
                self.copies += 1;
                let answers = self.edit(self.home(operation)).take_copy(&setup, operation);
                self.hear(answers);
            }
            Action::Return(address) => {
                let answers = self.edit(address).come_back(&setup);
                self.hear(answers);
                let unanswered = self.node(address).desk().clone();
                unanswered.into_iter().for_each(|operation| self.note_joined(operation));
            }
        }
        self.skip_what_is_for_others();
        self.trim();
        true
    }

    fn begin(&mut self, operation: usize) {
        let setup = Arc::clone(&self.setup);
        self.history.edit().begin(operation);
        let answers = self.edit(self.home(operation)).invoke(&setup, operation);
        self.note_joined(operation);
        self.hear(answers);
    }

    fn hear(&mut self, answers: Answers) {
        for (operation, outcome) in answers {
            self.history.edit().end(operation, outcome);
        }
    }

    /// A checkout of an order that is in checkout waits for the outcome of the attempt that runs.
    fn note_joined(&mut self, operation: usize) {
        let Operation::Checkout { order } = *self.setup.operation(operation) else { return };
        let partition = self.home(operation).partition;
        let mut records = self.nodes.order[usize::from(partition)].records().iter();
        let record = records.find(|(key, _)| key.0 == self.setup.orders[order]).map(|(_, record)| record);
        let Some(Stage::InCheckout(running)) = record.map(|record| &record.stage) else { return };
        let running = operation_of(running.id);
        if running != operation {
            self.history.edit().join(operation, running);
        }
    }
}
