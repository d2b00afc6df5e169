//! A quantity that sagas hold parts of.

use std::collections::VecDeque;

use minicbor::{
    Decode, Decoder, Encode, Encoder,
    decode::Error as DecodeError,
    encode::{Error as EncodeError, Write},
};

use super::Shortage;
use crate::RequestId;

/// Who waits in a pool's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ticket<S> {
    /// A saga. Its place survives a restart.
    Saga(S),
    /// A caller that wants to take at once. Its place is lost in a restart, and so is the caller.
    Direct(RequestId),
}

/// One place in a pool's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parked<S> {
    /// Who.
    pub ticket: Ticket<S>,
    /// How much of this pool is wanted.
    pub quantity: u64,
}

/// Which of a pool's two generations a hold belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
#[cbor(transparent)]
pub struct Generation(#[n(0)] u8);

impl<'b, C> Decode<'b, C> for Generation {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        match decoder.u8()? {
            generation @ 0..=1 => Ok(Self(generation)),
            _ => Err(DecodeError::message("there are two generations")),
        }
    }
}

impl Generation {
    fn other(self) -> Self {
        Self(1 - self.0.min(1))
    }
}

/// A quantity with holds on it: `available = total − held`.
///
/// A reader waits for the holds that were there when it came, so that it neither sees one that may still be undone nor
/// misses one whose outcome is already known elsewhere. Counting holds in two generations makes that cost nothing per
/// hold: new holds join the current generation, readers wait for the other one to drain, and when it has, the two swap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Pool<S> {
    #[n(0)]
    total: u64,
    #[n(1)]
    held: u64,
    /// How many holds each generation has.
    #[n(2)]
    holds: [u32; 2],
    /// Swaps for the sake of readers, who live in memory only: a stored pool may be a swap behind, and then nobody reads.
    #[n(3)]
    generation: Generation,
    /// What had to be taken for decided sagas and was not there. Zero unless a hold was lost.
    #[n(4)]
    shortfall: u64,
    #[n(5)]
    parked: Queue<S>,
    /// Readers that wait for the generation that is not current to drain.
    #[cbor(skip)]
    readers: Vec<RequestId>,
    /// Readers that came since, and wait for the next swap.
    #[cbor(skip)]
    readers_next: Vec<RequestId>,
}

impl<S> Pool<S> {
    /// A pool of `total`, nothing held.
    #[must_use]
    pub fn new(total: u64) -> Self {
        Self {
            total,
            held: 0,
            holds: [0; 2],
            generation: Generation::default(),
            shortfall: 0,
            parked: Queue(VecDeque::new()),
            readers: Vec::new(),
            readers_next: Vec::new(),
        }
    }

    /// What is there, held or not.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What sagas hold.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held
    }

    /// What was taken for decided sagas without having been there.
    #[must_use]
    pub fn shortfall(&self) -> u64 {
        self.shortfall
    }

    /// Whether anybody holds, waits or reads.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.has_holds() || !self.parked.0.is_empty() || self.has_readers()
    }

    /// Whether a part of it lives in memory only.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.has_readers() || self.parked.0.iter().any(|parked| matches!(parked.ticket, Ticket::Direct(_)))
    }

    pub(super) fn set_total(&mut self, total: u64) {
        self.total = total;
    }

    /// What is there and held by nobody.
    pub(super) fn free(&self) -> u64 {
        self.total.saturating_sub(self.held)
    }

    pub(super) fn fits(&self, quantity: u64) -> bool {
        self.total.checked_sub(self.held).is_some_and(|available| quantity <= available)
    }

    /// Why this much would not be there even if every hold were undone; `None`: it would.
    pub(super) fn shortage(&self, quantity: u64) -> Option<Shortage> {
        (quantity > self.total).then_some(Shortage { wanted: quantity, left: self.total })
    }

    pub(super) fn hold(&mut self, quantity: u64) -> Generation {
        self.held += quantity;
        *self.count(self.generation) += 1;
        self.generation
    }

    pub(super) fn release(&mut self, quantity: u64, generation: Generation) {
        self.held = self.held.saturating_sub(quantity);
        let count = self.count(generation);
        *count = count.saturating_sub(1);
    }

    /// Takes from what is available; what is not there is noted as a shortfall. Returns whether it was there.
    pub(super) fn take(&mut self, quantity: u64) -> bool {
        let there = quantity.min(self.total);
        self.total -= there;
        self.shortfall += quantity - there;
        there == quantity
    }

    pub(super) fn parked(&self) -> &VecDeque<Parked<S>> {
        &self.parked.0
    }

    /// Notes a reader, who has to wait because something is held.
    pub(super) fn read(&mut self, request: RequestId) {
        self.readers_next.push(request);
        // If nobody waits for the other generation, this one's holds need not wait for company. There are holds, so
        // nobody is done yet.
        let done = self.drained_readers();
        debug_assert!(done.is_empty());
    }

    /// The readers whose wait is over.
    pub(super) fn drained_readers(&mut self) -> Vec<RequestId> {
        let mut done = Vec::new();
        // Twice: if the other generation has drained, the current one may have drained as well.
        for _ in 0..2 {
            if *self.count(self.generation.other()) > 0 {
                break;
            }
            done.append(&mut self.readers);
            if self.readers_next.is_empty() {
                break;
            }
            self.readers = std::mem::take(&mut self.readers_next);
            self.generation = self.generation.other();
        }
        done
    }

    /// Forgets a reader. `false`: it does not wait here.
    pub(super) fn forget_reader(&mut self, request: RequestId) -> bool {
        let waiting = self.readers.len() + self.readers_next.len();
        self.readers.retain(|reader| *reader != request);
        self.readers_next.retain(|reader| *reader != request);
        self.readers.len() + self.readers_next.len() < waiting
    }

    /// Whether a saga holds some of it.
    #[must_use]
    pub fn has_holds(&self) -> bool {
        self.holds != [0; 2]
    }

    fn has_readers(&self) -> bool {
        !self.readers.is_empty() || !self.readers_next.is_empty()
    }

    fn count(&mut self, generation: Generation) -> &mut u32 {
        let [first, second] = &mut self.holds;
        if generation.0 == 0 { first } else { second }
    }
}

impl<S: PartialEq> Pool<S> {
    pub(super) fn park(&mut self, ticket: Ticket<S>, quantity: u64) {
        self.parked.0.push_back(Parked { ticket, quantity });
    }

    /// Removes a ticket from the queue. `false`: it was not there.
    pub(super) fn unpark(&mut self, ticket: &Ticket<S>) -> bool {
        let place = self.parked.0.iter().position(|parked| parked.ticket == *ticket);
        place.and_then(|place| self.parked.0.remove(place)).is_some()
    }

    pub(super) fn is_first(&self, ticket: &Ticket<S>) -> bool {
        self.parked.0.front().is_some_and(|first| first.ticket == *ticket)
    }
}

/// The queue. It is stored with the sagas only, for nobody waits for the others after a restart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Queue<S>(VecDeque<Parked<S>>);

impl<C, S: Encode<C>> Encode<C> for Queue<S> {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, context: &mut C) -> Result<(), EncodeError<W::Error>> {
        let sagas = self.0.iter().filter_map(|parked| match &parked.ticket {
            Ticket::Saga(saga) => Some((saga, parked.quantity)),
            Ticket::Direct(_) => None,
        });
        encoder.array(sagas.clone().count() as u64 * 2)?;
        for (saga, quantity) in sagas {
            saga.encode(encoder, context)?;
            encoder.u64(quantity)?;
        }
        Ok(())
    }
}

impl<'b, C, S: Decode<'b, C>> Decode<'b, C> for Queue<S> {
    fn decode(decoder: &mut Decoder<'b>, context: &mut C) -> Result<Self, DecodeError> {
        let length = decoder.array()?.ok_or_else(|| DecodeError::message("a queue has a length"))?;
        if !length.is_multiple_of(2) {
            return Err(DecodeError::message("a queue is made of pairs"));
        }
        // Not sized by what the bytes say: they may say anything.
        let mut queue = VecDeque::new();
        for _ in 0..length / 2 {
            let ticket = Ticket::Saga(S::decode(decoder, context)?);
            queue.push_back(Parked { ticket, quantity: decoder.u64()? });
        }
        Ok(Self(queue))
    }
}
