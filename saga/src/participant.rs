//! What a user of the engine writes: the types of one service and its pure step.

mod step;

use std::{fmt::Debug, time::Duration};

use crate::{
    Partition,
    codec::Codec,
    record::{Key, Missing, Record},
};

pub(crate) use step::Effects;
pub use step::{Origin, Step};

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

/// Whether a command may be carried out again, and so what it takes to ask again where no answer was seen. The words are
/// those of HTTP's methods (RFC 9110, 9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeatability {
    /// It changes nothing.
    Safe,
    /// Carried out twice it leaves what once does, and either answer is true.
    Idempotent,
    /// Twice is once too often: asked again it needs an idempotency key.
    Once,
}

/// One service of a choreography.
///
/// The step is a pure function of its records, its input and the time it is given: no clock, no randomness, no I/O, no
/// order of a hash map. The engine may run it more than once for one input (after loading a record, or after another
/// writer won) and keeps the effects of the last run only.
pub trait Participant: Send + Sync + Sized + 'static {
    /// The service's name: names its logs and its metrics. Never change it while data exists.
    const NAME: &'static str;

    /// The names of the services whose logs it consumes; its own among them if its partitions talk to each other.
    const CONSUMES: &'static [&'static str];

    /// Whether it only watches the others, which never wait for it: they keep so many events for it and no more
    /// ([`Settings::observer_lag_max`](crate::Settings::observer_lag_max)), and it is told what it [`missed`](Self::missed).
    /// It emits no events that anybody consumes. Where it runs beside others, it may stop without stopping them.
    const IS_OBSERVER: bool = false;

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

    /// Reacts to one input.
    ///
    /// # Errors
    /// Only [`Missing`], handed on from the step's accessors.
    fn step(&self, step: &mut Step<'_, Self>, input: Input<'_, Self>) -> Result<(), Missing>;

    /// Takes note, as an observer, that so many events of the log that [`Step::origin`] names were dropped before it had
    /// consumed them; the origin's number is the last one's, and its time not known.
    ///
    /// # Errors
    /// As of [`step`](Self::step).
    fn missed(&self, step: &mut Step<'_, Self>, events: u64) -> Result<(), Missing> {
        let _ = (step, events);
        Ok(())
    }

    /// Says which of this service's `partitions` partitions have to see `event`, from whichever service it comes. Asked by
    /// its producers too, in whichever process they are.
    fn destinations(event: &Self::Event, partitions: Partition, to: &mut Destinations);

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

    /// Told, as an observer, of every event that it has consumed, once that is committed: once, but for those whose commit's outcome
    /// was seen by another process only. For what leaves the process; nothing may depend on it.
    fn heard(&self, event: &Self::Event, origin: Origin<'_>) {
        let _ = (event, origin);
    }

    /// Whether a process of another service may ask this. Replicas of this service may ask everything: clients ask any of them.
    fn may_ask(service: &str, command: &Self::Command) -> bool {
        let _ = (service, command);
        true
    }

    /// Whether a command may be carried out again. A request that was sent to another replica and got no answer is asked
    /// again: as it is where that does no harm, under a key of the engine's own where it would.
    fn repeatability(command: &Self::Command) -> Repeatability {
        let _ = command;
        Repeatability::Once
    }

    /// Whether a repeated request with the same idempotency key gets this reply again. `false` for a reply that says
    /// "try again", which must not stick.
    fn is_final(&self, reply: &Self::Reply) -> bool {
        let _ = reply;
        true
    }
}
