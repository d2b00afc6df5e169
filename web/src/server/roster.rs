//! Which connections are open, whose they are, and which of them to do without.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use super::activity::{Activity, Worth};

#[cfg(test)]
mod tests;

/// How many bits of an IPv6 address name one client: providers give each customer a network of its own.
const IPV6_NETWORK_BITS: u32 = 64;

/// All connections of a server; `K` names one.
pub(super) struct Roster<K> {
    connections: HashMap<K, Connection>,
    by_network: HashMap<Ipv6Addr, usize>,
    connections_max: usize,
    per_address_max: usize,
    /// Whom to close next, the last first, and what each was worth when this list was made. One list serves for as many
    /// closings as it is long, so that a flood of new connections does not cost a sort each.
    candidates: Vec<(Worth, u64, K)>,
    /// How many there ever were.
    count: u64,
}

struct Connection {
    network: Ipv6Addr,
    activity: Arc<Activity>,
    number: u64,
}

impl<K: Copy + Eq + Hash> Roster<K> {
    pub(super) fn new(connections_max: usize, per_address_max: usize) -> Self {
        Self {
            connections: HashMap::new(),
            by_network: HashMap::new(),
            connections_max,
            per_address_max,
            candidates: Vec::new(),
            count: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.connections_max
    }

    /// Whether the address has as many connections as it may have.
    pub(super) fn is_crowded(&self, peer: SocketAddr) -> bool {
        self.by_network.get(&network_of(peer.ip())).is_some_and(|count| *count >= self.per_address_max)
    }

    pub(super) fn add(&mut self, key: K, peer: SocketAddr, activity: Arc<Activity>) {
        let network = network_of(peer.ip());
        *self.by_network.entry(network).or_default() += 1;
        self.count += 1;
        self.connections.insert(key, Connection { network, activity, number: self.count });
    }

    pub(super) fn remove(&mut self, key: K) {
        let Some(connection) = self.connections.remove(&key) else { return };
        if let Some(count) = self.by_network.get_mut(&connection.network) {
            *count -= 1;
            if *count == 0 {
                self.by_network.remove(&connection.network);
            }
        }
    }

    /// Asks one connection to close, if there is one without a running request: of those that never asked for anything
    /// the first that came, or else the one that has been silent for longest.
    pub(super) fn close_longest_idle(&mut self) {
        if self.candidates.is_empty() {
            let idle = self.connections.iter().filter_map(|(key, connection)| {
                connection.activity.worth().map(|worth| (worth, connection.number, *key))
            });
            self.candidates.extend(idle);
            self.candidates.sort_unstable_by_key(|(worth, number, _)| std::cmp::Reverse((*worth, *number)));
        }
        while let Some((worth, _, key)) = self.candidates.pop() {
            // It may have gone, or be worth more by now.
            if let Some(connection) = self.connections.get(&key)
                && connection.activity.worth().is_some_and(|now| now <= worth)
            {
                connection.activity.close();
                return;
            }
        }
    }
}

/// What counts as one address.
pub(super) fn network_of(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => address,
        IpAddr::V6(address) => {
            let mask = u128::MAX << (128 - IPV6_NETWORK_BITS);
            Ipv6Addr::from_bits(address.to_bits() & mask)
        }
    }
}
