//! What runs in a process: the services joined, or one replica of one service with its peers a network away.

use std::sync::{Arc, Mutex};

use saga::{
    Choreography, Codec, DeliveryFault, Halt, Handle, Member, Running, Settings,
    remote::{Node, RunningNode},
};

use super::{
    climate::{Climate, FaultKind},
    connection::Connection,
    desks::Desks,
    network::wire::Wire,
    random::Random,
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

/// What it takes to start one.
struct Start<'a> {
    world: &'a Arc<World>,
    replica: usize,
    calls: &'a Arc<Mutex<Random>>,
    settings: Settings,
    me: Member,
}

impl Process {
    pub(crate) fn start(world: &Arc<World>, replica: usize, random: &mut Random, calls: &Arc<Mutex<Random>>) -> Self {
        let settings = settings(world, replica, random);
        let address = world.replicas[replica].address().to_owned();
        let me = Member { id: random.between(1, u64::MAX), address, is_fit: false };
        let start = Start { world, replica, calls, settings, me };
        match world.replicas[replica].service {
            None => start.joined(),
            Some(service) => contract::of!(service, P => start.apart::<P>()),
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

    fn connection<P: Role>(&self) -> Connection {
        Connection::new(self.world, self.replica, P::SERVICE, self.calls)
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
                self.connection::<P>(),
                self.partitions::<P>(),
            )));
        }
        let running = market.start().expect("all are there");
        Process { services: Services::Joined(running), desks }
    }

    fn apart<P: Role<Command: Codec>>(&self) -> Process {
        let (settings, metrics) = (self.settings.clone(), self.world.engine.clone());
        let (connection, partitions) = (self.connection::<P>(), self.partitions::<P>());
        let service = saga::Service::new(self.participant::<P>(), connection, partitions, settings, metrics);
        let wire = Wire { world: Arc::clone(self.world), replica: self.replica };
        let mut node = Node::new(service, self.me.clone(), Arc::new(wire));
        for peer in Service::ALL.into_iter().filter(|peer| *peer != P::SERVICE) {
            contract::of!(peer, Q => {
                let _: Handle<Q> = node.peer(vec![peer.to_string()], self.partitions::<Q>());
            });
        }
        let mut desks = Desks::default();
        desks.add(node.handle());
        let listener = self.world.network.listen(&self.me.address);
        let running = node.start(listener, self.connection::<P>()).expect("all are connected");
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
        delivery_fault,
        ..Settings::default()
    }
}
