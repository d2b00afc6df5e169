//! Whether a partition's data are as recent as others know them to be.
//!
//! ```text
//!  the own log ends before what a consumer has consumed of it    the data came back older: what came after is lost
//!  a log begins after what was consumed of it                    the same: it was dropped since this one had it
//! ```
//!
//! In both cases the partition stands still until the right data are there, or an operator accepts the loss (see
//! [`crate::repair`]). Numbers tell old data from a failover that lost only what nobody had been told: nobody has consumed
//! that.

use std::{sync::atomic::Ordering, time::Duration};

use crate::{
    CallError, LogName, Participant, Store,
    engine_records::{EngineKey, EngineRecord},
    link::Source,
    sequencer::{Halt, Sequencer},
    store::{
        Error, LogEntry,
        position::{Epochs, epoch_of, sequence_of},
    },
};

/// How often it is looked whether the data are the right ones by now.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How often it is looked whether the consumers have been heard by now.
const LISTEN_AGAIN: Duration = Duration::from_millis(50);

/// What is known of how recent the data are.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Which events of the log are of which epoch, as far as it is kept.
    epochs: Epochs,
    /// What was consumed in earlier epochs may be missing from the log.
    accepted: u64,
    /// From which cursors on there may be a gap in a log, if that was accepted; where none is named, from the beginning.
    jumps: Option<Vec<(LogName, u64)>>,
    /// A source whose log begins with the event with this number, after what was consumed of it.
    pub(super) gap: Option<(usize, u64)>,
}

/// What came of comparing the data with what others know.
pub(super) enum Comparison {
    /// They are as recent as anybody knows.
    Recent,
    /// Another writer had gone on with them. They were loaded again.
    Anew,
    /// They are older. Whoever asked was told so.
    Old,
}

/// What is wrong.
#[derive(Debug)]
struct Flaw {
    reason: String,
    /// At least so many events.
    missing: u64,
}

impl Recent {
    /// As the log, which ends with the event `end`, and the record of accepted losses say.
    fn of(log: &[LogEntry], end: u64, record: Option<&EngineRecord>) -> Self {
        let mut epochs = Epochs::default();
        let next = (epoch_of(end), sequence_of(end) + 1);
        let kept = log.iter().map(|entry| (epoch_of(entry.position), sequence_of(entry.position)));
        for (epoch, begin) in kept.chain([next]) {
            if epoch > epochs.current() {
                epochs.begin(epoch, begin);
            }
        }
        let (accepted, jumps) = match record {
            Some(EngineRecord::Accepted { epoch, cursors }) => {
                let cursor = |(service, partition, position): &(String, u16, u64)| {
                    (LogName { service: service.as_str().into(), partition: *partition }, *position)
                };
                (*epoch, Some(cursors.iter().map(cursor).collect()))
            }
            _ => (0, None),
        };
        Self { epochs, accepted, jumps, gap: None }
    }

    /// Events that a consumer has, and the log `log`, which ends with the event `end`, has not.
    fn lost_events<'a>(
        &self,
        log: &LogName,
        end: u64,
        known: impl Iterator<Item = (&'a LogName, Option<u64>)>,
    ) -> Option<Flaw> {
        let missing = |consumed: u64| {
            let kept = self.epochs.common(consumed).min(sequence_of(end));
            let missing = sequence_of(consumed) - kept;
            // Of an epoch that these data never saw: how far it goes along with them is not known.
            if epoch_of(consumed) > epoch_of(end) { missing.max(1) } else { missing }
        };
        // The service's own partitions lose their tails with this one, and may say how far they are before that is durable.
        let others = known.filter(|(consumer, _)| consumer.service != log.service);
        let known = others.filter_map(|(consumer, consumed)| Some((consumer, consumed?)));
        let known = known.filter(|(_, consumed)| epoch_of(*consumed) >= self.accepted);
        let lost = known.map(|(consumer, consumed)| (missing(consumed), consumer, consumed));
        let (missing, consumer, consumed) = lost.max().filter(|(missing, ..)| *missing > 0)?;
        let reason = format!(
            "the data of {log} are older than they were: its log ends with event {}, and {consumer} has consumed it up to \
             event {}; at least {missing} events are lost, with whatever else was written since",
            sequence_of(end),
            sequence_of(consumed),
        );
        Some(Flaw { reason, missing })
    }

    /// Events that the partition of `log` has to consume, and that were dropped because it had consumed them. Where that is
    /// accepted, the source's cursor jumps to what is there.
    fn forgotten(&mut self, log: &LogName, sources: &mut [Source]) -> Option<Flaw> {
        let (index, next) = self.gap?;
        let source = sources.get_mut(index).expect("the gap was found in one of the sources");
        let before = next - 1;
        if source.cursor >= before {
            // Another writer had not forgotten.
            self.gap = None;
            return None;
        }
        let missing = sequence_of(before).saturating_sub(sequence_of(source.cursor)).max(1);
        let accepted_at = |jumps: &Vec<(LogName, u64)>| {
            jumps.iter().find(|(log, _)| *log == source.log).map_or(0, |(_, cursor)| *cursor)
        };
        if self.jumps.as_ref().map(accepted_at) == Some(source.cursor) {
            tracing::warn!(%log, source = %source.log, missing, "going on after events that cannot be had again");
            source.cursor = before;
            self.gap = None;
            return None;
        }
        let reason = format!(
            "the data of {log} are older than they were: they have consumed the log of {} up to event {}, and what came next, \
             up to event {}, was dropped there since they had consumed it; at least {missing} events are lost, with whatever \
             else was written since",
            source.log,
            sequence_of(source.cursor),
            sequence_of(before),
        );
        Some(Flaw { reason, missing })
    }
}

impl<P: Participant, S: Store> Sequencer<P, S> {
    /// Takes over what the log and the engine's records say.
    pub(super) fn compare_with_log(&mut self, log: &[LogEntry]) {
        let record = self.state.own.get(&EngineKey::Accepted).expect("the engine's record was loaded with the log");
        let recent = Recent::of(log, self.state.log_end, record);
        self.env.status.accepted.store(recent.accepted, Ordering::Release);
        self.recent = Recent { gap: self.recent.gap, ..recent };
    }

    /// Compares the data with what others know of them. Nothing may be answered from them or written to them unless they are
    /// recent.
    pub(super) async fn compare(&mut self) -> Result<Comparison, Halt> {
        let Some(flaw) = self.flaw() else {
            if self.env.status.stands_still() {
                self.env.status.stand_still(None);
                self.env.metrics.missing(0);
                tracing::info!(log = %self.env.log, "the data are as recent as others know them: going on");
            }
            return Ok(Comparison::Recent);
        };
        // A store that does not answer now does so when all is loaded again.
        if self.head_in_store().await? != Some(self.state.head) {
            self.start_over(&Error::Conflict).await?;
            return Ok(Comparison::Anew);
        }
        if self.env.status.stand_still(Some(&flaw.reason)) {
            self.env.metrics.missing(flaw.missing);
            if flaw.missing > 0 {
                tracing::error!(log = %self.env.log, missing = flaw.missing, reason = flaw.reason, "standing still");
            } else {
                tracing::info!(log = %self.env.log, reason = flaw.reason, "waiting");
            }
        }
        self.refuse_all();
        tokio::select! {
            biased;
            () = tokio::time::sleep(if flaw.missing > 0 { LOOK_AGAIN } else { LISTEN_AGAIN }) => {}
            () = self.inbox.interrupted() => return Ok(Comparison::Old),
        }
        self.recover().await?;
        Ok(Comparison::Old)
    }

    /// Answers everybody who waits here, and lets out what was decided before.
    fn refuse_all(&mut self) {
        let answer = if self.writer.is_in_doubt() { CallError::Unknown } else { CallError::Unavailable };
        self.writer.settle();
        self.pending.refuse_all(&answer);
        self.inbox.refuse(&CallError::Unavailable);
        self.inbox.drop_deliveries();
        self.outbox.release();
    }

    fn flaw(&mut self) -> Option<Flaw> {
        let log = &self.env.log;
        let lost = self.recent.lost_events(log, self.state.log_end, self.neighbours.acks.known());
        lost.or_else(|| self.recent.forgotten(log, &mut self.neighbours.sources)).or_else(|| self.unheard())
    }

    /// A store that counts no epochs by itself cannot tell an event from another one with its number. So nothing is written
    /// before every consumer has said how far it is.
    fn unheard(&self) -> Option<Flaw> {
        if !self.env.store.is_exclusive() {
            return None;
        }
        let consumer = self.neighbours.acks.unheard()?;
        let reason = format!("{consumer} has not said yet how far it has consumed the log of {}", self.env.log);
        Some(Flaw { reason, missing: 0 })
    }
}

#[cfg(test)]
mod tests;
