//! The load: each order once, at the pace asked for, and latency that a stall cannot hide from.

use std::{sync::Arc, time::Duration};

use sagamart_bench::{
    Error, Options,
    client::{Connection, Method, Target},
};

use crate::{ORDERS, bench, options, shop::Fault, start};

/// A run that ends with the time and not with the orders.
fn timed(url: String, seconds: f64) -> Options {
    Options { seconds: Duration::from_secs_f64(seconds), orders: None, ..options(url) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_is_sent_once_and_the_run_says_when_there_are_none_left() {
    let (result, output) = bench(&options(start(Fault::None).await)).await;
    let report = result.unwrap();
    // The shop refuses a second checkout of an order.
    assert_eq!(report.checkouts.outcomes.succeeded, u64::from(ORDERS));
    assert_eq!(report.checkouts.outcomes.total(), u64::from(ORDERS));
    assert!(report.checkouts.counted_seconds < 119.0, "{}", report.checkouts.counted_seconds);
    assert!(output.contains("The 2,000 orders ran out"), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_number_enough_orders_are_prepared() {
    let options = Options {
        rounds: Some(2),
        warm_up_seconds: Duration::from_millis(200),
        threads: 2,
        ..timed(start(Fault::None).await, 1.0)
    };
    let report = bench(&options).await.0.unwrap();
    let checkouts = &report.checkouts;
    assert!(checkouts.outcomes.succeeded > 0);
    assert_eq!(checkouts.outcomes.total(), checkouts.outcomes.succeeded);
    assert_eq!(checkouts.rounds_succeeded_per_second.len(), 2);
    assert!((checkouts.counted_seconds - 1.0).abs() < 1e-6, "{}", checkouts.counted_seconds);
    // The warm-up's are paid too, and audited.
    assert!(report.audit.orders_paid > checkouts.outcomes.succeeded);
    assert!(report.data.orders >= report.audit.orders_paid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_loop_sends_as_many_as_come_due() {
    let options = Options { rate: Some(400), ..timed(start(Fault::None).await, 1.0) };
    let report = bench(&options).await.0.unwrap();
    let schedule = report.checkouts.schedule.unwrap();
    assert_eq!((schedule.due, schedule.unsent), (400, 0));
    assert_eq!(report.checkouts.outcomes.succeeded, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_loop_says_when_it_cannot_keep_its_rate() {
    let options = Options { rate: Some(100_000), connections: 1, ..timed(start(Fault::None).await, 0.3) };
    let (result, output) = bench(&options).await;
    let schedule = result.unwrap().checkouts.schedule.unwrap();
    assert_eq!(schedule.due, 30_000);
    assert!(schedule.unsent > 0);
    assert!(schedule.lateness.unwrap().max_ms > 100.0);
    assert!(output.contains("The rate was not kept"), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_shows_in_the_open_loop_as_everyone_would_have_waited() {
    let options = Options { rate: Some(400), ..timed(start(Fault::StallsOnce).await, 3.0) };
    let report = bench(&options).await.0.unwrap();
    // A third of the requests came due during the second in which nothing was answered.
    let latency = report.checkouts.latency.succeeded.unwrap();
    assert_eq!(latency.count, 1_200);
    assert!(latency.p90_ms > 500.0, "{latency:?}");
    assert!(latency.max_ms >= 999.0, "{latency:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_is_one_slow_answer_to_a_closed_loop_of_one() {
    let options = Options { connections: 1, ..options(start(Fault::StallsOnce).await) };
    let report = bench(&options).await.0.unwrap();
    let latency = report.checkouts.latency.succeeded.unwrap();
    assert_eq!(latency.count, u64::from(ORDERS));
    assert!(latency.max_ms >= 999.0, "{latency:?}");
    assert!(latency.p90_ms < 500.0, "{latency:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hot_orders_all_take_the_hot_item() {
    let url = start(Fault::None).await;
    let options = Options { hot_item: Some(25), lines_per_order: 3, price: 7, ..options(url.clone()) };
    let report = bench(&options).await.0.unwrap();
    assert!(report.audit.is_clean());
    assert_eq!(report.audit.stock.taken_by_paid_orders, 3 * i128::from(ORDERS));
    assert_eq!(report.audit.credit.taken_by_paid_orders, 21 * i128::from(ORDERS));
    let target = Arc::new(Target::resolve(&url).await.unwrap());
    let mut connection = Connection::new(target, Duration::from_secs(10));
    connection.ensure_open().await.unwrap();
    let path = |path: &mut Vec<u8>| path.extend_from_slice(b"/stock/find/0");
    let answer = connection.exchange(Method::Get, path).await.unwrap();
    let found: serde_json::Value = serde_json::from_slice(answer.body).unwrap();
    assert_eq!(found["stock"], 1_000_000_000 - ORDERS / 4);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = bench(&options(url)).await.0.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert_eq!(error.exit_code(), 1);
}

#[tokio::test]
async fn contradicting_options_are_refused_before_anything_is_sent() {
    let contradicting = Options { items: 1, ..options("http://127.0.0.1:1".to_owned()) };
    let error = bench(&contradicting).await.0.unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_of_others_is_not_overwritten_unasked() {
    let url = start(Fault::None).await;
    let once = options(url.clone());
    bench(&once).await.0.unwrap();
    // Now the shop holds an item "0".
    let error = bench(&once).await.0.expect_err("refused");
    assert!(matches!(&error, Error::Options(_)) && error.exit_code() == 2, "{error}");
    assert!(error.to_string().contains("holds data") && error.to_string().contains("--overwrite"), "{error}");
    bench(&Options { overwrite: true, ..once }).await.0.unwrap();
}
