//! The `traceparent` header of W3C Trace Context: which trace a request belongs to.

use std::{convert::Infallible, fmt};

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, request::Parts},
    response::Response,
};

#[cfg(test)]
mod tests;

static HEADER: HeaderName = HeaderName::from_static("traceparent");

/// What version 00 has: 2 + 32 + 16 + 2 digits and the hyphens between them.
const CHARS: usize = 55;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A span of a trace, as one program tells another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace: not zero.
    pub trace: u128,
    /// The span: not zero.
    pub span: u64,
    /// The caller's flags: the lowest bit says that it records the trace.
    pub flags: u8,
}

impl TraceParent {
    /// Reads a header. What is malformed is no parent, and a new trace is begun, as the standard wants.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (version, rest) = (hex(text.get(..2)?)?, text.get(CHARS..)?);
        // Later versions may have more behind a hyphen, and are read as far as this one is.
        let is_known = match version {
            0 => rest.is_empty(),
            255 => false,
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        let hyphens = [2, 35, 52].iter().all(|place| text.as_bytes().get(*place) == Some(&b'-'));
        if !is_known || !hyphens {
            return None;
        }
        let trace = hex(text.get(3..35)?).filter(|trace| *trace != 0)?;
        let span = hex(text.get(36..52)?).filter(|span| *span != 0)?;
        let flags = hex(text.get(53..55)?)?;
        Some(Self { trace, span: u64::try_from(span).ok()?, flags: u8::try_from(flags).ok()? })
    }

    /// Says it in a reply.
    #[must_use]
    pub fn on(self, mut response: Response) -> Response {
        let value = HeaderValue::from_bytes(&self.text()).expect("digits and hyphens are a header's value");
        response.headers_mut().insert(&HEADER, value);
        response
    }
}

impl TraceParent {
    /// Without the formatter, and the buffer that it grows: every reply to a checkout has this.
    fn text(self) -> [u8; CHARS] {
        let mut text = [b'-'; CHARS];
        let parts = [(0, 2, 0), (3, 32, self.trace), (36, 16, self.span.into()), (53, 2, self.flags.into())];
        for (start, digits, mut bits) in parts {
            for place in text.iter_mut().skip(start).take(digits).rev() {
                *place = DIGITS.get((bits & 15) as usize).copied().unwrap_or_default();
                bits >>= 4;
            }
        }
        text
    }
}

/// Digits, the letters among which are lower-case.
fn hex(text: &str) -> Option<u128> {
    let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u128::from_str_radix(text, 16).ok().filter(|_| is_hex)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(str::from_utf8(&self.text()).unwrap_or_default())
    }
}

/// The request's trace, where it says one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traced(pub Option<TraceParent>);

impl<S: Send + Sync> FromRequestParts<S> for Traced {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let mut values = parts.headers.get_all(&HEADER).iter();
        let (value, None) = (values.next(), values.next()) else { return Ok(Self(None)) };
        Ok(Self(value.and_then(|value| TraceParent::parse(value.to_str().ok()?))))
    }
}
