//! The services of the shop, and the route of a checkout through them.

use std::fmt;

use minicbor::{Decode, Encode};

/// A service of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Service {
    /// Orders, and their checkout.
    #[n(0)]
    Order,
    /// Items, and their units.
    #[n(1)]
    Stock,
    /// Users, and their credit.
    #[n(2)]
    Payment,
}

impl Service {
    /// All, in the order in which a checkout visits them: the first begins it, and decides once the last has voted.
    pub const ALL: [Self; 3] = [Self::Order, Self::Stock, Self::Payment];

    /// The name of its logs, its data, its metrics and its command.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Stock => "stock",
            Self::Payment => "payment",
        }
    }

    /// The service of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }

    /// The service that a checkout visits after this one; `None` for the last.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        let mut after = Self::ALL.into_iter().skip_while(|service| *service != self);
        after.nth(1)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Expands code that is generic over a participant once for each service, and runs the one of `service`. Here, so that which
/// crate has whose participant stands once; where it is used, all of them are dependencies, under these names.
///
/// ```text
/// contract::of!(service, P => P::CONSUMES.contains(&"stock"))
/// ```
#[macro_export]
macro_rules! of {
    ($service:expr, $participant:ident => $what:expr) => {
        match $service {
            $crate::Service::Order => {
                type $participant = order::Orders;
                $what
            }
            $crate::Service::Stock => {
                type $participant = stock::Stock;
                $what
            }
            $crate::Service::Payment => {
                type $participant = payment::Payment;
                $what
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_its_place_on_the_route_and_a_name_of_its_own() {
        for (place, service) in Service::ALL.into_iter().enumerate() {
            assert_eq!(service as usize, place);
            assert_eq!(Service::named(service.name()), Some(service));
            assert_eq!(service.next(), Service::ALL.get(place + 1).copied());
        }
    }
}
