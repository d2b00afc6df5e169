use axum::{Router, body::Body, extract::FromRequestParts, http::Request, http::Uri, routing::get};
use proptest::{
    collection::vec,
    prelude::{Strategy, any},
    prop_assert, prop_assert_eq, prop_oneof, proptest,
};
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

fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// A segment for these bytes, with every byte written as `%xx` that has to be, or that `everything` asks for.
fn segment(bytes: &[u8], everything: bool) -> String {
    let plain = |byte: &u8| !everything && (byte.is_ascii_alphanumeric() || b"-_.~".contains(byte));
    bytes.iter().map(|byte| if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn digits_or_anything() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[0-9]{1,21}".prop_map(String::into_bytes),
        "[+-]?0?[0-9_.e]{1,9}".prop_map(String::into_bytes),
        any::<u64>().prop_map(|number| number.to_string().into_bytes()),
        vec(any::<u8>(), 1..12),
    ]
}

proptest! {
    #[test]
    fn a_path_means_what_its_bytes_are(
        first in vec(any::<u8>(), 1..40),
        second in digits_or_anything(),
        everything in any::<bool>(),
    ) {
        let path = format!("/{}/{}", segment(&first, everything), segment(&second, everything));
        let found = now(pair::<(String, u64)>(&path));
        let number = std::str::from_utf8(&second).ok().and_then(|text| {
            // Written in another way, it is not taken, even if it is the same number.
            text.parse::<u64>().ok().filter(|number| number.to_string() == text)
        });
        match (String::from_utf8(first), number) {
            (Ok(word), Some(number)) => prop_assert_eq!(found.unwrap(), (word, number)),
            _ => prop_assert_eq!(found.unwrap_err().kind(), &kinds::MALFORMED),
        }
    }

    #[test]
    fn no_path_is_a_defect_of_this_side(path in "/([ -~]|%[0-9a-fA-F]{0,2}){1,30}/([!-~]|%[0-9]{0,2}){1,12}") {
        let segments = path.split(['?', '#']).next().unwrap_or_default().split('/').skip(1);
        let two = segments.clone().count() == 2 && segments.clone().all(|segment| !segment.is_empty());
        if path.parse::<Uri>().is_ok() && two {
            let found = now(pair::<(Word, Even)>(&path));
            prop_assert!(found.is_ok() || found.unwrap_err().kind() == &kinds::MALFORMED);
        }
    }
}

/// Paths that were worth keeping, and whether they are taken for a word and an even number.
#[tokio::test]
async fn paths_that_were_worth_keeping() {
    for (path, is_taken, about) in [
        ("/%/4", true, "a percent sign that begins nothing stands for itself"),
        ("/%2/4", true, "and so does one that is cut off"),
        ("/%zz/4", true, "or goes on with something else"),
        ("/%25zz/4", true, "decoded once, not twice"),
        ("/%00/4", true, "a zero byte is a character like others: ids refuse it"),
        ("/a/%34", true, "a digit may be written in hexadecimal"),
        ("/a/4%", false, "but a number with a percent sign is none"),
        ("/a/%2B4", false, "nor one with a sign"),
        ("/%ED%A0%80/4", false, "half a surrogate pair is not UTF-8"),
        ("/%C0%AF/4", false, "nor is a slash in two bytes"),
    ] {
        assert_eq!(pair::<(Word, Even)>(path).await.is_ok(), is_taken, "{path}: {about}");
    }
}
