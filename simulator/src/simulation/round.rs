//! One round: a shop is put in place, clients ask in a storm, the storm ends, and everything has to come to rest with books
//! that one bookkeeper could have kept.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{
    Limits,
    client::{self, Round},
    connection::wait,
    inspect,
    lock::lock,
    observed,
    random::Random,
    replica::Replica,
    task::watched,
    weather,
    world::World,
};
use crate::{
    Judgement, Plan, Service,
    market::role::set_up,
    shop::{Operation, Order, Outcome, Shop},
};

const ITEMS: usize = 3;
const USERS: usize = 3;
const ORDERS: usize = 5;

/// The most operations in a round: what the search for a bookkeeper's order can take.
const OPERATIONS_MAX: usize = 40;

/// How often an order is checked out once the storm is over until it does not time out.
const TRIES: usize = 4;

/// A checkout that may take so long has no reason to time out while nothing strikes; a shorter one may, where every delivery
/// is lost and has to be read.
const AMPLE: Duration = Duration::from_secs(5);

/// How long anything may take once the storm is over, far beyond every deadline and patience.
const LIVENESS: Duration = Duration::from_secs(120);

/// States that the search for a bookkeeper's order looks at before it gives up.
const LOOKS_MAX: usize = 400_000;

/// How many operations round `number` has, while so many are wanted still.
pub(crate) fn operations_in(seed: u64, number: u64, left: usize) -> usize {
    Random::new(seed, "round length", number).between(6, OPERATIONS_MAX as u64).min(left as u64) as usize
}

/// Plays a round. What it finds broken it tells the world.
pub(crate) async fn play(world: &Arc<World>, limits: &Limits, number: u64, operations: usize) {
    let mut random = Random::new(world.seed, "round", number);
    let plan = plan(world, &mut random, operations);
    let round = Arc::new(Round::new(number, set_up(plan)));
    world.note(format_args!("round {number}: {:?}", round.setup.plan.shop));
    world.replicas.iter().for_each(|replica| replica.stay_away(false));
    if !in_time(world, "putting a shop in place", client::initialise(world, &round.setup)).await {
        return;
    }
    storm(world, limits, &round, operations, &mut random).await;
    if world.broken().borrow().is_some() || !in_time(world, "coming to rest", inspect::rest(world)).await {
        return;
    }
    if world.replicas.iter().any(Replica::is_away) {
        world.reach("at rest while a replica was away");
    }
    if !in_time(world, "trying all orders", try_all(world, &round, operations)).await
        || !in_time(world, "coming to rest again", inspect::rest(world)).await
        || !in_time(world, "observing it", observed::rest(world)).await
    {
        return;
    }
    if let Err(promise) = judge(world, &round).await {
        world.breaks(promise);
    }
}

async fn in_time(world: &World, what: &str, work: impl Future<Output = ()>) -> bool {
    let ended = tokio::time::timeout(LIVENESS, work).await.is_ok();
    if !ended {
        world.breaks(format!("{what} takes for ever{}", inspect::unrest(world).await.unwrap_or_default()));
    }
    ended
}

/// Clients ask while faults strike; then nothing strikes any more, and all must be answered.
async fn storm(world: &Arc<World>, limits: &Limits, round: &Arc<Round>, operations: usize, random: &mut Random) {
    world.set_stormy(true);
    let mut weather = weather::rise(world, round.number);
    let mut clients = JoinSet::new();
    for client in 0..world.climate.clients {
        let (world, round, limits) = (Arc::clone(world), Arc::clone(round), limits.clone());
        clients.spawn(watched(Arc::clone(&world), format!("client {client}"), async move {
            let mut operation = client;
            while operation < operations {
                // Of its own, so that an operation that is left out changes little in the others.
                let mut random = Random::new(world.seed, "operation", (round.number << 20) + operation as u64);
                wait(random.wait(60)).await;
                if !limits.left_out.contains(&operation) {
                    client::perform(Arc::clone(&world), Arc::clone(&round), operation, &mut random).await;
                }
                operation += world.climate.clients;
            }
        }));
    }
    let length = random.wait(6000);
    let mut all_done = std::pin::pin!(async { while clients.join_next().await.is_some() {} });
    let is_done = tokio::time::timeout(length, &mut all_done).await.is_ok();
    weather.abort_all();
    while weather.join_next().await.is_some() {}
    weather::clear(world);
    if !is_done {
        in_time(world, "answering the clients", all_done).await;
    }
}

/// Checks out every order once more while nothing strikes, whoever is away: as long as each service has a replica, a
/// checkout has an end before its deadline.
async fn try_all(world: &Arc<World>, round: &Arc<Round>, operations: usize) {
    let mut random = Random::new(world.seed, "tries", round.number);
    let tries: Vec<_> = (operations..round.setup.plan.operations.len()).collect();
    for tries in tries.chunks(TRIES) {
        let mut tries = tries.iter().peekable();
        while let Some(operation) = tries.next() {
            let outcome = client::perform(Arc::clone(world), Arc::clone(round), *operation, &mut random).await;
            if outcome.is_some_and(|outcome| outcome != Outcome::Timeout) {
                break;
            }
            if tries.peek().is_none() && world.climate.checkout_timeout >= AMPLE {
                world.breaks(format!("{:?} times out while nothing is wrong", round.setup.operation(*operation)));
            }
        }
    }
}

fn plan(world: &World, random: &mut Random, operations: usize) -> Plan {
    let partitions = world.climate.partitions;
    let order = |random: &mut Random| {
        let lines: Vec<_> = (0..random.between(0, 3)).map(|_| (random.below(ITEMS), random.between(1, 2))).collect();
        Order::new(random.below(USERS), lines)
    };
    let shop = Shop {
        stock: (0..ITEMS).map(|_| random.between(0, 6)).collect(),
        credit: (0..USERS).map(|_| random.between(0, 9)).collect(),
        orders: (0..ORDERS).map(|_| order(random)).collect(),
    };
    let once_more = (0..ORDERS).flat_map(|order| vec![Operation::Checkout { order }; TRIES]);
    Plan {
        shop,
        partitions,
        placement: (0..ITEMS).map(|item| item as u16 % partitions.of(Service::Stock)).collect(),
        operations: (0..operations).map(|_| operation(random)).chain(once_more).collect(),
        parked_max: world.climate.parked_max,
        ..Plan::default()
    }
}

fn operation(random: &mut Random) -> Operation {
    let (order, item, user) = (random.below(ORDERS), random.below(ITEMS), random.below(USERS));
    let quantity = random.between(1, 3);
    match random.between(0, 24) {
        0..=7 => Operation::Checkout { order },
        8..=9 => Operation::FindOrder { order },
        10..=11 => Operation::AddItem { order, item, quantity },
        12..=13 => Operation::FindItem { item },
        14 => Operation::Add { item, quantity },
        15..=16 => Operation::Subtract { item, quantity },
        17..=18 => Operation::FindUser { user },
        19 => Operation::AddFunds { user, amount: quantity },
        20 => Operation::RenewItem { item, units: quantity },
        21..=22 => Operation::RenewUser { user, credit: quantity },
        _ => Operation::Pay { user, amount: quantity },
    }
}

/// Whether the books are right, all replicas show them, and one bookkeeper could have given the answers.
async fn judge(world: &World, round: &Round) -> Result<(), String> {
    let books = inspect::books(world, &round.setup).await?;
    inspect::every_replica_shows(world, round, &books).await?;
    inspect::note_joins(world, round)?;
    observed::judge(world, round, &books).await?;
    let (shop, operations) = (&round.setup.plan.shop, &round.setup.plan.operations);
    let history = lock(&round.history).clone();
    world.reach("round");
    match history.judge(shop, operations, Some(&books), LOOKS_MAX) {
        Judgement::Serializable => Ok(()),
        Judgement::TooWide => {
            world.reach("round too wide to be searched");
            Ok(())
        }
        Judgement::Impossible => Err(format!(
            "no bookkeeper could have given these answers and kept these books\n  at first {shop:?}\n  in the end {books:?}\n  {}",
            told(round, &history)
        )),
    }
}

fn told(round: &Round, history: &crate::History) -> String {
    let word = |entry: &crate::Entry| match entry {
        crate::Entry::Began(number) => format!("{number} asks {:?}", round.setup.operation(*number)),
        crate::Entry::Ended(number, outcome) => format!("{number} is told {outcome:?}"),
    };
    history.entries().iter().map(word).collect::<Vec<_>>().join("\n  ")
}
