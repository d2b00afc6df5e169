//! What all pools of a partition come to.
//!
//! It is counted with every change of a pool, from what that had before it and after it, whatever the reason: so it is the sum of the
//! books, and says whether the reasons explain them.

use minicbor::{Decode, Encode};

use super::Pool;

/// What all pools of a partition come to. Where the partition has records that were written before this was counted, what they have
/// is left out, and a number may be below zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Totals {
    /// Accounts.
    #[n(0)]
    pub accounts: i64,
    /// What is there, held or not.
    #[cbor(n(1), with = "wide")]
    pub total: i128,
    /// What sagas hold.
    #[cbor(n(2), with = "wide")]
    pub held: i128,
    /// What was taken for decided sagas without having been there.
    #[cbor(n(3), with = "wide")]
    pub shortfall: i128,
}

impl Totals {
    /// Of one pool, or of an account that is not there.
    pub(super) fn of<S>(pool: Option<&Pool<S>>) -> Self {
        pool.map_or_else(Self::default, |pool| Self {
            accounts: 1,
            total: pool.total().into(),
            held: pool.held().into(),
            shortfall: pool.shortfall().into(),
        })
    }

    /// After one of its pools changed.
    pub(super) fn changed(self, before: Self, after: Self) -> Self {
        Self {
            accounts: self.accounts + after.accounts - before.accounts,
            total: self.total + after.total - before.total,
            held: self.held + after.held - before.held,
            shortfall: self.shortfall + after.shortfall - before.shortfall,
        }
    }
}

/// Of several partitions.
impl std::iter::Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| sum.changed(Self::default(), one))
    }
}

/// Numbers that all accounts together can reach, in two halves.
mod wide {
    use minicbor::{
        Decoder, Encoder,
        decode::Error as DecodeError,
        encode::{Error as EncodeError, Write},
    };

    pub(super) fn encode<C, W: Write>(
        number: &i128,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        let [high, low] = [number >> 64, number & i128::from(u64::MAX)];
        let high = i64::try_from(high).expect("the upper half");
        encoder.array(2)?.i64(high)?.u64(u64::try_from(low).expect("the lower half"))?.ok()
    }

    pub(super) fn decode<C>(decoder: &mut Decoder<'_>, _: &mut C) -> Result<i128, DecodeError> {
        if decoder.array()? != Some(2) {
            return Err(DecodeError::message("a number has two halves"));
        }
        Ok((i128::from(decoder.i64()?) << 64) + i128::from(decoder.u64()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_any_size_is_read_as_it_was_written() {
        for total in
            [0, 1, -1, i128::from(u64::MAX), i128::from(u64::MAX) + 1, -(1 << 64), -(1 << 64) - 1, i128::MIN, i128::MAX]
        {
            let totals = Totals { accounts: -3, total, held: 1, shortfall: total };
            let bytes = minicbor::to_vec(totals).expect("into memory");
            assert_eq!(minicbor::decode::<Totals>(&bytes).expect("what was written"), totals);
        }
    }
}
