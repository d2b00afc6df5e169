use bytes::Bytes;

use super::*;
use crate::store::{Visibility, position::position};

fn log(service: &str, partition: u16) -> LogName {
    LogName { service: service.into(), partition }
}

fn at(epoch: u64, sequence: u64) -> u64 {
    position(epoch, sequence).unwrap()
}

/// Of data whose log has these events, the last of them at its end.
fn recent(events: &[u64], accepted: Option<&EngineRecord>) -> Recent {
    let entries: Vec<_> = events.iter().map(|&position| LogEntry { position, event: Bytes::new() }).collect();
    Recent::of(&entries, *events.last().unwrap(), accepted)
}

/// How many events of the log of order's partition 0, which ends with `end`, this consumer shows to be lost.
fn lost(recent: &Recent, end: u64, consumer: &LogName, consumed: Option<u64>) -> Option<u64> {
    recent.lost_events(&log("order", 0), end, [(consumer, consumed)].into_iter()).map(|flaw| flaw.missing)
}

#[test]
fn what_a_consumer_has_and_the_log_lacks_is_lost() {
    let (recent, stock) = (recent(&[3, 4, 5], None), log("stock", 1));
    for (consumed, missing) in [(None, None), (Some(0), None), (Some(5), None), (Some(6), Some(1)), (Some(9), Some(4))]
    {
        assert_eq!(lost(&recent, 5, &stock, consumed), missing, "{consumed:?}");
    }
}

#[test]
fn of_several_consumers_the_one_that_has_most_is_named() {
    let (recent, order) = (recent(&[5], None), log("order", 0));
    let (stock, payment, other) = (log("stock", 0), log("payment", 2), log("stock", 1));
    let known = [(&stock, Some(6)), (&payment, Some(8)), (&other, None)];
    let flaw = recent.lost_events(&order, 5, known.into_iter()).unwrap();
    assert_eq!(flaw.missing, 3);
    assert!(flaw.reason.contains("payment/2 has consumed it up to event 8"), "{}", flaw.reason);
}

#[test]
fn the_services_own_partitions_lose_their_tails_too_and_show_nothing() {
    assert_eq!(lost(&recent(&[5], None), 5, &log("order", 1), Some(9)), None);
}

#[test]
fn a_tail_that_another_epoch_replaced_is_lost_only_where_somebody_has_consumed_it() {
    let (end, stock) = (at(1, 4), log("stock", 0));
    let recent = recent(&[at(0, 2), at(0, 3), end], None);
    assert_eq!(lost(&recent, end, &stock, Some(at(0, 3))), None);
    assert_eq!(lost(&recent, end, &stock, Some(end)), None);
    assert_eq!(lost(&recent, end, &stock, Some(at(0, 4))), Some(1), "the fourth event is another one now");
    assert_eq!(lost(&recent, end, &stock, Some(at(0, 6))), Some(3));
    assert_eq!(lost(&recent, end, &stock, Some(at(2, 3))), Some(1), "of an epoch that these data never saw");
}

#[test]
fn an_accepted_loss_excuses_what_was_consumed_in_earlier_epochs_only() {
    let (end, stock) = (at(1, 4), log("stock", 0));
    let accepted = EngineRecord::Accepted { epoch: 1, cursors: Vec::new() };
    let recent = recent(&[at(0, 3), end], Some(&accepted));
    assert_eq!(lost(&recent, end, &stock, Some(at(0, 6))), None);
    assert_eq!(lost(&recent, end, &stock, Some(at(1, 6))), Some(2));
}

/// With a cursor on the log of stock's partition 0, which was found to begin with event 8.
fn with_gap(cursor: u64, accepted: Option<&EngineRecord>) -> (Recent, Vec<Source>) {
    let mut sources = vec![
        Source::new(log("payment", 0), None, Visibility::Durable),
        Source::new(log("stock", 0), None, Visibility::Durable),
    ];
    sources[1].cursor = cursor;
    (Recent { gap: Some((1, 8)), ..recent(&[1], accepted) }, sources)
}

#[test]
fn a_log_that_begins_after_the_cursor_was_dropped_because_it_had_been_consumed() {
    let (mut recent, mut sources) = with_gap(4, None);
    let missing = |recent: &mut Recent, sources: &mut [Source]| {
        recent.forgotten(&log("order", 0), sources).map(|flaw| flaw.missing)
    };
    assert_eq!(missing(&mut recent, &mut sources), Some(3));
    assert_eq!((sources[1].cursor, recent.gap), (4, Some((1, 8))), "it is looked at again");
    // Another writer had consumed it, and these data are its now.
    sources[1].cursor = 7;
    assert_eq!(missing(&mut recent, &mut sources), None);
    assert_eq!(recent.gap, None);
}

#[test]
fn a_cursor_jumps_over_a_gap_only_from_where_that_was_accepted() {
    let accepted = |cursors: &[(&str, u16, u64)]| EngineRecord::Accepted {
        epoch: 1,
        cursors: cursors
            .iter()
            .map(|(service, partition, cursor)| ((*service).to_owned(), *partition, *cursor))
            .collect(),
    };
    for (cursor, record, jumps) in [
        (4, accepted(&[("stock", 0, 4)]), true),
        (4, accepted(&[("stock", 0, 3)]), false),
        (4, accepted(&[("stock", 1, 4), ("payment", 0, 4)]), false),
        // Where none is named, from the beginning.
        (0, accepted(&[]), true),
        (4, accepted(&[]), false),
    ] {
        let (mut recent, mut sources) = with_gap(cursor, Some(&record));
        let flaw = recent.forgotten(&log("order", 0), &mut sources);
        assert_eq!(flaw.is_none(), jumps, "from {cursor} with {record:?}");
        assert_eq!(sources[1].cursor, if jumps { 7 } else { cursor });
        assert_eq!(recent.gap.is_none(), jumps);
    }
}

#[test]
fn what_nobody_accepted_is_not_jumped_over_from_the_beginning_either() {
    let (mut recent, mut sources) = with_gap(0, None);
    assert!(recent.forgotten(&log("order", 0), &mut sources).is_some());
}
