//! How many of a view's records are of sagas that are not decided, and since when something is held for them.

use std::collections::BTreeMap;

use crate::Standing;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Undecided {
    /// The time, in whole seconds since some moment.
    seconds: u32,
    parked: usize,
    /// How many are held since which second. As few as there are such seconds.
    held: BTreeMap<u32, usize>,
}

/// What a record is counted as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    standing: Standing,
    since: u32,
}

impl Undecided {
    pub(super) fn set_seconds(&mut self, seconds: u32) {
        self.seconds = seconds;
    }

    pub(super) fn parked(&self) -> usize {
        self.parked
    }

    pub(super) fn held(&self) -> usize {
        self.held.values().sum()
    }

    /// For how many seconds something has been held for the saga for which that is longest; 0 where nothing is held.
    pub(super) fn held_seconds_max(&self) -> u32 {
        self.held.first_key_value().map_or(0, |(since, _)| self.seconds.saturating_sub(*since))
    }

    /// Counts a record as what it is now. One that is held and was goes on being held since then.
    pub(super) fn count(&mut self, counted: &mut Counted, standing: Standing) {
        if counted.standing == standing {
            return;
        }
        match counted.standing {
            Standing::Settled => {}
            Standing::Parked => self.parked -= 1,
            Standing::Held => {
                let count = self.held.get_mut(&counted.since).expect("what is counted as held was added");
                *count -= 1;
                if *count == 0 {
                    self.held.remove(&counted.since);
                }
            }
        }
        match standing {
            Standing::Settled => {}
            Standing::Parked => self.parked += 1,
            Standing::Held => *self.held.entry(self.seconds).or_default() += 1,
        }
        *counted = Counted { standing, since: self.seconds };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_been_held_for_longest_is_known_until_it_is_let_go() {
        let mut undecided = Undecided::default();
        let [mut first, mut second, mut third] = [Counted::default(); 3];
        undecided.set_seconds(10);
        undecided.count(&mut first, Standing::Held);
        undecided.count(&mut third, Standing::Held);
        undecided.count(&mut second, Standing::Parked);
        undecided.set_seconds(15);
        undecided.count(&mut second, Standing::Held);
        undecided.count(&mut first, Standing::Held);
        assert_eq!((undecided.held(), undecided.parked(), undecided.held_seconds_max()), (3, 0, 5));
        undecided.count(&mut first, Standing::Settled);
        undecided.count(&mut third, Standing::Settled);
        undecided.set_seconds(17);
        assert_eq!((undecided.held(), undecided.held_seconds_max()), (1, 2));
        undecided.count(&mut second, Standing::Settled);
        assert_eq!((undecided.held(), undecided.held_seconds_max()), (0, 0));
    }
}
