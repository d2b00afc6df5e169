//! This process as one of the writers that a partition may have, and its commits whose fate is not known.
//!
//! ```text
//!  stamp ──▶ commit ──▶ ok: settle
//!               └────▶ failed, and may be applied: hold_in_doubt ──▶ the head has moved: resolve, by the last stamp that
//!                                                                    the store knows of this writer
//! ```

use std::{
    collections::{BTreeSet, VecDeque},
    ops::RangeInclusive,
    time::Duration,
};

use crate::{
    Backoff, CallError, RequestId, Settings,
    engine_records::{EngineKey, EngineRecord},
    request::Answer,
    view::View,
};

/// The wait between tries of a store that fails doubles from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What requests are answered.
pub(super) type Answers<R> = Vec<(RequestId, Answer<R>)>;

/// A commit that failed and may have been applied, or may yet be; or several that are not told apart any more.
struct InDoubt<R> {
    /// Which of the writer's commits.
    commits: RangeInclusive<u64>,
    /// What it would have answered; of several, who would have been answered by any of them.
    answers: Answers<R>,
}

impl<R> InDoubt<R> {
    /// One that stands for both, of which `self` is the earlier.
    fn join(self, later: Self) -> Self {
        let both = self.answers.into_iter().chain(later.answers).map(|(request, _)| request);
        let requests: BTreeSet<_> = both.collect();
        Self {
            commits: *self.commits.start()..=*later.commits.end(),
            answers: requests.into_iter().map(|request| (request, Err(CallError::Unknown))).collect(),
        }
    }
}

/// See the module.
pub(super) struct Writer<R> {
    id: u64,
    commits: u64,
    /// On the present head.
    in_doubt: VecDeque<InDoubt<R>>,
    /// The store knows of every commit whether it was applied: nothing is stamped and nothing in doubt.
    is_certain: bool,
    writers_max: usize,
    in_doubt_max: usize,
}

impl<R> Writer<R> {
    pub(super) fn new(settings: &Settings, is_certain: bool) -> Self {
        let random = || {
            let mut bytes = [0; 8];
            // Without randomness the id is one that others may share: then a commit in doubt may be taken for another's.
            if getrandom::fill(&mut bytes).is_ok() { u64::from_le_bytes(bytes) } else { std::process::id().into() }
        };
        Self {
            id: settings.writer_id.unwrap_or_else(random),
            commits: 0,
            in_doubt: VecDeque::new(),
            is_certain,
            writers_max: settings.writers_max,
            in_doubt_max: settings.doubts_max.max(1),
        }
    }

    /// Counts a commit on the partition's record of writers, so that its fate can be found out.
    pub(super) fn stamp(&mut self, own: &mut View<EngineKey, EngineRecord>) {
        if self.is_certain {
            return;
        }
        self.commits += 1;
        let before = match own.get(&EngineKey::Writers) {
            Ok(Some(record)) => record.clone(),
            _ => EngineRecord::Writers { commits: Vec::new() },
        };
        own.begin_step();
        own.set(EngineKey::Writers, Some(before.with_commits(self.id, self.commits, self.writers_max)));
    }

    /// Remembers the last commit, which failed, until it is known whether it was applied.
    pub(super) fn hold_in_doubt(&mut self, answers: &mut Answers<R>) {
        if self.is_certain {
            return;
        }
        let answers = std::mem::take(answers);
        self.in_doubt.push_back(InDoubt { commits: self.commits..=self.commits, answers });
        if self.in_doubt.len() > self.in_doubt_max
            && let (Some(first), Some(second)) = (self.in_doubt.pop_front(), self.in_doubt.pop_front())
        {
            self.in_doubt.push_front(first.join(second));
        }
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        !self.in_doubt.is_empty()
    }

    /// A commit succeeded, which shuts all others out, or nobody waits for them any more.
    pub(super) fn settle(&mut self) {
        self.in_doubt.clear();
    }

    /// After the head has moved by `moved`: what the commit in doubt that was applied answers, if one was. Of one writer the
    /// store knows the last commit. Where it does not know the writer, because so many others came since, any may
    /// have been applied.
    pub(super) fn resolve(&mut self, own: &mut View<EngineKey, EngineRecord>, moved: u64) -> Option<Answers<R>> {
        let in_doubt = std::mem::take(&mut self.in_doubt);
        let known = match own.get(&EngineKey::Writers) {
            Ok(Some(record)) => record.commits_of(self.id),
            _ => None,
        };
        if let Some(known) = known {
            let applied = in_doubt.into_iter().find(|commit| commit.commits.contains(&known))?;
            return Some(applied.answers);
        }
        // It takes as many commits of others to be forgotten.
        if moved <= self.writers_max.max(1) as u64 {
            return None;
        }
        let any = in_doubt.into_iter().reduce(InDoubt::join)?;
        Some(any.answers.into_iter().map(|(request, _)| (request, Err(CallError::Unknown))).collect())
    }

    /// The waits between tries of one call.
    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(BACKOFF.0, BACKOFF.1, self.id ^ self.commits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Replied;

    fn writer(id: u64) -> Writer<u32> {
        let settings = Settings { writer_id: Some(id), writers_max: 2, doubts_max: 2, ..Settings::default() };
        Writer::new(&settings, false)
    }

    fn view() -> View<EngineKey, EngineRecord> {
        View::new(true, 1)
    }

    fn answer(request: u64, reply: u32) -> Answers<u32> {
        vec![(RequestId(request), Ok(Some(Replied::first(reply))))]
    }

    #[test]
    fn of_the_commits_in_doubt_the_one_that_the_store_knows_answers() {
        let (mut one, mut applied) = (writer(1), view());
        one.stamp(&mut view());
        one.hold_in_doubt(&mut answer(1, 10));
        one.stamp(&mut applied);
        one.hold_in_doubt(&mut answer(2, 20));
        assert!(one.is_in_doubt());
        assert_eq!(one.resolve(&mut applied, 1), Some(answer(2, 20)));
        assert!(!one.is_in_doubt());
        assert_eq!(one.resolve(&mut applied, 1), None);
    }

    #[test]
    fn where_another_writer_came_first_none_was_applied() {
        let (mut one, mut other, mut store) = (writer(1), writer(2), view());
        one.stamp(&mut view());
        one.hold_in_doubt(&mut answer(1, 10));
        other.stamp(&mut store);
        assert_eq!(one.resolve(&mut store, 1), None);
    }

    #[test]
    fn a_writer_that_was_forgotten_does_not_know() {
        let (mut one, mut store) = (writer(1), view());
        one.stamp(&mut store);
        one.hold_in_doubt(&mut answer(1, 10));
        one.stamp(&mut store);
        one.hold_in_doubt(&mut answer(2, 20));
        writer(2).stamp(&mut store);
        writer(3).stamp(&mut store);
        let unknown = [1, 2].map(|request| (RequestId(request), Err(CallError::Unknown)));
        assert_eq!(one.resolve(&mut store, 3), Some(unknown.into()));
    }

    #[test]
    fn more_than_so_many_in_doubt_are_not_told_apart() {
        let (mut one, mut second) = (writer(1), view());
        for number in 1..=3_u32 {
            let mut lost = view();
            one.stamp(if number == 2 { &mut second } else { &mut lost });
            one.hold_in_doubt(&mut answer(u64::from(number % 2), number));
        }
        let unknown = [0, 1].map(|request| (RequestId(request), Err(CallError::Unknown)));
        assert_eq!(one.resolve(&mut second, 1), Some(unknown.into()), "the first or the second");
    }

    #[test]
    fn a_store_that_is_certain_is_not_asked() {
        let settings = Settings { writer_id: Some(1), ..Settings::default() };
        let (mut writer, mut store) = (Writer::new(&settings, true), view());
        writer.stamp(&mut store);
        assert_eq!(store.len(), 0);
        let mut answers = answer(1, 10);
        writer.hold_in_doubt(&mut answers);
        assert_eq!((writer.is_in_doubt(), answers.len()), (false, 1));
    }
}
