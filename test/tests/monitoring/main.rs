//! `monitoring/`: what Prometheus makes of the rules, and whether what the dashboard and the rules ask for is there.

// `cfg(test)` tells clippy that unwrapping is fine in there.
#[cfg(test)]
mod files;
#[cfg(test)]
mod live;

use std::path::PathBuf;

/// A file of the repository.
fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(name)
}

/// Its text.
///
/// # Panics
/// It is not there.
fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
