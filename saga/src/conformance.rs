//! The suite that every [`Store`] passes.
//!
//! A store's tests say how to open it, once, as a [`Subject`]; the suite then puts it through one *claim* after the
//! other. Each claim is a public async function, named as the sentence that it proves, which answers with the first
//! [`Violation`] it finds. [`conformance_tests!`](crate::conformance_tests) makes one `#[test]` of each.
//!
//! ```no_run
//! # use saga::{Durability, Partition, Store, store};
//! # struct MyStore;
//! # impl MyStore { async fn open(_: &str) -> Self { Self } }
//! # impl Store for MyStore {
//! #     async fn load(&self, _: Partition, _: &[bytes::Bytes]) -> store::Result<store::Snapshot> { unimplemented!() }
//! #     async fn residents(&self, _: Partition) -> store::Result<store::Residents> { unimplemented!() }
//! #     async fn commit(&self, _: Partition, _: store::Commit) -> store::Result<store::Committed> { unimplemented!() }
//! #     async fn read_log(
//! #         &self, _: Partition, _: u64, _: usize, _: store::Visibility,
//! #     ) -> store::Result<Vec<store::LogEntry>> { unimplemented!() }
//! #     async fn begin_epoch(&self, _: Partition, _: u64) -> store::Result<()> { unimplemented!() }
//! #     fn identity(&self) -> store::Identity { unimplemented!() }
//! #     async fn bound_to(
//! #         &self, _: &str, _: Option<store::Identity>,
//! #     ) -> store::Result<Option<store::Identity>> { unimplemented!() }
//! #     async fn unbind(&self, _: &str) -> store::Result<()> { unimplemented!() }
//! #     fn durability(&self) -> &Durability { unimplemented!() }
//! # }
//! use saga::conformance::{Differences, Reopen, Subject};
//!
//! struct MySubject;
//!
//! impl Subject for MySubject {
//!     type Store = MyStore;
//!
//!     async fn fresh(&self) -> MyStore {
//!         MyStore::open("somewhere nobody was before").await
//!     }
//!
//!     async fn reopen(&self, store: MyStore, how: Reopen) -> MyStore {
//!         if how == Reopen::Crash { /* take back what no flush has covered */ }
//!         drop(store);
//!         MyStore::open("the same place").await
//!     }
//!
//!     fn known_differences(&self) -> Differences {
//!         Differences { one_handle_only: true, no_siblings: true, ..Differences::default() }
//!     }
//! }
//!
//! saga::conformance_tests!(my_store, MySubject);
//! ```
//!
//! What a store is allowed to do differently is a field of [`Differences`]. Nothing is skipped because of one: the
//! claim then demands what remains true.

use std::{env, fmt, future::Future, panic::Location, time::Duration};

use crate::{Partition, Store, store};

pub mod codec;
mod cursors;
mod durable;
mod epochs;
mod fixture;
mod heads;
mod histories;
mod identity;
mod logs;
mod races;
mod records;
mod reference;
mod world;

pub use cursors::cursors_are_kept_and_replaced_one_by_one;
pub use durable::{
    a_clean_reopening_keeps_everything, a_crash_keeps_all_that_was_waited_for, a_crash_leaves_a_prefix_of_the_commits,
    a_durable_read_never_shows_what_a_crash_takes_back, a_durable_read_shows_what_was_waited_for,
    a_reopened_store_loses_nothing_it_has_shown, a_snapshot_says_what_it_depends_on,
    positions_follow_the_order_of_the_commits, siblings_are_apart_and_lose_their_tails_together,
    waiters_of_all_partitions_are_served,
};
pub use epochs::an_epoch_keeps_the_log_and_goes_on_counting;
pub use heads::{
    a_commit_is_applied_whole, a_commit_raises_the_head_by_one, a_conflict_changes_nothing,
    a_load_sees_every_commit_before_it, an_untouched_partition_is_empty, only_the_current_head_may_commit,
    partitions_are_apart,
};
pub use histories::random_histories_match_the_reference;
pub use identity::{an_identity_stays_with_the_data, bonds_last_until_they_are_taken_back};
pub use logs::{
    a_log_is_read_after_a_position_up_to_a_limit, a_trim_beyond_the_end_stops_at_the_end, a_trim_never_moves_back,
    a_trim_takes_nothing_above_it, events_are_numbered_densely_from_one, events_of_every_size_are_kept,
    the_end_of_a_log_outlives_its_events,
};
pub use races::{
    a_load_shows_one_moment, a_reader_of_a_growing_log_sees_no_gap, of_many_writers_one_wins_each_head,
    partitions_are_written_at_the_same_time, two_handles_compete_by_head,
};
pub use records::{
    a_big_batch_is_applied_whole, a_load_answers_in_the_order_asked, keys_and_values_of_any_bytes_are_kept,
    keys_and_values_of_every_size_are_kept, records_are_put_overwritten_and_removed, residents_are_read_all_at_once,
};

/// How many partitions, from 0, the suite uses of each store.
pub const PARTITIONS: Partition = 4;

/// The names of all claims, in the order in which they are tried.
pub const CLAIMS: &[&str] = crate::conformance_tests! { @claims names () };

/// How the suite opens, closes and crashes the store under test.
///
/// What cannot be set up (no server, no disk) must panic: a suite that does not run must not pass.
pub trait Subject {
    /// The store under test.
    type Store: Store;

    /// An empty store for one service with at least [`PARTITIONS`] partitions, which shares no data with any other
    /// store that this subject or another one handed out.
    fn fresh(&self) -> impl Future<Output = Self::Store>;

    /// Closes `store` in the way of `how` and opens the same data again.
    ///
    /// The suite has dropped every other handle and sibling of the store before.
    fn reopen(&self, store: Self::Store, how: Reopen) -> impl Future<Output = Self::Store>;

    /// A second handle on the data of `store`, as another task or process would have it, or `None` where
    /// [`Differences::one_handle_only`] says so.
    fn another_handle(&self, store: &Self::Store) -> impl Future<Output = Option<Self::Store>> {
        let _ = store;
        std::future::ready(None)
    }

    /// The store of another service (each time the same one) that shares the durability domain of `store`, or `None`
    /// where [`Differences::no_siblings`] says so.
    fn sibling(&self, store: &Self::Store) -> impl Future<Output = Option<Self::Store>> {
        let _ = store;
        std::future::ready(None)
    }

    /// In what the store is allowed to differ. Not at all, where nothing is said.
    fn known_differences(&self) -> Differences {
        Differences::default()
    }

    /// How hard to try.
    fn effort(&self) -> Effort {
        Effort::from_environment()
    }
}

/// How a store is closed before it is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reopen {
    /// As a service that drains: everything committed is flushed first, asked for or not. The subject may do the
    /// waiting where dropping the store does not.
    Clean,
    /// As by a loss of power: every commit above the gate's position may be lost, and the more are lost, the harder
    /// the claims bite. Killing the process alone loses nothing on most systems and is a weak crash.
    Crash,
}

/// In what a store may differ from the port. All `false`, the default, is full conformance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// One handle at a time owns the data: [`Subject::another_handle`] answers `None`.
    pub one_handle_only: bool,
    /// Each service has a durability domain of its own: [`Subject::sibling`] answers `None`.
    pub no_siblings: bool,
    /// Trimmed events are dropped later: until then they are read as before. Without this, they are no longer read
    /// once the commit that trims them has returned.
    pub trims_lazily: bool,
}

/// How hard the suite tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// From which the random histories are made; the same seed makes the same histories.
    pub seed: u64,
    /// How many random histories are played.
    pub histories: u32,
    /// How many operations a random history has at most.
    pub operations_max: usize,
    /// How many tasks compete where claims are about competing.
    pub writers: usize,
    /// How many commits each of them must get through.
    pub commits_per_writer: u64,
    /// How many writes the big batch has.
    pub big_batch_writes: usize,
    /// How long one claim may take before it counts as hung.
    pub claim_timeout: Duration,
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            seed: 0,
            histories: 100,
            operations_max: 60,
            writers: 8,
            commits_per_writer: 50,
            big_batch_writes: 10_000,
            claim_timeout: Duration::from_secs(60),
        }
    }
}

impl Effort {
    /// The default effort, with the seed from `SAGA_CONFORMANCE_SEED` and the number of random histories from
    /// `SAGA_CONFORMANCE_HISTORIES` where these are set to numbers.
    #[must_use]
    pub fn from_environment() -> Self {
        let default = Self::default();
        let histories = number_from("SAGA_CONFORMANCE_HISTORIES").unwrap_or(default.histories);
        Self {
            seed: number_from("SAGA_CONFORMANCE_SEED").unwrap_or(default.seed),
            histories,
            // Who asks for more has more time.
            claim_timeout: default.claim_timeout * histories.div_ceil(default.histories).max(1),
            ..default
        }
    }
}

fn number_from<T: std::str::FromStr>(variable: &str) -> Option<T> {
    env::var(variable).ok()?.parse().ok()
}

/// How a claim was broken, and where in the suite that was noticed.
#[derive(Clone, PartialEq, Eq)]
pub struct Violation {
    what: String,
    location: &'static Location<'static>,
}

impl Violation {
    #[track_caller]
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), location: Location::caller() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (noticed at {})", self.what, self.location)
    }
}

impl fmt::Debug for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for Violation {}

impl From<store::Error> for Violation {
    #[track_caller]
    fn from(error: store::Error) -> Self {
        Self::new(format!("unexpected: {error}"))
    }
}

impl From<crate::Missed> for Violation {
    #[track_caller]
    fn from(missed: crate::Missed) -> Self {
        Self::new(format!("unexpected: {missed}"))
    }
}

/// What became of a claim.
pub type Outcome = Result<(), Violation>;

/// What became of every claim.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The claims by name, in the order in which they were tried.
    pub outcomes: Vec<(&'static str, Outcome)>,
}

impl Report {
    /// The claims that were broken, and how.
    pub fn violations(&self) -> impl Iterator<Item = (&'static str, &Violation)> {
        self.outcomes.iter().filter_map(|(claim, outcome)| Some((*claim, outcome.as_ref().err()?)))
    }
}

/// Tries every claim, one after the other, on fresh stores of `subject`.
///
/// For runs that want the [`Report`] as a value; in tests prefer [`conformance_tests!`](crate::conformance_tests).
pub async fn run_all<S: Subject>(subject: &S) -> Report {
    let mut report = Report::default();
    crate::conformance_tests! { @claims run (subject, report) }
    report
}

/// Tries one claim: `run`, which is about `subject`, bounded by [`Effort::claim_timeout`].
#[doc(hidden)]
pub async fn within_its_time<S: Subject>(subject: &S, run: impl Future<Output = Outcome>) -> Outcome {
    let timeout = subject.effort().claim_timeout;
    match tokio::time::timeout(timeout, run).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Violation::new(format!("not finished within {timeout:?}"))),
    }
}

/// Runs one claim as a test, on a runtime of two threads so that races are real.
#[doc(hidden)]
pub fn prove(claim: &str, run: impl Future<Output = Outcome>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run),
        Err(error) => Err(Violation::new(format!("no runtime: {error}"))),
    };
    if let Err(violation) = outcome {
        panic!("{claim}: {violation}");
    }
}

/// Makes a module of tests, one for each claim of the suite.
///
/// The first argument names the module, the second is an expression for the [`Subject`],
/// evaluated anew inside each test's runtime.
#[macro_export]
macro_rules! conformance_tests {
    ($name:ident, $subject:expr) => {
        mod $name {
            use super::*;
            $crate::conformance_tests! { @claims tests ($subject) }
        }
    };
    (@claims $how:ident $with:tt) => {
        $crate::conformance_tests! {
            @$how $with
            an_untouched_partition_is_empty
            a_commit_raises_the_head_by_one
            only_the_current_head_may_commit
            a_conflict_changes_nothing
            a_load_sees_every_commit_before_it
            a_commit_is_applied_whole
            partitions_are_apart
            records_are_put_overwritten_and_removed
            a_load_answers_in_the_order_asked
            residents_are_read_all_at_once
            keys_and_values_of_every_size_are_kept
            keys_and_values_of_any_bytes_are_kept
            a_big_batch_is_applied_whole
            events_are_numbered_densely_from_one
            a_log_is_read_after_a_position_up_to_a_limit
            events_of_every_size_are_kept
            a_trim_takes_nothing_above_it
            a_trim_never_moves_back
            a_trim_beyond_the_end_stops_at_the_end
            the_end_of_a_log_outlives_its_events
            cursors_are_kept_and_replaced_one_by_one
            an_epoch_keeps_the_log_and_goes_on_counting
            an_identity_stays_with_the_data
            bonds_last_until_they_are_taken_back
            of_many_writers_one_wins_each_head
            partitions_are_written_at_the_same_time
            a_load_shows_one_moment
            a_reader_of_a_growing_log_sees_no_gap
            two_handles_compete_by_head
            positions_follow_the_order_of_the_commits
            a_snapshot_says_what_it_depends_on
            a_clean_reopening_keeps_everything
            a_crash_keeps_all_that_was_waited_for
            waiters_of_all_partitions_are_served
            a_crash_leaves_a_prefix_of_the_commits
            a_durable_read_never_shows_what_a_crash_takes_back
            a_durable_read_shows_what_was_waited_for
            a_reopened_store_loses_nothing_it_has_shown
            siblings_are_apart_and_lose_their_tails_together
            random_histories_match_the_reference
        }
    };
    (@tests ($subject:expr) $($claim:ident)*) => {
        $(
            #[test]
            fn $claim() {
                $crate::conformance::prove(stringify!($claim), async {
                    let subject = $subject;
                    let claim = $crate::conformance::$claim(&subject);
                    $crate::conformance::within_its_time(&subject, claim).await
                });
            }
        )*
    };
    (@names () $($claim:ident)*) => {
        &[$(stringify!($claim)),*]
    };
    (@run ($subject:ident, $report:ident) $($claim:ident)*) => {
        $(
            // Boxed, so that the future of the whole run is not as large as that of every claim together.
            let claim = Box::pin($claim($subject));
            $report.outcomes.push((stringify!($claim), within_its_time($subject, claim).await));
        )*
    };
}
