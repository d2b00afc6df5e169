//! How far the observer's history was read.

use std::collections::BTreeMap;

use observer::Cursor;
use saga::Partition;

use crate::Service;

/// What was read of the history so far.
#[derive(Default)]
pub(crate) struct Observed {
    pub(super) cursor: Cursor,
    /// How many events of each log it told, or said that it missed.
    pub(super) told: BTreeMap<(Service, Partition), usize>,
    pub(super) missed: u64,
}
