//! File descriptors: as many as the system grants, and enough of them kept for what is not a client's connection.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What connections leave for the store (tables of the base, up to 256 at once, and the journal), the database, other
/// services, and the process itself.
const RESERVED: u64 = 400;

/// Raises the soft limit, which is 1,024 by default for old programs' sake, to the hard one.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if let Err(error) = raised {
        tracing::warn!(%error, limit = limit.current, "the limit of open files cannot be raised");
    }
}

/// How many connections clients may have, of those `wanted`.
pub(crate) fn connections_max(wanted: usize) -> usize {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return wanted };
    let left = limit.saturating_sub(RESERVED).max(limit / 4).max(1);
    let connections = wanted.min(usize::try_from(left).unwrap_or(usize::MAX));
    if connections < wanted {
        tracing::warn!(limit, connections, wanted, "the limit of open files bounds the number of connections");
    }
    connections
}
