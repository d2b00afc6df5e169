//! Health, metrics, and the end of a server.

use std::time::{Duration, Instant};

use axum::{Router, routing::get};
use serde_json::json;
use tokio::{net::TcpStream, time::sleep};
use web::{
    Dialect, Readiness,
    server::{Error, Front, Settings},
};

use crate::{
    client::{Server, request},
    toy,
};

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn liveness_depends_on_nothing_and_readiness_says_why_not() {
    let server = Server::start().await;
    assert_eq!(server.ask("GET /readyz").await.json(), json!({"ready": true, "reasons": []}));
    server.readiness.check("store", || Err("poisoned".to_owned()));
    let reply = server.ask("GET /readyz").await;
    assert_eq!((reply.status, reply.json()), (503, json!({"ready": false, "reasons": ["store: poisoned"]})));
    assert_eq!(server.ask("GET /livez").await.status, 200);
}

#[tokio::test]
async fn until_the_services_are_there_a_process_says_that_it_starts() {
    let readiness = Readiness::new();
    readiness.check("store", || Err("being opened".to_owned()));
    let mut site = toy::bare_site(Dialect::Own, readiness.clone());
    site.behind_gateway = false;
    let front = Front::new(site.starting());
    let server = Server::start_router(front.clone(), readiness.clone(), Settings::default(), Duration::ZERO).await;
    let mut connection = server.connect().await;
    for (head, status, slug) in [
        ("GET /livez", 200, None),
        ("GET /metrics", 200, None),
        ("GET /problems/starting", 200, None),
        ("GET /readyz", 503, None),
        ("GET /", 503, Some("/problems/starting")),
        ("GET /openapi.json", 503, Some("/problems/starting")),
        ("POST /toy/add/tea/1", 503, Some("/problems/starting")),
        ("GET /no/such/route", 503, Some("/problems/starting")),
        ("POST /livez", 405, Some("/problems/method-not-allowed")),
    ] {
        connection.send(request(head)).await;
        let reply = connection.reply().await;
        assert_eq!(reply.status, status, "{head}");
        if let Some(slug) = slug {
            assert_eq!(reply.json()["type"], json!(slug), "{head}");
        } else if head == "GET /readyz" {
            assert_eq!(reply.json()["reasons"], json!(["starting", "store: being opened"]));
        }
    }
    front.open(toy::site(readiness).0);
    // On the connection that was there before.
    connection.send(request("POST /toy/add/tea/1")).await;
    assert_eq!(connection.reply().await.status, 200);
    assert_eq!(server.ask("GET /no/such/route").await.status, 404);
}

#[tokio::test]
async fn readiness_fails_before_the_listener_closes() {
    let notice = Duration::from_millis(500);
    let server = Server::start_with(Settings::default(), notice).await;
    assert_eq!(server.ask("GET /readyz").await.status, 200);
    server.stop.send(()).unwrap();
    let mut reply = TcpStream::connect(server.address).await.map(drop);
    assert!(reply.is_ok(), "new connections are still accepted");
    sleep(notice * 2).await;
    reply = TcpStream::connect(server.address).await.map(drop);
    assert!(reply.is_err(), "the listener is closed");
    server.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_probe_sees_the_draining_while_requests_are_still_served() {
    let server = Server::start_with(Settings::default(), Duration::from_secs(60)).await;
    let mut connection = server.connect().await;
    server.stop.send(()).unwrap();
    let deadline = Instant::now() + SOON;
    loop {
        connection.send(request("GET /readyz")).await;
        let reply = connection.reply().await;
        if reply.status == 503 {
            assert_eq!(reply.json()["reasons"], json!(["draining"]));
            break;
        }
        assert!(Instant::now() < deadline, "never seen");
    }
    connection.send(request("POST /toy/add/tea/1")).await;
    assert_eq!(connection.reply().await.status, 200);
}

#[tokio::test]
async fn a_running_request_gets_its_answer_and_the_connection_its_end() {
    let server = Server::start().await;
    let mut busy = server.connect().await;
    let mut idle = server.connect().await;
    idle.send(request("GET /livez")).await;
    assert_eq!(idle.reply().await.status, 200);
    busy.send(request("GET /toy/wait/500")).await;
    sleep(Duration::from_millis(100)).await;
    let stopped = Instant::now();
    server.stop.send(()).unwrap();
    assert!(idle.closes_within(Duration::from_millis(300)).await, "idle connections end at once");
    let reply = busy.reply().await;
    assert_eq!((reply.status, reply.text()), (200, "waited"));
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(busy.closes_within(SOON).await);
    server.ended.await.unwrap().unwrap();
    assert!(stopped.elapsed() < SOON);
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off_when_the_time_to_drain_is_over() {
    let settings = Settings { drain_timeout: Duration::from_millis(300), ..Settings::default() };
    let server = Server::start_with(settings, Duration::ZERO).await;
    let mut endless = server.connect().await;
    endless.send(request("GET /toy/wait/60000")).await;
    sleep(Duration::from_millis(100)).await;
    server.stop.send(()).unwrap();
    let error = server.ended.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::DrainTimedOut { requests: 1, .. }), "{error}");
    assert!(endless.closes_within(SOON).await);
}

#[tokio::test]
async fn half_a_request_does_not_hold_up_the_end() {
    let server = Server::start().await;
    let mut half = server.connect().await;
    half.send("POST /toy/add/tea/1 HTTP/1.1\r\nHos").await;
    sleep(Duration::from_millis(100)).await;
    let stopped = Instant::now();
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
    assert!(stopped.elapsed() < SOON, "{:?}", stopped.elapsed());
    assert!(half.closes_within(SOON).await);
}

#[tokio::test]
async fn a_panic_ends_one_connection_and_nothing_else() {
    async fn panics() {
        panic!("on purpose");
    }
    let router = Router::new().route("/panic", get(panics)).route("/fine", get(async || "fine"));
    let server = Server::start_router(router, Readiness::new(), Settings::default(), Duration::ZERO).await;
    let mut neighbour = server.connect().await;
    let mut victim = server.connect().await;
    victim.send(request("GET /panic")).await;
    assert!(victim.closes_within(SOON).await);
    neighbour.send(request("GET /fine")).await;
    assert_eq!(neighbour.reply().await.text(), "fine");
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn metrics_count_by_template_and_never_by_what_was_sent() {
    let server = Server::start().await;
    for request in ["POST /toy/add/tea/1", "POST /toy/add/gin/1", "PUT /toy/add/tea/1", "GET /secret", "BREW /secret"] {
        server.ask(request).await;
    }
    let reply = server.ask("GET /metrics").await;
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let add = "route=\"/toy/add/{id}/{amount}\"";
    let expected = [
        format!("sagamart_http_requests_total{{method=\"POST\",{add},status=\"200\"}} 1"),
        format!("sagamart_http_requests_total{{method=\"POST\",{add},status=\"404\"}} 1"),
        format!("sagamart_http_requests_total{{method=\"PUT\",{add},status=\"405\"}} 1"),
        "sagamart_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} 1".to_owned(),
        "sagamart_http_requests_total{method=\"other\",route=\"unmatched\",status=\"404\"} 1".to_owned(),
        format!("sagamart_http_request_duration_seconds_count{{method=\"POST\",{add}}} 2"),
        // The request that asks.
        "sagamart_http_requests_in_flight 1".to_owned(),
    ];
    let lines: Vec<&str> = reply.text().lines().collect();
    for line in expected {
        assert!(lines.contains(&line.as_str()), "{line} is not in\n{}", reply.text());
    }
    assert!(!reply.text().contains("secret") && !reply.text().contains("BREW"), "{}", reply.text());
}

#[tokio::test]
async fn a_request_whose_client_went_away_is_carried_out() {
    let server = Server::start().await;
    let mut gone = server.connect().await;
    gone.send(request("GET /toy/wait/500")).await;
    sleep(Duration::from_millis(100)).await;
    assert!(server.ask("GET /metrics").await.text().contains("sagamart_http_requests_in_flight 2"));
    drop(gone);
    let line = "sagamart_http_requests_total{method=\"GET\",route=\"/toy/wait/{ms}\",status=\"200\"} 1";
    let deadline = Instant::now() + SOON;
    loop {
        let reply = server.ask("GET /metrics").await;
        if reply.text().contains(line) {
            assert!(reply.text().contains("sagamart_http_requests_in_flight 1"), "{}", reply.text());
            break;
        }
        assert!(Instant::now() < deadline, "{}", reply.text());
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn behind_a_gateway_a_process_that_starts_lets_another_one_be_asked() {
    let readiness = Readiness::new();
    let mut site = toy::bare_site(Dialect::Own, readiness.clone());
    site.behind_gateway = true;
    let server =
        Server::start_router(Front::new(site.starting()), readiness, Settings::default(), Duration::ZERO).await;
    let reply = server.ask("POST /toy/add/tea/1").await;
    assert_eq!((reply.status, &reply.json()["type"]), (502, &json!("/problems/starting")));
    assert_eq!(server.ask("GET /readyz").await.status, 503);
}
