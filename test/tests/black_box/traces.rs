//! Traces of checkouts, as a collector of OpenTelemetry gets them.

use std::{process::Command, time::Duration};

use hyper::Method;
use sagamart_black_box::{
    Answer, Client, Fixture, Outcome, Settings, Shop, binary,
    collector::{Collector, Received},
};
use serde_json::Value;
use test_servers::{Process, free_port};
use tokio::time::sleep;

/// The caller's own trace and span.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn sending(url: &str, more: &[&str]) -> Settings {
    let arguments = [&["--otlp-endpoint", url, "--log", "json"], more].concat();
    Settings { arguments: arguments.into_iter().map(str::to_owned).collect(), ..Settings::partitions(2) }
}

async fn traced(client: &Client, order: &str, parent: &str) -> Answer {
    let path = format!("/orders/checkout/{order}");
    client.send(Method::POST, &path, &[("traceparent", parent)]).await.expect("an answer")
}

/// Trace and span of a reply.
fn parent_of(answer: &Answer) -> (String, String) {
    let text = answer.header("traceparent").expect("a trace");
    let parts: Vec<&str> = text.split('-').collect();
    let ["00", trace, span, _] = parts.as_slice() else { panic!("{text}") };
    assert_eq!((trace.len(), span.len()), (32, 16), "{text}");
    ((*trace).to_owned(), (*span).to_owned())
}

fn member(answer: &Answer, name: &str) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    body.get(name)?.as_str().map(str::to_owned)
}

/// Service and name of each, and that all hang together below the first.
fn shape(spans: &[Received]) -> Vec<(String, String)> {
    let mut ids: Vec<_> = spans.iter().map(|span| span.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len(), "{spans:?}");
    let is_first = |span: &&Received| span.name == "checkout";
    for span in spans.iter().filter(|span| !is_first(span)) {
        assert!(ids.contains(&span.parent.as_str()), "{span:?}");
    }
    assert!(spans.iter().all(|span| span.time.is_sorted()), "{spans:?}");
    let mut names: Vec<_> = spans.iter().map(|span| (span.service.clone(), span.name.clone())).collect();
    names.sort_unstable();
    names
}

fn expected(names: &[(&str, &str)]) -> Vec<(String, String)> {
    names.iter().map(|(service, name)| ((*service).to_owned(), (*name).to_owned())).collect()
}

const WHOLE: [(&str, &str); 4] =
    [("order", "checkout"), ("order", "decide"), ("payment", "hold credit"), ("stock", "hold units")];

#[tokio::test]
async fn a_refused_checkout_is_a_trace_below_its_callers_span_and_one_that_is_paid_is_not_chosen() {
    let collector = Collector::start().await;
    let mut fixture = Fixture::with(sending(&collector.url(), &["--trace-share", "0", "--slow-checkout", "60"])).await;
    let shop = fixture.shop.clone();
    let (rich, poor) = (shop.user_with(100).await, shop.create_user().await);
    let item = shop.item_with(1, 10).await;
    let [paid, refused, malformed] = [
        shop.order_of(&rich, &[(&item, 1)]).await,
        shop.order_of(&poor, &[(&item, 1)]).await,
        shop.order_of(&poor, &[(&item, 1)]).await,
    ];
    let answer = traced(&shop.client, &paid, &format!("00-{TRACE}-{SPAN}-01")).await;
    assert_eq!((answer.status, parent_of(&answer).0.as_str()), (200, TRACE));
    assert!(answer.header("traceparent").is_some_and(|parent| parent.ends_with("-01")), "{answer:?}");
    let answer = traced(&shop.client, &refused, &format!("00-{TRACE}-{SPAN}-00")).await;
    let (trace, span) = parent_of(&answer);
    assert_eq!((answer.status, trace.as_str(), member(&answer, "trace_id").as_deref()), (402, TRACE, Some(TRACE)));
    let own = traced(&shop.client, &malformed, "00-not-a-trace-01").await;
    let (new, first) = parent_of(&own);
    assert_eq!((own.status, member(&own, "trace_id").as_deref()), (402, Some(new.as_str())));
    assert_ne!(new, TRACE);

    let spans = collector.trace(TRACE).await;
    assert_eq!(shape(&spans), expected(&WHOLE), "of the refused one alone: {spans:?}");
    let root = spans.iter().find(|received| received.name == "checkout").expect("it is there");
    assert_eq!((root.id.as_str(), root.parent.as_str()), (span.as_str(), SPAN));
    let says = ["sagamart.order_id", "sagamart.outcome"].map(|name| root.attribute(name).unwrap_or_default());
    assert_eq!(says, [refused.as_str(), "not-enough-credit"]);
    let spans = collector.trace(&new).await;
    let root = spans.iter().find(|received| received.name == "checkout").expect("it is there");
    assert_eq!((root.id.as_str(), root.parent.as_str()), (first.as_str(), ""));

    let operators = fixture.server().operators();
    let of = async |accept| {
        let answer = operators.send(Method::GET, "/metrics", &[("accept", accept)]).await;
        answer.unwrap_or_else(|error| panic!("{error}")).text()
    };
    let exemplar = |trace: &str| format!("# {{trace_id=\"{trace}\"}}");
    let openmetrics = of("application/openmetrics-text").await;
    assert!([TRACE, &new].iter().any(|trace| openmetrics.contains(&exemplar(trace))), "{openmetrics}");
    assert!(!of("text/plain").await.contains("trace_id"));

    let exit = fixture.take_server().terminate().await;
    let lines = exit.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let unpaid = lines.filter(|line| line.pointer("/fields/message") == Some(&"checkout not paid".into()));
    let ids = unpaid.filter_map(|line| line.pointer("/fields/trace_id")?.as_str().map(str::to_owned));
    assert_eq!(ids.collect::<Vec<_>>(), [TRACE.to_owned(), new]);
}

/// Services in processes of their own, each in memory, and an observer that sends traces.
struct Apart {
    shops: [Shop; 3],
    _processes: Vec<Process>,
}

impl Apart {
    async fn start(collector: &Collector, directory: &std::path::Path) -> Self {
        let names = ["order", "stock", "payment", "observe"];
        // Whose events each consumes.
        let peers = [&["stock", "payment"] as &[&str], &["order"], &["order", "stock"], &["order", "stock", "payment"]];
        let ports = names.map(|_| [free_port(), free_port()]);
        let mut processes = Vec::new();
        for ((name, [public, internal]), peers) in names.into_iter().zip(ports).zip(peers) {
            let mut command = Command::new(binary::path());
            command.args([name, "--store", "memory:", "--listen", &format!("127.0.0.1:{public}")]);
            command.args(["--internal-listen", &format!("127.0.0.1:{internal}")]);
            for (peer, [_, internal]) in names.into_iter().zip(ports).filter(|(peer, _)| peers.contains(peer)) {
                command.args(["--peer", &format!("{peer}=127.0.0.1:{internal}")]);
            }
            if name == "observe" {
                command.args(["--trace-share", "1"]);
                command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
            }
            processes.push(Process::start(command, &directory.join(format!("{name}.log"))));
        }
        let clients = ports.map(|[public, _]| Client::new(([127, 0, 0, 1], public).into()));
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        for client in &clients {
            while !client.is_ready().await {
                assert!(std::time::Instant::now() < deadline, "{} is never ready", client.address());
                sleep(Duration::from_millis(50)).await;
            }
        }
        let [order, stock, payment, _] = clients.map(Shop::new);
        Self { shops: [order, stock, payment], _processes: processes }
    }
}

#[tokio::test]
async fn across_processes_a_checkout_is_one_trace() {
    let collector = Collector::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let apart = Apart::start(&collector, directory.path()).await;
    let [order, stock, payment] = &apart.shops;
    let (user, item) = (payment.user_with(10).await, stock.item_with(1, 10).await);
    let basket = order.order_of(&user, &[(&item, 1)]).await;
    let answer = traced(&order.client, &basket, &format!("00-{TRACE}-{SPAN}-01")).await;
    assert_eq!((answer.status, parent_of(&answer).0.as_str()), (200, TRACE), "{answer:?}");
    let spans = collector.trace(TRACE).await;
    assert_eq!(shape(&spans), expected(&WHOLE), "{spans:?}");
    let root = spans.iter().find(|received| received.name == "checkout").expect("it is there");
    assert_eq!((root.parent.as_str(), root.attribute("sagamart.outcome")), (SPAN, Some("paid")));
}

#[tokio::test]
async fn a_dead_endpoint_is_in_nobodys_way_and_what_is_dropped_is_counted() {
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let fixture = Fixture::with(sending(&nobody, &["--trace-share", "1"])).await;
    let shop = &fixture.shop;
    let (user, item) = (shop.user_with(100).await, shop.item_with(1, 100).await);
    for _ in 0..20 {
        let order = shop.order_of(&user, &[(&item, 1)]).await;
        assert_eq!(shop.checkout(&order).await, Outcome::Succeeded);
    }
    let count = async || {
        let metrics = fixture.metrics().await;
        let dropped = metrics.sum("sagamart_traces_dropped_total", &[("reason", "unreachable")]);
        (dropped, metrics.sum("sagamart_traces_sent_total", &[]))
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(90);
    while count().await != (Some(20.0), Some(0.0)) {
        assert!(std::time::Instant::now() < deadline, "{:?}", count().await);
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_an_error_at_the_start() {
    for (arguments, reason) in [
        (&["serve", "--otlp-endpoint", "https://127.0.0.1:4318"] as &[&str], "wants TLS"),
        (&["serve", "--otlp-endpoint", "127.0.0.1:4318"], "such as http://127.0.0.1:4318"),
        (&["serve", "--otlp-endpoint", "http://127.0.0.1:4318", "--history-hours", "0"], "without a history"),
        (&["serve", "--trace-share", "1.5"], "a number from 0 to 1"),
        (
            &["stock", "--peer", "order=a:1", "--otlp-endpoint", "http://127.0.0.1:4318"],
            "say --otlp-endpoint to `sagamart observe`",
        ),
    ] {
        let mut command = Command::new(binary::path());
        command.args(arguments).args(["--store", "memory:", "--listen", "127.0.0.1:0"]);
        if arguments.contains(&"stock") {
            command.args(["--internal-listen", "127.0.0.1:0"]);
        }
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(reason), "{arguments:?}: {said}");
    }
}
