use axum::response::IntoResponse;
use proptest::prelude::*;

use super::*;
use crate::Problem;

fn of(values: &[&[u8]]) -> RequestName {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(&HEADER, HeaderValue::from_bytes(value).unwrap());
    }
    RequestName::of(&headers)
}

fn is_made(name: &RequestName) -> bool {
    name.as_str().len() == MADE_CHARS && name.as_str().bytes().all(|byte| DIGITS.contains(&byte))
}

#[test]
fn a_clients_own_name_is_kept_as_it_is() {
    for name in ["a", "7f3c-41", "Root=1-67891233-abcdef012345678912345678;a\"{}\\", &"x".repeat(64)] {
        assert_eq!(of(&[name.as_bytes()]).as_str(), name);
    }
}

#[test]
fn what_is_no_name_is_replaced_by_a_new_one() {
    let long = "x".repeat(65);
    for values in [&[] as &[&[u8]], &[b""], &[b"a b"], &[b"\t"], &["é".as_bytes()], &[long.as_bytes()], &[b"a", b"a"]]
    {
        let name = of(values);
        assert!(is_made(&name) && name != of(values), "{values:?}: {name}");
    }
}

#[tokio::test]
async fn a_problem_has_the_name_of_its_request() {
    assert_eq!(RequestName::current(), None);
    let response = of(&[b"mine"]).scope(async { Problem::malformed("a reason").into_response() }).await;
    let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body.get("request_id").unwrap(), "mine");
    let nameless = Problem::malformed("a reason").into_response();
    let body = axum::body::to_bytes(nameless.into_body(), 1000).await.unwrap();
    assert!(!String::from_utf8_lossy(&body).contains("request_id"), "there is no request");
}

proptest! {
    #[test]
    fn whatever_comes_the_name_can_be_written(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let name = of(&[value.as_bytes()]);
            prop_assert!(name.header() == name.as_str());
        }
    }
}
