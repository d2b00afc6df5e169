//! The consuming end of other processes' logs: subscriptions to the owner of each log, reading what no delivery
//! brought, and telling how far the own partitions are.
//!
//! ```text
//!   producer's process ── Deliver ──▶ Subscription::take ──▶ mailbox of the consuming partition
//!          ▲     ▲                                        │ behind: a gap, a new connection, now and then
//!          │     └──── ReadLog ◀── Subscription::read ◀──────────┘
//!          └────────── Acks, Subscribe
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{interval, timeout};

use crate::{
    Partition,
    codec::Codec,
    link::Delivery,
    participant::Destinations,
    recorded::Recorded,
    remote::{
        connection::Connection,
        or_panic,
        peer::Peer,
        wire::{Ack, Entry, Message, Places},
    },
    sequencer::{READ_LIMIT, select_events},
    store::LogEntry,
    watch,
    wiring::{ByPair, Subscription},
};

/// How often a consumer says how far it is. Only trimming waits for it.
const ACK_EVERY: Duration = Duration::from_millis(200);

/// Every so many times all acknowledgements are sent again: a replica that did not know the owner then may have dropped some.
const ACK_ALL_EVERY: u32 = 25;

/// A log that is not answered for in this time is asked for again when the consumer is found to be behind.
const READ_MAX: Duration = Duration::from_secs(2);

impl<E: Codec> Subscription<E> {
    fn is_active(&self) -> bool {
        *self.active.borrow()
    }

    /// Hands a delivery on. One that makes no sense or finds no room is read from the log later.
    fn take(&self, from: u64, to: u64, entries: &[Entry]) {
        self.progress.reached(to);
        if !self.is_active() {
            return;
        }
        let decoded =
            entries.iter().map(|entry| Some((entry.position, Arc::new(Recorded::decode_from(&entry.event).ok()?))));
        let Some(events) = decoded.collect() else { return };
        let delivery = Delivery { source: self.source, from, to, events, fault: None };
        drop(self.mailbox.try_send(delivery));
    }

    /// Reads the log from the consumer's cursor to where it is known to be: what is added meanwhile is delivered.
    async fn read(&self, peer: &Peer) {
        let mut from = self.tracking.cursor.load(Ordering::Acquire);
        let known = self.progress.addressed();
        while let Some((entries, accepted)) = self.read_after(peer, from).await {
            // Nobody need accept that an observer knows of what is lost.
            let accepted = if self.is_observer { u64::MAX } else { accepted };
            if entries.is_empty() {
                return;
            }
            let mut destinations = Destinations::default();
            let delivery = select_events(self.source, from, entries, &self.log, accepted, |event: &E| {
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

    /// Events, and the epoch below which what is missing was accepted as lost.
    async fn read_after(&self, peer: &Peer, after: u64) -> Option<(Vec<LogEntry>, u64)> {
        let connection = peer.owner(self.log.partition)?;
        let (partition, limit) = (self.log.partition, READ_LIMIT as u64);
        let asking = connection.ask(|number| Message::ReadLog { number, partition, after, limit });
        match timeout(READ_MAX, asking).await {
            Ok(Ok(Message::Events { entries: Some(entries), accepted, .. })) => {
                let entry = |entry: Entry| LogEntry { position: entry.position, event: Bytes::from(entry.event) };
                Some((entries.into_iter().map(entry).collect(), accepted))
            }
            _ => None,
        }
    }
}

/// All logs of one peer that are consumed here.
pub(crate) struct Consumer<E> {
    peer: Arc<Peer>,
    subscriptions: ByPair<Arc<Subscription<E>>>,
}

impl<E: Codec + Send + Sync + 'static> Consumer<E> {
    pub(crate) fn new(peer: Arc<Peer>, subscriptions: ByPair<Subscription<E>>) -> Self {
        let shared = subscriptions.into_iter().map(|(pair, subscription)| (pair, Arc::new(subscription)));
        Self { peer, subscriptions: shared.collect() }
    }

    /// Takes what a replica of the peer sends unasked.
    pub(crate) fn hear(&self, connection: &Arc<Connection>, message: Message) {
        match message {
            Message::Places { addresses, is_current } => self.peer.hear(connection, Places { addresses, is_current }),
            Message::Deliver { producer, consumer, from, to, events } => {
                if let Some(subscription) = self.subscriptions.get(&(producer, consumer)) {
                    subscription.take(from, to, &events);
                }
            }
            Message::Subscribed { producer, consumer, log_end } => {
                if let Some(subscription) = self.subscriptions.get(&(producer, consumer)) {
                    subscription.progress.reached(log_end);
                    subscription.tracking.behind.notify_one();
                }
            }
            other => tracing::debug!(address = %connection.address, ?other, "a message that nobody asked for"),
        }
    }

    /// Reads logs for consumers that are behind, for as long as this is polled.
    pub(crate) async fn read(self: Arc<Self>) {
        let mut tasks = tokio::task::JoinSet::new();
        for subscription in self.subscriptions.values().cloned() {
            let peer = Arc::clone(&self.peer);
            tasks.spawn(async move {
                loop {
                    subscription.tracking.behind.notified().await;
                    if subscription.is_active() {
                        subscription.read(&peer).await;
                    }
                }
            });
        }
        // They end with this set, when it is dropped.
        while let Some(ended) = tasks.join_next().await {
            or_panic(ended);
        }
        std::future::pending::<()>().await;
    }

    /// Keeps subscribed to the owner of each log, for the partitions that this process owns.
    pub(crate) async fn subscribe(self: Arc<Self>, mut activity: watch::Receiver<u64>) {
        let mut events = self.peer.events.subscribe();
        // By connection, what it was asked for.
        let mut subscribed: BTreeMap<u64, BTreeSet<(Partition, Partition)>> = BTreeMap::new();
        loop {
            let connections: BTreeMap<_, _> =
                self.peer.connections().into_iter().map(|connection| (connection.number, connection)).collect();
            subscribed.retain(|number, _| connections.contains_key(number));
            let mut wanted: BTreeMap<u64, BTreeSet<(Partition, Partition)>> = BTreeMap::new();
            for (pair, subscription) in &self.subscriptions {
                if let Some(owner) = self.peer.owner(subscription.log.partition)
                    && subscription.is_active()
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

    /// Tells every replica of the peer how far the partitions that this process owns have consumed its logs.
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
                for subscription in self.subscriptions.values().filter(|subscription| subscription.is_active()) {
                    let (producer, consumer) = (subscription.log.partition, subscription.consumer);
                    // Before the partition was loaded there is nothing to say.
                    let Some(position) = subscription.ack.known() else { continue };
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
