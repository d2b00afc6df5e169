//! Amounts: whole numbers that every JSON reader can hold exactly.

use std::{fmt, str::FromStr};

use minicbor::{Decode, Decoder, Encode, decode};
use serde::{Deserialize, Deserializer, Serialize, de};

/// Credit, units of stock, or a price: 0 to 2^53 − 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Encode)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct Amount(#[n(0)] u64);

/// Why a text or a result is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a plain decimal number.
    #[error("a number is written in digits only, without sign, point, spaces or leading zeros")]
    Digits,
    /// More than 2^53 − 1.
    #[error("a number is at most {}", Amount::MAX.get())]
    TooLarge,
    /// Zero where there must be something.
    #[error("a quantity is at least 1")]
    Zero,
}

impl Amount {
    /// 2^53 − 1, the largest whole number below which no number is lost in a double.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The amount, if it is not too large.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`].
    pub fn new(value: u64) -> Result<Self, AmountError> {
        if value <= Self::MAX.0 { Ok(Self(value)) } else { Err(AmountError::TooLarge) }
    }

    /// The amount, or [the largest](Self::MAX) where it is too large.
    #[must_use]
    pub fn saturating(value: u64) -> Self {
        Self(value.min(Self::MAX.0))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sum, if it is not too large.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(|sum| Self::new(sum).ok())
    }

    /// The product, if it is not too large.
    #[must_use]
    pub fn checked_mul(self, quantity: Quantity) -> Option<Self> {
        self.0.checked_mul(quantity.get()).and_then(|product| Self::new(product).ok())
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || (text.len() > 1 && text.starts_with('0')) {
            return Err(AmountError::Digits);
        }
        // All digits: the only way to fail is to be too large.
        let value = text.parse().map_err(|_| AmountError::TooLarge)?;
        Self::new(value)
    }
}

// What is read back is checked like what comes in: arithmetic relies on it.
impl<'b, C> Decode<'b, C> for Amount {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        Self::new(decoder.u64()?).map_err(decode::Error::message)
    }
}

impl<'b, C> Decode<'b, C> for Quantity {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        Self::new(decoder.u64()?).map_err(decode::Error::message)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A number of units that is at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Encode)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct Quantity(#[n(0)] u64);

impl Quantity {
    /// The quantity, if there is one and it is not too large.
    ///
    /// # Errors
    /// [`AmountError::Zero`] or [`AmountError::TooLarge`].
    pub fn new(value: u64) -> Result<Self, AmountError> {
        match Amount::new(value)? {
            Amount(0) => Err(AmountError::Zero),
            Amount(value) => Ok(Self(value)),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sum, if it is not too large.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(|sum| Self::new(sum).ok())
    }
}

impl FromStr for Quantity {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        text.parse::<Amount>().and_then(|amount| Self::new(amount.0))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Amounts are read from text, as they stand in a path.
struct FromText<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = AmountError>> de::Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a whole number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FromText(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_numbers_in_range_are_amounts() {
        assert_eq!("0".parse(), Ok(Amount(0)));
        assert_eq!("9007199254740991".parse(), Ok(Amount::MAX));
        for text in
            ["", "-1", "+5", "05", "00", "1_0", "1e3", "5.0", " 5", "5 ", "\u{665}", "NaN", "0x10", "%00", "5\n"]
        {
            assert_eq!(text.parse::<Amount>(), Err(AmountError::Digits), "{text:?}");
        }
        for text in ["9007199254740992", "9223372036854775808", "18446744073709551616", &"9".repeat(400)] {
            assert_eq!(text.parse::<Amount>(), Err(AmountError::TooLarge), "{text:?}");
        }
        assert_eq!("0".parse::<Quantity>(), Err(AmountError::Zero));
    }

    #[test]
    fn arithmetic_never_leaves_the_range() {
        let two = Quantity(2);
        assert_eq!(Amount::MAX.checked_add(Amount(1)), None);
        assert_eq!(Amount(1 << 52).checked_mul(two), None);
        assert_eq!(Amount((1 << 52) - 1).checked_mul(two), Some(Amount((1 << 53) - 2)));
        assert_eq!(Quantity(Amount::MAX.0).checked_add(two), None);
    }
}
