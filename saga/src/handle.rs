//! Asking the partitions of a service, whichever process owns them.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock, atomic::Ordering},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use crate::{
    Participant, Partition, Repeatability,
    health::Status,
    inspection::queued,
    partition_of,
    request::{Answer, Ask, CallError, IdempotencyKey, Replied, Request},
};

/// How a request is to be treated.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// Makes repetitions of the request apply once.
    pub key: Option<IdempotencyKey>,
    /// How long the request may wait for a reply before the participant is told that it has
    /// [`Expired`](crate::Input::Expired). `None`: for as long as it takes.
    pub patience: Option<Duration>,
}

/// Where a partition takes its requests.
pub(crate) struct Desk<P: Participant> {
    pub(crate) requests: mpsc::Sender<Request<P>>,
    pub(crate) status: Arc<Status>,
}

/// The future of [`Route::route`].
pub(crate) type Routed<'a, R> = Pin<Box<dyn Future<Output = Answer<R>> + Send + 'a>>;

/// Finds the owner of a partition, and asks it.
pub(crate) trait Route<P: Participant>: Send + Sync {
    fn route<'a>(
        &'a self,
        here: &'a Handle<P>,
        partition: Partition,
        ask: Ask<P::Command>,
        options: CallOptions,
    ) -> Routed<'a, P::Reply>;
}

/// Sends requests to the partitions of one service.
pub struct Handle<P: Participant> {
    /// Those in this process; empty where it does not run the service.
    desks: Arc<[Desk<P>]>,
    partitions: Partition,
    /// Set where other processes own partitions too.
    route: Arc<OnceLock<Arc<dyn Route<P>>>>,
}

impl<P: Participant> Clone for Handle<P> {
    fn clone(&self) -> Self {
        Self { desks: Arc::clone(&self.desks), partitions: self.partitions, route: Arc::clone(&self.route) }
    }
}

impl<P: Participant> fmt::Debug for Handle<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Handle").field("partitions", &self.partitions).finish()
    }
}

impl<P: Participant> Handle<P> {
    pub(crate) fn new(desks: Vec<Desk<P>>, partitions: Partition) -> Self {
        Self { desks: desks.into(), partitions, route: Arc::default() }
    }

    /// From now on requests go where `route` says.
    pub(crate) fn set_route(&self, route: Arc<dyn Route<P>>) {
        // Set once, by whoever starts the service.
        drop(self.route.set(route));
    }

    /// How many partitions there are.
    #[must_use]
    pub fn partitions(&self) -> Partition {
        self.partitions
    }

    /// The partition that `name` belongs to.
    #[must_use]
    pub fn partition_of(&self, name: &[u8]) -> Partition {
        partition_of(name, self.partitions())
    }

    /// Asks a partition to carry out `command`, and waits for the reply.
    ///
    /// With an idempotency key the same request is applied once, however often it is made, and gets the same reply. To
    /// notice that a key is used again for a request elsewhere, the key is first noted in the partition it belongs to.
    ///
    /// # Errors
    /// Where the participant gave no reply; see [`CallError`].
    pub async fn call(
        &self,
        partition: Partition,
        command: P::Command,
        options: CallOptions,
    ) -> Result<P::Reply, CallError> {
        Ok(self.call_marked(partition, command, options).await?.reply)
    }

    /// The same, telling a reply that was remembered from one that is new.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn call_marked(
        &self,
        partition: Partition,
        command: P::Command,
        mut options: CallOptions,
    ) -> Result<Replied<P::Reply>, CallError> {
        if options.key.as_ref().is_some_and(|key| key.retention.is_some())
            && P::repeatability(&command) != Repeatability::Once
        {
            // What the key is for, that a repetition does no harm, is so without it.
            options.key = None;
        }
        if let Some(key) = &options.key
            && key.retention.is_none()
        {
            let home = self.partition_of(key.key.as_bytes());
            if home != partition {
                self.claim(key.clone()).await?;
            }
        }
        let reply = self.ask(partition, Ask::Command(Arc::new(command)), options).await?;
        reply.ok_or(CallError::Unknown)
    }

    /// Notes a key in the partition it belongs to, for a request that is carried out in parts. Returns the reply if the
    /// request was carried out before.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn claim(&self, key: IdempotencyKey) -> Result<Option<P::Reply>, CallError> {
        let home = self.partition_of(key.key.as_bytes());
        let replied = self.ask(home, Ask::Claim, CallOptions { key: Some(key), patience: None }).await?;
        Ok(replied.map(|replied| replied.reply))
    }

    /// How many requests wait to be looked at by a partition in this process.
    pub(crate) fn queued(&self, partition: Partition) -> usize {
        self.desks.get(usize::from(partition)).map_or(0, |desk| queued(&desk.requests))
    }

    async fn ask(&self, partition: Partition, ask: Ask<P::Command>, options: CallOptions) -> Answer<P::Reply> {
        match self.route.get() {
            None => self.ask_here(partition, ask, options).await,
            Some(route) => route.route(self, partition, ask, options).await,
        }
    }

    /// Asks the partition in this process.
    pub(crate) async fn ask_here(
        &self,
        partition: Partition,
        ask: Ask<P::Command>,
        options: CallOptions,
    ) -> Answer<P::Reply> {
        let (reply_to, reply) = oneshot::channel();
        let desk = self.desks.get(usize::from(partition)).ok_or(CallError::Stopped)?;
        if desk.status.failing.load(Ordering::Acquire) || desk.status.stands_still() {
            return Err(CallError::Unavailable);
        }
        let CallOptions { key, patience } = options;
        desk.requests.try_send(Request { ask, key, patience, reply_to }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CallError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => CallError::Stopped,
        })?;
        reply.await.unwrap_or(Err(CallError::Unknown))
    }
}
