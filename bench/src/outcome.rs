//! What the end of an exchange means: succeeded, refused for a reason, or unknown for a cause.

use serde::Deserialize;
use smol_str::SmolStr;

pub use referee::{Outcome, Tally};

use crate::client::{Answer, Failure};

const REASON_BYTES_MAX: usize = 64;

/// What the end of one exchange means and, unless it succeeded, the reason.
#[must_use]
pub fn classify(end: &Result<Answer<'_>, Failure>) -> (Outcome, Option<SmolStr>) {
    match end {
        Ok(answer) if is_starting(answer) => (Outcome::Refused, Some(STARTING)),
        Ok(answer) => {
            let outcome = Outcome::of_status(answer.status);
            let reason = match outcome {
                Outcome::Succeeded => None,
                Outcome::Refused => Some(refusal_reason(answer)),
                Outcome::Unknown => Some(SmolStr::new(itoa::Buffer::new().format(answer.status))),
            };
            (outcome, reason)
        }
        Err(failure) => {
            let cause = match failure {
                Failure::CutOff(_) => "cut-off",
                Failure::TimedOut => "timed-out",
                Failure::Malformed(_) => "malformed",
            };
            (Outcome::Unknown, Some(SmolStr::new_static(cause)))
        }
    }
}

/// The reason of a server that has opened nothing yet, and so has done nothing: 503 by itself would leave that open.
pub(crate) const STARTING: SmolStr = SmolStr::new_static("starting");

fn is_starting(answer: &Answer<'_>) -> bool {
    matches!(answer.status, 502 | 503) && refusal_reason(answer) == STARTING
}

/// The member of RFC 9457 problem details that says which problem it is.
#[derive(Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    type_uri: String,
}

/// Reasons go to a terminal, so only plain slugs are taken from the server.
fn refusal_reason(answer: &Answer<'_>) -> SmolStr {
    serde_json::from_slice::<Problem>(answer.body)
        .ok()
        .and_then(|problem| problem.type_uri.rsplit(['/', '#', ':']).next().map(SmolStr::new))
        .filter(|reason| is_slug(reason) && reason != "blank")
        .unwrap_or_else(|| SmolStr::new(itoa::Buffer::new().format(answer.status)))
}

fn is_slug(text: &str) -> bool {
    (1..=REASON_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn refused(status: u16, body: &str) -> String {
        let (outcome, reason) = classify(&Ok(Answer { status, body: body.as_bytes() }));
        assert_eq!(outcome, Outcome::Refused);
        reason.unwrap().to_string()
    }

    #[test]
    fn a_refusal_is_named_by_the_last_segment_of_its_problem_type() {
        for problem_type in [
            "https://shop.example/problems/out-of-stock",
            "/problems/out-of-stock",
            "urn:problem:out-of-stock",
            "out-of-stock",
        ] {
            let body = format!(r#"{{"type":"{problem_type}","title":"Out of stock","status":409,"item_id":"7"}}"#);
            assert_eq!(refused(409, &body), "out-of-stock", "{problem_type}");
        }
    }

    #[test]
    fn a_refusal_without_a_usable_problem_type_is_named_by_its_status() {
        let long = format!(r#"{{"type":"/{}"}}"#, "a".repeat(65));
        for body in [
            "",
            "no stock",
            "{}",
            r#"{"type":7}"#,
            r#"{"type":"about:blank"}"#,
            r#"{"type":"/a/"}"#,
            r#"{"type":"/\u001b[2J"}"#,
            &long,
        ] {
            assert_eq!(refused(402, body), "402", "{body}");
        }
    }

    #[test]
    fn a_server_that_is_starting_has_done_nothing() {
        assert_eq!(refused(503, r#"{"type":"/problems/starting","status":503}"#), "starting");
    }

    #[test]
    fn failures_are_unknown_by_cause() {
        let cause = |end| {
            let (outcome, reason) = classify(&end);
            assert_eq!(outcome, Outcome::Unknown);
            reason.unwrap()
        };
        assert_eq!(cause(Err(Failure::TimedOut)), "timed-out");
        assert_eq!(cause(Err(Failure::CutOff(io::ErrorKind::ConnectionReset.into()))), "cut-off");
        assert_eq!(cause(Ok(Answer { status: 504, body: b"" })), "504");
        assert_eq!(cause(Ok(Answer { status: 503, body: br#"{"type":"/problems/unavailable"}"# })), "503");
        assert_eq!(classify(&Ok(Answer { status: 200, body: b"" })), (Outcome::Succeeded, None));
    }
}
