//! The called end: what a replica does for other processes.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::split,
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    CallError, IdempotencyKey, Participant, Partition, Store,
    codec::Codec,
    handle::{CallOptions, Handle},
    link::{Delivery, Subscribers, Visibility},
    remote::{
        connection::{SILENCE_MAX, next_number},
        ownership::Ownership,
        transport::{BoxStream, Listen},
        wire::{self, Ack, Asked, Entry, Message, Messages, Told},
    },
    request::Ask,
    sequencer::Status,
};

/// Who greets takes no longer.
const HELLO_MAX: Duration = Duration::from_secs(2);

/// Bytes of events in one answer to who reads a log; at least one event goes out whatever its size.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// The logs of this service as one consuming service gets them: by producing and consuming partition.
pub(crate) struct Outward<E> {
    pub(crate) partitions: Partition,
    pub(crate) subscribers: Vec<Vec<Arc<Subscribers<E>>>>,
    pub(crate) acks: Vec<Vec<Option<Arc<AtomicU64>>>>,
}

impl<E> Outward<E> {
    fn subscribers(&self, producer: Partition, consumer: Partition) -> Option<&Arc<Subscribers<E>>> {
        self.subscribers.get(usize::from(producer))?.get(usize::from(consumer))
    }

    fn acknowledge(&self, ack: &Ack) {
        let consumers = self.acks.get(usize::from(ack.producer));
        if let Some(Some(known)) = consumers.and_then(|consumers| consumers.get(usize::from(ack.consumer))) {
            // What was consumed durably stays consumed, whoever says so.
            known.fetch_max(ack.position, Ordering::AcqRel);
        }
    }
}

/// What is served.
pub(crate) struct Server<P: Participant, S> {
    pub(crate) service: Arc<str>,
    pub(crate) handle: Handle<P>,
    pub(crate) store: S,
    pub(crate) ownership: Arc<Ownership>,
    pub(crate) statuses: Vec<Arc<Status>>,
    /// By the name of the consuming service.
    pub(crate) outward: BTreeMap<Arc<str>, Outward<P::Event>>,
}

impl<P: Participant<Command: Codec>, S: Store> Server<P, S> {
    /// Accepts connections for as long as this is polled.
    pub(crate) async fn run(self: Arc<Self>, mut listener: Box<dyn Listen>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok(stream) => {
                        connections.spawn(Arc::clone(&self).greet(stream));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        // Most likely too many are open: some have to close first.
                        sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }

    async fn greet(self: Arc<Self>, stream: BoxStream) {
        let (reader, mut writer) = split(stream);
        let mut messages = Messages::new(reader);
        let Ok(Ok(hello)) = timeout(HELLO_MAX, messages.next()).await else { return };
        let caller = match self.judge(&hello) {
            Ok(caller) => caller,
            Err(reason) => {
                tracing::error!(%reason, "another process was not let in");
                // It may be gone already.
                drop(wire::write(&mut writer, &Message::Refused { reason }).await);
                return;
            }
        };
        let welcome = Message::Welcome { address: self.ownership.me.address.clone() };
        if wire::write(&mut writer, &welcome).await.is_err() {
            return;
        }
        let (outgoing, queue) = mpsc::channel(wire::OUTGOING_MAX);
        let number = next_number();
        let visit = Visit { server: Arc::clone(&self), caller: Arc::clone(&caller), number, outgoing };
        let ended = tokio::select! {
            biased;
            written = wire::write_all(writer, queue) => written,
            ended = visit.serve(messages) => ended,
        };
        if let Err(error) = ended {
            tracing::debug!(%caller, %error, "a connection ended");
        }
        for consumers in self.outward.get(&caller).iter().flat_map(|outward| &outward.subscribers) {
            consumers.iter().for_each(|subscribers| subscribers.remove(number));
        }
    }

    /// Whether a caller and this service are of the same market.
    fn judge(&self, hello: &Message) -> Result<Arc<str>, String> {
        let Message::Hello { version, service, partitions, wanted, wanted_partitions } = hello else {
            return Err("the first message is no greeting".to_owned());
        };
        let own = self.handle.partitions();
        if *version != wire::VERSION {
            return Err(format!("{service} speaks version {version} of the protocol, this one {}", wire::VERSION));
        }
        if **wanted != *self.service {
            return Err(format!("{service} takes this for {wanted}, but it is {}", self.service));
        }
        if *wanted_partitions != own {
            return Err(format!("{service} expects {wanted_partitions} partitions of {wanted}, but it has {own}"));
        }
        match self.outward.get(service.as_str()) {
            Some(outward) if outward.partitions != *partitions => {
                Err(format!("{service} has {partitions} partitions, but {} were expected", outward.partitions))
            }
            _ => Ok(service.as_str().into()),
        }
    }
}

/// One connection that was let in.
struct Visit<P: Participant, S> {
    server: Arc<Server<P, S>>,
    caller: Arc<str>,
    number: u64,
    outgoing: mpsc::Sender<Message>,
}

impl<P: Participant<Command: Codec>, S: Store> Visit<P, S> {
    async fn serve(&self, mut messages: Messages<impl tokio::io::AsyncRead + Unpin>) -> io::Result<()> {
        let mut places = self.server.ownership.places();
        // Requests that run; they end with the connection, for nobody is there to be told.
        let mut running = JoinSet::new();
        self.tell_places(&places.borrow_and_update());
        loop {
            tokio::select! {
                biased;
                _ = places.changed() => self.tell_places(&places.borrow_and_update()),
                message = timeout(SILENCE_MAX, messages.next()) => {
                    let message = message.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
                    self.take(message, &mut running);
                    while running.try_join_next().is_some() {}
                }
            }
        }
    }

    fn tell_places(&self, places: &[String]) {
        self.send(Message::Places { addresses: places.to_vec() });
    }

    fn take(&self, message: Message, running: &mut JoinSet<()>) {
        match message {
            Message::Call { number, asked } => {
                let (handle, outgoing) = (self.server.handle.clone(), self.outgoing.clone());
                running.spawn(async move {
                    let told = carry_out(&handle, asked).await;
                    // The caller may be gone.
                    drop(outgoing.send(Message::Answer { number, told }).await);
                });
            }
            Message::ReadLog { number, partition, after, limit } => {
                let (server, outgoing) = (Arc::clone(&self.server), self.outgoing.clone());
                running.spawn(async move {
                    let entries = server.read_log(partition, after, limit).await;
                    drop(outgoing.send(Message::Events { number, entries }).await);
                });
            }
            Message::Subscribe { producer, consumer } => self.subscribe(producer, consumer),
            Message::Unsubscribe { producer, consumer } => {
                if let Some(subscribers) = self.subscribers(producer, consumer) {
                    subscribers.remove(self.number);
                }
            }
            Message::Acks { acks } => {
                if let Some(outward) = self.server.outward.get(&self.caller) {
                    acks.iter().for_each(|ack| outward.acknowledge(ack));
                }
            }
            Message::Ping => self.send(Message::Pong),
            other => tracing::debug!(caller = %self.caller, ?other, "a message that makes no sense here"),
        }
    }

    fn subscribers(&self, producer: Partition, consumer: Partition) -> Option<&Arc<Subscribers<P::Event>>> {
        self.server.outward.get(&self.caller)?.subscribers(producer, consumer)
    }

    fn subscribe(&self, producer: Partition, consumer: Partition) {
        let Some(subscribers) = self.subscribers(producer, consumer) else { return };
        let outgoing = self.outgoing.clone();
        let send = move |delivery: &Delivery<P::Event>| {
            let Delivery { from, to, events, .. } = delivery;
            let entry = |(position, event): &(u64, Arc<P::Event>)| {
                let mut bytes = Vec::new();
                event.encode_to(&mut bytes);
                Entry { position: *position, event: bytes }
            };
            let events = events.iter().map(entry).collect();
            // Without room it is lost, and read from the log.
            drop(outgoing.try_send(Message::Deliver { producer, consumer, from: *from, to: *to, events }));
        };
        subscribers.add(self.number, Box::new(send));
        // After it was added: what comes later is delivered, what came before is behind this.
        let status = self.server.statuses.get(usize::from(producer));
        let log_end = status.map_or(0, |status| status.log_end.load(Ordering::Acquire));
        self.send(Message::Subscribed { producer, consumer, log_end });
    }

    fn send(&self, message: Message) {
        drop(self.outgoing.try_send(message));
    }
}

impl<P: Participant, S: Store> Server<P, S> {
    async fn read_log(&self, partition: Partition, after: u64, limit: u64) -> Option<Vec<Entry>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(crate::sequencer::READ_LIMIT);
        let read = self.store.read_log(partition, after, limit, Visibility::Durable).await;
        let entries = read.map_err(|error| tracing::debug!(%error, "a log cannot be read for another service")).ok()?;
        let mut bytes = 0;
        let fitting = entries.into_iter().take_while(|entry| {
            let before = bytes;
            bytes += entry.event.len();
            before < EVENT_BYTES_MAX
        });
        Some(fitting.map(|entry| Entry { position: entry.position, event: entry.event.to_vec() }).collect())
    }
}

async fn carry_out<P: Participant<Command: Codec>>(handle: &Handle<P>, asked: Asked) -> Told {
    let Asked { partition, command, key, patience_ms } = asked;
    let key = key.map(|key| IdempotencyKey {
        key: key.key.into(),
        fingerprint: key.fingerprint,
        retention: key.retention_ms.map(Duration::from_millis),
    });
    let ask = match command.map(|command| P::Command::decode_from(&command)) {
        None => Ask::Claim,
        Some(Ok(command)) => Ask::Command(Arc::new(command)),
        Some(Err(error)) => {
            tracing::error!(%error, "a command of another process cannot be read");
            return CallError::Unavailable.into();
        }
    };
    let options = CallOptions { key, patience: patience_ms.map(Duration::from_millis) };
    match handle.ask_here(partition, ask, options).await {
        Ok(Some(reply)) => {
            let mut bytes = Vec::new();
            reply.encode_to(&mut bytes);
            Told::Reply { reply: bytes }
        }
        Ok(None) => Told::Noted,
        Err(error) => error.into(),
    }
}
