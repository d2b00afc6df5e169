//! What may leave a partition only once what it depends on is durable: replies, deliveries to consumers that do not share its
//! fate, and acknowledgements.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    Durability, DurabilityWatch, Participant,
    durability::Missed,
    link::{self, Consumption, DeliveryFault, Ready},
    sequencer::pending::Reply,
};

/// How far consumed logs are consumed, to be told to those who trim them.
pub(super) type AcksDue = Vec<(Arc<Consumption>, u64)>;

/// What one commit, or an answer without one, has to say.
struct Outgoing<P: Participant> {
    position: u64,
    replies: Vec<Reply<P>>,
    deliveries: Ready<P::Event>,
    acks: AcksDue,
}

/// See the module.
pub(super) struct Outbox<P: Participant> {
    /// Positions rise.
    queue: VecDeque<Outgoing<P>>,
    gate: Durability,
    watch: DurabilityWatch,
    delivery_fault: DeliveryFault,
}

impl<P: Participant> Outbox<P> {
    pub(super) fn new(gate: &Durability, delivery_fault: DeliveryFault) -> Self {
        Self { queue: VecDeque::new(), gate: gate.clone(), watch: gate.watch(), delivery_fault }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many commits and answers wait for what they depend on to be durable.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Queues what depends on `position`, and asks for that to be made durable.
    pub(super) fn push(&mut self, position: u64, replies: Vec<Reply<P>>, deliveries: Ready<P::Event>, acks: AcksDue) {
        if replies.is_empty() && deliveries.is_empty() && acks.is_empty() {
            return;
        }
        self.gate.request(position);
        self.queue.push_back(Outgoing { position, replies, deliveries, acks });
    }

    /// Sends what need not wait for anything.
    pub(super) fn send_now(&self, mut deliveries: Ready<P::Event>) {
        link::send(&mut deliveries, self.delivery_fault);
    }

    /// Lets out what has become durable.
    pub(super) fn release(&mut self) {
        let durable = self.gate.durable();
        while self.queue.front().is_some_and(|outgoing| outgoing.position <= durable) {
            if let Some(mut outgoing) = self.queue.pop_front() {
                for (ack, cursor) in outgoing.acks {
                    ack.set(cursor);
                }
                link::send(&mut outgoing.deliveries, self.delivery_fault);
                outgoing.replies.into_iter().for_each(Reply::send);
            }
        }
    }

    /// Waits until something can be let out; for ever, where nothing waits.
    ///
    /// # Errors
    /// When it never will be.
    pub(super) async fn releasable(&mut self) -> Result<(), Missed> {
        match self.queue.front() {
            Some(first) => self.watch.reached(first.position).await,
            None => std::future::pending().await,
        }
    }

    /// Waits until everything up to `position` is durable, and lets it out.
    ///
    /// # Errors
    /// When it never will be.
    pub(super) async fn drain(&mut self, position: u64) -> Result<(), Missed> {
        self.gate.wait(position).await?;
        self.release();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::{
        Replied,
        request::Answer,
        sequencer::{
            pending::Pending,
            testing::{Silent, request},
        },
    };

    fn answered(pending: &mut Pending<Silent>) -> (Vec<Reply<Silent>>, oneshot::Receiver<Answer<u32>>) {
        let (request, reply) = request(None, None);
        let id = pending.admit(request).expect("work of its own");
        (pending.close(id, Ok(Some(Replied::first(7)))).into_iter().collect(), reply)
    }

    #[tokio::test]
    async fn nothing_leaves_before_its_position_is_durable_and_all_leaves_in_order() {
        let (gate, mut pending) = (Durability::new(0), Pending::new());
        let mut outbox = Outbox::new(&gate, DeliveryFault::None);
        let ((first, mut heard_first), (second, mut heard_second)) = (answered(&mut pending), answered(&mut pending));
        let ack = Arc::<Consumption>::default();
        outbox.push(3, first, Ready::new(), vec![(Arc::clone(&ack), 9)]);
        outbox.push(5, second, Ready::new(), Vec::new());
        assert_eq!(gate.wanted(0, std::time::Duration::ZERO), Some(5), "somebody waits for it");
        gate.advance(2);
        outbox.release();
        assert!(heard_first.try_recv().is_err());
        assert_eq!(ack.known(), None);
        gate.advance(4);
        outbox.releasable().await.expect("it is durable");
        outbox.release();
        assert_eq!(heard_first.try_recv(), Ok(Ok(Some(Replied::first(7)))));
        assert_eq!(ack.known(), Some(9));
        assert!(heard_second.try_recv().is_err());
        gate.advance(5);
        outbox.drain(5).await.expect("it is durable");
        assert_eq!(heard_second.try_recv(), Ok(Ok(Some(Replied::first(7)))));
        assert!(outbox.is_empty());
    }

    #[tokio::test]
    async fn what_a_failed_flush_takes_never_leaves() {
        let (gate, mut pending) = (Durability::new(0), Pending::new());
        let mut outbox = Outbox::new(&gate, DeliveryFault::None);
        let (reply, mut heard) = answered(&mut pending);
        outbox.push(1, reply, Ready::new(), Vec::new());
        gate.poison("disk gone");
        assert!(outbox.releasable().await.is_err());
        assert!(outbox.drain(1).await.is_err());
        outbox.release();
        assert!(heard.try_recv().is_err());
    }

    #[test]
    fn nothing_to_say_asks_for_no_flush() {
        let gate = Durability::new(0);
        let mut outbox = Outbox::<Silent>::new(&gate, DeliveryFault::None);
        outbox.push(1, Vec::new(), Ready::new(), Vec::new());
        assert!(outbox.is_empty());
        assert_eq!(gate.wanted(0, std::time::Duration::ZERO), Some(0));
    }
}
