//! The called end: what a replica does for other processes.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::split,
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    CallError, IdempotencyKey, LogName, Participant, Partition, Refrain, Replied, Store,
    codec::Codec,
    handle::{CallOptions, Handle},
    health::Status,
    link::{Consumption, Delivery, Subscribers, Visibility},
    recorded::Recorded,
    remote::{
        bonds::Bonds,
        connection::{SILENCE_MAX, next_number},
        fitness::Fitness,
        or_panic,
        ownership::Ownership,
        peer::Peer,
        secret::{self, Secrets, Side},
        transport::{BoxStream, Listen},
        wire::{self, Ack, Asked, Entry, Message, Messages, Places, Told},
    },
    request::Ask,
    store::Identity,
    wiring::ByPair,
};

/// Who greets takes no longer.
const HELLO_MAX: Duration = Duration::from_secs(2);

/// Bytes of events in one answer to who reads a log; at least one event goes out whatever its size.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// The logs of this service as one consuming service in other processes gets them.
pub(crate) struct Exports<E> {
    pub(crate) partitions: Partition,
    pub(crate) is_observer: bool,
    pub(crate) ways: ByPair<Export<E>>,
}

/// One log as one consuming partition in other processes gets it.
pub(crate) struct Export<E> {
    pub(crate) subscribers: Arc<Subscribers<E>>,
    pub(crate) ack: Arc<Consumption>,
}

/// What is served.
pub(crate) struct Server<P: Participant, S> {
    pub(crate) service: Arc<str>,
    pub(crate) handle: Handle<P>,
    pub(crate) store: S,
    pub(crate) ownership: Arc<Ownership>,
    pub(crate) bonds: Arc<Bonds>,
    /// What callers have to know, if anything.
    pub(crate) secrets: Option<Secrets>,
    pub(crate) statuses: Vec<Arc<Status>>,
    /// By the name of the consuming service.
    pub(crate) exports: BTreeMap<Arc<str>, Exports<P::Event>>,
    /// By the name of a service that connects to this one and that this one connects to.
    pub(crate) peers: BTreeMap<Arc<str>, Arc<Peer>>,
    pub(crate) fitness: Arc<Fitness>,
    pub(crate) refrain: Refrain,
}

impl<P: Participant<Command: Codec>, S: Store> Server<P, S> {
    /// Accepts connections for as long as this is polled.
    pub(crate) async fn run(self: Arc<Self>, mut listener: Box<dyn Listen>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                Some(ended) = connections.join_next() => or_panic(ended),
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
        let Ok(Ok((hello, greeting))) = timeout(HELLO_MAX, messages.greeting()).await else { return };
        if self.ownership.is_leaving() {
            // Whoever comes now would take this replica for one that stays.
            return;
        }
        let judged = match timeout(HELLO_MAX, self.challenge(&hello, &greeting, &mut messages, &mut writer)).await {
            // Nothing is said to who has not shown who it is, not even what would be wrong with it.
            Ok(Ok(())) => self.judge(&hello).await,
            Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => Err(error.to_string()),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection ended before its caller had shown who it is");
                return;
            }
            Err(_) => return,
        };
        let caller = match judged {
            Ok(caller) => caller,
            Err(reason) => {
                if let Some(times) = self.refrain.say(&reason) {
                    tracing::error!(%reason, times, "rejected a peer's handshake");
                }
                // It may be gone already.
                drop(wire::write(&mut writer, &Message::Refused { reason }).await);
                return;
            }
        };
        let (address, data) = (self.ownership.me.address.clone(), self.bonds.own.to_bits());
        let welcome = Message::Welcome { address, data };
        if wire::write(&mut writer, &welcome).await.is_err() {
            return;
        }
        let (outgoing, queue) = mpsc::channel(wire::OUTGOING_MAX);
        let number = next_number();
        let _visitor = self.fitness.visit(&caller);
        let peer = self.peers.get(&caller);
        if let (Some(peer), Message::Hello { address: Some(address), .. }) = (peer, &hello) {
            peer.called_by(number, address);
        }
        let visit = Visit { server: Arc::clone(&self), caller: Arc::clone(&caller), number, outgoing };
        let ended = tokio::select! {
            biased;
            written = wire::write_all(writer, queue) => written,
            ended = visit.serve(messages) => ended,
        };
        if let Err(error) = ended {
            tracing::debug!(%caller, %error, "a connection ended");
        }
        if let Some(peer) = peer {
            peer.call_ended(number);
        }
        for export in self.exports.get(&caller).iter().flat_map(|exports| exports.ways.values()) {
            export.subscribers.remove(number);
        }
    }

    /// Has the caller show that it knows the secret, where there is one, and shows it that this one does.
    ///
    /// # Errors
    /// Why it is not let in (`PermissionDenied`), or how the connection failed.
    async fn challenge(
        &self,
        hello: &Message,
        greeting: &[u8],
        messages: &mut Messages<impl tokio::io::AsyncRead + Unpin>,
        writer: &mut (impl tokio::io::AsyncWrite + Unpin),
    ) -> io::Result<()> {
        let refused = |reason: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        let Some(secrets) = &self.secrets else { return Ok(()) };
        let secrets = match secrets.read() {
            Ok(secrets) => secrets,
            Err(error) => return refused(&secret::unreadable(error).to_string()),
        };
        let Message::Hello { nonce: Some(nonce), .. } = hello else {
            return refused("it does not show that it knows the secret of the shop, which this one asks for");
        };
        if nonce.len() != secret::BYTES {
            return refused("its greeting has no random number");
        }
        let nonce = secret::nonce()?;
        let proof = secret::prove(&secrets, Side::Called, greeting, &nonce);
        wire::write(writer, &Message::Challenge { nonce: nonce.clone(), proof }).await?;
        match messages.greeting().await? {
            (Message::Proof { proof }, _) if secret::is_proven(&secrets, Side::Caller, greeting, &nonce, &proof) => {
                Ok(())
            }
            _ => refused("it does not know the secret of the shop"),
        }
    }

    /// Whether a caller and this service are of the same market.
    async fn judge(&self, hello: &Message) -> Result<Arc<str>, String> {
        let Message::Hello { version, service, partitions, wanted, wanted_partitions, data, wanted_data, .. } = hello
        else {
            return Err("the first message is no greeting".to_owned());
        };
        let own = self.handle.partitions();
        if service.len() > wire::NAME_BYTES_MAX || wanted.len() > wire::NAME_BYTES_MAX {
            return Err("the name of a service is too long".to_owned());
        }
        if *version != wire::VERSION {
            return Err(format!("{service} speaks version {version} of the protocol, this one {}", wire::VERSION));
        }
        if **wanted != *self.service {
            return Err(format!("{service} takes this for {wanted}, but it is {}", self.service));
        }
        if *wanted_partitions != own {
            return Err(format!("{service} expects {wanted_partitions} partitions of {wanted}, but it has {own}"));
        }
        let exports = self.exports.get(service.as_str());
        let expected = match exports {
            Some(exports) => exports.partitions,
            None if *service.as_str() == *self.service => own,
            // Whoever asks also consumes; nothing of a stranger is to be remembered.
            None => return Err(format!("{service} is no service that {} knows", self.service)),
        };
        if expected != *partitions {
            return Err(format!("{service} has {partitions} partitions, but {expected} were expected"));
        }
        // First whether it means this one: what belongs with others must not be remembered as a peer.
        self.bonds.judge(service, *wanted_data)?;
        let service: Arc<str> = service.as_str().into();
        if exports.is_some_and(|exports| exports.is_observer) {
            // What it has seen may be thrown away, and nothing here depends on it.
            return Ok(service);
        }
        self.bonds.meet(&service, Identity::from_bits(*data)).await.map_err(|strange| strange.to_string())?;
        Ok(service)
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
                    while let Some(ended) = running.try_join_next() {
                        or_panic(ended);
                    }
                }
            }
        }
    }

    fn tell_places(&self, places: &Places) {
        let Places { addresses, is_current } = places.clone();
        self.send(Message::Places { addresses, is_current });
    }

    fn take(&self, message: Message, running: &mut JoinSet<()>) {
        match message {
            Message::Call { number, asked } => {
                let (server, caller, outgoing) =
                    (Arc::clone(&self.server), Arc::clone(&self.caller), self.outgoing.clone());
                running.spawn(async move {
                    let told = server.carry_out(&caller, asked).await;
                    // The caller may be gone.
                    drop(outgoing.send(Message::Answer { number, told }).await);
                });
            }
            Message::ReadLog { number, partition, after, limit } => {
                let (server, outgoing) = (Arc::clone(&self.server), self.outgoing.clone());
                running.spawn(async move {
                    let entries = server.read_log(partition, after, limit).await;
                    let status = server.statuses.get(usize::from(partition));
                    let accepted = status.map_or(0, |status| status.accepted.load(Ordering::Acquire));
                    drop(outgoing.send(Message::Events { number, entries, accepted }).await);
                });
            }
            Message::Subscribe { producer, consumer } => self.subscribe(producer, consumer),
            Message::Unsubscribe { producer, consumer } => {
                if let Some(export) = self.server.export(&self.caller, producer, consumer) {
                    export.subscribers.remove(self.number);
                }
            }
            Message::Acks { acks } => acks.iter().for_each(|ack| self.server.acknowledge(&self.caller, ack)),
            Message::Ping => {
                self.send(Message::Pong);
                self.tell_places(&self.server.ownership.places().borrow());
            }
            other => tracing::debug!(caller = %self.caller, ?other, "a message that makes no sense here"),
        }
    }

    fn subscribe(&self, producer: Partition, consumer: Partition) {
        let Some(export) = self.server.export(&self.caller, producer, consumer) else { return };
        let outgoing = self.outgoing.clone();
        let send = move |delivery: &Delivery<P::Event>| {
            let Delivery { from, to, events, .. } = delivery;
            let entry = |(position, event): &(u64, Arc<Recorded<P::Event>>)| {
                let mut bytes = Vec::new();
                event.encode_to(&mut bytes);
                Entry { position: *position, event: bytes }
            };
            let events = events.iter().map(entry).collect();
            // Without room it is lost, and read from the log.
            drop(outgoing.try_send(Message::Deliver { producer, consumer, from: *from, to: *to, events }));
        };
        export.subscribers.add(self.number, Box::new(send));
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
    fn export(&self, caller: &Arc<str>, producer: Partition, consumer: Partition) -> Option<&Export<P::Event>> {
        self.exports.get(caller)?.ways.get(&(producer, consumer))
    }

    /// Takes note of how far a consumer is. Only the owner of a log trims it and knows where it ends; all of it is said
    /// again to a later one within seconds.
    fn acknowledge(&self, caller: &Arc<str>, ack: &Ack) {
        let Ack { producer, consumer, position } = *ack;
        if let Some(export) = self.export(caller, producer, consumer) {
            // What was consumed durably stays consumed, whoever says so; and whoever was let in is believed, for a replica of
            // this service could write to its data as well, and another service speaks for its own partitions. Nothing is trimmed for one beyond the end of the
            // log: by it the sequencer sees that its data are older than they were.
            export.ack.raise(position);
            return;
        }
        let reason = "it is said to be consumed by who is no consumer of it";
        if let Some(times) = self.refrain.say(&format!("{producer} {caller}/{consumer}: {reason}")) {
            let log = LogName { service: Arc::clone(&self.service), partition: producer };
            tracing::error!(%log, %caller, consumer, position, times, "an acknowledgement is refused: {reason}");
        }
    }

    async fn read_log(&self, partition: Partition, after: u64, limit: u64) -> Option<Vec<Entry>> {
        if usize::from(partition) >= self.statuses.len() {
            return None;
        }
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

impl<P: Participant<Command: Codec>, S> Server<P, S> {
    async fn carry_out(&self, caller: &str, asked: Asked) -> Told {
        let Asked { partition, command, key, patience_ms } = asked;
        let key = key.map(|key| IdempotencyKey {
            key: key.key.into(),
            fingerprint: key.fingerprint,
            retention: key.retention_ms.map(Duration::from_millis),
        });
        let is_sibling = *caller == *self.service;
        let ask = match command.map(|command| P::Command::decode_from(&command)) {
            Some(Ok(command)) if is_sibling || P::may_ask(caller, &command) => Ask::Command(Arc::new(command)),
            // The key of a request of which the caller has lost the answer.
            None => Ask::Claim,
            Some(Ok(_)) => {
                let reason = "it is no business of that service";
                if let Some(times) = self.refrain.say(&format!("{caller}: {reason}")) {
                    tracing::error!(service = %self.service, %caller, partition, times, "a request is refused: {reason}");
                }
                return CallError::Unavailable.into();
            }
            Some(Err(error)) => {
                tracing::error!(%error, "a command of another process cannot be read");
                return CallError::Unavailable.into();
            }
        };
        let options = CallOptions { key, patience: patience_ms.map(Duration::from_millis) };
        match self.handle.ask_here(partition, ask, options).await {
            Ok(Some(Replied { reply, is_replayed })) => {
                let mut bytes = Vec::new();
                reply.encode_to(&mut bytes);
                Told::Reply { reply: bytes, is_replayed }
            }
            Ok(None) => Told::Noted,
            Err(error) => error.into(),
        }
    }
}
