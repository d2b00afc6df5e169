//! A market as `stateright` wants it.

use std::{
    thread,
    time::{Duration, Instant},
};

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::{Configuration, Row, Told, Verdict};
use crate::{Action, Entry, Market, Outcome};

/// Between two looks at a search: short at first, for most searches are over at once.
const LOOK: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(200));

const COMPLETES: &str = "a checkout completes";

/// A market in which everything that may happen does.
struct EverySchedule {
    start: Market,
}

impl Model for EverySchedule {
    type State = Market;
    type Action = Action;

    fn init_states(&self) -> Vec<Market> {
        vec![self.start.clone()]
    }

    fn actions(&self, market: &Market, actions: &mut Vec<Action>) {
        market.actions(actions);
    }

    fn next_state(&self, market: &Market, action: Action) -> Option<Market> {
        let mut next = market.clone();
        next.apply(&action).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "no balance is wrong, nothing is decided twice, no event is lost",
                |_, market: &Market| market.violation().is_none(),
            ),
            Property::always("at rest all agree and nothing is left over", |_, market: &Market| {
                !market.is_at_rest() || market.violation_at_rest().is_none()
            }),
            Property::always("one bookkeeper could have given the answers", |_, market: &Market| {
                let plan = market.plan();
                market.history().is_strictly_serializable(&plan.shop, &plan.operations)
            }),
            Property::sometimes(COMPLETES, |_, market: &Market| {
                market.history().entries().iter().any(|entry| matches!(entry, Entry::Ended(_, Outcome::Done)))
            }),
        ]
    }
}

pub(super) fn search(configuration: Configuration, tell: &mut dyn FnMut(Told<'_>)) -> Row {
    let begun = Instant::now();
    let model = EverySchedule { start: Market::new(configuration.plan.clone()) };
    // One thread, breadth first: then the schedule that is found is the shortest one.
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs();
    let mut pause = LOOK.0;
    while !checker.is_done() {
        let (states, depth) = (checker.unique_state_count(), checker.max_depth());
        tell(Told::Searching { configuration: &configuration, states, depth });
        thread::sleep(pause);
        pause = (pause * 2).min(LOOK.1);
    }
    let checker = checker.join();
    let mut discoveries = checker.discoveries();
    let completes = discoveries.remove(COMPLETES).is_some();
    let verdict = match discoveries.into_iter().next() {
        Some((promise, path)) => {
            let last = path.last_state();
            let promise = last
                .violation()
                .or_else(|| last.is_at_rest().then(|| last.violation_at_rest()).flatten())
                .unwrap_or(promise);
            let history = last.history().entries().iter().map(|entry| format!("{entry:?}")).collect();
            let schedule = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
            Verdict::Broken { promise, schedule, history }
        }
        None if completes => Verdict::Holds,
        None => Verdict::Vacuous,
    };
    Row {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        elapsed: begun.elapsed(),
        configuration,
        verdict,
    }
}
