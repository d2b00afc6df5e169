use std::convert::Infallible;

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    response::Response,
    routing::get,
};
use prometheus_client::{encoding::text, registry::Registry};
use serde_json::{Value, json};
use tower_layer::Layer;
use tower_service::Service;

use super::{BUCKETS_SECONDS, HttpMetrics};
use crate::logs::{Format, tests::logged};

fn request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn registered(registry: &mut Registry) -> HttpMetrics {
    let metrics = HttpMetrics::default();
    metrics.register(registry);
    metrics
}

fn rendered(registry: &Registry) -> String {
    let mut text = String::new();
    text::encode(&mut text, registry).unwrap();
    text
}

#[tokio::test]
async fn a_rare_status_is_counted_like_any_other() {
    let mut registry = Registry::default();
    let layer = registered(&mut registry).layer(["/tea"]);
    let mut router = Router::new().route("/tea", get(async || StatusCode::IM_A_TEAPOT)).layer(layer);
    for _ in 0..2 {
        router.call(request("/tea")).await.unwrap();
    }
    let line = "sagamart_http_requests_total{method=\"GET\",route=\"/tea\",status=\"418\"} 2";
    assert!(rendered(&registry).contains(line), "{}", rendered(&registry));
}

#[tokio::test]
async fn a_route_that_the_layer_was_not_told_of_counts_as_unmatched() {
    let mut registry = Registry::default();
    let layer = registered(&mut registry).layer([]);
    let mut router = Router::new().route("/tea", get(async || "tea")).layer(layer);
    router.call(request("/tea")).await.unwrap();
    assert!(rendered(&registry).contains("route=\"unmatched\",status=\"200\"} 1"));
}

#[tokio::test]
async fn a_service_that_fails_leaves_nothing_in_flight() {
    #[derive(Clone)]
    struct Broken;

    impl Service<Request<Body>> for Broken {
        type Response = Response;
        type Error = &'static str;
        type Future = std::future::Ready<Result<Response, &'static str>>;

        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), &'static str>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            std::future::ready(Err("broken"))
        }
    }

    let mut registry = Registry::default();
    let mut service = registered(&mut registry).layer([]).layer(Broken);
    assert_eq!(service.call(request("/tea")).await.err(), Some("broken"));
    let text = rendered(&registry);
    assert!(text.contains("sagamart_http_requests_in_flight 0"), "{text}");
    assert!(text.contains("status=\"abandoned\"} 1"), "{text}");
}

#[tokio::test]
async fn durations_fall_into_buckets_that_ascend() {
    assert!(BUCKETS_SECONDS.is_sorted());
    let mut registry = Registry::default();
    let layer = registered(&mut registry).layer(["/tea"]);
    let slow = async || {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        Ok::<_, Infallible>("tea")
    };
    let mut router = Router::new().route("/tea", get(slow)).layer(layer);
    router.call(request("/tea")).await.unwrap();
    let text = rendered(&registry);
    let bucket = |bound: &str, count: u64| {
        let line = format!("_bucket{{le=\"{bound}\",method=\"GET\",route=\"/tea\"}} {count}");
        assert!(text.contains(&line), "{line} is not in\n{text}");
    };
    bucket("0.025", 0);
    bucket("10.0", 1);
    bucket("+Inf", 1);
}

#[test]
fn the_access_log_has_the_template_and_nothing_that_a_client_chose() {
    let layer = HttpMetrics::default().layer(["/tea/{kind}"]);
    let mut router = Router::new().route("/tea/{kind}", get(async || "tea")).layer(layer);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut ask = |filter| {
        let request = request("/tea/secret?secret");
        logged(Format::Json, filter, || {
            runtime.block_on(router.call(request)).unwrap();
        })
    };
    assert_eq!(ask("info"), "");
    let line = ask("web::access=debug");
    assert!(!line.contains("secret"), "{line}");
    let line: Value = serde_json::from_str(&line).unwrap();
    let fields = &line["fields"];
    assert_eq!(
        (&fields["method"], &fields["route"], &fields["status"]),
        (&json!("GET"), &json!("/tea/{kind}"), &json!(200))
    );
    assert!(fields["duration_us"].is_u64(), "{fields}");
}
