//! Random histories: what nobody thought of.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::{
    collection::{btree_map, vec},
    prelude::{Just, Strategy, any},
    prop_oneof,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::{
    Outcome, PARTITIONS, Reopen, Subject, Violation,
    fixture::{bytes, cursor, pattern},
    world::{Place, World},
};
use crate::{
    Partition, Store,
    store::{Commit, Write},
};

/// How many histories are played at most to make one that failed smaller.
const SMALLER_ONES_MAX: u32 = 500;

/// One step of a history. Everything in it is small, so that it meets what other steps did.
#[derive(Clone, Debug)]
enum Operation {
    Commit {
        partition: Partition,
        through_other_handle: bool,
        change: Change,
        then: Then,
    },
    /// A commit on a head that is off by so many.
    CommitInVain {
        partition: Partition,
        head_off_by: i8,
    },
    ReadPage {
        partition: Partition,
        after: u8,
        limit: u8,
    },
    ReadDurable {
        partition: Partition,
        through_other_handle: bool,
    },
    /// Waits for what a snapshot depends on.
    LoadAndWait {
        partition: Partition,
    },
    Reopen(Reopen),
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    Request,
    Wait,
}

#[derive(Clone, Debug)]
struct Change {
    /// The length of the value to put under each key, or `None` to remove the record.
    writes: BTreeMap<u8, Option<u16>>,
    /// The length of each event to append.
    events: Vec<u16>,
    /// How far to move the cursor on each log.
    cursors: BTreeMap<u8, u8>,
    /// What to trim, as an offset back from the end of the log before the commit; none for none.
    trim: Option<i8>,
}

/// Random histories of commits, conflicts, reads, waits, reopenings and crashes leave the store as they leave the
/// simplest implementation of the port. A history that does not is shown as small as it could be made.
pub async fn random_histories_match_the_reference<S: Subject>(subject: &S) -> Outcome {
    let effort = subject.effort();
    let histories = vec(operations(), 1..=effort.operations_max.max(1));
    let mut runner = runner_from(effort.seed);
    for number in 0..effort.histories {
        let mut tree = histories
            .new_tree(&mut runner)
            .map_err(|reason| Violation::new(format!("no history could be made: {reason}")))?;
        if let Err(violation) = play(subject, &tree.current()).await {
            let (smallest, violation) = shrink(subject, &mut tree, violation).await;
            let seed = effort.seed;
            return Err(Violation::new(format!(
                "history {number} of seed {seed} ended with: {violation}\nafter {smallest:#?}"
            )));
        }
    }
    Ok(())
}

fn runner_from(seed: u64) -> TestRunner {
    let mut whole_seed = [0_u8; 32];
    for (byte, part) in whole_seed.iter_mut().zip(seed.to_le_bytes()) {
        *byte = part;
    }
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &whole_seed);
    TestRunner::new_with_rng(Config::default(), random)
}

/// Makes the history in `tree` smaller for as long as it still fails.
async fn shrink<S: Subject>(
    subject: &S,
    tree: &mut impl ValueTree<Value = Vec<Operation>>,
    violation: Violation,
) -> (Vec<Operation>, Violation) {
    let mut smallest = (tree.current(), violation);
    let mut goes_on = tree.simplify();
    for _ in 0..SMALLER_ONES_MAX {
        if !goes_on {
            break;
        }
        let history = tree.current();
        goes_on = match play(subject, &history).await {
            Ok(()) => tree.complicate(),
            Err(violation) => {
                smallest = (history, violation);
                tree.simplify()
            }
        };
    }
    smallest
}

async fn play<S: Subject>(subject: &S, history: &[Operation]) -> Outcome {
    let differences = subject.known_differences();
    let mut store = subject.fresh().await;
    let mut other = subject.another_handle(&store).await;
    let mut world = World::new(differences);
    for (step, operation) in history.iter().enumerate() {
        if let Operation::Reopen(how) = operation {
            drop(other);
            store = subject.reopen(store, *how).await;
            other = subject.another_handle(&store).await;
            if *how == Reopen::Clean {
                world.close();
            }
            world.recover(&[&store]).await?;
        } else {
            let handles = (&store, other.as_ref().unwrap_or(&store));
            perform(handles, &mut world, step, operation).await?;
        }
    }
    world.check(&[&store]).await
}

/// Plays one operation that leaves the store open, on the store or its other handle.
async fn perform<T: Store>(
    (store, other): (&T, &T),
    world: &mut World,
    step: usize,
    operation: &Operation,
) -> Result<(), Violation> {
    let choose = |through_other: bool| if through_other { other } else { store };
    match operation {
        Operation::Commit { partition, through_other_handle, change, then } => {
            let (store, place) = (choose(*through_other_handle), (0, *partition));
            let commit = change.made(world, place, step);
            let position = world.commit(store, place, commit).await?.position;
            match then {
                Then::Nothing => {}
                Then::Request => store.durability().request(position),
                Then::Wait => world.wait(store, position).await?,
            }
            world.check_place(choose(!through_other_handle), place).await
        }
        Operation::CommitInVain { partition, head_off_by } => {
            let place = (0, *partition);
            let head = world.at(place).head.checked_add_signed(i64::from(*head_off_by));
            let wrong = head.filter(|_| *head_off_by != 0).unwrap_or(u64::from(u32::MAX));
            world.commit_in_vain(store, place, wrong).await?;
            world.check_place(store, place).await
        }
        Operation::ReadPage { partition, after, limit } => {
            let (after, limit) = (u64::from(*after), usize::from(*limit));
            world.read_page(store, (0, *partition), after, limit).await
        }
        Operation::ReadDurable { partition, through_other_handle: false } => {
            world.read_durable(store, (0, *partition)).await
        }
        Operation::ReadDurable { partition, .. } => {
            world.read_durable_of_another(other, (0, *partition)).await.map(drop)
        }
        Operation::LoadAndWait { partition } => {
            let snapshot = other.load(*partition, &[]).await?;
            world.wait_for_place(other, (0, *partition), snapshot.position).await
        }
        // Needs the store by value, so it is played where that is at hand.
        Operation::Reopen(_) => Ok(()),
    }
}

impl Change {
    fn made(&self, world: &mut World, place: Place, step: usize) -> Commit {
        let salt = |index: u8| (step as u8).wrapping_mul(31).wrapping_add(index);
        let log_end = world.at(place).log_end();
        let events = self.events.iter().zip(0..=u8::MAX);
        Commit {
            expected_head: world.at(place).head,
            writes: self.writes.iter().map(|(key, length)| write(*key, *length, salt(*key))).collect(),
            events: events.map(|(length, index)| pattern(usize::from(*length), salt(index))).collect(),
            cursors: self
                .cursors
                .iter()
                .map(|(log, position)| cursor("log", Partition::from(*log), u64::from(*position)))
                .collect(),
            trim: self.trim.map_or(0, |back| log_end.saturating_sub_signed(i64::from(back))),
        }
    }
}

fn write(key: u8, length: Option<u16>, salt: u8) -> Write {
    Write {
        key: bytes(format!("{}key-{key}", if key.is_multiple_of(3) { "*" } else { "" })),
        value: length.map(|length| -> Bytes { pattern(usize::from(length), salt) }),
    }
}

fn operations() -> impl Strategy<Value = Operation> {
    let then = prop_oneof![4 => Just(Then::Nothing), 1 => Just(Then::Request), 1 => Just(Then::Wait)];
    let commit =
        (partitions(), any::<bool>(), changes(), then).prop_map(|(partition, through_other_handle, change, then)| {
            Operation::Commit { partition, through_other_handle, change, then }
        });
    let in_vain = (partitions(), -3..=3_i8);
    let page = (partitions(), 0..40_u8, 0..10_u8);
    let durable = (partitions(), any::<bool>());
    prop_oneof![
        12 => commit,
        2 => in_vain.prop_map(|(partition, head_off_by)| Operation::CommitInVain { partition, head_off_by }),
        2 => page.prop_map(|(partition, after, limit)| Operation::ReadPage { partition, after, limit }),
        2 => durable.prop_map(|(partition, through_other_handle)| Operation::ReadDurable { partition, through_other_handle }),
        1 => partitions().prop_map(|partition| Operation::LoadAndWait { partition }),
        1 => Just(Operation::Reopen(Reopen::Clean)),
        1 => Just(Operation::Reopen(Reopen::Crash)),
    ]
}

fn partitions() -> impl Strategy<Value = Partition> {
    0..PARTITIONS
}

fn changes() -> impl Strategy<Value = Change> {
    let length = prop_oneof![8 => 0..20_u16, 1 => 200..3_000_u16];
    let value = proptest::option::weighted(0.7, length.clone());
    let parts = (
        btree_map(0..8_u8, value, 0..5),
        vec(length, 0..4),
        btree_map(0..3_u8, any::<u8>(), 0..3),
        proptest::option::weighted(0.25, -2..=6_i8),
    );
    parts.prop_map(|(writes, events, cursors, trim)| Change { writes, events, cursors, trim })
}
