//! What runs in a process: the three services joined, or one replica of one service with its peers a network away.

use std::sync::{Arc, Mutex};

use order::Orders;
use payment::Payment;
use saga::{
    Codec, Halt, Handle, Member, Participant, Partition, Running, Service, Settings,
    remote::{Names, Node, RunningNode},
};
use stock::Stock;

use super::{connection::Connection, network::Wire, random::Random, replica::settings, world::World};
use crate::ServiceName;

/// Where clients reach the services of a process.
#[derive(Clone, Default)]
pub(crate) struct Desks {
    pub(crate) order: Option<Handle<Orders>>,
    pub(crate) stock: Option<Handle<Stock>>,
    pub(crate) payment: Option<Handle<Payment>>,
}

/// A process while it runs.
pub(crate) struct Process {
    services: Services,
    pub(crate) desks: Desks,
}

enum Services {
    Joined([Running; 3]),
    Apart(Box<RunningNode<Connection>>),
}

/// What it takes to start one.
pub(crate) struct Start<'a> {
    world: &'a Arc<World>,
    replica: usize,
    calls: &'a Arc<Mutex<Random>>,
    settings: Settings,
    me: Member,
}

impl Process {
    pub(crate) fn start(world: &Arc<World>, replica: usize, random: &mut Random, calls: &Arc<Mutex<Random>>) -> Self {
        let settings = settings(world, replica, random);
        let me = Member { id: random.between(1, u64::MAX), address: world.replicas[replica].address().to_owned() };
        let start = Start { world, replica, calls, settings, me };
        match world.replicas[replica].service {
            None => start.joined(),
            Some(ServiceName::Order) => start.order(),
            Some(ServiceName::Stock) => start.stock(),
            Some(ServiceName::Payment) => start.payment(),
        }
    }

    pub(crate) fn is_recovered(&self) -> bool {
        match &self.services {
            Services::Joined(services) => services.iter().all(|service| *service.recovered().borrow()),
            Services::Apart(node) => *node.recovered().borrow(),
        }
    }

    pub(crate) async fn halted(&mut self) -> Halt {
        match &mut self.services {
            Services::Apart(node) => node.halted().await,
            Services::Joined([order, stock, payment]) => tokio::select! {
                biased;
                halt = order.halted() => halt,
                halt = stock.halted() => halt,
                halt = payment.halted() => halt,
            },
        }
    }

    pub(crate) async fn stop(self) -> Result<(), Halt> {
        match self.services {
            Services::Apart(node) => node.stop().await,
            Services::Joined(services) => {
                for service in services {
                    service.stop().await?;
                }
                Ok(())
            }
        }
    }
}

impl Start<'_> {
    fn service<P: Participant>(&self, participant: P, site: usize, partitions: Partition) -> Service<P, Connection> {
        let connection = Connection::new(self.world, self.replica, site, self.calls);
        Service::new(participant, connection, partitions, self.settings.clone(), self.world.engine.clone())
    }

    fn orders(&self) -> Orders {
        Orders::new(self.world.climate.checkout_timeout, self.world.checkouts.clone())
    }

    fn stocks(&self) -> Stock {
        Stock { parked_max: self.world.climate.parked_max }
    }

    fn payments(&self) -> Payment {
        Payment { parked_max: self.world.climate.parked_max }
    }

    fn joined(self) -> Process {
        let partitions = self.world.climate.partitions;
        let mut order = self.service(self.orders(), 0, partitions.order);
        let mut stock = self.service(self.stocks(), 1, partitions.stock);
        let mut payment = self.service(self.payments(), 2, partitions.payment);
        stock.consume(&mut order);
        stock.consume_own();
        payment.consume(&mut order);
        payment.consume(&mut stock);
        order.consume(&mut stock);
        order.consume(&mut payment);
        let desks = Desks { order: Some(order.handle()), stock: Some(stock.handle()), payment: Some(payment.handle()) };
        Process { services: Services::Joined([order.start(), stock.start(), payment.start()]), desks }
    }

    fn node<P: Participant<Command: Codec>>(&self, service: Service<P, Connection>) -> Node<P, Connection> {
        let wire = Wire { world: Arc::clone(self.world), replica: self.replica };
        Node::new(service, self.me.clone(), Arc::new(wire))
    }

    fn names(&self, service: ServiceName) -> Names {
        let partitions = self.world.climate.partitions;
        let (service, partitions) = match service {
            ServiceName::Order => ("order", partitions.order),
            ServiceName::Stock => ("stock", partitions.stock),
            ServiceName::Payment => ("payment", partitions.payment),
        };
        Names { service, partitions, names: vec![service.to_owned()] }
    }

    fn run<P: Participant<Command: Codec>>(&self, node: Node<P, Connection>, site: usize) -> Services {
        let listener = self.world.network.listen(&self.me.address);
        let members = Connection::new(self.world, self.replica, site, self.calls);
        Services::Apart(Box::new(node.start(listener, members)))
    }

    fn order(self) -> Process {
        let partitions = self.world.climate.partitions;
        let mut node = self.node(self.service(self.orders(), 0, partitions.order));
        let _ = node.consume::<Stock>(self.names(ServiceName::Stock));
        let _ = node.consume::<Payment>(self.names(ServiceName::Payment));
        node.feed(self.stocks(), partitions.stock);
        node.feed(self.payments(), partitions.payment);
        let desks = Desks { order: Some(node.handle()), ..Desks::default() };
        Process { services: self.run(node, 0), desks }
    }

    fn stock(self) -> Process {
        let partitions = self.world.climate.partitions;
        let mut node = self.node(self.service(self.stocks(), 1, partitions.stock));
        let _ = node.consume::<Orders>(self.names(ServiceName::Order));
        node.consume_own();
        node.feed(self.orders(), partitions.order);
        node.feed(self.payments(), partitions.payment);
        let desks = Desks { stock: Some(node.handle()), ..Desks::default() };
        Process { services: self.run(node, 1), desks }
    }

    fn payment(self) -> Process {
        let partitions = self.world.climate.partitions;
        let mut node = self.node(self.service(self.payments(), 2, partitions.payment));
        let _ = node.consume::<Orders>(self.names(ServiceName::Order));
        let _ = node.consume::<Stock>(self.names(ServiceName::Stock));
        node.feed(self.orders(), partitions.order);
        let desks = Desks { payment: Some(node.handle()), ..Desks::default() };
        Process { services: self.run(node, 2), desks }
    }
}
