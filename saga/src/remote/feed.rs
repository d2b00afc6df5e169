//! The consuming end of other processes' logs: subscriptions to who looks after each log, reading what no delivery
//! brought, and telling how far the own partitions are.
//!
//! ```text
//!   producer's process ── Deliver ──▶ Inlet::take ──▶ mailbox of the consuming partition
//!          ▲     ▲                                        │ behind: a gap, a new connection, now and then
//!          │     └──── ReadLog ◀── Inlet::read ◀──────────┘
//!          └────────── Acks, Subscribe
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    time::{interval, timeout},
};

use crate::{
    LogName, Partition,
    codec::Codec,
    link::{Delivery, Progress, Route, Tracking},
    participant::Destinations,
    remote::{
        connection::Connection,
        peer::Peer,
        wire::{Ack, Entry, Message},
    },
    sequencer::{READ_LIMIT, sort_out},
    store::LogEntry,
    watch,
};

/// How often a consumer says how far it is. Only trimming waits for it.
const ACK_EVERY: Duration = Duration::from_millis(200);

/// How many such times pass before all of it is said again, in case a replica did not know whom to believe.
const ACK_ALL_EVERY: u32 = 25;

/// A log that is not answered for in this time is asked for again when the consumer is found to be behind.
const READ_MAX: Duration = Duration::from_secs(2);

/// One log as one consuming partition gets it.
pub(crate) struct Inlet<E> {
    pub(crate) log: LogName,
    pub(crate) consumer: Partition,
    /// Which of the consumer's sources the log is.
    pub(crate) source: usize,
    pub(crate) mailbox: mpsc::Sender<Delivery<E>>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) tracking: Arc<Tracking>,
    pub(crate) ack: Arc<std::sync::atomic::AtomicU64>,
    /// Whether this process looks after the consumer.
    pub(crate) active: watch::Receiver<bool>,
    /// Which of the consuming service's partitions an event is for.
    pub(crate) route: Route<E>,
}

impl<E: Codec> Inlet<E> {
    fn is_active(&self) -> bool {
        *self.active.borrow()
    }

    /// Hands a delivery on. One that makes no sense or finds no room is read from the log later.
    fn take(&self, from: u64, to: u64, entries: &[Entry]) {
        self.progress.reached(to);
        if !self.is_active() {
            return;
        }
        let decoded = entries.iter().map(|entry| Some((entry.position, Arc::new(E::decode_from(&entry.event).ok()?))));
        let Some(events) = decoded.collect() else { return };
        let delivery = Delivery { source: self.source, from, to, events, fault: None };
        drop(self.mailbox.try_send(delivery));
    }

    /// Reads the log from the consumer's cursor to where it is known to be: what is added meanwhile is delivered.
    async fn read(&self, peer: &Peer) {
        let mut from = self.tracking.cursor.load(Ordering::Acquire);
        let known = self.progress.addressed();
        while let Some(entries) = self.read_after(peer, from).await {
            if entries.is_empty() {
                return;
            }
            let mut destinations = Destinations::default();
            let delivery = sort_out(self.source, from, entries, &self.log.to_string(), |event: &E| {
                destinations.clear();
                (self.route)(event, &mut destinations);
                destinations.contains(self.consumer)
            });
            let next = delivery.to;
            if self.mailbox.send(delivery).await.is_err() || next == from || next >= known {
                return;
            }
            from = next;
        }
    }

    async fn read_after(&self, peer: &Peer, after: u64) -> Option<Vec<LogEntry>> {
        let connection = peer.owner(self.log.partition)?;
        let (partition, limit) = (self.log.partition, READ_LIMIT as u64);
        let asking = connection.ask(|number| Message::ReadLog { number, partition, after, limit });
        match timeout(READ_MAX, asking).await {
            Ok(Ok(Message::Events { entries: Some(entries), .. })) => {
                let entry = |entry: Entry| LogEntry { position: entry.position, event: Bytes::from(entry.event) };
                Some(entries.into_iter().map(entry).collect())
            }
            _ => None,
        }
    }
}

/// All logs of one peer that are consumed here.
pub(crate) struct Feed<E> {
    peer: Arc<Peer>,
    inlets: BTreeMap<(Partition, Partition), Arc<Inlet<E>>>,
}

impl<E: Codec + Send + Sync + 'static> Feed<E> {
    pub(crate) fn new(peer: Arc<Peer>, inlets: Vec<Inlet<E>>) -> Self {
        let keyed = inlets.into_iter().map(|inlet| ((inlet.log.partition, inlet.consumer), Arc::new(inlet)));
        Self { peer, inlets: keyed.collect() }
    }

    /// Takes what a replica of the peer sends unasked.
    pub(crate) fn hear(&self, connection: &Arc<Connection>, message: Message) {
        match message {
            Message::Places { addresses } => self.peer.set_places(addresses),
            Message::Deliver { producer, consumer, from, to, events } => {
                if let Some(inlet) = self.inlets.get(&(producer, consumer)) {
                    inlet.take(from, to, &events);
                }
            }
            Message::Subscribed { producer, consumer, log_end } => {
                if let Some(inlet) = self.inlets.get(&(producer, consumer)) {
                    inlet.progress.reached(log_end);
                    inlet.tracking.behind.notify_one();
                }
            }
            other => tracing::debug!(address = %connection.address, ?other, "a message that nobody asked for"),
        }
    }

    /// Reads logs for consumers that are behind, for as long as this is polled.
    pub(crate) async fn read(self: Arc<Self>) {
        let mut tasks = tokio::task::JoinSet::new();
        for inlet in self.inlets.values().cloned() {
            let peer = Arc::clone(&self.peer);
            tasks.spawn(async move {
                loop {
                    inlet.tracking.behind.notified().await;
                    if inlet.is_active() {
                        inlet.read(&peer).await;
                    }
                }
            });
        }
        // They end with this set, when it is dropped.
        std::future::pending::<()>().await;
    }

    /// Keeps subscribed to who looks after each log, for the partitions that this process looks after.
    pub(crate) async fn subscribe(self: Arc<Self>, mut activity: watch::Receiver<u64>) {
        let mut events = self.peer.events.subscribe();
        // By connection, what it was asked for.
        let mut subscribed: BTreeMap<u64, BTreeSet<(Partition, Partition)>> = BTreeMap::new();
        loop {
            let connections: BTreeMap<_, _> =
                self.peer.connections().into_iter().map(|connection| (connection.number, connection)).collect();
            subscribed.retain(|number, _| connections.contains_key(number));
            let mut wanted: BTreeMap<u64, BTreeSet<(Partition, Partition)>> = BTreeMap::new();
            for (pair, inlet) in &self.inlets {
                if let Some(owner) = self.peer.owner(inlet.log.partition)
                    && inlet.is_active()
                {
                    wanted.entry(owner.number).or_default().insert(*pair);
                }
            }
            for (number, connection) in &connections {
                let wanted = wanted.remove(number).unwrap_or_default();
                let known = subscribed.entry(*number).or_default();
                for &(producer, consumer) in wanted.difference(known) {
                    connection.send(Message::Subscribe { producer, consumer });
                }
                for &(producer, consumer) in known.difference(&wanted) {
                    connection.send(Message::Unsubscribe { producer, consumer });
                }
                *known = wanted;
            }
            tokio::select! {
                biased;
                changed = events.changed() => if changed.is_err() { return },
                changed = activity.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Tells every replica of the peer how far the partitions that this process looks after have consumed its logs.
    pub(crate) async fn acknowledge(self: Arc<Self>) {
        let mut ticks = interval(ACK_EVERY);
        let mut said: BTreeMap<(u64, Partition, Partition), u64> = BTreeMap::new();
        for count in 0_u32.. {
            ticks.tick().await;
            if count % ACK_ALL_EVERY == 0 {
                said.clear();
            }
            for connection in self.peer.connections() {
                let mut acks = Vec::new();
                for inlet in self.inlets.values().filter(|inlet| inlet.is_active()) {
                    let (producer, consumer) = (inlet.log.partition, inlet.consumer);
                    let position = inlet.ack.load(Ordering::Acquire);
                    if said.insert((connection.number, producer, consumer), position) != Some(position) {
                        acks.push(Ack { producer, consumer, position });
                    }
                }
                if !acks.is_empty() {
                    connection.send(Message::Acks { acks });
                }
            }
        }
    }
}
