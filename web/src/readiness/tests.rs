use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::Readiness;

#[test]
fn a_process_is_ready_between_its_start_and_its_end() {
    let readiness = Readiness::new();
    assert_eq!(readiness.report().reasons, ["starting"]);
    readiness.ready();
    assert!(readiness.report().ready);
    readiness.drain();
    assert_eq!(readiness.report().reasons, ["draining"]);
    readiness.ready();
    assert_eq!(readiness.report().reasons, ["draining"]);
}

#[test]
fn a_check_that_fails_takes_readiness_away_while_it_fails() {
    let readiness = Readiness::new();
    readiness.ready();
    let broken = Arc::new(AtomicBool::new(true));
    readiness.check("disk", {
        let broken = Arc::clone(&broken);
        move || match broken.load(Ordering::Relaxed) {
            true => Err("full".to_owned()),
            false => Ok(()),
        }
    });
    readiness.check("clock", || Ok(()));
    assert_eq!(readiness.report().reasons, ["disk: full"]);
    assert!(!readiness.report().ready);
    broken.store(false, Ordering::Relaxed);
    assert!(readiness.report().ready);
}

#[tokio::test(start_paused = true)]
async fn draining_is_seen_before_the_notice_is_over() {
    let readiness = Readiness::new();
    readiness.ready();
    let (signal, signalled) = tokio::sync::oneshot::channel::<()>();
    let drained = tokio::spawn(readiness.clone().drain_after(
        async {
            let _ = signalled.await;
        },
        Duration::from_secs(5),
    ));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(readiness.report().ready);
    signal.send(()).unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!readiness.report().ready);
    assert!(!drained.is_finished());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(drained.is_finished());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_given_notice_of_the_end_of_what_never_was_ready() {
    let began = tokio::time::Instant::now();
    let readiness = Readiness::new();
    readiness.clone().drain_after(async {}, Duration::from_secs(5)).await;
    assert_eq!((began.elapsed(), readiness.report().reasons), (Duration::ZERO, vec!["draining".to_owned()]));
}

#[test]
fn a_limit_is_said_and_turns_nobody_away() {
    let readiness = Readiness::new();
    let full = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&full);
    readiness.limit("store", move || if asked.load(Ordering::Relaxed) { Err("full".into()) } else { Ok(()) });
    readiness.ready();
    assert_eq!(readiness.report().limits, Vec::<String>::new());
    full.store(true, Ordering::Relaxed);
    let report = readiness.report();
    assert_eq!((report.ready, report.limits), (true, vec!["store: full".to_owned()]));
}
