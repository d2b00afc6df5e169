//! Identifiers: opaque strings that are checked before they reach any key, log or query.

use std::{fmt, str::FromStr};

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use smol_str::SmolStr;

/// The longest identifier in bytes.
pub const ID_BYTES_MAX: usize = 64;

/// An identifier: 1 to 64 characters of `A`–`Z`, `a`–`z`, `0`–`9`, `_` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(SmolStr);

/// Why a text is no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// It is empty.
    #[error("an id must not be empty")]
    Empty,
    /// It has more than 64 bytes.
    #[error("an id has at most {ID_BYTES_MAX} characters")]
    TooLong,
    /// It has a character that identifiers do not have.
    #[error("an id has only letters, digits, '_' and '-'")]
    Character,
}

impl Id {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An identifier made of 128 random bits: 22 characters.
    #[must_use]
    pub fn from_random(bits: u128) -> Self {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let text: SmolStr = (0..22)
            .filter_map(|digit| DIGITS.get(((bits >> (6 * digit)) & 63) as usize))
            .map(|byte| char::from(*byte))
            .collect();
        Self(text)
    }

    /// The identifier that is the decimal form of `number`, as `batch_init` numbers them.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        Self(smol_str::format_smolstr!("{number}"))
    }
}

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        if text.len() > ID_BYTES_MAX {
            return Err(IdError::TooLong);
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if text.bytes().all(allowed) { Ok(Self(text.into())) } else { Err(IdError::Character) }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Id;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an id")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Id, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl<C> Encode<C> for Id {
    fn encode<W: encode::Write>(&self, encoder: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        encoder.str(&self.0).map(drop)
    }
}

impl<'b, C> Decode<'b, C> for Id {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        decoder.str()?.parse().map_err(decode::Error::message)
    }
}

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
        #[serde(transparent)]
        #[cbor(transparent)]
        pub struct $name(#[n(0)] pub Id);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                self.as_str().as_bytes()
            }
        }

        impl From<Id> for $name {
            fn from(id: Id) -> Self {
                Self(id)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }
    )*};
}

identifiers! {
    /// Names an order.
    OrderId,
    /// Names an item in stock.
    ItemId,
    /// Names a user, who has credit.
    UserId,
}

/// Names one attempt to check an order out: 128 random bits, new for every attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct CheckoutId {
    #[n(0)]
    high: u64,
    #[n(1)]
    low: u64,
}

impl CheckoutId {
    /// The name that these random bits make.
    #[must_use]
    pub fn from_random(bits: u128) -> Self {
        // Both halves fit by construction.
        Self { high: (bits >> 64) as u64, low: (bits & u128::from(u64::MAX)) as u64 }
    }

    /// The name of an attempt that was begun under this one when `count` attempts had been made on the order before.
    ///
    /// A request may be carried out again where nobody saw its attempt end. It must not begin an attempt under a name
    /// that had its decision: who heard both would take the one for the other.
    #[must_use]
    pub fn after_attempts(self, count: u64) -> Self {
        Self { low: self.low ^ count, ..self }
    }

    /// The name as bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.high) << 64) | u128::from(self.low)).to_be_bytes()
    }
}

impl From<CheckoutId> for [u8; 16] {
    fn from(name: CheckoutId) -> Self {
        name.to_bytes()
    }
}

impl From<[u8; 16]> for CheckoutId {
    fn from(bytes: [u8; 16]) -> Self {
        Self::from_random(u128::from_be_bytes(bytes))
    }
}

impl fmt::Debug for CheckoutId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}{:016x}", self.high, self.low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_characters_in_bounded_number_make_an_id() {
        for good in ["0", "a-B_9", &"x".repeat(64)] {
            assert_eq!(good.parse::<Id>().map(|id| id.to_string()), Ok(good.to_string()));
        }
        for bad in ["", " 5", "a b", "a}{b", "'; --", "../x", "é", "a\n", "%00", "\u{665}", &"x".repeat(65)] {
            assert!(bad.parse::<Id>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_checkouts_name_is_read_from_its_bytes_again() {
        let name = CheckoutId::from_random(u128::MAX / 3);
        assert_eq!(CheckoutId::from(name.to_bytes()), name);
    }

    #[test]
    fn random_bits_make_valid_and_different_ids() {
        let one = Id::from_random(u128::MAX);
        assert_eq!(one.as_str().len(), 22);
        assert_eq!(one.as_str().parse::<Id>().as_ref(), Ok(&one));
        assert_ne!(one, Id::from_random(u128::MAX - 1));
        assert_ne!(one, Id::from_random(u128::MAX >> 1));
    }
}
