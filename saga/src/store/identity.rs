//! Which data a store holds.

use std::{fmt, io, str::FromStr};

/// Which data a store holds: a number chosen at random when they were made, and kept with them.
///
/// A copy of the data has the identity of what it was copied from; whether it is as recent, numbers of events say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(u64);

impl Identity {
    /// One that no other data have.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(u64::from_le_bytes(bytes)))
    }

    /// The one that was written down as this number.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As a number, to write it down.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl FromStr for Identity {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        for bits in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            let identity = Identity::from_bits(bits);
            assert_eq!(identity.to_string().len(), 16);
            assert_eq!(identity.to_string().parse(), Ok(identity));
        }
        assert!("".parse::<Identity>().is_err());
    }
}
