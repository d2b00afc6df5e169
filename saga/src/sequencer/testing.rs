//! What the tests of the sequencer's parts share.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use crate::{
    Destinations, IdempotencyKey, Input, Key, Missing, Participant, Partition, Step,
    record::Record,
    request::{Answer, Ask, Request},
};

/// Takes any number and says nothing.
pub(super) struct Silent;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Nothing;

impl Key for Nothing {
    fn write_to(&self, _out: &mut Vec<u8>) {}
}

impl Record for String {}

impl Participant for Silent {
    const NAME: &'static str = "silent";
    const CONSUMES: &'static [&'static str] = &[];

    type Key = Nothing;
    type Record = String;
    type Command = u32;
    type Reply = u32;
    type Event = u32;

    fn step(&self, _step: &mut Step<'_, Self>, _input: Input<'_, Self>) -> Result<(), Missing> {
        Ok(())
    }

    fn destinations(_event: &u32, _partitions: Partition, _to: &mut Destinations) {}
}

pub(super) fn request(
    key: Option<(&str, u64)>,
    patience: Option<Duration>,
) -> (Request<Silent>, oneshot::Receiver<Answer<u32>>) {
    let (reply_to, receiver) = oneshot::channel();
    let key = key.map(|(key, fingerprint)| IdempotencyKey { key: key.into(), fingerprint, retention: None });
    (Request { ask: Ask::Command(Arc::new(1)), key, patience, reply_to }, receiver)
}
