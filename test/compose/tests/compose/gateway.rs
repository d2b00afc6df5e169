//! What the gateway does besides passing requests on.

use sagamart_black_box::{Answer, raw};
use serde_json::Value;

use crate::{
    docker::{command, run},
    project::Project,
};

/// Answers of its own are problems like every other failure.
pub(crate) async fn answers_of_its_own_are_problems(project: &Project) {
    let client = project.client();
    assert_eq!(client.get("/nothing/here").await.problem().slug, "no-such-route");
    for (what, request, status) in [
        (
            "a path that cannot be decoded",
            "GET /orders/find/%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into(),
            400,
        ),
        ("no HTTP at all", "hello\r\n\r\n".to_owned(), 400),
        ("a very long path", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(100_000)), 414),
        ("a large header", format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "a".repeat(100_000)), 400),
        (
            "a large body",
            "POST /payment/create_user HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n".into(),
            413,
        ),
        ("another protocol version", "GET / HTTP/7.0\r\nHost: a\r\n\r\n".to_owned(), 501),
    ] {
        let answer = raw::exchange(project.address(), request.as_bytes()).await;
        let answer = answer.unwrap_or_else(|| panic!("{what} was not answered"));
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_is_problem(&answer, what);
    }
}

/// As [`sagamart_black_box::Problem`], but also of those that have no kind of their own.
fn assert_is_problem(answer: &Answer, what: &str) {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}: {answer:?}");
    assert_eq!(answer.header("server"), Some("nginx"), "its version is nobody's business: {answer:?}");
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    assert_eq!(body.get("status").and_then(Value::as_u64), Some(answer.status.into()), "{what}: {body}");
    for member in ["type", "title", "detail"] {
        assert!(body.get(member).is_some_and(Value::is_string), "{what}: {body} has no {member}");
    }
}

/// Pages that only one of the services has are found.
pub(crate) async fn every_kind_of_problem_is_explained(project: &Project) {
    let client = project.client();
    for slug in ["order-paid", "out-of-stock", "not-enough-credit", "outcome-unknown"] {
        let answer = client.get(&format!("/problems/{slug}")).await;
        assert_eq!(answer.status, 200, "{slug}: {answer:?}");
    }
    assert_eq!(client.get("/problems/no-such-kind").await.status, 404);
    assert_eq!(client.get("/openapi.json").await.status, 200);
    assert_eq!(client.get("/livez").await.text(), r#"{"live":true}"#);
}

/// A client's own key is left alone, and requests without one are different requests.
pub(crate) async fn keys_of_clients_are_passed_on(project: &Project) {
    let client = project.client();
    let created = client.post_with_key("/payment/create_user", "\"of-the-client\"").await;
    assert_eq!(created.status, 200, "{created:?}");
    let again = client.post_with_key("/payment/create_user", "\"of-the-client\"").await;
    assert_eq!(again.body, created.body, "the same key is the same request");
    let other = client.post("/payment/create_user").await;
    assert_ne!(other.body, client.post("/payment/create_user").await.body, "requests without a key are different ones");
}

/// Its answer when there is nobody to ask.
pub(crate) async fn a_service_without_replicas_is_a_clear_503(project: &Project) {
    let replicas = ["stock-service-1", "stock-service-2"].map(|service| project.container(service));
    run(command(&["kill"]).args(&replicas));
    let answer = project.client().get("/stock/find/0").await;
    assert_eq!((answer.status, answer.problem().slug.as_str()), (503, "unavailable"), "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
    run(command(&["start"]).args(&replicas));
    project.await_healthy(&replicas);
    assert_eq!(project.client().get("/stock/find/0").await.status, 200);
}
