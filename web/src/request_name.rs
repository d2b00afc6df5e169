//! What a request is called: in its reply, in the body of its problem, and in its lines of the log.
//!
//! ```text
//!  x-request-id, if it is one ─┐
//!                              ├─▶ name ─▶ task of the request ─▶ problem's `request_id`, log
//!  random ─────────────────────┘       └──────────────────────▶ x-request-id of the reply
//! ```

use std::{fmt, future::Future};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use smol_str::SmolStr;
use tokio::{task::futures::TaskLocalFuture, task_local};

#[cfg(test)]
mod tests;

/// The most characters that a client's own name for a request may have: a UUID and some context.
pub const REQUEST_NAME_CHARS_MAX: usize = 64;

/// Where a name comes in, and where it goes out again.
pub(crate) static HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// What made names are written with.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// So many digits hold 128 bits, and fit into a [`SmolStr`] without an allocation.
const MADE_CHARS: usize = 22;

task_local! {
    /// Of the request that this task answers.
    static CURRENT: RequestName;
}

/// A request's name: 1 to [`REQUEST_NAME_CHARS_MAX`] visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestName(SmolStr);

impl RequestName {
    /// The name of the request that this task answers; `None` where it answers none.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A new random one.
    pub(crate) fn random() -> Self {
        let mut bits: u128 = rand::random();
        let mut digits = [0; MADE_CHARS];
        for digit in &mut digits {
            *digit = DIGITS.get((bits & 63) as usize).copied().unwrap_or_default();
            bits >>= 6;
        }
        Self(SmolStr::new(str::from_utf8(&digits).unwrap_or_default()))
    }

    /// What the client calls its request, or a new one where it says nothing that could be repeated as it is.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self::given(headers).unwrap_or_else(Self::random)
    }

    fn given(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(&HEADER).iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        let is_name = (1..=REQUEST_NAME_CHARS_MAX).contains(&value.len());
        let is_visible = value.as_bytes().iter().all(u8::is_ascii_graphic);
        if !is_name || !is_visible {
            return None;
        }
        value.to_str().ok().map(|text| Self(SmolStr::new(text)))
    }

    /// Makes `answering` the answer to the request of this name.
    #[inline]
    pub(crate) fn scope<F: Future>(self, answering: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, answering)
    }

    /// The same where nobody waits.
    pub(crate) fn answer_now<T>(self, answer: impl FnOnce(&Self) -> T) -> T {
        CURRENT.sync_scope(self.clone(), || answer(&self))
    }

    /// What the reply says.
    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("visible ASCII characters are a header's value")
    }
}

impl fmt::Display for RequestName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
