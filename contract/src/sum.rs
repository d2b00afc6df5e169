//! What many amounts come to.

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// What many amounts come to, or a difference of such. Larger than any of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sum(pub i128);

/// In two halves.
impl<C> Encode<C> for Sum {
    fn encode<W: encode::Write>(&self, encoder: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let [high, low] = [self.0 >> 64, self.0 & i128::from(u64::MAX)];
        let high = i64::try_from(high).expect("the upper half");
        encoder.array(2)?.i64(high)?.u64(u64::try_from(low).expect("the lower half"))?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Sum {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        if decoder.array()? != Some(2) {
            return Err(decode::Error::message("a sum has two halves"));
        }
        Ok(Self((i128::from(decoder.i64()?) << 64) + i128::from(decoder.u64()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_any_size_is_read_as_it_was_written() {
        let largest = i128::from(u64::MAX);
        for sum in [0, 1, -1, largest, largest + 1, -largest - 1, -largest - 2, i128::MIN, i128::MAX].map(Sum) {
            let bytes = minicbor::to_vec(sum).expect("into memory");
            assert_eq!(minicbor::decode::<Sum>(&bytes).expect("what was written"), sum);
        }
    }
}
