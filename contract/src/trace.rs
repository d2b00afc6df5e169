//! How a checkout is named in traces, after W3C Trace Context.
//!
//! A caller that has a trace says so, and that travels with the attempt. Without one, both ids follow from the attempt's own name, so
//! that nothing has to be kept: of an attempt's name, only the lowest bits depend on how many were made of the order before, and
//! the ids do not depend on those.

use std::fmt;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::CheckoutId;

/// The bits of an attempt's name that tell attempts of one request apart (see [`CheckoutId::after_attempts`]).
const ATTEMPT_BITS: u32 = 16;

/// Names a trace: any 128 bits but zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(u128);

/// Names a span in a trace: any 64 bits but zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(u64);

/// The trace that a checkout belongs to, where that does not follow from its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct CallerSpan {
    /// The trace.
    #[n(0)]
    pub trace: TraceId,
    /// The caller's span; `None` where the caller has no trace, and an idempotency key, by which each repeated request is told the
    /// same.
    #[n(1)]
    pub span: Option<SpanId>,
}

impl TraceId {
    /// The name that these bits are, unless they are zero.
    #[must_use]
    pub fn new(bits: u128) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }

    /// The name as bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Whether this is among the `share` (from 0 to 1) of all traces that are chosen by their names, as samplers by ratio choose
    /// elsewhere: all that see the trace choose alike.
    #[must_use]
    pub fn is_in_share(self, share: f64) -> bool {
        // The lower half, of which the lowest bits do not matter to any share that somebody would choose.
        let place = (self.0 & u128::from(u64::MAX)) as u64 >> 1;
        share >= 1.0 || (place as f64) < share * (1_u64 << 63) as f64
    }
}

impl SpanId {
    /// The name that these bits are, unless they are zero.
    #[must_use]
    pub fn new(bits: u64) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }

    /// The name as bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Another one, of the part of this number: the same whenever it is asked for.
    #[must_use]
    pub fn part(self, number: u64) -> Self {
        Self(mixed(self.0 ^ mixed(number)).max(1))
    }
}

impl CheckoutId {
    /// The trace of an attempt whose caller has none, whether this is its name or that of the request that began it.
    #[must_use]
    pub fn trace(self) -> TraceId {
        let bits = u128::from_be_bytes(self.to_bytes());
        // An attempt whose name has no other bits set will not be met.
        TraceId((bits >> ATTEMPT_BITS << ATTEMPT_BITS).max(1 << ATTEMPT_BITS))
    }

    /// The span of the attempt as a whole.
    #[must_use]
    pub fn span(self) -> SpanId {
        let [high, low] = [self.trace().0 >> 64, self.trace().0 & u128::from(u64::MAX)].map(|half| half as u64);
        SpanId(mixed(high ^ mixed(low)).max(1))
    }
}

/// Every bit of the result depends on every bit of `bits` (the finalizer of `SplitMix64`).
fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

macro_rules! written_in_hex {
    ($($name:ident($bits:ty, $digits:literal)),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!("{:0", $digits, "x}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: encode::Write>(
                &self,
                encoder: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), encode::Error<W::Error>> {
                encoder.bytes(&self.to_bytes()).map(drop)
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
                let bytes = decoder.bytes()?.try_into().ok().map(<$bits>::from_be_bytes);
                bytes.and_then(Self::new).ok_or_else(|| decode::Error::message("not a name in a trace"))
            }
        }
    )*};
}

written_in_hex! { TraceId(u128, "32"), SpanId(u64, "16") }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_has_the_trace_and_span_of_the_request_that_began_it() {
        let request = CheckoutId::from_random(u128::MAX / 3);
        for attempts in [0, 1, 7, 65_535] {
            let attempt = request.after_attempts(attempts);
            assert_eq!((attempt.trace(), attempt.span()), (request.trace(), request.span()));
        }
        let other = CheckoutId::from_random(u128::MAX / 5);
        assert_ne!((other.trace(), other.span()), (request.trace(), request.span()));
        assert_eq!(request.trace().to_string(), "55555555555555555555555555550000");
        assert_ne!(CheckoutId::from_random(0).trace().to_bytes(), [0; 16]);
    }

    #[test]
    fn parts_of_a_span_differ_from_it_and_from_each_other() {
        let span = CheckoutId::from_random(u128::MAX / 3).span();
        let mut names: Vec<_> = (0..1000).map(|number| span.part(number)).chain([span]).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 1001);
    }

    #[test]
    fn a_share_is_of_so_many_and_each_larger_one_has_those_of_the_smaller() {
        let traces: Vec<_> =
            (0..10_000_u64).map(|number| CheckoutId::from_random(u128::from(mixed(number + 1)) << 8).trace()).collect();
        let chosen = |share| traces.iter().filter(|trace| trace.is_in_share(share)).count();
        assert_eq!((chosen(0.0), chosen(1.0)), (0, 10_000));
        assert!((800..1200).contains(&chosen(0.1)), "{}", chosen(0.1));
        assert!(traces.iter().all(|trace| !trace.is_in_share(0.1) || trace.is_in_share(0.2)));
    }

    #[test]
    fn names_are_read_again_and_zero_is_none() {
        let caller = CallerSpan { trace: TraceId(7), span: Some(SpanId(1 << 60)) };
        assert_eq!(minicbor::decode::<CallerSpan>(&minicbor::to_vec(caller).unwrap()).unwrap(), caller);
        let zero = minicbor::to_vec(CallerSpan { trace: TraceId(0), span: None }).unwrap();
        assert!(minicbor::decode::<CallerSpan>(&zero).is_err());
    }
}
