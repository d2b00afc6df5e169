//! An observer beside the fleet: whatever happens to it, nobody in the shop notices, and its history has all, or says how
//! much it missed.

use std::time::Duration;

use sagamart_black_box::{Fleet, Observers, exposition::Exposition, observers::Span};
use tokio::time::sleep;

use crate::{AWAY, FAULT, TIMEOUT, chaos::Chaos, databases::until};

/// The history once it does not grow any more.
async fn settled(observers: &Observers) -> Span {
    let mut last = None;
    for _ in 0..60 {
        let span = observers.span(0).await;
        if span.is_some() && span == last {
            break;
        }
        last = span;
        sleep(Duration::from_millis(500)).await;
    }
    last.expect("the history answers")
}

/// What a replica's metrics say of the history, whichever replica keeps it.
async fn metrics_say(observers: &Observers, index: usize, wanted: Span) {
    until("the metrics say the same as the history", async || {
        let text = observers.operators(index).get("/metrics").await.text();
        let metrics = Exposition::parse(&text);
        let figure = |name: &str| metrics.sum(&format!("sagamart_history_{name}"), &[]);
        let (missed, has_gap) = (wanted.missed as f64, f64::from(u8::from(wanted.missed > 0)));
        figure("answers") == Some(1.0)
            && figure("missed_events_total") == Some(missed)
            && figure("has_gap") == Some(has_gap)
            && figure("undecided_checkouts") == Some(wanted.undecided as f64)
            && figure("bytes").is_some_and(|bytes| bytes > 0.0)
            && figure("from_seconds").is_some_and(|seconds| seconds > 0.0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_what_happens_to_an_observer_and_it_knows_what_it_missed() {
    let mut chaos = Chaos::start(TIMEOUT).await;
    let mut observers = Observers::of(&chaos.fleet);
    observers.start(0);
    observers.start(1);
    observers.ready().await;

    let killed = chaos.under_load("SIGKILL of an observer, SIGSTOP of the other", async |_: &mut Fleet| {
        sleep(FAULT / 2).await;
        observers.process(0).kill();
        sleep(FAULT / 2).await;
        observers.start(0);
        observers.ready().await;
        observers.process(1).freeze();
        sleep(AWAY).await;
        observers.process(1).thaw();
    });
    killed.await.nobody_noticed();
    let paid = chaos.audit().await;
    for index in [0, 1] {
        let all = Some(Span { completed: paid, undecided: 0, missed: 0 });
        until("both replicas tell of every checkout", async || observers.span(index).await == all).await;
        metrics_say(&observers, index, Span { completed: paid, undecided: 0, missed: 0 }).await;
    }

    let gone = chaos.under_load("an observer's data are gone", async |fleet: &mut Fleet| {
        observers.process(0).kill();
        observers.process(1).kill();
        let () = observers.database.ask(&["FLUSHALL"]);
        sleep(FAULT / 2).await;
        observers.start(0);
        observers.start(1);
        observers.ready().await;
        for index in 0..fleet.replicas.len() {
            assert!(fleet.replica(index).is_ready().await, "{}", fleet.said(index));
        }
    });
    gone.await.nobody_noticed();
    let paid = chaos.audit().await;
    let begun_anew = settled(&observers).await;
    println!("of {paid} paid orders, the new history has {begun_anew:?}");
    assert!(begun_anew.completed > 0, "{begun_anew:?}");
    assert!(begun_anew.completed == paid || begun_anew.missed > 0, "{begun_anew:?} of {paid}");

    for index in [0, 1] {
        metrics_say(&observers, index, begun_anew).await;
    }

    chaos.under_load("nothing at all", async |_: &mut Fleet| sleep(FAULT / 2).await).await.nobody_noticed();
    let more = chaos.audit().await - paid;
    let all = Some((begun_anew.completed + more, begun_anew.missed));
    until("the new history has all that came since", async || {
        observers.span(0).await.map(|span| (span.completed, span.missed)) == all
    })
    .await;
}
