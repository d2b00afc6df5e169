//! Ports that nobody uses.

use std::net::{Ipv4Addr, TcpListener};

/// A port of the loopback interface that was free a moment ago.
///
/// # Panics
/// There is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port can be had");
    listener.local_addr().expect("a listener has an address").port()
}
