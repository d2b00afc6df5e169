//! What an operator says with what it does: who it is, and why.

use std::{fmt, str::FromStr};

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// The longest remark, in bytes: a few sentences, and far below what an event may be.
pub const REMARK_BYTES_MAX: usize = 400;

/// Text by an operator: not empty, not long, and on one line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Remark(Box<str>);

/// Why a text is no remark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemarkError {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It has more than [`REMARK_BYTES_MAX`] bytes.
    #[error("it has more than {REMARK_BYTES_MAX} bytes")]
    TooLong,
    /// It would not stay on the line on which it is shown.
    #[error("it has a control character, such as the end of a line")]
    Control,
}

impl Remark {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Remark {
    type Err = RemarkError;

    fn from_str(text: &str) -> Result<Self, RemarkError> {
        if text.trim().is_empty() {
            return Err(RemarkError::Empty);
        }
        if text.len() > REMARK_BYTES_MAX {
            return Err(RemarkError::TooLong);
        }
        if text.contains(char::is_control) { Err(RemarkError::Control) } else { Ok(Self(text.into())) }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Remark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl<C> Encode<C> for Remark {
    fn encode<W: encode::Write>(&self, encoder: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        encoder.str(&self.0).map(drop)
    }
}

impl<'b, C> Decode<'b, C> for Remark {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        decoder.str()?.parse().map_err(decode::Error::message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_is_some_text_on_one_line() {
        let longest = "x".repeat(REMARK_BYTES_MAX);
        for good in ["alice", "customer asked: “no longer wanted”", "é", &longest] {
            assert_eq!(good.parse::<Remark>().map(|remark| remark.to_string()), Ok(good.to_owned()));
        }
        for (bad, error) in [
            ("", RemarkError::Empty),
            (" \t ", RemarkError::Empty),
            ("two\nlines", RemarkError::Control),
            ("\u{1b}[2J", RemarkError::Control),
            (&format!("{longest}x"), RemarkError::TooLong),
        ] {
            assert_eq!(bad.parse::<Remark>(), Err(error), "{bad:?}");
        }
    }
}
