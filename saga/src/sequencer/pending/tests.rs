use std::time::Duration;

use tokio::time::Instant;

use super::{Ask, CallError, Pending, Request};
use crate::{Replied, RequestId, sequencer::testing::request};

#[tokio::test(start_paused = true)]
async fn a_command_does_not_join_a_claim_of_its_key_which_has_no_reply_for_it() {
    let claim = || {
        let (claim, reply) = request(Some(("key", 1)), None);
        (Request { ask: Ask::Claim, ..claim }, reply)
    };
    let mut pending = Pending::new();
    let (first, mut first_reply) = claim();
    let (again, mut again_reply) = claim();
    let (command, mut command_reply) = request(Some(("key", 1)), None);
    let (stranger, mut stranger_reply) = request(Some(("key", 2)), None);
    let claimed = pending.admit(first).expect("work of its own");
    assert_eq!((pending.admit(again), pending.admit(stranger)), (None, None));
    assert_eq!(stranger_reply.try_recv(), Ok(Err(CallError::KeyReused)));
    let runs = pending.admit(command).expect("work of its own");
    pending.close(claimed, Ok(None)).expect("two wait").send();
    assert_eq!((first_reply.try_recv(), again_reply.try_recv()), (Ok(Ok(None)), Ok(Ok(None))));
    // A claim of what runs has the same reply as that.
    let (late, mut late_reply) = claim();
    assert_eq!(pending.admit(late), None);
    pending.close(runs, Ok(Some(Replied::first(7)))).expect("two wait").send();
    assert_eq!(
        (command_reply.try_recv(), late_reply.try_recv()),
        (Ok(Ok(Some(Replied::first(7)))), Ok(Ok(Some(Replied::first(7)))))
    );
    assert_eq!(pending.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn repetitions_of_a_running_request_join_it_and_strangers_are_refused() {
    let mut pending = Pending::new();
    let (first, mut first_reply) = request(Some(("key", 1)), None);
    let (again, mut again_reply) = request(Some(("key", 1)), None);
    let (stranger, mut stranger_reply) = request(Some(("key", 2)), None);
    let id = pending.admit(first).expect("work of its own");
    assert_eq!((pending.admit(again), pending.admit(stranger)), (None, None));
    assert_eq!(stranger_reply.try_recv(), Ok(Err(CallError::KeyReused)));
    pending.close(id, Ok(Some(Replied::first(7)))).expect("two wait").send();
    assert_eq!(
        (first_reply.try_recv(), again_reply.try_recv()),
        (Ok(Ok(Some(Replied::first(7)))), Ok(Ok(Some(Replied::first(7)))))
    );
    assert_eq!(pending.len(), 0);
    let (later, _reply) = request(Some(("key", 2)), None);
    assert!(pending.admit(later).is_some(), "whether the key is remembered is for the records to say");
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_once() {
    let mut pending = Pending::new();
    let (one, _reply) = request(None, None);
    let id = pending.admit(one).expect("work of its own");
    assert!(pending.close(id, Ok(Some(Replied::first(1)))).is_some());
    assert!(pending.close(id, Ok(Some(Replied::first(2)))).is_none());
    assert!(pending.close(RequestId(99), Ok(Some(Replied::first(2)))).is_none());
}

#[tokio::test(start_paused = true)]
async fn those_whose_patience_is_over_are_named_once_unless_they_have_to_be_asked_again() {
    let mut pending = Pending::new();
    let patience = |ms| Some(Duration::from_millis(ms));
    let mut replies = Vec::new();
    let ids = [patience(20), None, patience(10), patience(30)].map(|patience| {
        let (request, reply) = request(None, patience);
        replies.push(reply);
        pending.admit(request).expect("work of its own")
    });
    let [slow, _endless, fast, answered] = ids;
    let start = Instant::now();
    pending.close(answered, Ok(Some(Replied::first(1))));
    assert_eq!(pending.expired(start + Duration::from_millis(9), 9), []);
    assert_eq!(pending.expired(start + Duration::from_millis(40), 1), [fast], "no more than asked for");
    assert_eq!(pending.expired(start + Duration::from_millis(40), 9), [slow]);
    assert_eq!(pending.expired(start + Duration::from_millis(40), 9), []);
    assert_eq!(pending.ask_again(), &ids[..3], "in the order in which they came");
    assert_eq!(pending.expired(start + Duration::from_millis(40), 9), [fast, slow]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_waits_for_is_not_asked_again() {
    let mut pending = Pending::new();
    let (gone, reply) = request(None, Some(Duration::from_millis(5)));
    pending.admit(gone).expect("work of its own");
    drop(reply);
    let (kept, _reply) = request(Some(("key", 1)), None);
    let kept = pending.admit(kept).expect("work of its own");
    let (joining, joined) = request(Some(("key", 1)), None);
    assert_eq!(pending.admit(joining), None);
    drop(joined);
    assert_eq!(pending.ask_again(), [kept], "one of those who wait for it is still there");
    assert_eq!(pending.len(), 1);
}
