//! One other service, or the other replicas of one's own: the connections to its replicas, and who looks after which
//! partition.
//!
//! ```text
//!  names ── resolve ──▶ addresses ──▶ one task each: connect, greet, run, try again
//!                          ▲               │ Places            │ up, down
//!                          └───────────────┴──▶ owners: by partition, the connection to who looks after it
//! ```

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
    Partition,
    remote::{connection::Connection, transport::Transport, wire::Message},
    watch,
};

/// How often names are resolved anew: a replica that is started again may have a new address.
const RESOLVE_EVERY: Duration = Duration::from_secs(1);

/// Between two tries to connect, doubling from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// By partition, the connection to the replica that looks after it.
pub(crate) type Owners = Arc<Vec<Option<Arc<Connection>>>>;

/// Gets the messages that a peer sends unasked.
pub(crate) type Hear = Arc<dyn Fn(&Arc<Connection>, Message) + Send + Sync>;

/// One other service.
pub(crate) struct Peer {
    pub(crate) service: Arc<str>,
    pub(crate) partitions: Partition,
    transport: Arc<dyn Transport>,
    hello: Message,
    state: Mutex<State>,
    owners: watch::Sender<Owners>,
    /// Counts whatever happens to the connections.
    pub(crate) events: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// By the address that was dialled.
    dialled: BTreeSet<String>,
    /// By the address that the replica gives as its own.
    connections: BTreeMap<String, Arc<Connection>>,
    /// By partition, the address of who looks after it.
    places: Vec<String>,
    /// Replicas that there are, whether they look after anything or not.
    known: BTreeSet<String>,
    /// Replicas that closed their connection, or let nobody connect: most likely dead, and known to be so long before
    /// their names expire.
    suspects: BTreeSet<String>,
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
        own: (&str, Partition),
        transport: Arc<dyn Transport>,
    ) -> Self {
        let hello = Message::Hello {
            version: crate::remote::wire::VERSION,
            service: own.0.to_owned(),
            partitions: own.1,
            wanted: service.to_string(),
            wanted_partitions: partitions,
        };
        let owners = watch::Sender::new(Arc::new(vec![None; partitions.into()]));
        let (state, events) = (Mutex::default(), watch::Sender::new(0));
        Self { service, partitions, transport, hello, state, owners, events }
    }

    /// The connection to who looks after `partition`.
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

    /// Says who looks after which partition.
    pub(crate) fn set_places(&self, places: Vec<String>) {
        self.state().places = places;
        self.update();
    }

    /// Connects to whatever `names` stand for, and to those that look after partitions, for as long as this is polled.
    pub(crate) async fn run(self: Arc<Self>, names: Vec<String>, me: String, hear: Hear) {
        let mut tasks = JoinSet::new();
        let mut events = self.events.subscribe();
        loop {
            let mut addresses = BTreeSet::new();
            for name in &names {
                // A name that stands for nothing now may do so later.
                if let Ok(Ok(found)) = timeout(RESOLVE_EVERY, self.transport.resolve(name)).await {
                    addresses.extend(found);
                }
            }
            {
                let state = self.state();
                addresses.extend(state.places.iter().chain(&state.known).filter(|place| !place.is_empty()).cloned());
            }
            addresses.remove(&me);
            self.dial(addresses, &mut tasks, &hear);
            tokio::select! {
                biased;
                Some(_) = tasks.join_next() => {}
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
            match Connection::open(self.transport.connect(&address), &self.hello).await {
                Ok((connection, opened)) => {
                    delay = RETRY.0;
                    let connection = Arc::new(connection);
                    tracing::info!(service = %self.service, %address, "connected");
                    self.connected(&connection);
                    let error = connection.run(opened, |message| hear(&connection, message)).await;
                    tracing::info!(service = %self.service, %address, %error, "the connection is lost");
                    self.disconnected(&connection, &error);
                }
                Err(error) => {
                    let refused = error.kind() == io::ErrorKind::PermissionDenied;
                    if refused {
                        tracing::error!(service = %self.service, %address, %error, "not let in");
                    }
                    self.suspect(&address, &error);
                    delay *= 2;
                }
            }
            sleep(delay).await;
        }
        self.state().dialled.remove(&address);
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
        let current = state.connections.get(&connection.address).is_some_and(|known| known.number == connection.number);
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
        let mut owners: Vec<_> = state.places.iter().map(open).collect();
        drop(state);
        owners.resize(self.partitions.into(), None);
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
