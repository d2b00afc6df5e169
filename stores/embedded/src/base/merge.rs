//! Merging checkpoints inside the base.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use lsm_tree::{
    AbstractTree as _, SeqNo,
    compaction::{CompactionFilter, Factory, ItemAccessor, Leveled, Verdict, filter::Context},
};

use super::{
    Base, BaseError,
    gate::{Closed, Gate},
    stopped,
};
use crate::sync::lock;

/// How many checkpoints lie on top of each other before they are merged into the tree's next level. More are cheaper
/// to write and dearer to read.
const RUNS_BEFORE_MERGE: u8 = 6;
/// How large a table may get. The last table of a merge is flushed while readers wait, so it must not be large.
const TABLE_BYTES: u64 = 8 << 20;

impl Base {
    /// Merges what should be merged next. Returns whether there was anything.
    pub(crate) fn merge_once(&self) -> Result<bool, BaseError> {
        let _writing = self.writing();
        let before = self.shape();
        let strategy = Leveled::default().with_l0_threshold(RUNS_BEFORE_MERGE).with_table_target_size(TABLE_BYTES);
        // Nobody reads as of an earlier moment: whatever is overwritten, and the tables that were merged, may go at once.
        let result = self.tree.compact(Arc::new(strategy), SeqNo::MAX);
        drop(lock(&self.merging.closed).take());
        result?;
        self.measure();
        Ok(self.shape() != before)
    }

    /// What any merge changes.
    fn shape(&self) -> (u64, Vec<Option<usize>>) {
        let levels = (0..7).map(|level| self.tree.level_table_count(level));
        (self.tree.disk_space(), levels.collect())
    }
}

/// What the tree is told while it merges. It hands every record to a *compaction filter*, which keeps them all here.
#[derive(Debug)]
pub(super) struct Merging {
    stop: AtomicBool,
    gate: Arc<Gate>,
    /// Held from when a merge is written until the tree has taken it over.
    closed: Mutex<Option<Closed>>,
}

impl Merging {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        Self { stop: AtomicBool::default(), gate, closed: Mutex::default() }
    }

    pub(super) fn filter(merging: &Arc<Self>) -> Arc<dyn Factory> {
        Arc::new(Filter(Arc::clone(merging)))
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

struct Filter(Arc<Merging>);

impl Factory for Filter {
    fn name(&self) -> &'static str {
        "keep everything, but stop when told"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(Self(Arc::clone(&self.0)))
    }
}

impl CompactionFilter for Filter {
    fn filter_item(&mut self, _: ItemAccessor<'_>, _: &Context) -> Result<Verdict, BaseError> {
        if self.0.is_stopped() { Err(stopped()) } else { Ok(Verdict::Keep) }
    }

    /// Every record is written. The tree takes the merge over next.
    fn finish(self: Box<Self>) {
        *lock(&self.0.closed) = Some(self.0.gate.close());
    }
}
