//! The partitions of all services.

use order::Orders;
use payment::Payment;
use stock::Stock;

use super::{Address, Node, Seat, role::Role};
use crate::{Service, plan::Setup, shared::Shared};

type NodesOf<P> = Vec<Shared<Node<P>>>;

/// By service and partition. Copies share what they have in common.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) struct Nodes {
    pub(crate) order: NodesOf<Orders>,
    stock: NodesOf<Stock>,
    payment: NodesOf<Payment>,
}

impl Nodes {
    pub(crate) fn new(setup: &Setup) -> Self {
        fn of<P: Role>(setup: &Setup) -> NodesOf<P> {
            let partitions = 0..setup.plan.partitions.of(P::SERVICE);
            partitions.map(|partition| Shared::new(Node::new(setup, partition))).collect()
        }
        Self { order: of(setup), stock: of(setup), payment: of(setup) }
    }

    pub(crate) fn get(&self, address: Address) -> &dyn Seat {
        let place = usize::from(address.partition);
        match address.service {
            Service::Order => &*self.order[place],
            Service::Stock => &*self.stock[place],
            Service::Payment => &*self.payment[place],
        }
    }

    pub(crate) fn edit(&mut self, address: Address) -> &mut dyn Seat {
        let place = usize::from(address.partition);
        match address.service {
            Service::Order => self.order[place].edit(),
            Service::Stock => self.stock[place].edit(),
            Service::Payment => self.payment[place].edit(),
        }
    }
}
