use axum::{Router, body::Body, extract::FromRequestParts, http::Request, routing::get};
use serde::{Deserialize, Deserializer, de, de::DeserializeOwned};
use tower_service::Service;

use super::Path;
use crate::{Problem, problem::kinds};

/// Extracts a `T` from `path` as a handler of the route `/{first}/{second}` would.
async fn pair<T: DeserializeOwned + Send + 'static>(path: &str) -> Result<T, Problem> {
    extract("/{first}/{second}", path).await
}

async fn extract<T: DeserializeOwned + Send + 'static>(template: &str, path: &str) -> Result<T, Problem> {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let handler = get(async move |request: Request<Body>| {
        let (mut parts, _) = request.into_parts();
        sender.send(Path::<T>::from_request_parts(&mut parts, &()).await).map_err(drop).unwrap();
    });
    let mut router = Router::new().route(template, handler);
    router.call(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    receiver.recv().await.unwrap().map(|Path(value)| value)
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct ByName {
    second: Even,
    first: Word,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Word(String);

#[derive(Debug, PartialEq, Eq)]
struct Even(u64);

impl<'de> Deserialize<'de> for Even {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Even;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an even number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Even, E> {
                let number = text.parse().map_err(E::custom)?;
                if u64::is_multiple_of(number, 2) { Ok(Even(number)) } else { Err(E::custom("an odd number")) }
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

fn assert_refused<T>(result: Result<T, Problem>, detail: &str) {
    let problem = result.err().expect(detail);
    assert_eq!((problem.kind(), problem.detail()), (&kinds::MALFORMED, detail));
}

#[tokio::test]
async fn structs_take_by_name_and_tuples_by_position() {
    let word = || Word("tea".to_owned());
    assert_eq!(pair::<ByName>("/tea/4").await.unwrap(), ByName { second: Even(4), first: word() });
    assert_eq!(pair::<(Word, Even)>("/tea/4").await.unwrap(), (word(), Even(4)));
    assert_eq!(extract::<Word>("/{one}", "/tea").await.unwrap(), word());
    assert_eq!(extract::<String>("/{one}", "/t%2fa%20%F0%9F%8D%B5").await.unwrap(), "t/a \u{1f375}");
    assert_eq!(extract::<String>("/{one}", "/%25zz").await.unwrap(), "%zz", "decoded once");
    assert_eq!(extract::<String>("/{one}", "/%").await.unwrap(), "%", "which begins nothing");
}

#[tokio::test]
async fn a_refusal_names_its_parameter_whatever_the_shape_of_the_type() {
    assert_refused(pair::<ByName>("/tea/3").await, "second: an odd number");
    assert_refused(pair::<(Word, Even)>("/tea/3").await, "second: an odd number");
    assert_refused(pair::<(Even, Even)>("/3/4").await, "first: an odd number");
    assert_refused(extract::<Even>("/{one}", "/3").await, "one: an odd number");
    assert_refused(pair::<(String, String)>("/tea/%C3%28").await, "second: not UTF-8");
}

#[tokio::test]
async fn a_number_that_is_none_is_malformed() {
    for text in ["x", "-1", "1.0", "%205", "18446744073709551616"] {
        let problem = extract::<u64>("/{one}", &format!("/{text}")).await.expect_err(text);
        assert_eq!(problem.kind(), &kinds::MALFORMED, "{text}");
    }
}

#[tokio::test]
async fn a_type_that_does_not_fit_the_route_is_a_defect_of_this_side() {
    let found = [
        pair::<(Word,)>("/tea/4").await.unwrap_err().kind(),
        pair::<(Word, Even, Even)>("/tea/4").await.unwrap_err().kind(),
        pair::<Word>("/tea/4").await.unwrap_err().kind(),
    ];
    assert_eq!(found, [&kinds::INTERNAL; 3]);
}
