use std::time::Duration;

use super::{Activity, Verdict, Watchdog};

const READ: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(75);

/// Inspects once a second and says after how many seconds the connection is to be closed, if within `seconds`.
fn closed_after(watchdog: &mut Watchdog, activity: &Activity, seconds: u32) -> Option<u32> {
    assert_eq!(watchdog.tick(), Duration::from_secs(1));
    (1..=seconds).find(|_| watchdog.inspect(activity, false) == Verdict::Close)
}

#[test]
fn an_idle_connection_is_closed_after_the_idle_timeout() {
    let activity = Activity::default();
    assert_eq!(closed_after(&mut Watchdog::new(READ, IDLE), &activity, 100), Some(75));
}

#[test]
fn a_request_that_trickles_in_is_cut_however_lively_it_is() {
    let activity = Activity::default();
    let mut watchdog = Watchdog::new(READ, IDLE);
    let closed = (0..100).find(|_| {
        activity.bytes_arrive();
        watchdog.inspect(&activity, false) == Verdict::Close
    });
    assert_eq!(closed, Some(10));
}

#[test]
fn a_request_after_a_long_pause_has_all_of_its_time() {
    let activity = Activity::default();
    let mut watchdog = Watchdog::new(READ, IDLE);
    assert_eq!(closed_after(&mut watchdog, &activity, 70), None);
    activity.bytes_arrive();
    assert_eq!(closed_after(&mut watchdog, &activity, 100), Some(11));
}

#[test]
fn a_running_request_is_left_alone_and_starts_the_time_anew() {
    let activity = Activity::default();
    let mut watchdog = Watchdog::new(READ, IDLE);
    activity.bytes_arrive();
    activity.request_begins();
    assert_eq!(closed_after(&mut watchdog, &activity, 1_000), None);
    activity.request_ends();
    assert_eq!(closed_after(&mut watchdog, &activity, 100), Some(76));
}

#[test]
fn requests_between_two_ticks_are_seen() {
    let activity = Activity::default();
    let mut watchdog = Watchdog::new(READ, IDLE);
    for _ in 0..1_000 {
        activity.bytes_arrive();
        activity.request_begins();
        activity.request_ends();
        assert_eq!(watchdog.inspect(&activity, false), Verdict::Keep);
    }
}

#[test]
fn draining_waits_for_running_requests_and_their_replies_alone() {
    let activity = Activity::default();
    let mut watchdog = Watchdog::new(READ, IDLE);
    activity.request_begins();
    assert_eq!(watchdog.inspect(&activity, true), Verdict::Keep);
    assert_eq!(watchdog.inspect(&activity, true), Verdict::Keep);
    activity.request_ends();
    assert_eq!(watchdog.inspect(&activity, true), Verdict::Keep, "its reply may still be on its way");
    assert_eq!(watchdog.inspect(&activity, true), Verdict::Close);
}
