//! The services by their names: what the command line calls them, and the participant of each.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use contract::Service;
use observer::{Observer, Retention};
use saga::{Participant as _, Partition};

/// Reads a service's name from the command line.
pub(crate) fn service_parser() -> impl TypedValueParser<Value = Service> {
    let names = PossibleValuesParser::new(Service::ALL.map(Service::name));
    names.map(|name| Service::named(&name).expect("one of the possible values"))
}

/// What a process runs that runs one thing alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A service of the shop.
    Service(Service),
    /// Its observer, which keeps so much.
    Observer(Retention),
}

impl Role {
    /// The name of its logs, its data and its metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Service(service) => service.name(),
            Self::Observer(_) => Observer::NAME,
        }
    }

    /// How many partitions it has, where the services have so many.
    pub(crate) fn partitions(self, services: Partition) -> Partition {
        match self {
            Self::Service(_) => services,
            Self::Observer(_) => 1,
        }
    }

    /// Whether it connects to a service, for it consumes its logs.
    pub(crate) fn connects_to(self, producer: Service) -> bool {
        let consumes = match self {
            Self::Service(service) => contract::of!(service, P => P::CONSUMES),
            Self::Observer(_) => Observer::CONSUMES,
        };
        self != Self::Service(producer) && consumes.contains(&producer.name())
    }
}
