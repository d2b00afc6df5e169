//! One service over its store: built, then connected (see [`Choreography`](crate::Choreography) and
//! [`Node`](crate::remote::Node)), then running.

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};

use crate::{
    Handle, LogName, Participant, Partition, Settings, Store,
    handle::Desk,
    health::Health,
    inspection::{Inspected, Inspection, Probe, queued},
    metrics::Metrics,
    request::Request,
    sequencer::{Env, Halt, Inbox, Neighbours, Sequencer},
    watch,
    wiring::Wiring,
};

/// A service that is built and may be connected to others, but does not run yet.
pub struct Service<P: Participant, S> {
    pub(crate) participant: Arc<P>,
    pub(crate) store: S,
    settings: Settings,
    pub(crate) metrics: Metrics,
    pub(crate) wiring: Wiring<P::Event>,
    /// By partition.
    requests: Vec<mpsc::Receiver<Request<P>>>,
    handle: Handle<P>,
    stop: watch::Sender<bool>,
}

impl<P: Participant, S> fmt::Debug for Service<P, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Service").field("name", &P::NAME).field("partitions", &self.requests.len()).finish()
    }
}

impl<P: Participant, S: Store + Clone> Service<P, S> {
    /// A service of `partitions` partitions over `store`. The number must be the one that the data was created with.
    #[must_use]
    pub fn new(participant: P, store: S, partitions: Partition, settings: Settings, metrics: Metrics) -> Self {
        let wiring = Wiring::new::<P, S>(&store, partitions, &settings);
        let (mut desks, mut requests) = (Vec::new(), Vec::new());
        for seat in &wiring.seats {
            let (ask, asked) = mpsc::channel(settings.requests_waiting_max);
            desks.push(Desk { requests: ask, status: Arc::clone(&seat.status) });
            requests.push(asked);
        }
        let (handle, stop) = (Handle::new(desks, partitions), watch::Sender::new(false));
        Self { participant: Arc::new(participant), store, settings, metrics, wiring, requests, handle, stop }
    }

    /// Where to send this service's requests.
    #[must_use]
    pub fn handle(&self) -> Handle<P> {
        self.handle.clone()
    }

    /// Starts one task per partition on the current `tokio` runtime.
    pub(crate) fn start(self) -> RunningService {
        let partitions = self.handle.partitions();
        let (ready, mut became_ready) = mpsc::channel(partitions.max(1).into());
        let mut tasks = JoinSet::new();
        let (mut statuses, mut probes) = (Vec::new(), Vec::new());
        for ((partition, seat), requests) in (0..).zip(self.wiring.seats).zip(self.requests) {
            let log = LogName { service: P::NAME.into(), partition };
            statuses.push((log.clone(), Arc::clone(&seat.status)));
            let env = Env {
                participant: Arc::clone(&self.participant),
                store: self.store.clone(),
                settings: self.settings.clone(),
                log,
                partitions,
                status: seat.status,
                metrics: self.metrics.partition(P::NAME, partition),
            };
            let (desks, deliveries) = (self.handle.clone(), seat.deliver.downgrade());
            // Not kept open by it: it ends with its producers.
            let waiting = move || deliveries.upgrade().as_ref().map_or(0, queued);
            probes.push(Probe::new(
                env.log.clone(),
                Arc::clone(&env.status),
                seat.active.subscribe(),
                (&seat.sources, &seat.acks),
                self.store.durability().clone(),
                move || [waiting(), desks.queued(partition)],
            ));
            let (stop, active) = (self.stop.subscribe(), seat.active.subscribe());
            let inbox = Inbox::new(seat.mailbox, requests, stop, active, &self.settings);
            let neighbours = Neighbours::new(seat.sources, seat.links, seat.acks);
            tasks.spawn(Sequencer::new(env, inbox, neighbours).run(ready.clone()));
        }
        drop(ready);
        let (recovered, is_recovered) = tokio::sync::watch::channel(false);
        tasks.spawn(async move {
            for _ in 0..partitions {
                if became_ready.recv().await.is_none() {
                    return Ok(());
                }
            }
            recovered.send_replace(true);
            Ok(())
        });
        let (mut health, store) = (Health::of_partitions(statuses), self.store);
        health.limit(move || store.room().err().into_iter().collect());
        let inspected = Inspected::new(P::NAME, probes);
        RunningService { tasks, stop: self.stop, recovered: is_recovered, health, inspected, is_bystander: false }
    }
}

/// One service that runs.
#[derive(Debug)]
pub(crate) struct RunningService {
    tasks: JoinSet<Result<(), Halt>>,
    stop: watch::Sender<bool>,
    recovered: tokio::sync::watch::Receiver<bool>,
    health: Health,
    inspected: Inspected,
    /// The others go on without it.
    is_bystander: bool,
}

impl RunningService {
    /// One that the others of the process do not depend on.
    pub(crate) fn bystander(self) -> Self {
        Self { is_bystander: true, health: self.health.into_limits(), ..self }
    }

    /// The reason for which one of its partitions has stopped by itself, once there is one.
    fn poll_halted(&mut self, context: &mut Context<'_>) -> Poll<Halt> {
        while let Poll::Ready(Some(ended)) = self.tasks.poll_join_next(context) {
            match ended {
                Ok(Err(halt)) if !self.is_bystander => return Poll::Ready(halt),
                Err(panic) if panic.is_panic() && !self.is_bystander => return Poll::Ready(panicked(&panic)),
                Ok(Err(halt)) => tracing::error!(%halt, "an observer has stopped; the others go on without it"),
                _ => {}
            }
        }
        Poll::Pending
    }

    async fn stop(mut self) -> Result<(), Halt> {
        self.stop.send_replace(true);
        let mut outcome = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            outcome = outcome.and(ended.unwrap_or_else(|error| Err(panicked(&error))));
        }
        outcome
    }
}

fn panicked(error: &JoinError) -> Halt {
    Halt::Poisoned(format!("a partition panicked: {error}"))
}

/// Services that run.
#[derive(Debug)]
pub struct Running {
    services: Vec<RunningService>,
}

impl FromIterator<RunningService> for Running {
    fn from_iter<I: IntoIterator<Item = RunningService>>(services: I) -> Self {
        Self { services: services.into_iter().collect() }
    }
}

impl Running {
    /// Each service alone, in the order in which they were added: to stop one and not the others.
    #[must_use]
    pub fn split(self) -> Vec<Self> {
        self.services.into_iter().map(|service| Self { services: vec![service] }).collect()
    }

    fn needed(&self) -> impl Iterator<Item = &RunningService> {
        self.services.iter().filter(|service| !service.is_bystander)
    }

    /// Waits until every partition has loaded its state and consumed what its sources had for it. `false`: it will not,
    /// for one has stopped by itself.
    pub fn recovered(&self) -> impl Future<Output = bool> + Send + use<> {
        let services: Vec<_> = self.needed().map(|service| service.recovered.clone()).collect();
        async {
            for mut service in services {
                if service.wait_for(|recovered| *recovered).await.is_err() {
                    return false;
                }
            }
            true
        }
    }

    /// Whether every partition has, so far.
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        self.needed().all(|service| *service.recovered.borrow())
    }

    /// Why the services cannot do their work, for readiness.
    #[must_use]
    pub fn health(&self) -> Health {
        self.services.iter().map(|service| service.health.clone()).collect()
    }

    /// What the services are like, for those who operate them.
    #[must_use]
    pub fn inspection(&self) -> Inspection {
        self.services.iter().map(|service| service.inspected.clone()).collect()
    }

    /// Waits until a partition stops by itself, which it does only when it must not go on.
    pub async fn halted(&mut self) -> Halt {
        poll_fn(|context| {
            let halted = self.services.iter_mut().map(|service| service.poll_halted(context));
            halted.fold(Poll::Pending, |first, next| if first.is_ready() { first } else { next })
        })
        .await
    }

    /// Carries out what is queued, makes it durable, answers, and ends all tasks, one service after the other. A partition
    /// whose store does not answer gives that up after [`Settings::stop_grace`] at the latest: what ran is then as it is
    /// after a crash.
    ///
    /// # Errors
    /// The first reason for which a partition could not.
    pub async fn stop(self) -> Result<(), Halt> {
        let mut outcome = Ok(());
        for service in self.services {
            outcome = outcome.and(service.stop().await);
        }
        outcome
    }
}
