//! Path parameters as serde sees them.

use std::fmt;

use axum::extract::{RawPathParams, path::RawPathParamsIter};
use serde::{
    de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor, value::BorrowedStrDeserializer},
    forward_to_deserialize_any,
};

/// Why parameters did not become what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A value is not one that its type takes. `parameter` is unknown where the type was content with each value and
    /// not with all of them together.
    Value { parameter: Option<String>, message: String },
    /// The type does not fit the route, whatever the values.
    Defect(String),
}

impl Refusal {
    fn of(self, name: &str) -> Self {
        match self {
            Self::Value { message, .. } => Self::Value { parameter: Some(name.to_owned()), message },
            defect @ Self::Defect(_) => defect,
        }
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { message, .. } | Self::Defect(message) => formatter.write_str(message),
        }
    }
}

impl de::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Value { parameter: None, message: message.to_string() }
    }

    // Every value is a string, so a type that wants anything else wants it from every request.
    fn invalid_type(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Defect(format!("a path parameter is {unexpected}, the handler wants {expected}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Defect(format!("the route has no parameter `{field}` that the handler wants"))
    }
}

/// All parameters of a request, in the order of the route's template.
#[derive(Clone, Copy)]
pub(super) struct Parameters<'de> {
    raw: &'de RawPathParams,
}

impl<'de> Parameters<'de> {
    pub(super) fn new(raw: &'de RawPathParams) -> Self {
        Self { raw }
    }

    /// Names the culprit of a refusal where there is but one parameter: a type that takes it alone may refuse it after
    /// it was deserialized.
    pub(super) fn blame(self, refusal: Refusal) -> Refusal {
        let mut pairs = self.raw.iter();
        match (&refusal, pairs.next(), pairs.next()) {
            (Refusal::Value { parameter: None, .. }, Some((name, _)), None) => refusal.of(name),
            _ => refusal,
        }
    }

    fn counted(self, wanted: usize) -> Result<Entries<'de>, Refusal> {
        let found = self.raw.iter().count();
        if found != wanted {
            return Err(Refusal::Defect(format!("the route has {found} parameters, the handler wants {wanted}")));
        }
        Ok(Entries::new(self.raw.iter()))
    }

    fn single(self) -> Result<(&'de str, Value<'de>), Refusal> {
        let mut entries = self.counted(1)?;
        let (name, value) = entries.pairs.next().unwrap_or_default();
        Ok((name, Value(value)))
    }
}

macro_rules! deserialize_as_the_single_value {
    ($($method:ident)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
                let (name, value) = self.single()?;
                value.$method(visitor).map_err(|refusal| refusal.of(name))
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Parameters<'de> {
    type Error = Refusal;

    deserialize_as_the_single_value! {
        deserialize_any deserialize_str deserialize_string
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Refusal> {
        let (parameter, value) = self.single()?;
        let deserialized = value.deserialize_newtype_struct(name, visitor);
        deserialized.map_err(|refusal| refusal.of(parameter))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_seq(self.counted(length)?)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_map(Entries::new(self.raw.iter()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u128 f32 f64 char bytes byte_buf option unit unit_struct seq enum identifier
        ignored_any
    }
}

/// Parameters by name and by position alike.
struct Entries<'de> {
    pairs: RawPathParamsIter<'de>,
    pending: Option<(&'de str, Value<'de>)>,
}

impl<'de> Entries<'de> {
    fn new(pairs: RawPathParamsIter<'de>) -> Self {
        Self { pairs, pending: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        let Some((name, value)) = self.pairs.next() else {
            return Ok(None);
        };
        self.pending = Some((name, Value(value)));
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        let (name, value) = self
            .pending
            .take()
            .ok_or_else(|| Refusal::Defect("the handler's type asks for a value before its name".to_owned()))?;
        seed.deserialize(value).map_err(|refusal| refusal.of(name))
    }
}

impl<'de> SeqAccess<'de> for Entries<'de> {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refusal> {
        let Some((name, value)) = self.pairs.next() else {
            return Ok(None);
        };
        seed.deserialize(Value(value)).map(Some).map_err(|refusal| refusal.of(name))
    }
}

/// One value: a string, or the digits of an integer.
#[derive(Clone, Copy)]
struct Value<'de>(&'de str);

impl Value<'_> {
    /// The integer if it is written in the one way that is taken: digits, without a sign or a leading zero.
    fn integer(self) -> Result<u64, Refusal> {
        let digits = self.0.bytes().all(|byte| byte.is_ascii_digit());
        let canonical = digits && (self.0 == "0" || !self.0.starts_with('0'));
        let parsed = canonical.then(|| self.0.parse().ok()).flatten();
        parsed.ok_or_else(|| de::Error::custom("not a whole number in plain digits, or too large"))
    }
}

macro_rules! deserialize_integers {
    ($($method:ident)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
                visitor.visit_u64(self.integer()?)
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Refusal;

    deserialize_integers! { deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}
