use axum::{Router, body::Body, extract::FromRequestParts, http::Request, routing::get};
use serde::{Deserialize, de::DeserializeOwned};
use tower_service::Service;

use super::Path;
use crate::{Problem, problem::kinds};

/// Extracts a `T` from `path` as a handler of the route `/{first}/{second}` would.
async fn pair<T: DeserializeOwned + Send + 'static>(path: &str) -> Result<T, Problem> {
    extract("/{first}/{second}", path).await
}

async fn extract<T: DeserializeOwned + Send + 'static>(template: &str, path: &str) -> Result<T, Problem> {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let handler = async move |request: Request<Body>| {
        let (mut parts, _) = request.into_parts();
        sender.send(Path::<T>::from_request_parts(&mut parts, &()).await).map_err(|_| ())
    };
    let handler = get(async move |request: Request<Body>| {
        handler(request).await.unwrap();
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

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
struct Even(u64);

impl TryFrom<u64> for Even {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, &'static str> {
        if number.is_multiple_of(2) { Ok(Self(number)) } else { Err("an odd number") }
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
    assert_eq!(extract::<(Word,)>("/{one}", "/tea").await.unwrap(), (word(),));
    assert_eq!(extract::<String>("/{one}", "/t%2fa%20%F0%9F%8D%B5").await.unwrap(), "t/a \u{1f375}");
    assert_eq!(extract::<u8>("/{one}", "/255").await.unwrap(), 255);
}

#[tokio::test]
async fn a_refusal_names_its_parameter_whatever_the_shape_of_the_type() {
    assert_refused(pair::<ByName>("/tea/3").await, "second: an odd number");
    assert_refused(pair::<(Word, Even)>("/tea/3").await, "second: an odd number");
    assert_refused(pair::<(Even, Even)>("/3/4").await, "first: an odd number");
    assert_refused(extract::<Even>("/{one}", "/3").await, "one: an odd number");
    assert_refused(extract::<Even>("/{one}", "/x").await, "one: not a whole number in plain digits, or too large");
}

#[tokio::test]
async fn what_is_not_utf8_is_refused_in_any_parameter() {
    for path in ["/%ff/4", "/tea/%C3%28"] {
        assert_eq!(pair::<(String, String)>(path).await.unwrap_err().kind(), &kinds::MALFORMED, "{path}");
    }
}

#[tokio::test]
async fn integers_are_written_in_one_way() {
    for (text, number) in [("0", 0), ("7", 7), ("18446744073709551615", u64::MAX)] {
        assert_eq!(extract::<u64>("/{one}", &format!("/{text}")).await.unwrap(), number);
    }
    let bad =
        ["-1", "+5", "05", "00", "1_0", "1e3", "5.0", "%205", "5%0a", "5%00", "0x10", "%D9%A5", "18446744073709551616"];
    for text in bad {
        let problem = extract::<u64>("/{one}", &format!("/{text}")).await.expect_err(text);
        assert_eq!(problem.kind(), &kinds::MALFORMED, "{text}");
    }
    assert_eq!(extract::<u8>("/{one}", "/256").await.unwrap_err().kind(), &kinds::MALFORMED);
}

#[tokio::test]
async fn a_type_that_does_not_fit_the_route_is_a_defect_of_this_side() {
    #[derive(Debug, Deserialize)]
    struct Other {
        #[expect(dead_code, reason = "the route has no such parameter")]
        third: String,
    }
    let kinds_found = [
        pair::<Other>("/tea/4").await.unwrap_err().kind(),
        pair::<(Word,)>("/tea/4").await.unwrap_err().kind(),
        pair::<(Word, Even, Even)>("/tea/4").await.unwrap_err().kind(),
        pair::<Word>("/tea/4").await.unwrap_err().kind(),
        pair::<(Word, Vec<u8>)>("/tea/4").await.unwrap_err().kind(),
        pair::<(Word, bool)>("/tea/true").await.unwrap_err().kind(),
    ];
    assert_eq!(kinds_found, [&kinds::INTERNAL; 6]);
}
