//! What a caller's request is called.

use std::fmt;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use smol_str::SmolStr;

/// The most characters that a request's name may have.
const CHARS_MAX: usize = 64;

/// What the request is called that began something: 1 to 64 visible ASCII characters, for logs alone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestName(SmolStr);

impl RequestName {
    /// The name that this text is, if it is one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let is_name = (1..=CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_name.then(|| Self(SmolStr::new(text)))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RequestName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<C> Encode<C> for RequestName {
    fn encode<W: encode::Write>(&self, encoder: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        encoder.str(&self.0).map(drop)
    }
}

impl<'b, C> Decode<'b, C> for RequestName {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        Self::new(decoder.str()?).ok_or_else(|| decode::Error::message("not a request's name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_again_and_what_is_none_is_not() {
        for (text, is_name) in
            [("a", true), (&"x".repeat(64), true), ("", false), (&"x".repeat(65), false), ("a b", false)]
        {
            let mut bytes = Vec::new();
            Encoder::new(&mut bytes).str(text).unwrap();
            let read = minicbor::decode::<RequestName>(&bytes).ok();
            assert_eq!(read.is_some(), is_name, "{text}");
            assert_eq!(read.map(|name| minicbor::to_vec(name).unwrap()), is_name.then_some(bytes));
        }
    }
}
