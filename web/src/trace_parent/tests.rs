use axum::http::Request;
use proptest::prelude::*;

use super::*;

const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn what_the_standard_allows_is_read_and_written_again() {
    let parent = TraceParent::parse(GOOD).expect("the standard's own example");
    assert_eq!((parent.trace >> 120, parent.span >> 56, parent.flags), (0x0a, 0xb7, 1));
    assert_eq!(parent.to_string(), GOOD);
    for later in [GOOD.replacen("00", "cc", 1), GOOD.replacen("00", "cc", 1) + "-what-the-future-will-be-like"] {
        assert_eq!(TraceParent::parse(&later), Some(parent), "{later}");
    }
}

#[test]
fn what_it_does_not_allow_is_no_trace() {
    for bad in [
        "",
        "00",
        &GOOD[..54],
        &GOOD.to_uppercase(),
        &GOOD.replacen("00", "ff", 1),
        &(GOOD.to_owned() + "-00"),
        &(GOOD.replacen("00", "cc", 1) + ".x"),
        &GOOD.replace('-', "_"),
        &GOOD.replace("0af7", "+af7"),
        &GOOD.replace("0af7", "g\u{e9}7"),
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    ] {
        assert_eq!(TraceParent::parse(bad), None, "{bad}");
    }
}

#[tokio::test]
async fn a_request_has_the_trace_that_it_names_once() {
    for (values, is_traced) in [(&[] as &[&str], false), (&[GOOD], true), (&[GOOD, GOOD], false), (&["x"], false)] {
        let mut request = Request::new(());
        for value in values {
            request.headers_mut().append(&HEADER, HeaderValue::from_str(value).unwrap());
        }
        let Ok(Traced(parent)) = Traced::from_request_parts(&mut request.into_parts().0, &()).await;
        assert_eq!(parent.is_some(), is_traced, "{values:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_read_is_written_the_same(text in "(00|0[1-9a-f]|[0-9a-f]{2})-[0-9a-f]{30,33}-[0-9a-f]{15,17}-[0-9a-f]{2}(-.*)?|.*") {
        if let Some(parent) = TraceParent::parse(&text) {
            prop_assert_eq!(TraceParent::parse(&parent.to_string()), Some(parent));
            prop_assert_eq!(&parent.to_string()[3..], &text[3..55]);
        }
    }
}
