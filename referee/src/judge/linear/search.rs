//! The search itself.

use std::collections::{HashMap, HashSet};

use super::{
    Judgement, Limits,
    evidence::{Configuration, Evidence},
    explain::{self, Explanation},
};
use crate::judge::case::{Change, Claim, Ledger, OPEN, Observation};

/// As many changes, and as many observations, may run at once: the bits of a configuration.
const SLOTS: u32 = u128::BITS;
/// Open changes may be in effect or not: so many combinations are tried when the search takes up again.
const RESUME_MAX: usize = 4_096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    Start,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Change(u32),
    Observation(u32),
}

/// What an operation that ends needs.
#[derive(Clone, Copy, Debug)]
enum Goal {
    Taken(u32),
    Seen(u32),
}

impl Goal {
    fn is_met(self, configuration: &Configuration) -> bool {
        match self {
            Self::Taken(slot) => configuration.taken & bit(slot) != 0,
            Self::Seen(slot) => configuration.seen & bit(slot) != 0,
        }
    }

    /// The configuration once what has ended is forgotten.
    fn retire(self, mut configuration: Configuration) -> Configuration {
        match self {
            Self::Taken(slot) => configuration.taken &= !bit(slot),
            Self::Seen(slot) => configuration.seen &= !bit(slot),
        }
        configuration
    }
}

/// How an expansion ended.
enum Expanded {
    Alive(Vec<Configuration>),
    /// None is left; these were tried.
    Dead(Vec<Configuration>),
    TooMany,
}

pub(super) fn bit(slot: u32) -> u128 {
    1_u128.checked_shl(slot).expect("there are as many slots as bits")
}

#[derive(Clone, Debug)]
pub(super) struct Search<'ledger> {
    limits: Limits,
    events: std::rc::Rc<[(u64, Edge, What)]>,
    at: usize,
    /// By slot, the changes and the observations that run.
    changes: Vec<Option<u32>>,
    observations: Vec<Option<u32>>,
    /// Empty while the search pauses because there were too many possibilities.
    frontier: Vec<Configuration>,
    paused: bool,
    /// Whether the value may not go below zero.
    floor: bool,
    /// What is certainly in effect and has ended, and what was found to be off.
    settled: i64,
    /// Changes that run and found no slot.
    unplaced: u32,
    work: u64,
    evidence: Evidence<'ledger>,
}

impl<'ledger> Search<'ledger> {
    pub(super) fn new(ledger: &'ledger Ledger, limits: Limits) -> Self {
        let mut events = Vec::with_capacity(2 * (ledger.changes.len() + ledger.observations.len()));
        for (number, change) in (0..).zip(&ledger.changes) {
            events.push((change.start, Edge::Start, What::Change(number)));
            if change.end != OPEN {
                events.push((change.end, Edge::End, What::Change(number)));
            }
        }
        for (number, observation) in (0..).zip(&ledger.observations) {
            events.push((observation.start, Edge::Start, What::Observation(number)));
            events.push((observation.end, Edge::End, What::Observation(number)));
        }
        // What ends when something else starts overlaps it: the clock may be coarse.
        events.sort_unstable();
        let initial = ledger.initial;
        Self {
            limits,
            events: events.into(),
            at: 0,
            changes: vec![None; SLOTS as usize],
            observations: vec![None; SLOTS as usize],
            frontier: vec![Configuration { value: initial, taken: 0, seen: 0 }],
            paused: false,
            floor: true,
            settled: initial,
            unplaced: 0,
            work: 0,
            evidence: Evidence::new(ledger),
        }
    }

    pub(super) fn run(mut self) -> Judgement {
        let mut judgement = Judgement::default();
        while judgement.wrong.len() < self.limits.named_max {
            match self.advance() {
                Advance::End => return judgement,
                Advance::Decided => judgement.decided += 1,
                Advance::Undecided => judgement.undecided += 1,
                Advance::Nothing => {}
                Advance::Wrong(explanation) => judgement.wrong.push(explanation),
            }
        }
        // Named often enough: the rest is not looked at, which is said.
        let rest = self.events.get(self.at..).expect("it stops at the end at the latest");
        let observed = |event: &&(u64, Edge, What)| matches!(event, (_, Edge::End, What::Observation(_)));
        judgement.undecided += rest.iter().filter(observed).count() as u64;
        judgement
    }

    /// How many of the next observations that have not begun yet can be explained, up to `enough`.
    pub(super) fn survives(mut self, enough: usize) -> usize {
        let begun = self.events.get(self.at.saturating_sub(1)).map_or(0, |event| event.0);
        let mut explained = 0;
        while explained < enough && self.work <= self.limits.work_max {
            let Some((_, edge, what)) = self.events.get(self.at).copied() else { break };
            match self.step(edge, what) {
                Step::Done => {
                    let fresh = |number: u32| self.observation(number).is_some_and(|seen| seen.start > begun);
                    if let (Edge::End, What::Observation(number)) = (edge, what)
                        && fresh(number)
                    {
                        explained += 1;
                    }
                }
                Step::Dead(..) | Step::Undecided => break,
            }
        }
        explained
    }

    fn advance(&mut self) -> Advance {
        let Some((_, edge, what)) = self.events.get(self.at).copied() else { return Advance::End };
        match (self.step(edge, what), edge, what) {
            (Step::Done, Edge::End, _) => Advance::Decided,
            (Step::Undecided, Edge::End, What::Observation(_)) => Advance::Undecided,
            (Step::Done | Step::Undecided, ..) => Advance::Nothing,
            (Step::Dead(_, tried), _, What::Change(number)) => {
                Advance::Wrong(explain::overdrawn(&self.evidence, number, &tried))
            }
            (Step::Dead(goal, tried), _, What::Observation(number)) => {
                Advance::Wrong(self.repair(goal, &tried, number))
            }
        }
    }

    /// Takes one event. After [`Step::Dead`] of an observation, the frontier is as it was before.
    fn step(&mut self, edge: Edge, what: What) -> Step {
        self.at += 1;
        match (edge, what) {
            (Edge::Start, What::Change(number)) => {
                self.evidence.begin(number);
                if place(&mut self.changes, number).is_none() {
                    self.unplaced += 1;
                    self.pause();
                }
                Step::Done
            }
            (Edge::Start, What::Observation(number)) => {
                match place(&mut self.observations, number) {
                    Some(slot) => self.look(slot, number),
                    None => self.pause(),
                }
                Step::Done
            }
            (Edge::End, What::Change(number)) => {
                self.settled += self.change(number).map_or(0, |change| change.delta);
                let Some(slot) = slot_of(&self.changes, number) else {
                    self.unplaced -= 1;
                    return Step::Undecided;
                };
                let ended = self.end(Goal::Taken(slot));
                if matches!(ended, Step::Dead(..)) {
                    // Only that it must not go below zero can keep a change from taking effect.
                    self.floor = false;
                    self.end(Goal::Taken(slot));
                }
                free(&mut self.changes, slot);
                self.evidence.end(number);
                self.resume();
                ended
            }
            (Edge::End, What::Observation(number)) => {
                let Some(slot) = slot_of(&self.observations, number) else { return Step::Undecided };
                let ended = self.end(Goal::Seen(slot));
                free(&mut self.observations, slot);
                if matches!(ended, Step::Done) {
                    self.count_from_here(number);
                }
                ended
            }
        }
    }

    fn end(&mut self, goal: Goal) -> Step {
        if self.paused {
            return Step::Undecided;
        }
        match self.expand(goal) {
            Expanded::Alive(frontier) => {
                self.frontier = frontier;
                if let Some(first) = self.frontier.first() {
                    self.evidence.pass(first.value);
                }
                Step::Done
            }
            Expanded::Dead(tried) => Step::Dead(goal, tried),
            Expanded::TooMany => {
                self.pause();
                Step::Undecided
            }
        }
    }

    /// An observation that begins is satisfied where it already can be.
    fn look(&mut self, slot: u32, number: u32) {
        let Some(claim) = self.observation(number).map(|observation| observation.claim) else { return };
        for configuration in &mut self.frontier {
            if claim.holds(configuration.value) {
                configuration.seen |= bit(slot);
            }
        }
    }

    /// All configurations that meet the goal and can be reached by changes that run.
    fn expand(&mut self, goal: Goal) -> Expanded {
        let moves = self.moves();
        let claims: Vec<(u32, Claim)> = (0..)
            .zip(&self.observations)
            .filter_map(|(slot, number)| Some((slot, self.observation((*number)?)?.claim)))
            .collect();
        let watching = claims.iter().fold(0, |mask, (slot, _)| mask | bit(*slot));
        let mut alive = Vec::new();
        let mut tried: HashSet<Configuration, foldhash::fast::FixedState> = self.frontier.iter().copied().collect();
        let mut open: Vec<Configuration> = tried.iter().copied().collect();
        while let Some(configuration) = open.pop() {
            if goal.is_met(&configuration) {
                alive.push(goal.retire(configuration));
                continue;
            }
            self.work += 1;
            // Nobody who is there now can tell the order of changes apart: only the one that ends has to happen now.
            let direct = match goal {
                Goal::Taken(slot) if configuration.seen & watching == watching => Some(slot),
                _ => None,
            };
            let mut next = |wanted: Option<u32>| {
                for class in &moves {
                    let first = class.iter().find(|(slot, _)| configuration.taken & bit(*slot) == 0);
                    let Some((slot, delta)) = first.filter(|(slot, _)| wanted.is_none_or(|wanted| wanted == *slot))
                    else {
                        continue;
                    };
                    let Some(value) = configuration.value.checked_add(*delta) else { continue };
                    if value < 0 && *delta < 0 && self.floor {
                        continue;
                    }
                    let satisfied = claims.iter().filter(|(_, claim)| claim.holds(value));
                    let seen = satisfied.fold(configuration.seen, |seen, (slot, _)| seen | bit(*slot));
                    let moved = Configuration { value, taken: configuration.taken | bit(*slot), seen };
                    if tried.insert(moved) {
                        open.push(moved);
                    }
                    if wanted.is_some() {
                        return true;
                    }
                }
                false
            };
            if direct.is_none_or(|slot| !next(Some(slot))) {
                next(None);
            }
            if tried.len() > self.limits.configurations_max || self.work > self.limits.work_max {
                return Expanded::TooMany;
            }
        }
        if alive.is_empty() {
            let mut tried: Vec<_> = tried.into_iter().collect();
            tried.sort_unstable_by_key(|configuration| (configuration.value, configuration.taken, configuration.seen));
            return Expanded::Dead(tried);
        }
        Expanded::Alive(without_dominated(alive))
    }

    /// The changes that run, by effect, those that end first at the front.
    fn moves(&self) -> Vec<Vec<(u32, i64)>> {
        let running = (0..).zip(&self.changes).filter_map(|(slot, number)| Some((slot, *self.change((*number)?)?)));
        let mut running: Vec<(u32, Change)> = running.collect();
        running.sort_unstable_by_key(|(slot, change)| (change.delta, change.end, self.number(*slot)));
        let classes = running.chunk_by(|(_, left), (_, right)| left.delta == right.delta);
        classes.map(|class| class.iter().map(|(slot, change)| (*slot, change.delta)).collect()).collect()
    }

    fn number(&self, slot: u32) -> Option<u32> {
        self.changes.get(slot as usize).copied().flatten()
    }

    fn change(&self, number: u32) -> Option<&'ledger Change> {
        self.evidence.change(number)
    }

    fn observation(&self, number: u32) -> Option<&'ledger Observation> {
        self.evidence.observation(number)
    }

    /// What was read is what sums are done from, where it leaves one possibility.
    fn count_from_here(&mut self, number: u32) {
        let certain = match self.frontier[..] {
            [configuration] => {
                let to_come = |slot: &u32| configuration.taken & bit(*slot) == 0;
                Some((configuration.value, (0..SLOTS).filter(to_come).filter_map(|slot| self.number(slot)).collect()))
            }
            _ => None,
        };
        self.evidence.explained(number, certain);
    }

    /// Names what is wrong with an observation, and goes on as if it were not: either the observation was wrong, or the
    /// account is off from here on. Whichever explains more of what comes next is believed.
    fn repair(&mut self, goal: Goal, tried: &[Configuration], number: u32) -> Explanation {
        let Some(Claim::Equals(read)) = self.observation(number).map(|observation| observation.claim) else {
            return explain::refused_wrongly(&self.evidence, number, tried);
        };
        // As many as tell the two apart nearly always.
        const ENOUGH: usize = 3;
        let nearest = explain::nearest(tried, read);
        let mut shifted = self.clone();
        let off: HashSet<Configuration> =
            tried.iter().map(|configuration| goal.retire(Configuration { value: read, ..*configuration })).collect();
        shifted.frontier = off.into_iter().take(RESUME_MAX).collect();
        shifted.frontier.sort_unstable_by_key(|configuration| (configuration.taken, configuration.seen));
        shifted.settled += read - nearest;
        if shifted.clone().survives(ENOUGH) > self.clone().survives(ENOUGH) {
            let explanation = explain::lasting(&self.evidence, number, read, nearest);
            *self = shifted;
            return explanation;
        }
        explain::passing(&self.evidence, number, read, nearest)
    }

    fn pause(&mut self) {
        self.paused = true;
        self.frontier.clear();
    }

    /// Takes up again where nothing runs but what has no end.
    fn resume(&mut self) {
        if !self.paused || self.unplaced > 0 {
            return;
        }
        let moves = self.moves();
        let open = |slot: u32| self.number(slot).and_then(|number| self.change(number)).is_some_and(|c| c.end == OPEN);
        if !moves.iter().flatten().all(|(slot, _)| open(*slot)) {
            return;
        }
        let combinations = moves.iter().map(|class| class.len() + 1).fold(1, usize::saturating_mul);
        if combinations > RESUME_MAX || self.work > self.limits.work_max {
            return;
        }
        let mut frontier = vec![Configuration { value: self.settled, taken: 0, seen: 0 }];
        for class in &moves {
            let before = frontier.clone();
            for count in 1..=class.len() {
                frontier.extend(before.iter().map(|configuration| {
                    let taken = class.iter().take(count);
                    taken.fold(*configuration, |so_far, (slot, delta)| Configuration {
                        value: so_far.value + delta,
                        taken: so_far.taken | bit(*slot),
                        ..so_far
                    })
                }));
            }
        }
        // An observation that began while the search paused may have seen anything.
        let watching = (0..).zip(&self.observations).filter(|(_, number)| number.is_some());
        let seen = watching.fold(0, |mask, (slot, _)| mask | bit(slot));
        frontier.iter_mut().for_each(|configuration| configuration.seen = seen);
        self.frontier = frontier;
        self.paused = false;
    }
}

enum Step {
    Done,
    Dead(Goal, Vec<Configuration>),
    Undecided,
}

enum Advance {
    End,
    Nothing,
    Decided,
    Undecided,
    Wrong(Explanation),
}

fn place(slots: &mut [Option<u32>], number: u32) -> Option<u32> {
    let slot = slots.iter().position(Option::is_none)?;
    *slots.get_mut(slot)? = Some(number);
    u32::try_from(slot).ok()
}

fn slot_of(slots: &[Option<u32>], number: u32) -> Option<u32> {
    slots.iter().position(|taken| *taken == Some(number)).and_then(|slot| u32::try_from(slot).ok())
}

fn free(slots: &mut [Option<u32>], slot: u32) {
    slots.get_mut(slot as usize).into_iter().for_each(|taken| *taken = None);
}

/// Leaves out configurations that have seen less than another which is otherwise the same.
fn without_dominated(alive: Vec<Configuration>) -> Vec<Configuration> {
    let mut best: HashMap<(i64, u128), Vec<u128>, foldhash::fast::FixedState> = HashMap::default();
    for configuration in alive {
        let seen = best.entry((configuration.value, configuration.taken)).or_default();
        if !seen.iter().any(|other| other & configuration.seen == configuration.seen) {
            seen.retain(|other| other & configuration.seen != *other);
            seen.push(configuration.seen);
        }
    }
    let mut kept: Vec<_> = best
        .into_iter()
        .flat_map(|((value, taken), seen)| seen.into_iter().map(move |seen| Configuration { value, taken, seen }))
        .collect();
    kept.sort_unstable_by_key(|configuration| (configuration.value, configuration.taken, configuration.seen));
    kept
}
