use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{Kind, Problem, kinds};

static FULL: Kind = Kind::new("full", StatusCode::CONFLICT, "It is full", "Wait.");

async fn body(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn a_problem_answers_with_its_kind_its_detail_and_its_members() {
    let response = Problem::new(&FULL, "cup 7 holds \"enough\"\n")
        .with("cup_id", "7")
        .with("free", 0)
        .retry_after_seconds(3)
        .into_response();
    assert_eq!(response.status(), StatusCode::CONFLICT);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(response.headers()[header::RETRY_AFTER], "3");
    let expected = json!({
        "type": "/problems/full", "title": "It is full", "status": 409,
        "detail": "cup 7 holds \"enough\"\n", "cup_id": "7", "free": 0,
    });
    assert_eq!(body(response).await, expected);
}

#[tokio::test]
async fn a_client_learns_nothing_of_the_cause_of_an_internal_problem() {
    let response = Problem::internal("password of the database is hunter2").into_response();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!body(response).await.to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_problem_without_a_time_to_retry_promises_none() {
    let response = Problem::not_found("no such cup").into_response();
    assert_eq!(response.headers().get(header::RETRY_AFTER), None);
}

#[test]
fn every_kind_has_a_slug_of_its_own_and_an_explanation() {
    let mut slugs: Vec<_> = kinds::ALL.iter().map(|kind| kind.slug()).collect();
    slugs.sort_unstable();
    slugs.dedup();
    assert_eq!(slugs.len(), kinds::ALL.len());
    for kind in kinds::ALL {
        assert!(kind.status().is_client_error() || kind.status().is_server_error());
        assert!(kind.explanation().ends_with('.'), "{} is not explained", kind.slug());
    }
}

#[test]
#[should_panic(expected = "a slug is made of")]
fn a_slug_that_would_not_fit_into_a_path_is_refused() {
    let _ = Kind::new("out of stock", StatusCode::CONFLICT, "", "");
}

#[test]
#[should_panic(expected = "has a meaning of its own")]
#[cfg(debug_assertions)]
fn a_member_cannot_replace_one_of_the_standard() {
    let _ = Problem::not_found("").with("status", 200);
}
