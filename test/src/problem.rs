//! The body of every failure: RFC 9457 `application/problem+json`.

use serde_json::{Map, Value};

use crate::Answer;

/// A problem body that was found well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The last segment of `type`, by which programs tell problems apart.
    pub slug: String,
    /// The status, the same in the body and on the response.
    pub status: u16,
    /// What happened, for people.
    pub detail: String,
    /// Every further member, such as `item_id`.
    pub members: Map<String, Value>,
}

impl Problem {
    /// Reads and checks the problem in `answer`.
    ///
    /// # Panics
    /// It is not one as RFC 9457 and the API want it.
    #[must_use]
    pub fn of(answer: &Answer) -> Self {
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
        let body: Value =
            serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()));
        let Value::Object(mut members) = body else {
            panic!("a problem is an object: {}", answer.text());
        };
        let mut text = |name: &str| match members.remove(name) {
            Some(Value::String(text)) if !text.is_empty() => text,
            _ => panic!("a problem has the member `{name}`: {}", answer.text()),
        };
        let (kind, _title, detail) = (text("type"), text("title"), text("detail"));
        assert_eq!(members.remove("status"), Some(answer.status.into()), "{}", answer.text());
        let slug = kind.rsplit('/').next().unwrap_or_default().to_owned();
        let is_slug = |letter: char| letter.is_ascii_lowercase() || letter == '-';
        if slug == "busy" || answer.status == 503 {
            assert!(answer.header("retry-after").is_some(), "when to try again is said: {answer:?}");
        }
        assert!(!slug.is_empty() && slug.chars().all(is_slug), "`{kind}` ends in no slug");
        Self { slug, status: answer.status, detail, members }
    }
}

impl Answer {
    /// The problem that a failure carries.
    ///
    /// # Panics
    /// It is no well-formed problem.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem::of(self)
    }
}
