//! The engine from outside: a town with a bank and a clerk, whose stores, clocks, connections and processes do what they can.
//!
//! The modules are marked as tests for the lints that let tests unwrap, index and print.

#[cfg(test)]
mod choreography;
#[cfg(test)]
mod common;
#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod halts;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod inspection;
#[cfg(test)]
mod membership;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod observers;
#[cfg(test)]
mod panics;
#[cfg(test)]
mod remote;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod room;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod stops;
#[cfg(test)]
mod wrapped;
