//! The embedded store from outside: what every store must do, what a crash leaves, what damage is noticed.
//!
//! The modules are marked as tests for the lints that let tests unwrap, index and print.

#[cfg(test)]
mod backlog;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod look;
