//! The store from outside, on real servers: what every store must do, what each promise is worth, what a failover loses.
//!
//! The modules are marked as tests for the lints that let tests unwrap, index and print.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod dense;
#[cfg(test)]
mod deployment;
#[cfg(test)]
mod epochs;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod logins;
#[cfg(test)]
mod members;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod torn;
