//! Whole runs of the benchmark against small shops, correct and broken ones.

mod audit;
mod baseline;
mod load;
mod racy;
mod referee;
mod report;
mod shop;

use std::time::Duration;

use sagamart_bench::{Error, Options, Report, run};
use shop::Fault;

/// Starts a shop on a free port of the calling runtime and returns its base URL.
async fn start(fault: Fault) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, shop::router(fault)).await });
    format!("http://{address}")
}

/// A run that ends when its 2,000 orders are sent, so that its counts do not depend on the machine's speed.
fn options(url: String) -> Options {
    Options {
        url: Some(url),
        connections: 8,
        seconds: Duration::from_secs(120),
        warm_up_seconds: Duration::ZERO,
        settle_seconds: Duration::ZERO,
        items: 100,
        users: 100,
        orders: Some(ORDERS),
        ..Options::default()
    }
}

const ORDERS: u32 = 2_000;

/// Runs the benchmark and returns what it printed as well.
async fn bench(options: &Options) -> (Result<Report, Error>, String) {
    let mut output = Vec::new();
    let result = Box::pin(run(options, &mut output)).await;
    (result, String::from_utf8(output).expect("the table is text"))
}
