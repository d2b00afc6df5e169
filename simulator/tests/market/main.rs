//! The market from outside: searched, at random, in simulated time, and what was once wrong with it.
//!
//! The modules are marked as tests for the lints that let tests unwrap, index and print.

#[cfg(test)]
mod checker;
#[cfg(test)]
mod regressions;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod simulation;
