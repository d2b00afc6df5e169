//! How events get from a producer's log to the partitions that want them.
//!
//! ```text
//!  producer's sequencer ── commit ──▶ its log (the truth)
//!        │                              ▲
//!        └─ Delivery (a hint) ─▶ mailbox │ read_log(after my cursor): at start, after a gap, and now and then
//!                                  │     │
//!                        consumer's sequencer ── commit(effects + cursor) ── ack ──▶ the producer may trim
//! ```
//!
//! A delivery carries the events themselves, so that nothing is read back in the usual case; but it may be lost,
//! repeated or late, and the cursor in the consumer's own commit is what counts.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::{Notify, mpsc};

pub(crate) use crate::store::Visibility;
use crate::{
    Destinations, LogName, Partition, Store,
    recorded::Recorded,
    store::{
        self, LogEntry,
        position::{epoch_of, sequence_of},
    },
};

/// Events of one log for one partition: all that are for it with numbers in `(from, to]`.
#[derive(Debug)]
pub(crate) struct Delivery<E> {
    /// Which of the consumer's sources.
    pub(crate) source: usize,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) events: Vec<(u64, Arc<Recorded<E>>)>,
    /// Why the log cannot be consumed beyond `from`, if it cannot: then there are no events.
    pub(crate) fault: Option<Fault>,
}

/// Why a log cannot be consumed any further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What comes next was dropped up to before the event with this number, since everybody had consumed it: the
    /// consumer's own data are older than they were.
    Trimmed(u64),
    /// The producer's data are older than they were, and went on from there; nobody has accepted that yet.
    Lost,
    /// An event makes no sense.
    Unreadable(Arc<str>),
}

impl<E> Clone for Delivery<E> {
    fn clone(&self) -> Self {
        Self { events: self.events.clone(), fault: self.fault.clone(), ..*self }
    }
}

/// The future of [`ReadLog::read_log`].
pub type ReadLogFuture<'a> = Pin<Box<dyn Future<Output = store::Result<Vec<LogEntry>>> + Send + 'a>>;

/// Something that a log can be read from: a store, or a connection to the service that owns it.
pub trait ReadLog: Send + Sync {
    /// See [`Store::read_log`].
    fn read_log(&self, partition: Partition, after: u64, limit: usize, visibility: Visibility) -> ReadLogFuture<'_>;
}

impl<S: Store> ReadLog for S {
    fn read_log(&self, partition: Partition, after: u64, limit: usize, visibility: Visibility) -> ReadLogFuture<'_> {
        Box::pin(Store::read_log(self, partition, after, limit, visibility))
    }
}

/// How far one partition has durably consumed a log, as far as is known: 0 before anything is.
#[derive(Debug, Default)]
pub(crate) struct Consumption {
    position: AtomicU64,
    is_known: AtomicBool,
}

impl Consumption {
    /// The consumer itself says where it is.
    pub(crate) fn set(&self, position: u64) {
        self.position.store(position, Ordering::Release);
        self.is_known.store(true, Ordering::Release);
    }

    /// Somebody heard where it is, or was.
    pub(crate) fn raise(&self, position: u64) {
        self.position.fetch_max(position, Ordering::AcqRel);
        self.is_known.store(true, Ordering::Release);
    }

    pub(crate) fn known(&self) -> Option<u64> {
        self.is_known.load(Ordering::Acquire).then(|| self.position.load(Ordering::Acquire))
    }
}

/// How far each consumer has consumed one log, so that its owner knows what it may trim, and whether it is all there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acks {
    consumers: Vec<(LogName, Arc<Consumption>)>,
    /// Those that are in other processes.
    away: Vec<(LogName, Arc<Consumption>)>,
    /// Those that only watch.
    observers: Vec<(LogName, Arc<Consumption>)>,
}

impl Acks {
    /// Adds a consuming partition, which has this name; `is_away`: in another process.
    pub(crate) fn add(&mut self, consumer: LogName, ack: Arc<Consumption>, is_away: bool) {
        if is_away {
            self.away.push((consumer.clone(), Arc::clone(&ack)));
        }
        self.consumers.push((consumer, ack));
    }

    /// Adds an observer's partition, which has this name.
    pub(crate) fn observe(&mut self, observer: LogName, ack: Arc<Consumption>) {
        self.observers.push((observer, ack));
    }

    /// Somebody in another process who has not said yet how far it is.
    pub(crate) fn unheard(&self) -> Option<&LogName> {
        self.away.iter().find(|(_, ack)| ack.known().is_none()).map(|(consumer, _)| consumer)
    }

    /// Every consumer is past this number, and every observer too or too far behind the end of the log, `log_end`, by more
    /// than `lag_max` events, to be waited for. A log without consumers is needed by nobody.
    pub(crate) fn minimum(&self, log_end: u64, lag_max: u64) -> u64 {
        let position = |ack: &Arc<Consumption>| ack.position.load(Ordering::Acquire);
        let needed = self.consumers.iter().map(|(_, ack)| position(ack)).min().unwrap_or(u64::MAX);
        let observed = self.observers.iter().map(|(_, ack)| position(ack)).min().unwrap_or(u64::MAX);
        // Sequences go on from epoch to epoch, so what is of an earlier one is below this as well.
        let patience = log_end - lag_max.min(sequence_of(log_end));
        needed.min(observed.max(patience))
    }

    /// Each consumer, and how far it is known to be.
    pub(crate) fn known(&self) -> impl Iterator<Item = (&LogName, Option<u64>)> {
        self.consumers.iter().map(|(consumer, ack)| (consumer, ack.known()))
    }

    /// The same of observers.
    pub(crate) fn observed(&self) -> impl Iterator<Item = (&LogName, Option<u64>)> {
        self.observers.iter().map(|(observer, ack)| (observer, ack.known()))
    }
}

/// One log as a consumer partition sees it.
pub(crate) struct Source {
    pub(crate) log: LogName,
    /// `None` where the log is read by a task of its own, which sends what it finds as deliveries.
    pub(crate) reader: Option<Arc<dyn ReadLog>>,
    pub(crate) tracking: Arc<Tracking>,
    pub(crate) visibility: Visibility,
    /// Where the owner of the log looks how far this consumer is.
    pub(crate) ack: Arc<Consumption>,
    /// What a producer in the same process told.
    pub(crate) progress: Arc<Progress>,
    pub(crate) cursor: u64,
    /// The cursor in the last commit.
    pub(crate) committed: u64,
    /// The cursor when the source was found to be behind, with nothing in the mailbox.
    pub(crate) stalled_at: Option<u64>,
}

impl Source {
    pub(crate) fn new(log: LogName, reader: Option<Arc<dyn ReadLog>>, visibility: Visibility) -> Self {
        let (tracking, ack, progress) = Default::default();
        Self { log, reader, tracking, visibility, ack, progress, cursor: 0, committed: 0, stalled_at: None }
    }

    /// Moves the cursor past events that are not for this consumer, as far as the producer got.
    pub(crate) fn skip_others(&mut self) {
        // In this order: what was meant for this consumer up to `written` is in `addressed` by then.
        let written = self.progress.written.load(Ordering::Acquire);
        if self.progress.addressed.load(Ordering::Acquire) <= self.cursor {
            self.cursor = self.cursor.max(written);
        }
    }

    /// How many events the producer is ahead of what is meant for this consumer.
    pub(crate) fn lag(&self) -> u64 {
        let addressed = sequence_of(self.progress.addressed.load(Ordering::Relaxed));
        addressed.saturating_sub(sequence_of(self.cursor))
    }

    /// Whether there may be events for this consumer that it has not consumed.
    pub(crate) fn is_behind(&self) -> bool {
        let addressed = self.progress.addressed();
        // A new epoch alone is no event.
        addressed > self.cursor && sequence_of(addressed) != sequence_of(self.cursor)
    }

    /// Whether a delivery seems to be lost: the source was behind at the last look, is behind now, and has not moved
    /// meanwhile. One that is only on its way is there by then. `idle`: there is nothing in the mailbox.
    pub(crate) fn is_stalled(&mut self, idle: bool) -> bool {
        let now = (idle && self.is_behind()).then_some(self.cursor);
        let before = std::mem::replace(&mut self.stalled_at, now);
        now.is_some() && before == now
    }

    /// Has a log read that another task reads, from the cursor on.
    pub(crate) fn have_read(&self) {
        self.tracking.cursor.store(self.cursor, Ordering::Release);
        self.tracking.behind.notify_one();
    }
}

/// What a consumer and whoever reads a log for it tell each other.
#[derive(Debug, Default)]
pub(crate) struct Tracking {
    /// How far the consumer is.
    pub(crate) cursor: AtomicU64,
    /// The consumer is behind.
    pub(crate) behind: Notify,
}

/// How an event's number relates to that of the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Succession {
    /// Nothing lies between them.
    Next,
    /// The producer's store lost what came after some earlier event, and went on from there.
    AfterLoss,
    /// There are others between them.
    Gap,
}

impl Succession {
    pub(crate) fn of(previous: u64, next: u64) -> Self {
        let expected = sequence_of(previous) + 1;
        if next == previous + 1 || (epoch_of(next) > epoch_of(previous) && sequence_of(next) == expected) {
            Self::Next
        } else if epoch_of(next) > epoch_of(previous) && sequence_of(next) < expected {
            Self::AfterLoss
        } else {
            Self::Gap
        }
    }
}

/// How far a producer got, as it tells one consumer in the same process.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The number of the last event that was meant for this consumer.
    addressed: AtomicU64,
    /// The number of the last event that was committed and sent on its way, for whomever it was meant.
    written: AtomicU64,
}

impl Progress {
    /// The producer has got as far as `number`, with or without something for this consumer.
    pub(crate) fn reached(&self, number: u64) {
        self.addressed.fetch_max(number, Ordering::AcqRel);
    }

    pub(crate) fn addressed(&self) -> u64 {
        self.addressed.load(Ordering::Acquire)
    }
}

/// Chooses a consuming service's partitions for an event.
pub(crate) type Route<E> = Arc<dyn Fn(&E, &mut Destinations) + Send + Sync>;

/// One consuming service as a producer partition sees it.
pub(crate) struct Link<E> {
    pub(crate) route: Route<E>,
    /// Both services lose and keep their tails together: events may pass before they are durable.
    pub(crate) shares_fate: bool,
    /// By partition; `None` for the producer itself.
    pub(crate) consumers: Vec<Option<LinkedPartition<E>>>,
}

/// One consuming partition as a producer partition sees it.
pub(crate) struct LinkedPartition<E> {
    pub(crate) sink: Sink<E>,
    /// Which of the consumer's sources this producer is.
    pub(crate) source: usize,
    pub(crate) progress: Arc<Progress>,
    /// Events up to this number were sent or are not for this partition.
    pub(crate) sent: u64,
    pub(crate) pending: Vec<(u64, Arc<Recorded<E>>)>,
}

/// The ways from a producer to one consuming partition: its mailbox if it is in this process, and whoever subscribed
/// for it from another.
pub(crate) struct Sink<E> {
    pub(crate) mailbox: Option<mpsc::Sender<Delivery<E>>>,
    pub(crate) subscribers: Option<Arc<Subscribers<E>>>,
}

impl<E> Clone for Sink<E> {
    fn clone(&self) -> Self {
        Self { mailbox: self.mailbox.clone(), subscribers: self.subscribers.clone() }
    }
}

impl<E> Sink<E> {
    pub(crate) fn to_mailbox(mailbox: mpsc::Sender<Delivery<E>>) -> Self {
        Self { mailbox: Some(mailbox), subscribers: None }
    }

    /// Sends if there is room: a delivery is a hint.
    fn send(&self, delivery: Delivery<E>) {
        if let Some(subscribers) = &self.subscribers {
            subscribers.send(&delivery);
        }
        if let Some(mailbox) = &self.mailbox {
            drop(mailbox.try_send(delivery));
        }
    }
}

/// Sends a delivery to another process, if there is room.
pub(crate) type SendAway<E> = Box<dyn Fn(&Delivery<E>) + Send + Sync>;

/// Who wants one partition's deliveries in other processes. More than one only while replicas disagree about whose the
/// partition is.
pub(crate) struct Subscribers<E> {
    connections: Mutex<Vec<(u64, SendAway<E>)>>,
}

impl<E> Default for Subscribers<E> {
    fn default() -> Self {
        Self { connections: Mutex::default() }
    }
}

impl<E> Subscribers<E> {
    /// Adds a connection, once.
    pub(crate) fn add(&self, connection: u64, send: SendAway<E>) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|(id, _)| *id != connection);
        connections.push((connection, send));
    }

    pub(crate) fn remove(&self, connection: u64) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).retain(|(id, _)| *id != connection);
    }

    fn send(&self, delivery: &Delivery<E>) {
        for (_, send) in self.connections.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            send(delivery);
        }
    }
}

/// What tests may do to the deliveries between services, to show that nothing depends on them (see
/// [`Settings`](crate::Settings)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliveryFault {
    /// Deliver as usual.
    #[default]
    None,
    /// Deliver nothing: consumers have to read the logs.
    DropEvery,
    /// Deliver everything twice.
    RepeatEvery,
}

/// Deliveries made ready by [`Link::prepare`], to be sent once they may leave.
pub(crate) type Ready<E> = Vec<(Sink<E>, Delivery<E>)>;

impl<E> Link<E> {
    /// Sorts `events`, numbered from `first` on, to the consumers they are for.
    pub(crate) fn prepare(
        &mut self,
        first: u64,
        events: &[Arc<Recorded<E>>],
        destinations: &mut Destinations,
        ready: &mut Ready<E>,
    ) {
        for (number, event) in (first..).zip(events) {
            destinations.clear();
            (self.route)(event, destinations);
            for partition in destinations.iter() {
                if let Some(Some(consumer)) = self.consumers.get_mut(usize::from(partition)) {
                    consumer.pending.push((number, Arc::clone(event)));
                    consumer.progress.addressed.store(number, Ordering::Release);
                }
            }
        }
        let to = first + events.len() as u64 - 1;
        for consumer in self.consumers.iter_mut().flatten() {
            if self.shares_fate {
                consumer.progress.written.store(to, Ordering::Release);
            }
            if !consumer.pending.is_empty() {
                let events = std::mem::take(&mut consumer.pending);
                ready.push(consumer.delivery(to, events));
            }
        }
    }

    /// Whoever wrote the log up to `log_end`, and for whom, is not known here: the consumers have to read it.
    pub(crate) fn restart(&mut self, log_end: u64) {
        for consumer in self.consumers.iter_mut().flatten() {
            consumer.sent = log_end;
            consumer.progress.addressed.fetch_max(log_end, Ordering::AcqRel);
        }
    }

    /// Tells consumers in other processes how far the log is: they may have missed what another replica wrote.
    pub(crate) fn announce(&self, log_end: u64) {
        for consumer in self.consumers.iter().flatten() {
            if let Some(subscribers) = &consumer.sink.subscribers {
                subscribers.send(&Delivery { source: 0, from: log_end, to: log_end, events: Vec::new(), fault: None });
            }
        }
    }

    /// Tells consumers that were not meant for long that they may move their cursors on.
    pub(crate) fn prepare_skips(&mut self, log_end: u64, ready: &mut Ready<E>) {
        for consumer in self.consumers.iter_mut().flatten().filter(|consumer| consumer.sent < log_end) {
            ready.push(consumer.delivery(log_end, Vec::new()));
        }
    }
}

impl<E> LinkedPartition<E> {
    fn delivery(&mut self, to: u64, events: Vec<(u64, Arc<Recorded<E>>)>) -> (Sink<E>, Delivery<E>) {
        let delivery = Delivery { source: self.source, from: self.sent, to, events, fault: None };
        self.sent = to;
        (self.sink.clone(), delivery)
    }
}

/// Sends what is ready. A full mailbox loses the delivery, and its consumer will read the log instead: blocking here
/// could close a circle of services that wait for each other.
pub(crate) fn send<E>(ready: &mut Ready<E>, fault: DeliveryFault) {
    for (sink, delivery) in ready.drain(..) {
        match fault {
            DeliveryFault::None => {}
            DeliveryFault::DropEvery => continue,
            DeliveryFault::RepeatEvery => sink.send(delivery.clone()),
        }
        sink.send(delivery);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_late_of_a_consumer_takes_nothing_back() {
        let consumption = Consumption::default();
        assert_eq!(consumption.known(), None);
        consumption.raise(5);
        consumption.raise(3);
        assert_eq!(consumption.known(), Some(5), "another connection was slower");
        consumption.set(3);
        assert_eq!(consumption.known(), Some(3), "it says so itself: its data went back");
    }

    #[test]
    fn only_a_source_that_stays_behind_is_stalled() {
        let log = LogName { service: "producer".into(), partition: 0 };
        let mut source = Source::new(log, None, Visibility::Durable);
        assert!(!source.is_stalled(true), "nothing is addressed to it");
        source.progress.reached(5);
        assert!(!source.is_stalled(true), "it may be on its way");
        source.cursor = 3;
        assert!(!source.is_stalled(true), "it moves");
        assert!(!source.is_stalled(false), "something is in the mailbox");
        assert!(!source.is_stalled(true), "the look before does not count");
        assert!(source.is_stalled(true));
        source.cursor = 5;
        assert!(!source.is_stalled(true), "it is not behind");
    }
}
