//! The conformance suite bites: a store with any of these flaws breaks claims of it, and each claim is broken by a
//! store that has the flaw that it is about.

mod store;
mod subject;

use std::collections::BTreeSet;

use saga::conformance::{CLAIMS, Differences, run_all};
use subject::Declared;

/// Makes the enumeration of flaws and one test for each: the claims named are among those that it breaks.
macro_rules! flaws {
    ($($flaw:ident, $test:ident, [$($claim:ident),* $(,)?];)*) => {
        /// What can be wrong with a store.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Flaw {
            None,
            $($flaw,)*
        }

        /// The claims that one flaw or another is shown to break.
        const BROKEN: &[&[&str]] = &[$(&[$(stringify!($claim)),*]),*];

        $(
            #[tokio::test]
            async fn $test() {
                breaks(Flaw::$flaw, &[$(stringify!($claim)),*]).await;
            }
        )*
    };
}

flaws! {
    IgnoresTheHead, ignoring_the_head_is_noticed, [
        only_the_current_head_may_commit,
        a_conflict_changes_nothing,
        of_many_writers_one_wins_each_head,
        two_handles_compete_by_head,
    ];
    AcceptsNewerHeads, accepting_newer_heads_is_noticed, [only_the_current_head_may_commit, a_conflict_changes_nothing];
    StartsAtHeadOne, starting_at_head_one_is_noticed, [an_untouched_partition_is_empty];
    RaisesTheHeadByTwo, raising_the_head_by_two_is_noticed, [a_commit_raises_the_head_by_one];
    CountsNoEmptyCommits, counting_no_empty_commits_is_noticed, [a_commit_raises_the_head_by_one];
    AppendsEventsOfTheLoser, appending_the_losers_events_is_noticed, [
        a_conflict_changes_nothing,
        events_are_numbered_densely_from_one,
    ];
    MovesCursorsOfTheLoser, moving_the_losers_cursors_is_noticed, [a_conflict_changes_nothing];
    FoldsPartitions, folding_partitions_is_noticed, [partitions_are_apart, partitions_are_written_at_the_same_time];
    AppliesHalfOfTheWrites, applying_half_a_commit_is_noticed, [
        a_commit_is_applied_whole,
        a_load_sees_every_commit_before_it,
    ];
    DropsWritesBeyondAThousand, dropping_the_end_of_a_big_batch_is_noticed, [a_big_batch_is_applied_whole];
    RemovesNothing, removing_nothing_is_noticed, [records_are_put_overwritten_and_removed];
    BringsBackRemovedRecords, bringing_back_removed_records_is_noticed, [
        a_clean_reopening_keeps_everything,
        random_histories_match_the_reference,
    ];
    CutsKeysAtNul, cutting_keys_at_nul_is_noticed, [keys_and_values_of_any_bytes_are_kept];
    CutsLargeValues, cutting_large_values_is_noticed, [keys_and_values_of_every_size_are_kept];
    LosesEmptyValues, losing_empty_values_is_noticed, [
        records_are_put_overwritten_and_removed,
        keys_and_values_of_every_size_are_kept,
    ];
    AnswersInTheOrderOfKeys, answering_in_the_order_of_keys_is_noticed, [a_load_answers_in_the_order_asked];
    OmitsAResident, omitting_a_resident_is_noticed, [residents_are_read_all_at_once];
    ReadsHeadAndResidentsSeparately, reading_head_and_residents_separately_is_noticed, [a_load_shows_one_moment];
    LoadsHeadAndRecordsSeparately, loading_head_and_records_separately_is_noticed, [a_load_shows_one_moment];
    TrustsItsCache, trusting_a_cache_is_noticed, [two_handles_compete_by_head, random_histories_match_the_reference];
    LosesCursors, losing_cursors_is_noticed, [a_commit_is_applied_whole, cursors_are_kept_and_replaced_one_by_one];
    CountsCursorsByService, counting_cursors_by_service_is_noticed, [cursors_are_kept_and_replaced_one_by_one];
    EmptiesTheLogForAnEpoch, emptying_the_log_for_an_epoch_is_noticed, [an_epoch_keeps_the_log_and_goes_on_counting];
    HasOneIdentityForAllData, one_identity_for_all_data_is_noticed, [an_identity_stays_with_the_data];
    IsOtherDataWhenReopened, another_identity_after_reopening_is_noticed, [an_identity_stays_with_the_data];
    BindsToTheLastThatAreMet, binding_to_the_last_that_are_met_is_noticed, [bonds_last_until_they_are_taken_back];
    TakesNoBondBack, taking_no_bond_back_is_noticed, [bonds_last_until_they_are_taken_back];
    DropsEmptyEvents, dropping_empty_events_is_noticed, [events_of_every_size_are_kept];
    NumbersWhatIsLeft, numbering_what_is_left_is_noticed, [
        a_trim_takes_nothing_above_it,
        the_end_of_a_log_outlives_its_events,
    ];
    ReadsOneTooMany, reading_one_too_many_is_noticed, [a_log_is_read_after_a_position_up_to_a_limit];
    ReadsFromThePositionOn, reading_from_the_position_on_is_noticed, [a_log_is_read_after_a_position_up_to_a_limit];
    ReadsBackwards, reading_backwards_is_noticed, [
        events_are_numbered_densely_from_one,
        a_reader_of_a_growing_log_sees_no_gap,
    ];
    SkipsAnEvent, skipping_an_event_is_noticed, [a_reader_of_a_growing_log_sees_no_gap];
    IgnoresTrims, ignoring_trims_is_noticed, [a_trim_takes_nothing_above_it];
    TrimsOneTooMany, trimming_one_too_many_is_noticed, [a_trim_takes_nothing_above_it, a_trim_never_moves_back];
    TrimsWhatIsAppendedLater, trimming_what_is_appended_later_is_noticed, [a_trim_beyond_the_end_stops_at_the_end];
    MovesTrimsBack, moving_trims_back_is_noticed, [a_trim_never_moves_back];
    ForgetsWhereAnEmptyLogEnded, forgetting_where_an_empty_log_ended_is_noticed, [the_end_of_a_log_outlives_its_events];
    ShowsEventsBeforeTheyAreDurable, showing_events_before_they_are_durable_is_noticed, [
        a_durable_read_never_shows_what_a_crash_takes_back,
    ];
    NeverShowsEventsAsDurable, never_showing_events_as_durable_is_noticed, [a_durable_read_shows_what_was_waited_for];
    OpensTheGateAtOnce, opening_the_gate_at_once_is_noticed, [
        a_crash_keeps_all_that_was_waited_for,
        waiters_of_all_partitions_are_served,
        a_snapshot_says_what_it_depends_on,
    ];
    NeverFlushes, never_flushing_is_noticed, [
        a_crash_keeps_all_that_was_waited_for,
        waiters_of_all_partitions_are_served,
    ];
    SaysNoPosition, saying_no_position_is_noticed, [
        positions_follow_the_order_of_the_commits,
        a_crash_keeps_all_that_was_waited_for,
    ];
    SaysThatSnapshotsDependOnNothing, saying_that_snapshots_depend_on_nothing_is_noticed, [
        a_snapshot_says_what_it_depends_on,
    ];
    LosesTheTailWhenClosed, losing_the_tail_when_closed_is_noticed, [a_clean_reopening_keeps_everything];
    RecoversWhatIsNotDurable, recovering_what_is_not_durable_is_noticed, [a_reopened_store_loses_nothing_it_has_shown];
    KeepsTheLogApart, keeping_the_log_apart_is_noticed, [
        a_crash_leaves_a_prefix_of_the_commits,
        a_reopened_store_loses_nothing_it_has_shown,
    ];
    LosesPartitionsSeparately, losing_partitions_separately_is_noticed, [a_crash_leaves_a_prefix_of_the_commits];
    HasNoOtherHandle, having_no_other_handle_and_not_saying_so_is_noticed, [two_handles_compete_by_head];
    OpensOtherHandlesElsewhere, opening_other_handles_elsewhere_is_noticed, [two_handles_compete_by_head];
    HasNoSiblings, having_no_siblings_and_not_saying_so_is_noticed, [siblings_are_apart_and_lose_their_tails_together];
    MixesItsSiblingsData, mixing_the_siblings_data_is_noticed, [siblings_are_apart_and_lose_their_tails_together];
    HasSiblingsOfAnotherDomain, having_siblings_of_another_domain_is_noticed, [
        siblings_are_apart_and_lose_their_tails_together,
    ];
}

async fn breaks(flaw: Flaw, claims: &[&str]) {
    let report = run_all(&flaw).await;
    let violations: Vec<_> = report.violations().collect();
    assert!(!violations.is_empty(), "{flaw:?} passes");
    for claim in claims {
        let is_broken = violations.iter().any(|(broken, _)| broken == claim);
        assert!(is_broken, "{flaw:?} does not break {claim}, only {violations:#?}");
    }
}

#[tokio::test]
async fn what_the_mutants_are_made_of_has_no_flaw() {
    let report = run_all(&Flaw::None).await;
    assert_eq!(report.violations().collect::<Vec<_>>(), []);
    let claims: Vec<&str> = report.outcomes.iter().map(|(claim, _)| *claim).collect();
    assert_eq!(claims, CLAIMS);
}

#[test]
fn each_claim_is_broken_by_a_flaw() {
    let broken: BTreeSet<&str> = BROKEN.iter().copied().flatten().copied().collect();
    let claims: BTreeSet<&str> = CLAIMS.iter().copied().collect();
    assert_eq!(broken, claims);
}

async fn broken_by(flaw: Flaw, differences: Differences) -> Vec<&'static str> {
    let report = run_all(&Declared { flaw, differences }).await;
    report.violations().map(|(claim, _)| claim).collect()
}

#[tokio::test]
async fn a_difference_that_is_declared_breaks_nothing() {
    let full = Differences::default();
    for (flaw, differences) in [
        (Flaw::HasNoOtherHandle, Differences { one_handle_only: true, ..full }),
        (Flaw::HasNoSiblings, Differences { no_siblings: true, ..full }),
        (Flaw::IgnoresTrims, Differences { trims_lazily: true, ..full }),
        (Flaw::None, Differences { trims_lazily: true, ..full }),
    ] {
        assert_eq!(broken_by(flaw, differences).await, <[&str; 0]>::default(), "{flaw:?}");
    }
}

#[tokio::test]
async fn a_difference_that_is_declared_excuses_nothing_else() {
    let full = Differences::default();
    for (flaw, differences, broken) in [
        (Flaw::None, Differences { one_handle_only: true, ..full }, "two_handles_compete_by_head"),
        (Flaw::None, Differences { no_siblings: true, ..full }, "siblings_are_apart_and_lose_their_tails_together"),
        (Flaw::TrimsOneTooMany, Differences { trims_lazily: true, ..full }, "a_trim_takes_nothing_above_it"),
        (Flaw::MovesTrimsBack, Differences { trims_lazily: true, ..full }, "a_trim_never_moves_back"),
    ] {
        let all_broken = broken_by(flaw, differences).await;
        assert!(all_broken.contains(&broken), "{flaw:?} as {differences:?} breaks only {all_broken:?}");
    }
}
