//! The memory store from outside: what every store must do, its faults, and whether the conformance suite bites.
//!
//! The modules are marked as tests for the lints that let tests unwrap, index and print.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod members;
#[cfg(test)]
mod mutants;
