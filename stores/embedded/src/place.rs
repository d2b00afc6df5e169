//! Which partition of which service.

use saga::Partition as PartitionIndex;

/// Which partition of which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The service's index in `META`.
    pub(crate) service: u8,
    pub(crate) partition: PartitionIndex,
}
