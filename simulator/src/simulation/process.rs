//! What runs in a process: the services joined, or one replica of one service with its peers a network away.

use std::sync::{Arc, Mutex};

use observer::Observer;
use saga::{
    Choreography, Codec, DeliveryFault, Halt, Handle, Member, Participant, Running, Settings,
    remote::{Node, RunningNode},
};

use super::{
    climate::{Climate, FaultKind},
    connection::Connection,
    desks::Desks,
    network::wire::Wire,
    random::Random,
    replica::Runs,
    site::Owner,
    world::World,
};
use crate::{Service, market::role::Role, plan::Knobs};

/// A process while it runs.
pub(crate) struct Process {
    services: Services,
    pub(crate) desks: Desks,
}

enum Services {
    Joined(Running),
    Apart(Box<RunningNode>),
}

/// What decides what becomes of a process's calls of databases: those of the observer have chance of their own, so that it
/// changes nothing for the services.
pub(crate) struct Calls {
    of_services: Arc<Mutex<Random>>,
    of_observer: Arc<Mutex<Random>>,
}

impl Calls {
    pub(crate) fn new(seed: u64, replica: usize) -> Self {
        let stream = |purpose| Arc::new(Mutex::new(Random::new(seed, purpose, replica as u64)));
        Self { of_services: stream("calls"), of_observer: stream("calls of the observer") }
    }
}

/// What it takes to start one.
struct Start<'a> {
    world: &'a Arc<World>,
    replica: usize,
    calls: &'a Calls,
    settings: Settings,
    me: Member,
}

impl Process {
    pub(crate) fn start(world: &Arc<World>, replica: usize, random: &mut Random, calls: &Calls) -> Self {
        let settings = settings(world, replica, random);
        let address = world.replicas[replica].address().to_owned();
        let me = Member { id: random.between(1, u64::MAX), address, is_fit: false };
        let start = Start { world, replica, calls, settings, me };
        match world.replicas[replica].runs {
            Runs::All => start.joined(),
            Runs::One(Owner::Service(service)) => contract::of!(service, P => start.apart::<P>()),
            Runs::One(Owner::Observer) => start.observing(),
        }
    }

    pub(crate) fn is_recovered(&self) -> bool {
        match &self.services {
            Services::Joined(services) => services.is_recovered(),
            Services::Apart(node) => node.is_recovered(),
        }
    }

    pub(crate) async fn halted(&mut self) -> Halt {
        match &mut self.services {
            Services::Joined(services) => services.halted().await,
            Services::Apart(node) => node.halted().await,
        }
    }

    pub(crate) async fn stop(self) -> Result<(), Halt> {
        match self.services {
            Services::Joined(services) => services.stop().await,
            Services::Apart(node) => node.stop().await,
        }
    }
}

impl Start<'_> {
    fn participant<P: Role>(&self) -> P {
        let Climate { checkout_timeout, cancelled_max, parked_max, .. } = self.world.climate;
        P::made_with(&Knobs { checkout_timeout, checkouts: self.world.checkouts.clone(), cancelled_max, parked_max })
    }

    fn connection(&self, to: Owner) -> Connection {
        let calls = match to {
            Owner::Service(_) => &self.calls.of_services,
            Owner::Observer => &self.calls.of_observer,
        };
        Connection::new(self.world, self.replica, to, calls)
    }

    fn partitions<P: Role>(&self) -> u16 {
        self.world.climate.partitions.of(P::SERVICE)
    }

    fn joined(&self) -> Process {
        let mut market = Choreography::new(self.settings.clone(), self.world.engine.clone());
        let mut desks = Desks::default();
        for service in Service::ALL {
            contract::of!(service, P => desks.add(market.add(
                self.participant::<P>(),
                self.connection(service.into()),
                self.partitions::<P>(),
            )));
        }
        desks.history = Some(market.add(Observer::default(), self.connection(Owner::Observer), 1));
        let running = market.start().expect("all are there");
        Process { services: Services::Joined(running), desks }
    }

    fn apart<P: Role<Command: Codec>>(&self) -> Process {
        let (settings, metrics) = (self.settings.clone(), self.world.engine.clone());
        let (connection, partitions) = (self.connection(P::SERVICE.into()), self.partitions::<P>());
        let service = saga::Service::new(self.participant::<P>(), connection, partitions, settings, metrics);
        let mut node = self.node(service);
        for peer in Service::ALL.into_iter().filter(|peer| *peer != P::SERVICE) {
            contract::of!(peer, Q => {
                let _: Handle<Q> = node.peer(vec![peer.to_string()], self.partitions::<Q>());
            });
        }
        let _: Handle<Observer> = node.peer(Vec::new(), 1);
        let mut desks = Desks::default();
        desks.add(node.handle());
        self.start_node(node, P::SERVICE.into(), desks)
    }

    fn observing(&self) -> Process {
        let (settings, metrics) = (self.settings.clone(), self.world.engine.clone());
        let mut node =
            self.node(saga::Service::new(Observer::default(), self.connection(Owner::Observer), 1, settings, metrics));
        for peer in Service::ALL {
            contract::of!(peer, Q => {
                let _: Handle<Q> = node.peer(vec![peer.to_string()], self.partitions::<Q>());
            });
        }
        let mut desks = Desks::default();
        desks.history = Some(node.handle());
        self.start_node(node, Owner::Observer, desks)
    }

    fn node<P: Participant<Command: Codec>>(&self, service: saga::Service<P, Connection>) -> Node<P, Connection> {
        let wire = Wire { world: Arc::clone(self.world), replica: self.replica };
        Node::new(service, self.me.clone(), Arc::new(wire))
    }

    fn start_node<P: Participant<Command: Codec>>(
        &self,
        node: Node<P, Connection>,
        owner: Owner,
        desks: Desks,
    ) -> Process {
        let listener = self.world.network.listen(&self.me.address);
        let running = node.start(listener, self.connection(owner)).expect("all are connected");
        Process { services: Services::Apart(Box::new(running)), desks }
    }
}

fn settings(world: &World, number: usize, random: &mut Random) -> Settings {
    let climate = &world.climate;
    let rate = |kind| climate.faults.get(&kind).copied().unwrap_or_default();
    let (lost, repeated) = (rate(FaultKind::DeliveriesLost), rate(FaultKind::DeliveriesRepeated));
    let delivery_fault = if random.in_thousand(lost) {
        world.reach("deliveries lost");
        DeliveryFault::DropEvery
    } else if random.in_thousand(repeated) {
        world.reach("deliveries repeated");
        DeliveryFault::RepeatEvery
    } else {
        DeliveryFault::None
    };
    Settings {
        clock: world.replicas[number].clock(),
        batch_inputs_max: climate.batch_inputs_max,
        requests_waiting_max: climate.requests_waiting_max,
        deliveries_waiting_max: climate.deliveries_waiting_max,
        records_in_memory_max: climate.records_in_memory_max,
        writers_max: climate.writers_max,
        doubts_max: climate.doubts_max,
        tick: climate.tick,
        poll: climate.poll,
        writer_id: Some(random.between(0, u64::MAX)),
        hash_seed: random.between(0, u64::MAX),
        observer_lag_max: climate.observer_lag_max,
        delivery_fault,
        ..Settings::default()
    }
}
