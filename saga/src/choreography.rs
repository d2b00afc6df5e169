//! Services of one process, joined by what they say they consume.

use std::{fmt, sync::Arc};

use tokio::runtime;

use crate::{
    Handle, Metrics, Participant, Partition, ReadLog, Running, Service, Settings, Store,
    link::Visibility,
    service::RunningService,
    wiring::{Logs, NotConnected, Way, Wiring},
};

/// A service of whichever participant.
trait Member<E>: Send {
    fn wiring(&self) -> &Wiring<E>;
    fn wiring_mut(&mut self) -> &mut Wiring<E>;
    fn start(self: Box<Self>) -> RunningService;
}

impl<P: Participant, S: Store + Clone> Member<P::Event> for Service<P, S> {
    fn wiring(&self) -> &Wiring<P::Event> {
        &self.wiring
    }

    fn wiring_mut(&mut self) -> &mut Wiring<P::Event> {
        &mut self.wiring
    }

    fn start(self: Box<Self>) -> RunningService {
        let running = (*self).start();
        if P::IS_OBSERVER { running.bystander() } else { running }
    }
}

/// Services of one process before they run. Who consumes whom is what each says in [`Participant::CONSUMES`].
///
/// Those whose stores are in one durability domain pass events on before they are durable: they lose them together.
pub struct Choreography<E> {
    settings: Settings,
    metrics: Metrics,
    members: Vec<Box<dyn Member<E>>>,
    /// Logs of services that do not run.
    archives: Vec<Logs>,
    /// Where those run that do not run where the others do, by name.
    elsewhere: Vec<(&'static str, runtime::Handle)>,
}

impl<E> fmt::Debug for Choreography<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.members.iter().map(|member| member.wiring().name());
        formatter.debug_tuple("Choreography").field(&names.collect::<Vec<_>>()).finish()
    }
}

impl<E> Choreography<E> {
    /// No services yet; all will have these settings.
    #[must_use]
    pub fn new(settings: Settings, metrics: Metrics) -> Self {
        Self { settings, metrics, members: Vec::new(), archives: Vec::new(), elsewhere: Vec::new() }
    }

    /// Adds a service of `partitions` partitions over `store`, and says where to send its requests. The number must be the
    /// one that the data was created with.
    pub fn add<P, S>(&mut self, participant: P, store: S, partitions: Partition) -> Handle<P>
    where
        P: Participant<Event = E>,
        S: Store + Clone,
    {
        let service = Service::new(participant, store, partitions, self.settings.clone(), self.metrics.clone());
        let handle = service.handle();
        self.members.push(Box::new(service));
        handle
    }

    /// Adds the logs of a service that does not run, with as many partitions as its data were created with: whoever consumes
    /// them consumes what is there, and nothing is added to them. For whoever looks at data without serving them.
    pub fn add_logs<S: Store>(&mut self, service: &'static str, store: S, partitions: Partition) {
        let reader: Arc<dyn ReadLog> = Arc::new(store);
        self.archives.push(Logs { service, partitions, reader: Some(reader), visibility: Visibility::Durable });
    }

    /// Has the service of this name run on the threads of `runtime`: beside the others, whom its work then does not delay.
    pub fn run_on(&mut self, service: &'static str, runtime: runtime::Handle) {
        self.elsewhere.push((service, runtime));
    }

    /// Connects the services and starts them, in the order in which they were added, on the current `tokio` runtime but for
    /// what [`run_on`](Self::run_on) says.
    ///
    /// # Errors
    /// When one of them consumes the logs of a service of which neither it nor its logs were added.
    pub fn start(mut self) -> Result<Running, NotConnected> {
        self.check()?;
        let count = self.members.len();
        for logs in std::mem::take(&mut self.archives) {
            let consumers = self.members.iter_mut().filter(|member| member.wiring().consumes.contains(&logs.service));
            // Nobody delivers anything: what there is, is read at the start.
            consumers.for_each(|member| drop(member.wiring_mut().subscribe(&logs)));
        }
        for producer in 0..count {
            // Those further on hear of an event before those further back do: it is most likely their turn.
            for consumer in (producer..count).chain(0..producer) {
                self.connect(producer, consumer);
            }
        }
        let Self { members, elsewhere, .. } = self;
        let start = |member: Box<dyn Member<E>>| {
            let runtime = elsewhere.iter().find(|(name, _)| *name == member.wiring().name());
            let _there = runtime.map(|(_, runtime)| runtime.enter());
            member.start()
        };
        Ok(members.into_iter().map(start).collect())
    }

    fn check(&self) -> Result<(), NotConnected> {
        let names = || self.members.iter().map(|member| member.wiring().name());
        let is_there =
            |name: &str| names().chain(self.archives.iter().map(|logs| logs.service)).any(|known| known == name);
        for member in &self.members {
            member.wiring().check(is_there)?;
        }
        Ok(())
    }

    fn connect(&mut self, producer: usize, consumer: usize) {
        let (Some(from), Some(to)) = (self.members.get(producer), self.members.get(consumer)) else { return };
        let (from, to) = (from.wiring(), to.wiring());
        if !to.consumes.contains(&from.name()) {
            return;
        }
        let (logs, audience) = (from.logs_for(to), to.audience.clone());
        let subscriptions = self.members.get_mut(consumer).map(|member| member.wiring_mut().subscribe(&logs));
        let ways =
            subscriptions.iter().flatten().map(|(pair, subscription)| (*pair, Way::from(subscription))).collect();
        if let Some(member) = self.members.get_mut(producer) {
            member.wiring_mut().feed(&audience, logs.visibility, ways);
        }
    }
}
