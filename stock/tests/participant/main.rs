//! What the service stores, read from any bytes; that a refusal changes nothing; and what observers are told.
//!
//! The modules are marked as tests for the lints that let tests unwrap, index and print.

#[cfg(test)]
mod decoders;
#[cfg(test)]
mod observed;
#[cfg(test)]
mod refusals;
