//! One other service, or the other replicas of one's own: the connections to its replicas, and the owners of its
//! partitions.
//!
//! ```text
//!  names ── resolve ──▶ addresses ──▶ one task each: connect, greet, run, try again
//!                          ▲               │ Places            │ up, down
//!                          └───────────────┴──▶ owners: by partition, the connection to its owner
//! ```
//!
//! A replica is believed what it claims for itself, as long as the connection to it stands; of several that claim a
//! partition, the one that began to do so last. Replicas of one's own service go by their list instead.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Partition, Refrain,
    remote::{
        bonds::{Bonds, Strange},
        connection::{Connection, Opened},
        or_panic,
        secret::{Secrets, nonce, unreadable},
        transport::Transport,
        wire::{Message, Places, VERSION},
    },
    store::{self, Identity},
    watch,
};

/// How often names are resolved anew: a replica that is started again may have a new address.
const RESOLVE_EVERY: Duration = Duration::from_secs(1);

/// Between two tries to connect, doubling from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// By partition, the connection to its owner.
pub(crate) type Owners = Arc<Vec<Option<Arc<Connection>>>>;

/// Gets the messages that a peer sends unasked.
pub(crate) type Hear = Arc<dyn Fn(&Arc<Connection>, Message) + Send + Sync>;

/// What a process says of itself to those it connects to.
pub(crate) struct Caller {
    pub(crate) service: Arc<str>,
    pub(crate) partitions: Partition,
    /// Where it is to be reached.
    pub(crate) address: String,
    /// What it shows that it knows, and wants to be shown.
    pub(crate) secrets: Option<Secrets>,
}

/// One other service.
pub(crate) struct Peer {
    pub(crate) service: Arc<str>,
    pub(crate) partitions: Partition,
    transport: Arc<dyn Transport>,
    bonds: Arc<Bonds>,
    own: Caller,
    state: Mutex<State>,
    owners: watch::Sender<Owners>,
    /// Counts whatever happens to the connections.
    pub(crate) events: watch::Sender<u64>,
    refrain: Refrain,
}

#[derive(Default)]
struct State {
    /// By the address that was dialled.
    dialled: BTreeSet<String>,
    /// By the address that the replica gives as its own.
    connections: BTreeMap<String, Arc<Connection>>,
    /// By the number of the connection.
    told: BTreeMap<u64, Told>,
    /// Counts claims.
    claims: u64,
    /// Of one's own service: by partition, the address of its owner by the membership list.
    places: Option<Vec<String>>,
    /// Replicas that there are, whether they own a partition or not.
    known: BTreeSet<String>,
    /// Replicas that are connected to this process, by the number of their connection.
    callers: BTreeMap<u64, String>,
    /// Names that stand for nothing.
    unresolved: BTreeSet<String>,
    /// By address, why it is not connected.
    failures: BTreeMap<String, Failure>,
    /// Replicas that closed their connection, or let nobody connect: most likely dead, and known to be so long before
    /// their names expire.
    suspects: BTreeSet<String>,
}

/// What a replica says of the partitions.
struct Told {
    places: Places,
    /// By partition, the number of its claim; 0 for none.
    claims: Vec<u64>,
}

/// Why an address is not connected.
struct Failure {
    reason: String,
    /// Whoever is there will not have it.
    is_refusal: bool,
}

/// What of many failures is said.
const FAILURES_SAID: usize = 3;

impl State {
    fn is_current(&self, connection: &Connection) -> bool {
        self.connections.get(&connection.address).is_some_and(|known| known.number == connection.number)
    }

    /// The connection to who claims a partition.
    fn claimant(&self, partition: Partition) -> Option<Arc<Connection>> {
        let claim = |connection: &&Arc<Connection>| {
            let told = self.told.get(&connection.number)?;
            let number = *told.claims.get(usize::from(partition))?;
            (number > 0 && !connection.is_closed()).then_some((told.places.is_current, number))
        };
        let claims = self.connections.values().filter_map(|connection| Some((claim(&connection)?, connection)));
        claims.max_by_key(|(claim, _)| *claim).map(|(_, connection)| Arc::clone(connection))
    }

    /// All addresses that the replicas name.
    fn addresses(&self) -> impl Iterator<Item = &String> {
        let told = self.told.values().flat_map(|told| &told.places.addresses);
        told.chain(&self.known).chain(self.callers.values()).filter(|address| !address.is_empty())
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Peer").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Peer {
    pub(crate) fn new(
        service: Arc<str>,
        partitions: Partition,
        own: Caller,
        transport: Arc<dyn Transport>,
        bonds: Arc<Bonds>,
    ) -> Self {
        let owners = watch::Sender::new(Arc::new(vec![None; partitions.into()]));
        let (state, events, refrain) = (Mutex::default(), watch::Sender::new(0), Refrain::default());
        Self { service, partitions, transport, bonds, own, state, owners, events, refrain }
    }

    /// The connection to the owner of `partition`.
    pub(crate) fn owner(&self, partition: Partition) -> Option<Arc<Connection>> {
        self.owners.borrow().get(usize::from(partition)).cloned().flatten()
    }

    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        self.state().connections.values().cloned().collect()
    }

    /// Replicas that are most likely dead.
    pub(crate) fn suspects(&self) -> BTreeSet<String> {
        self.state().suspects.clone()
    }

    /// What is lacking of the service, in words for whoever runs it.
    pub(crate) fn lack(&self) -> Option<String> {
        let owners = Arc::clone(&self.owners.borrow());
        let lacking: Vec<_> = (0..self.partitions).zip(&*owners).filter(|(_, owner)| owner.is_none()).collect();
        let first = lacking.first()?.0;
        let (service, state) = (&self.service, self.state());
        let mut lack = if state.connections.is_empty() {
            format!("no replica of {service} can be reached")
        } else {
            format!("no replica of {service} that can be reached owns its partition {first}")
        };
        let unresolved = state.unresolved.iter().map(|name| format!("{name} stands for no address"));
        let failures = state.failures.iter().map(|(address, failure)| format!("{address}: {}", failure.reason));
        for why in unresolved.chain(failures).take(FAILURES_SAID) {
            lack = format!("{lack}; {why}");
        }
        Some(lack)
    }

    /// Whether the service's replicas are there, and will not have this process.
    pub(crate) fn is_shut(&self) -> bool {
        let state = self.state();
        state.connections.is_empty() && state.failures.values().any(|failure| failure.is_refusal)
    }

    /// A replica of the service is connected to this process, and says where it is.
    pub(crate) fn called_by(&self, connection: u64, address: &str) {
        self.state().callers.insert(connection, address.to_owned());
        self.happened();
    }

    /// It is not any more.
    pub(crate) fn call_ended(&self, connection: u64) {
        self.state().callers.remove(&connection);
    }

    /// Says which replicas there are.
    pub(crate) fn set_known(&self, known: BTreeSet<String>) {
        let mut state = self.state();
        if state.known != known {
            state.suspects.retain(|suspect| known.contains(suspect));
            state.known = known;
            drop(state);
            self.happened();
        }
    }

    /// Says who owns which partition, in place of the replicas' own claims.
    pub(crate) fn set_places(&self, places: Vec<String>) {
        let places = Some(places);
        let mut state = self.state();
        if state.places != places {
            state.places = places;
            drop(state);
            self.update();
        }
    }

    /// Takes note of what a replica says of the partitions.
    pub(crate) fn hear(&self, connection: &Connection, places: Places) {
        if places.addresses.len() != usize::from(self.partitions) {
            tracing::debug!(address = %connection.address, ?places, "places of another number of partitions");
            return;
        }
        let mut state = self.state();
        let before = state.told.get(&connection.number);
        if !state.is_current(connection) || before.is_some_and(|told| told.places == places) {
            return;
        }
        let next = state.claims + 1;
        let claim = |(partition, address): (usize, &String)| match before.and_then(|told| told.claims.get(partition)) {
            _ if *address != connection.address => 0,
            Some(claim @ 1..) => *claim,
            _ => next,
        };
        let claims = places.addresses.iter().enumerate().map(claim).collect();
        state.claims = next;
        state.told.insert(connection.number, Told { places, claims });
        drop(state);
        self.update();
    }

    /// Whether a replica says that a partition is not its own.
    pub(crate) fn lets_go(&self, address: &str, partition: Partition) -> bool {
        let state = self.state();
        let told = state.connections.get(address).and_then(|connection| state.told.get(&connection.number));
        told.is_some_and(|told| told.claims.get(usize::from(partition)) == Some(&0))
    }

    /// Connects to whatever `names` stand for, and to owners of partitions, for as long as this is polled.
    pub(crate) async fn run(self: Arc<Self>, names: Vec<String>, me: String, hear: Hear) {
        let mut tasks = JoinSet::new();
        let mut events = self.events.subscribe();
        loop {
            let (mut addresses, mut unresolved) = (BTreeSet::new(), BTreeSet::new());
            for name in &names {
                // A name that stands for nothing now may do so later.
                match timeout(RESOLVE_EVERY, self.transport.resolve(name)).await {
                    Ok(Ok(found)) if !found.is_empty() => addresses.extend(found),
                    _ => drop(unresolved.insert(name.clone())),
                }
            }
            {
                let mut state = self.state();
                addresses.extend(state.addresses().cloned());
                state.failures.retain(|address, _| addresses.contains(address));
                state.unresolved = unresolved;
            }
            addresses.remove(&me);
            self.dial(addresses, &mut tasks, &hear);
            tokio::select! {
                biased;
                Some(ended) = tasks.join_next() => or_panic(ended),
                _ = events.changed() => {}
                () = sleep(RESOLVE_EVERY) => {}
            }
        }
    }

    /// Connects to those that are not connected to yet, and gives up those that are wanted no more.
    fn dial(self: &Arc<Self>, addresses: BTreeSet<String>, tasks: &mut JoinSet<()>, hear: &Hear) {
        let new: Vec<_> = {
            let state = self.state();
            let known = |address: &String| state.dialled.contains(address) || state.connections.contains_key(address);
            addresses.into_iter().filter(|address| !known(address)).collect()
        };
        for address in new {
            self.state().dialled.insert(address.clone());
            tasks.spawn(Arc::clone(self).keep_connected(address, Arc::clone(hear)));
        }
    }

    /// Connects again and again until the address has been silent for long: then whoever still wants it dials it anew.
    async fn keep_connected(self: Arc<Self>, address: String, hear: Hear) {
        let mut delay = RETRY.0;
        while delay <= RETRY.1 {
            match self.open(&address).await {
                Ok((connection, opened)) => {
                    delay = RETRY.0;
                    let connection = Arc::new(connection);
                    tracing::info!(service = %self.service, %address, "connected");
                    self.state().failures.remove(&address);
                    self.connected(&connection);
                    let error = connection.run(opened, |message| hear(&connection, message)).await;
                    tracing::info!(service = %self.service, %address, %error, "the connection is lost");
                    self.disconnected(&connection, &error);
                }
                Err(error) => {
                    self.failed(&address, &error);
                    self.suspect(&address, &error);
                    delay *= 2;
                }
            }
            sleep(delay).await;
        }
        self.state().dialled.remove(&address);
    }

    /// Connects to an address, if whoever is there is of the same shop.
    async fn open(&self, address: &str) -> io::Result<(Connection, Opened)> {
        let known = self.bonds.known(&self.service).await.map_err(io::Error::other)?;
        let hello = Message::Hello {
            version: VERSION,
            service: self.own.service.to_string(),
            partitions: self.own.partitions,
            wanted: self.service.to_string(),
            wanted_partitions: self.partitions,
            data: self.bonds.own.to_bits(),
            wanted_data: known.map(Identity::to_bits),
            address: Some(self.own.address.clone()),
            nonce: self.own.secrets.is_some().then(nonce).transpose()?,
        };
        let secrets = self.own.secrets.as_ref().map(Secrets::read).transpose().map_err(unreadable)?;
        let (connection, opened, data) =
            Connection::open(self.transport.connect(address), &hello, secrets.as_deref()).await?;
        self.bonds.meet(&self.service, data).await.map_err(|strange| match strange {
            Strange::Data(reason) => io::Error::new(io::ErrorKind::PermissionDenied, reason),
            Strange::Store(error) => io::Error::other(error),
        })?;
        Ok((connection, opened))
    }

    /// Waits until which data of this service the own ones belong with is known: at once, unless they are new.
    ///
    /// # Errors
    /// When the store is poisoned.
    pub(crate) async fn bound(&self) -> store::Result<()> {
        let mut events = self.events.subscribe();
        loop {
            match self.bonds.known(&self.service).await {
                Ok(Some(_)) => return Ok(()),
                Err(error @ store::Error::Poisoned(_)) => return Err(error),
                Ok(None) | Err(_) => {}
            }
            tokio::select! {
                _ = events.changed() => {}
                () = sleep(RESOLVE_EVERY) => {}
            }
        }
    }

    fn failed(&self, address: &str, error: &io::Error) {
        let is_refusal = error.kind() == io::ErrorKind::PermissionDenied;
        let reason = error.to_string();
        if is_refusal && let Some(times) = self.refrain.say(&reason) {
            tracing::error!(service = %self.service, %address, %error, times, "the peer rejected the handshake");
        }
        self.state().failures.insert(address.to_owned(), Failure { reason, is_refusal });
    }

    fn connected(&self, connection: &Arc<Connection>) {
        let mut state = self.state();
        state.suspects.remove(&connection.address);
        state.connections.insert(connection.address.clone(), Arc::clone(connection));
        drop(state);
        self.update();
    }

    fn disconnected(&self, connection: &Arc<Connection>, error: &io::Error) {
        let mut state = self.state();
        state.told.remove(&connection.number);
        let current = state.is_current(connection);
        if current {
            state.connections.remove(&connection.address);
        }
        drop(state);
        if current {
            self.suspect(&connection.address, error);
        }
        self.update();
    }

    fn suspect(&self, address: &str, error: &io::Error) {
        // Silence alone may be a cut between the two that nobody else notices: that is left to the member list.
        if error.kind() == io::ErrorKind::TimedOut || error.kind() == io::ErrorKind::PermissionDenied {
            return;
        }
        let new = self.state().suspects.insert(address.to_owned());
        if new {
            self.happened();
        }
    }

    /// Joins places and connections.
    fn update(&self) {
        let state = self.state();
        let open = |place: &String| state.connections.get(place).filter(|open| !open.is_closed()).cloned();
        let owner = |partition: Partition| match &state.places {
            Some(places) => places.get(usize::from(partition)).and_then(open),
            None => state.claimant(partition),
        };
        let owners = (0..self.partitions).map(owner).collect();
        drop(state);
        self.owners.send_replace(Arc::new(owners));
        self.happened();
    }

    fn happened(&self) {
        self.events.send_modify(|count| *count += 1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
