//! What a user of the engine writes: the types of one service and its pure step.

use std::{fmt::Debug, hash::Hash, time::Duration};

use crate::{Partition, Step, codec::Codec};

/// Milliseconds since 1970-01-01 UTC, as the engine's clock told them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A caller that waits for a reply. Known only inside the process and until the reply is out, so a record that keeps
/// one must not store it (see [`Record::is_pinned`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// The name of a record in its partition.
pub trait Key: Clone + Eq + Ord + Hash + Debug + Send + Sync + 'static {
    /// Appends the bytes the store knows the record by; different keys, different bytes. At most 120 bytes.
    fn write_to(&self, out: &mut Vec<u8>);

    /// Whether the record is *resident*: one of a kind that is few at any time and comes and goes, such as a record for
    /// every open saga. The engine has all of them in memory, always, so that it need not ask the store for those
    /// that are not there yet. Never change it for a key while data exists.
    fn is_resident(&self) -> bool {
        false
    }

    /// The resident key of which [`Self::write_to`] wrote these bytes. Needed where there are any: without it the partition
    /// could not be taken over (debug builds panic when such a key is written that cannot be read).
    fn read_resident(bytes: &[u8]) -> Option<Self> {
        let _ = bytes;
        None
    }
}

impl Key for String {
    fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

/// The state under one key.
pub trait Record: Codec + Clone + Debug + Send + Sync + 'static {
    /// Whether the record has a part that lives in memory only, such as callers who wait. It is then kept in memory.
    fn is_pinned(&self) -> bool {
        false
    }
}

/// What a step is asked to react to.
#[derive(Debug)]
pub enum Input<'a, P: Participant> {
    /// A caller's command. The reply may be given at once or by any later step. As long as it is not given, the same
    /// command may come again under the same number: what a record kept in memory only is lost when another writer or
    /// a failing store gets in between, and what earlier commits stored is not. So a step that replies later has to
    /// know its command again.
    Command {
        /// Whom to reply to.
        request: RequestId,
        /// What is asked.
        command: &'a P::Command,
    },
    /// The patience of a caller who has no reply yet is over. If its request is still open and has changed nothing,
    /// the step withdraws it and replies so; else it does nothing, and the reply comes in its time.
    Expired {
        /// Who waits.
        request: RequestId,
        /// What was asked.
        command: &'a P::Command,
    },
    /// An event of a log that this service subscribes to, at least once delivered, applied once.
    Event(&'a P::Event),
    /// The deadline that an own event set (see [`Participant::deadline`]) has passed. It comes again from time to time
    /// until an event clears it, and once more it may come together with the event that decided the saga; the step
    /// then does nothing.
    Deadline(&'a P::Key),
}

impl<P: Participant> Clone for Input<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Participant> Copy for Input<'_, P> {}

/// The partitions of a consumer that an event is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destinations {
    partitions: Vec<Partition>,
}

impl Destinations {
    /// Adds a partition, once.
    pub fn add(&mut self, partition: Partition) {
        if !self.partitions.contains(&partition) {
            self.partitions.push(partition);
        }
    }

    /// Whether `partition` is among them.
    #[must_use]
    pub fn contains(&self, partition: Partition) -> bool {
        self.partitions.contains(&partition)
    }

    /// All of them, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = Partition> + '_ {
        self.partitions.iter().copied()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.partitions.clear();
    }
}

/// What an own event says about the deadline of a saga. The engine rebuilds the open deadlines from the log at start,
/// and keeps the events of a saga for as long as its deadline is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deadline<K> {
    /// From now on there is one: [`Input::Deadline`] comes at `at`, unless it is cleared before.
    Set {
        /// What to give back in the input.
        key: K,
        /// When.
        at: Timestamp,
        /// How long it was when it was set: after a restart it is never further away than this, whatever the clock
        /// says.
        length: Duration,
    },
    /// The saga was decided.
    Clear {
        /// The key it was set with.
        key: K,
    },
}

/// What is left of a command that was carried out, and so what it takes to ask again where no answer was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changes nothing.
    None,
    /// Carried out twice it leaves what once does, and either answer is true.
    Idempotent,
    /// Twice is once too often: asked again it needs an idempotency key.
    Once,
}

/// `Err(Missing)`: a record that the step needs is not in memory. Hand it on with `?`; the engine loads the record and
/// runs the step again from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing;

/// One service of a choreography.
///
/// The step is a pure function of its records, its input and the time it is given: no clock, no randomness, no I/O, no
/// order of a hash map. The engine may run it more than once for one input (after loading a record, or after another
/// writer won) and keeps the effects of the last run only.
pub trait Participant: Send + Sync + Sized + 'static {
    /// Names of records.
    type Key: Key;
    /// States of records.
    type Record: Record;
    /// What callers may ask.
    type Command: Debug + Send + Sync + 'static;
    /// What callers are told.
    type Reply: Codec + Clone + Debug + Send + Sync + 'static;
    /// What happened, the same type for all services that are connected.
    type Event: Codec + Debug + Send + Sync + 'static;

    /// The service's name: names its logs and its metrics. Never change it while data exists.
    fn name(&self) -> &'static str;

    /// Reacts to one input.
    ///
    /// # Errors
    /// Only [`Missing`], handed on from the step's accessors.
    fn step(&self, step: &mut Step<'_, Self>, input: Input<'_, Self>) -> Result<(), Missing>;

    /// Says which of this service's `partitions` partitions have to see `event`, from whichever service it comes.
    fn destinations(&self, event: &Self::Event, partitions: Partition, to: &mut Destinations);

    /// Says what an event of this service's own means for the deadline of its saga.
    fn deadline(&self, own: &Self::Event) -> Option<Deadline<Self::Key>> {
        let _ = own;
        None
    }

    /// Names records that the step will surely need in `partition`, so that a batch can load them in one go. A hint, but
    /// one that costs a look into the store for each record that is not in memory.
    fn prefetch(
        &self,
        input: &Input<'_, Self>,
        partition: Partition,
        partitions: Partition,
        keys: &mut Vec<Self::Key>,
    ) {
        let _ = (input, partition, partitions, keys);
    }

    /// Told of every own event once it is committed. For metrics: nothing may depend on it.
    fn committed(&self, own: &Self::Event, now: Timestamp) {
        let _ = (own, now);
    }

    /// What a command leaves behind. A request that was sent to another replica and got no answer is asked again: as it
    /// is where that does no harm, under a key of the engine's own where it would.
    fn effect(command: &Self::Command) -> Effect {
        let _ = command;
        Effect::Once
    }

    /// Whether a repeated request with the same idempotency key gets this reply again. `false` for a reply that says
    /// "try again", which must not stick.
    fn is_final(&self, reply: &Self::Reply) -> bool {
        let _ = reply;
        true
    }
}
