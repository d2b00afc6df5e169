//! How records, events and replies become bytes: one format byte, then CBOR with numbered fields (`minicbor`), so that
//! fields and variants can be added without breaking what is on disk or on the wire.

/// The format that [`Codec::encode_to`] writes.
pub const FORMAT: u8 = 1;

/// Why bytes could not be understood. Never skipped: a partition that meets one halts with an alert.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Written by a version of the software that this one does not know.
    #[error("format {0} is unknown to this version (it knows {FORMAT})")]
    UnknownFormat(u8),
    /// Not a valid encoding of the type.
    #[error("malformed: {0}")]
    Malformed(String),
}

/// A value that can be stored and sent. Implemented for everything that `minicbor` can encode and decode.
pub trait Codec: Sized {
    /// Appends the encoding of `self`.
    fn encode_to(&self, out: &mut Vec<u8>);

    /// The value that was encoded.
    ///
    /// # Errors
    /// When the format is unknown or the bytes are not an encoding.
    fn decode_from(bytes: &[u8]) -> Result<Self, CodecError>;
}

impl<T> Codec for T
where
    T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
{
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        match minicbor::encode(self, &mut *out) {
            Ok(()) => {}
            Err(error) => unreachable!("writing to a vector cannot fail: {error}"),
        }
    }

    fn decode_from(bytes: &[u8]) -> Result<Self, CodecError> {
        match bytes.split_first() {
            Some((&FORMAT, body)) => {
                let mut decoder = minicbor::Decoder::new(body);
                let value = decoder.decode().map_err(|error| CodecError::Malformed(error.to_string()))?;
                // What comes after the value was never written with it.
                if decoder.position() < body.len() {
                    return Err(CodecError::Malformed(format!("{} bytes too many", body.len() - decoder.position())));
                }
                Ok(value)
            }
            Some((&format, _)) => Err(CodecError::UnknownFormat(format)),
            None => Err(CodecError::Malformed("empty".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_and_strangers_are_refused() {
        let mut bytes = Vec::new();
        vec![1_u64, u64::MAX].encode_to(&mut bytes);
        assert_eq!(Vec::<u64>::decode_from(&bytes), Ok(vec![1, u64::MAX]));
        assert_eq!(Vec::<u64>::decode_from(&[9, 0]), Err(CodecError::UnknownFormat(9)));
        assert!(matches!(Vec::<u64>::decode_from(&[1, 0xff]), Err(CodecError::Malformed(_))));
        assert!(matches!(Vec::<u64>::decode_from(&[]), Err(CodecError::Malformed(_))));
        bytes.push(0);
        assert!(matches!(Vec::<u64>::decode_from(&bytes), Err(CodecError::Malformed(_))), "something comes after it");
    }
}
