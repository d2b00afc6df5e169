use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, Request},
};
use proptest::{
    prelude::{any, prop},
    prop_assert, prop_assert_eq, proptest,
};

use super::{HEADER, Idempotency, RETENTION, RequestKey, parse};
use crate::{Problem, problem::kinds};

async fn extract(method: &str, path: &str, values: &[&str]) -> Result<Idempotency, Problem> {
    let mut request = Request::builder().method(method).uri(path);
    for value in values {
        request = request.header(&HEADER, HeaderValue::from_str(value).unwrap());
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    Idempotency::from_request_parts(&mut parts, &()).await
}

async fn request_key(method: &str, path: &str, value: &str) -> RequestKey {
    extract(method, path, &[value]).await.unwrap().0.unwrap()
}

async fn key(value: &str) -> String {
    request_key("POST", "/toy", value).await.key.to_string()
}

#[tokio::test]
async fn a_request_without_the_header_has_no_key() {
    assert_eq!(extract("POST", "/toy", &[]).await.unwrap(), Idempotency(None));
}

#[tokio::test]
async fn quoted_and_bare_are_the_same_key() {
    assert_eq!(key("\"8e03978e-40d5\"").await, "8e03978e-40d5");
    assert_eq!(key("8e03978e-40d5").await, "8e03978e-40d5");
    assert_eq!(key(r#""a\"b\\c""#).await, r#"a"b\c"#);
    assert_eq!(key(&"k".repeat(128)).await, "k".repeat(128));
    assert_eq!(key(&format!("\"{}\"", "\\\\".repeat(128))).await, "\\".repeat(128));
}

proptest! {
    #[test]
    fn every_visible_key_survives_quoting(expected in "[!-~]{1,128}") {
        let quoted = format!("\"{}\"", expected.replace('\\', "\\\\").replace('"', "\\\""));
        let parsed = parse(&HeaderValue::from_str(&quoted).unwrap());
        prop_assert_eq!(parsed.as_deref(), Ok(expected.as_str()));
    }

    #[test]
    fn a_key_is_the_same_however_it_is_written(value in r#"[ \t]{0,2}"?([!-~]|\\["\\a]| ){0,140}"?[;,]?[ \t]{0,2}"#) {
        let Ok(value) = HeaderValue::from_str(&value) else { return Ok(()) };
        if let Ok(key) = parse(&value) {
            let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
            prop_assert_eq!(parse(&HeaderValue::from_str(&quoted).unwrap()), Ok(key));
        }
    }

    #[test]
    fn whatever_is_taken_for_a_key_is_visible_and_short(value in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(Ok(key)) = HeaderValue::from_bytes(&value).as_ref().map(parse) {
            prop_assert!((1..=128).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}

#[tokio::test]
async fn what_is_not_a_key_is_malformed() {
    let long = "k".repeat(129);
    let long_quoted = format!("\"{long}\"");
    let bad = [
        "",
        "\"\"",
        "\"",
        "a b",
        "\"a b\"",
        "\"a",
        "a\"",
        "\"a\"b",
        "\"a\";x=1",
        "\"a\", \"b\"",
        "a,b",
        "a;b",
        "a\\b",
        "\"a\\n\"",
        "\"a\\",
        "clé",
        &long,
        &long_quoted,
    ];
    for value in bad {
        let problem = extract("POST", "/toy", &[value]).await.expect_err(value);
        assert_eq!(problem.kind(), &kinds::MALFORMED, "{value}");
        assert!(problem.detail().contains("Idempotency-Key"), "{value}");
    }
}

#[tokio::test]
async fn a_header_that_is_there_twice_is_malformed_even_if_both_agree() {
    assert!(extract("POST", "/toy", &["a", "a"]).await.is_err());
}

#[tokio::test]
async fn the_fingerprint_tells_methods_paths_and_queries_apart() {
    let requests = [
        ("POST", "/toy/1"),
        ("PUT", "/toy/1"),
        ("POST", "/toy/2"),
        ("POST", "/toy/1?a=1"),
        ("POST", "/toy/1?a=2"),
        ("POST", "/toy/%31"),
    ];
    let mut fingerprints = Vec::new();
    for (method, path) in requests {
        fingerprints.push(request_key(method, path, "k").await.fingerprint);
    }
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), requests.len());
}

/// Fingerprints are stored beside replies: were the function to change, every repetition that spans the upgrade would
/// be refused as a reused key.
#[tokio::test]
async fn the_fingerprint_is_the_one_that_older_versions_stored() {
    let fingerprint = request_key("POST", "/stock/add/7/5?dry=1", "k").await.fingerprint;
    assert_eq!(fingerprint, 7_834_148_739_187_644_904);
}

#[tokio::test]
async fn copies_of_a_gateway_share_a_number_and_nobody_else_does() {
    let with = async |key: &str, retention: Option<&str>| {
        let mut request = Request::builder().method("POST").uri("/toy").header(&HEADER, key);
        if let Some(retention) = retention {
            request = request.header(&RETENTION, retention);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        Idempotency::from_request_parts(&mut parts, &()).await
    };
    let one = with("one", Some("60")).await.unwrap();
    assert_eq!(one.0.as_ref().and_then(|key| key.retention), Some(std::time::Duration::from_secs(60)));
    assert!(one.shared_number().is_some());
    assert_eq!(one.shared_number(), with("one", Some("60")).await.unwrap().shared_number());
    assert_ne!(one.shared_number(), with("other", Some("60")).await.unwrap().shared_number());
    assert_eq!(with("one", None).await.unwrap().shared_number(), None);
    for nonsense in ["", "0", "-1", "+5", "1e3", "86401", "60 s", "18446744073709551616"] {
        let refused = with("one", Some(nonsense)).await.unwrap_err();
        assert_eq!(refused.kind().slug(), kinds::MALFORMED.slug(), "{nonsense}");
    }
}

#[test]
fn when_a_gateway_got_a_request_is_read_to_the_millisecond() {
    for (text, expected) in [
        ("1700000000.123", Some(1_700_000_000_123)),
        ("1700000000.5", Some(1_700_000_000_500)),
        ("1700000000", Some(1_700_000_000_000)),
        ("0.001", Some(1)),
    ] {
        assert_eq!(super::milliseconds(text), expected, "{text}");
    }
    for text in [
        "",
        ".",
        "1.",
        ".5",
        "-1",
        "+1",
        "1.2345",
        "1e3",
        "1.5.5",
        " 1",
        "99999999999999999999",
        "18446744073709551615",
    ] {
        assert_eq!(super::milliseconds(text), None, "{text}");
    }
}
