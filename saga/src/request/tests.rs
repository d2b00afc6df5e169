use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::{Answer, Ask, CallError, Desk, IdempotencyKey, Request};
use crate::{Destinations, Input, Key, Missing, Participant, Partition, RequestId, Step, participant::Record};

/// Takes any number and says nothing.
struct Silent;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Nothing;

impl Key for Nothing {
    fn write_to(&self, _out: &mut Vec<u8>) {}
}

impl Record for String {}

impl Participant for Silent {
    type Key = Nothing;
    type Record = String;
    type Command = u32;
    type Reply = u32;
    type Event = u32;

    fn name(&self) -> &'static str {
        "silent"
    }

    fn step(&self, _step: &mut Step<'_, Self>, _input: Input<'_, Self>) -> Result<(), Missing> {
        Ok(())
    }

    fn destinations(&self, _event: &u32, _partitions: Partition, _to: &mut Destinations) {}
}

type Receiver = oneshot::Receiver<Answer<u32>>;

fn request(key: Option<(&str, u64)>, patience: Option<Duration>) -> (Request<Silent>, Receiver) {
    let (reply_to, receiver) = oneshot::channel();
    let key = key.map(|(key, fingerprint)| IdempotencyKey { key: key.into(), fingerprint, retention: None });
    (Request { ask: Ask::Command(Arc::new(1)), key, patience, reply_to }, receiver)
}

#[tokio::test(start_paused = true)]
async fn repetitions_of_a_running_request_join_it_and_strangers_are_refused() {
    let mut desk = Desk::new();
    let (first, mut first_reply) = request(Some(("key", 1)), None);
    let (again, mut again_reply) = request(Some(("key", 1)), None);
    let (stranger, mut stranger_reply) = request(Some(("key", 2)), None);
    let id = desk.admit(first).expect("work of its own");
    assert_eq!((desk.admit(again), desk.admit(stranger)), (None, None));
    assert_eq!(stranger_reply.try_recv(), Ok(Err(CallError::KeyReused)));
    desk.close(id, Ok(Some(7))).expect("two wait").send();
    assert_eq!((first_reply.try_recv(), again_reply.try_recv()), (Ok(Ok(Some(7))), Ok(Ok(Some(7)))));
    assert_eq!(desk.len(), 0);
    let (later, _reply) = request(Some(("key", 2)), None);
    assert!(desk.admit(later).is_some(), "whether the key is remembered is for the records to say");
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_once() {
    let mut desk = Desk::new();
    let (one, _reply) = request(None, None);
    let id = desk.admit(one).expect("work of its own");
    assert!(desk.close(id, Ok(Some(1))).is_some());
    assert!(desk.close(id, Ok(Some(2))).is_none());
    assert!(desk.close(RequestId(99), Ok(Some(2))).is_none());
}

#[tokio::test(start_paused = true)]
async fn those_whose_patience_is_over_are_named_once_unless_they_have_to_be_asked_again() {
    let mut desk = Desk::new();
    let patience = |ms| Some(Duration::from_millis(ms));
    let mut replies = Vec::new();
    let ids = [patience(20), None, patience(10), patience(30)].map(|patience| {
        let (request, reply) = request(None, patience);
        replies.push(reply);
        desk.admit(request).expect("work of its own")
    });
    let [slow, _endless, fast, answered] = ids;
    let start = Instant::now();
    desk.close(answered, Ok(Some(1)));
    assert_eq!(desk.expired(start + Duration::from_millis(9), 9), []);
    assert_eq!(desk.expired(start + Duration::from_millis(40), 1), [fast], "no more than asked for");
    assert_eq!(desk.expired(start + Duration::from_millis(40), 9), [slow]);
    assert_eq!(desk.expired(start + Duration::from_millis(40), 9), []);
    assert_eq!(desk.ask_again(), &ids[..3], "in the order in which they came");
    assert_eq!(desk.expired(start + Duration::from_millis(40), 9), [fast, slow]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_waits_for_is_not_asked_again() {
    let mut desk = Desk::new();
    let (gone, reply) = request(None, Some(Duration::from_millis(5)));
    desk.admit(gone).expect("work of its own");
    drop(reply);
    let (kept, _reply) = request(Some(("key", 1)), None);
    let kept = desk.admit(kept).expect("work of its own");
    let (joining, joined) = request(Some(("key", 1)), None);
    assert_eq!(desk.admit(joining), None);
    drop(joined);
    assert_eq!(desk.ask_again(), [kept], "one of those who wait for it is still there");
    assert_eq!(desk.len(), 1);
}
