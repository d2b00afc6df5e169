//! Where a partition gets its inputs, and is told whether it is this process's and when to stop.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior},
};

use crate::{
    CallError, Participant, Settings,
    durability::Missed,
    link::Delivery,
    request::Request,
    sequencer::{Batch, pending::Pending},
    watch,
};

/// What a wait for something to do ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// There may be something to do.
    Work,
    /// Another process is the owner from now on.
    Deactivated,
    /// It is time to stop.
    Stopped,
}

/// The most events in one batch of an observer: about as many as come in while it lingers beside a fast shop.
const OBSERVED_MAX: usize = 65_536;

/// See the module.
pub(crate) struct Inbox<P: Participant> {
    deliveries: mpsc::Receiver<Delivery<P::Event>>,
    requests: mpsc::Receiver<Request<P>>,
    stop: watch::Receiver<bool>,
    /// Whether this process is the partition's owner, as far as it knows. A hint: two that think so only
    /// get into each other's way.
    active: watch::Receiver<bool>,
    /// Wakes whoever waits for nothing else.
    tick: Interval,
    batch_inputs_max: usize,
}

impl<P: Participant> Inbox<P> {
    /// Must be called on a runtime.
    pub(crate) fn new(
        deliveries: mpsc::Receiver<Delivery<P::Event>>,
        requests: mpsc::Receiver<Request<P>>,
        stop: watch::Receiver<bool>,
        active: watch::Receiver<bool>,
        settings: &Settings,
    ) -> Self {
        let batch_inputs_max = if P::IS_OBSERVER { OBSERVED_MAX } else { settings.batch_inputs_max };
        let mut tick = tokio::time::interval(settings.tick);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { deliveries, requests, stop, active, tick, batch_inputs_max }
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    pub(super) fn is_active(&self) -> bool {
        *self.active.borrow()
    }

    /// Whether no delivery waits.
    pub(super) fn is_idle(&self) -> bool {
        self.deliveries.is_empty()
    }

    pub(super) fn stop(&self) -> watch::Receiver<bool> {
        self.stop.clone()
    }

    /// Takes what is queued without waiting, until the batch is full. Deliveries come first, for they may free what
    /// requests wait for.
    pub(super) fn gather(&mut self, batch: &mut Batch<P>, pending: &mut Pending<P>) -> bool {
        while batch.len() < self.batch_inputs_max {
            let Ok(delivery) = self.deliveries.try_recv() else { break };
            batch.deliveries.push(delivery);
        }
        while batch.len() < self.batch_inputs_max {
            let Ok(request) = self.requests.try_recv() else { break };
            batch.requests.extend(pending.admit(request));
        }
        !batch.is_empty()
    }

    /// Waits for something to do, which may be that something is `releasable`, and adds to `batch` what came in.
    ///
    /// # Errors
    /// As of `releasable`.
    pub(super) async fn wait(
        &mut self,
        batch: &mut Batch<P>,
        pending: &mut Pending<P>,
        releasable: impl Future<Output = Result<(), Missed>>,
    ) -> Result<Woken, Missed> {
        tokio::select! {
            biased;
            Some(delivery) = self.deliveries.recv() => batch.deliveries.push(delivery),
            Some(request) = self.requests.recv() => batch.requests.extend(pending.admit(request)),
            released = releasable => released?,
            _ = self.tick.tick() => {}
            _ = self.stop.wait_for(|stop| *stop) => return Ok(Woken::Stopped),
            Ok(_) = self.active.wait_for(|active| !*active) => return Ok(Woken::Deactivated),
        }
        // Whoever is ready runs first: what it sends joins the batch, and shares a commit that would else have had one
        // input, for a runtime likes to run the task that was woken last at once.
        tokio::task::yield_now().await;
        self.gather(batch, pending);
        Ok(Woken::Work)
    }

    /// Lets what comes in come together for a while, unless somebody asks for something or it is time to stop.
    pub(super) async fn linger(&mut self, batch: &mut Batch<P>, pending: &mut Pending<P>, linger: Duration) {
        tokio::select! {
            biased;
            Some(request) = self.requests.recv() => batch.requests.extend(pending.admit(request)),
            _ = self.stop.wait_for(|stop| *stop) => {}
            // Where nobody can take the partition away, nobody holds the other end.
            Ok(_) = self.active.wait_for(|active| !*active) => {}
            () = tokio::time::sleep(linger) => {}
        }
        self.gather(batch, pending);
    }

    /// Waits until the partition is to be stopped or given up.
    pub(super) async fn interrupted(&mut self) {
        tokio::select! {
            _ = self.stop.wait_for(|stop| *stop) => {}
            // Where nobody can take the partition away, nobody holds the other end.
            Ok(_) = self.active.wait_for(|active| !*active) => {}
        }
    }

    /// Waits until the partition is this process's, and sends everybody elsewhere meanwhile. `false`: it is time to stop.
    pub(super) async fn rest(&mut self) -> bool {
        loop {
            tokio::select! {
                biased;
                _ = self.stop.wait_for(|stop| *stop) => break,
                changed = self.active.wait_for(|active| *active) => return changed.is_ok(),
                Some(request) = self.requests.recv() => request.refuse(CallError::Moved),
                // The cursor has not moved: the partition's owner consumes it.
                Some(_) = self.deliveries.recv() => {}
            }
        }
        self.requests.close();
        self.refuse(&CallError::Moved);
        false
    }

    /// Takes nothing in any more: who comes from now on is told that the service has stopped, and what peers send is in
    /// their logs.
    pub(super) fn close(&mut self) {
        self.requests.close();
        self.deliveries.close();
    }

    /// Answers requests that were not looked at.
    pub(super) fn refuse(&mut self, error: &CallError) {
        while let Ok(request) = self.requests.try_recv() {
            request.refuse(error.clone());
        }
    }

    /// Drops deliveries: the cursors have not moved, and what they brought is in the logs.
    pub(super) fn drop_deliveries(&mut self) {
        while self.deliveries.try_recv().is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        Timestamp,
        recorded::Recorded,
        sequencer::testing::{Silent, request},
    };

    struct Outside {
        deliver: mpsc::Sender<Delivery<u32>>,
        ask: mpsc::Sender<Request<Silent>>,
        stop: watch::Sender<bool>,
        active: watch::Sender<bool>,
    }

    fn inbox() -> (Inbox<Silent>, Outside) {
        let (deliver, deliveries) = mpsc::channel(9);
        let (ask, requests) = mpsc::channel(9);
        let (stop, active) = (watch::Sender::new(false), watch::Sender::new(true));
        let settings = Settings { batch_inputs_max: 3, tick: Duration::from_secs(1), ..Settings::default() };
        let inbox = Inbox::new(deliveries, requests, stop.subscribe(), active.subscribe(), &settings);
        (inbox, Outside { deliver, ask, stop, active })
    }

    fn delivery(to: u64) -> Delivery<u32> {
        Delivery {
            source: 0,
            from: to - 1,
            to,
            events: vec![(to, Arc::new(Recorded { at: Timestamp(0), event: 1 }))],
            fault: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn deliveries_come_before_requests_and_a_batch_has_an_end() {
        let (mut inbox, outside) = inbox();
        let mut replies = Vec::new();
        for number in 1..=2 {
            let (request, reply) = request(None, None);
            replies.push(reply);
            outside.ask.try_send(request).expect("there is room");
            outside.deliver.try_send(delivery(number)).expect("there is room");
        }
        let (mut batch, mut pending) = (Batch::default(), Pending::new());
        assert!(inbox.gather(&mut batch, &mut pending));
        assert_eq!((batch.deliveries.len(), batch.requests.len()), (2, 1));
        let mut next = Batch::default();
        assert!(inbox.gather(&mut next, &mut pending));
        assert_eq!((next.deliveries.len(), next.requests.len()), (0, 1));
        assert!(!inbox.gather(&mut Batch::default(), &mut pending));
        assert_eq!(pending.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_with_work_a_tick_a_release_a_stop_or_the_partitions_end() {
        let (mut inbox, outside) = inbox();
        let (mut batch, mut pending) = (Batch::default(), Pending::new());
        let never = std::future::pending::<Result<(), Missed>>;
        assert_eq!(inbox.wait(&mut batch, &mut pending, never()).await, Ok(Woken::Work), "the first tick");
        let released = std::future::ready(Ok(()));
        assert_eq!(inbox.wait(&mut batch, &mut pending, released).await, Ok(Woken::Work));
        let missed = Missed::Poisoned("disk gone".into());
        let failed = std::future::ready(Err(missed.clone()));
        assert_eq!(inbox.wait(&mut batch, &mut pending, failed).await, Err(missed));
        assert!(batch.is_empty());
        outside.deliver.try_send(delivery(1)).expect("there is room");
        assert_eq!(inbox.wait(&mut batch, &mut pending, never()).await, Ok(Woken::Work));
        assert_eq!(batch.deliveries.len(), 1);
        outside.active.send_replace(false);
        assert_eq!(inbox.wait(&mut batch, &mut pending, never()).await, Ok(Woken::Deactivated));
        outside.stop.send_replace(true);
        assert_eq!(inbox.wait(&mut batch, &mut pending, never()).await, Ok(Woken::Stopped));
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_a_partition_that_rests_is_sent_elsewhere() {
        let (mut inbox, outside) = inbox();
        outside.active.send_replace(false);
        let (early, reply) = request(None, None);
        outside.ask.try_send(early).expect("there is room");
        outside.deliver.try_send(delivery(1)).expect("there is room");
        let resting = tokio::spawn(async move { (inbox.rest().await, inbox) });
        assert_eq!(reply.await, Ok(Err(CallError::Moved)));
        outside.active.send_replace(true);
        let (is_mine, mut inbox) = resting.await.expect("no panic");
        assert!(is_mine);
        assert!(inbox.is_idle(), "what was delivered is in the log");
        outside.stop.send_replace(true);
        assert!(!inbox.rest().await);
        let (late, _reply) = request(None, None);
        assert!(outside.ask.try_send(late).is_err(), "nobody takes requests any more");
    }
}
