//! The toy service on a real listener, spoken to in raw bytes.

// `cfg(test)` tells clippy that unwrapping is fine in there.
#[cfg(test)]
mod api;
#[cfg(test)]
mod client;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod document;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod toy;
#[cfg(test)]
mod wire;
