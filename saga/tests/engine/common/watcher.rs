//! A service that only watches: it counts what it saw of every log, and what it did not.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use saga::{
    Destinations, Input, Missing, Origin, Participant, Partition, Record, Step,
    minicbor::{self, Decode, Encode},
};

use super::{
    PausedClock,
    bank::{Event, Name},
};

#[derive(Clone, Debug, Default)]
pub(crate) struct Watcher {
    /// How many events it was told of once they were committed.
    pub(crate) heard: Arc<AtomicU64>,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Seen {
    #[n(0)]
    pub(crate) events: u64,
    #[n(1)]
    pub(crate) missed: u64,
    #[n(2)]
    pub(crate) undated: u64,
    /// For each log, the number of the last event.
    #[n(3)]
    pub(crate) last: Vec<(String, u16, u64)>,
}

impl Record for Seen {}

impl Watcher {
    fn edit(step: &mut Step<'_, Self>, change: impl FnOnce(&mut Seen, (String, u16, u64), u64)) -> Result<(), Missing> {
        let origin = step.origin().expect("an event comes from a log");
        let place = (origin.log.service.to_string(), origin.log.partition, origin.number);
        let key = Name::Audit("seen".to_owned());
        let mut seen = step.get(&key)?.cloned().unwrap_or_default();
        change(&mut seen, place, origin.at.0);
        step.put(&key, seen);
        Ok(())
    }
}

impl Participant for Watcher {
    const NAME: &'static str = "watcher";
    const CONSUMES: &'static [&'static str] = &["bank", "clerk"];
    const IS_OBSERVER: bool = true;

    type Key = Name;
    type Record = Seen;
    type Command = ();
    type Reply = Seen;
    type Event = Event;

    fn step(&self, step: &mut Step<'_, Self>, input: Input<'_, Self>) -> Result<(), Missing> {
        match input {
            Input::Event(_) => Self::edit(step, |seen, (service, partition, number), at| {
                seen.events += 1;
                seen.undated += u64::from(at < PausedClock::START);
                let before = seen.last.iter_mut().find(|(log, of, _)| (log, *of) == (&service, partition));
                match before {
                    Some((.., last)) => {
                        assert!(*last < number, "in order, and once");
                        *last = number;
                    }
                    None => seen.last.push((service, partition, number)),
                }
            }),
            Input::Command { request, .. } => {
                let seen = step.get(&Name::Audit("seen".to_owned()))?.cloned().unwrap_or_default();
                step.reply(request, seen);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn missed(&self, step: &mut Step<'_, Self>, events: u64) -> Result<(), Missing> {
        Self::edit(step, |seen, _, _| seen.missed += events)
    }

    fn heard(&self, _: &Event, origin: Origin<'_>) {
        assert!(origin.number > 0 && origin.at.0 >= PausedClock::START);
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    fn destinations(_: &Event, _: Partition, to: &mut Destinations) {
        to.add(0);
    }
}
