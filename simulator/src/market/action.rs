//! What may happen, and where.

use std::fmt;

use saga::Partition;

use crate::Service;

/// Names a partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Of which service.
    pub service: Service,
    /// Which.
    pub partition: Partition,
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.service, self.partition)
    }
}

/// Something that may happen in a market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A client sends an operation, and it reaches its partition.
    Begin(usize),
    /// A partition reads a log and consumes the next event that is for it.
    Consume {
        /// Who reads.
        consumer: Address,
        /// Whose log.
        source: Address,
    },
    /// A delivery of the events with numbers in `from + 1 ..= to` comes, perhaps again, late or early.
    Deliver {
        /// Where.
        consumer: Address,
        /// From whose log.
        source: Address,
        /// The number before the first.
        from: u64,
        /// The number of the last.
        to: u64,
    },
    /// A deadline passes: the n-th of those that are open in an order partition.
    Deadline(Partition, usize),
    /// The patience of a caller is over.
    Expire(usize),
    /// Everything that the services of this domain have committed becomes durable.
    Persist(usize),
    /// The services of this domain are killed: whoever waits and what is not durable is lost.
    Crash(usize),
    /// Another writer takes a partition over.
    Overtake(Address),
    /// A copy of a checkout that was answered comes, and nobody waits for what it is told.
    Copy(usize),
    /// The first writer notices, loads the partition again and asks again what was not answered.
    Return(Address),
}
