//! How many requests one address may send.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use crate::{Problem, rate::Rate};

use super::roster::network_of;

/// The rates of all addresses, an IPv6 network of 64 bits counting as one.
#[derive(Debug)]
pub(super) struct Rates(Option<Rate<Ipv6Addr>>);

impl Rates {
    pub(super) fn new(per_second: Option<NonZeroU32>) -> Self {
        Self(per_second.map(Rate::new))
    }

    /// Counts a request of this address, or says when there may be another.
    pub(super) fn check(&self, address: IpAddr) -> Result<(), Problem> {
        let Some(rate) = &self.0 else { return Ok(()) };
        rate.check(&network_of(address)).map_err(|wait: Duration| Problem::too_many_requests("the address", wait))
    }
}
