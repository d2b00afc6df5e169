//! Programs that others wrote, asking the real binary: what they make of its documents and formats.

// `cfg(test)` tells clippy that unwrapping is fine in there.
#[cfg(test)]
mod document;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod python;
#[cfg(test)]
mod tokens;
