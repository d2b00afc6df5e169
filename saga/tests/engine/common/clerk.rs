//! The service that audits: it counts how often each name was asked for, and says so.

use saga::{Destinations, Input, Missing, Participant, Partition, Step, partition_of};

use super::bank::{Command, Event, Name, Reply, Stage, State};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clerk;

impl Participant for Clerk {
    const NAME: &'static str = "clerk";
    const CONSUMES: &'static [&'static str] = &["bank"];

    type Key = Name;
    type Record = State;
    type Command = Command;
    type Reply = Reply;
    type Event = Event;

    fn step(&self, step: &mut Step<'_, Self>, input: Input<'_, Self>) -> Result<(), Missing> {
        match input {
            Input::Event(Event::AuditAsked { id, .. }) => {
                let key = Name::Audit(id.clone());
                let before = match step.get(&key)? {
                    Some(State::Process { seen, .. }) => *seen,
                    _ => 0,
                };
                let seen = before + 1;
                step.put(&key, State::Process { stage: Stage::Done, seen, waiters: Vec::new() });
                step.emit(Event::Audited { id: id.clone(), seen });
            }
            Input::Command { request, command: Command::Audit { id } } => {
                let seen = match step.get(&Name::Audit(id.clone()))? {
                    Some(State::Process { seen, .. }) => *seen,
                    _ => 0,
                };
                step.reply(request, Reply::Audited(seen));
            }
            _ => {}
        }
        Ok(())
    }

    fn destinations(event: &Event, partitions: Partition, to: &mut Destinations) {
        if let Event::AuditAsked { id, .. } = event {
            to.add(partition_of(id.as_bytes(), partitions));
        }
    }
}
