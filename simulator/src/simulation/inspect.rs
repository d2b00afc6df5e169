//! Looking into the databases and at the replicas once all is quiet.

use std::{sync::Arc, time::Duration};

use contract::{Event, Reason};
use order::Orders;
use saga::{LogName, Store};

use super::{
    client::{self, Round},
    connection::wait,
    lock::lock,
    site::{Fact, decoded, is_open, stored_name},
    world::World,
};
use crate::{
    Plan, Service,
    market::{
        consumes,
        role::{self, Role, set_up},
    },
    plan::Setup,
    shop::{Operation, Outcome, Shop},
};

/// How often one looks whether all is at rest.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Waits until all is at rest.
pub(crate) async fn rest(world: &World) {
    while unrest(world).await.is_some() {
        wait(LOOK).await;
    }
}

/// What is still going on, if anything.
pub(crate) async fn unrest(world: &World) -> Option<String> {
    if !world.is_quiet() {
        return Some(": messages are under way".to_owned());
    }
    for service in Service::ALL {
        let site = world.site(service);
        let store = site.open();
        for (partition, names) in site.names() {
            let Ok(snapshot) = store.load(partition, &names).await else { continue };
            for (name, value) in names.iter().zip(snapshot.records) {
                if value.is_some_and(|value| is_open(service, &value) != Ok(false)) {
                    return Some(format!(": {}/{partition} has {name:?} open", service));
                }
            }
        }
    }
    for producer in Service::ALL {
        for partition in 0..world.climate.partitions.of(producer) {
            let Ok(snapshot) = world.site(producer).open().load(partition, &[]).await else { continue };
            let log = LogName { service: producer.to_string().into(), partition };
            if let Some(behind) = behind(world, &log, producer, snapshot.log_end).await {
                return Some(behind);
            }
        }
    }
    None
}

/// A consumer that has not consumed the whole of a log.
async fn behind(world: &World, log: &LogName, producer: Service, log_end: u64) -> Option<String> {
    for consumer in Service::ALL.into_iter().filter(|consumer| consumes(*consumer, producer)) {
        for partition in 0..world.climate.partitions.of(consumer) {
            if consumer == producer && partition == log.partition {
                continue;
            }
            let Ok(snapshot) = world.site(consumer).open().load(partition, &[]).await else { continue };
            let cursor = snapshot.cursors.iter().find(|cursor| cursor.log == *log);
            let cursor = cursor.map_or(0, |cursor| cursor.position);
            if cursor < log_end {
                return Some(format!(": {consumer}/{partition} is at {cursor} of {log_end} of {log}"));
            }
        }
    }
    None
}

/// The books as the databases have them.
pub(crate) async fn books(world: &World, setup: &Setup) -> Result<Shop, String> {
    let mut books = setup.plan.shop.clone();
    for service in Service::ALL {
        contract::of!(service, P => note_books::<P>(world, setup, &mut books).await?);
    }
    Ok(books)
}

async fn note_books<P: Role>(world: &World, setup: &Setup, books: &mut Shop) -> Result<(), String> {
    for (key, name) in P::keys(setup) {
        P::note_books(setup, &key, &record::<P>(world, &key, name).await?, books);
    }
    Ok(())
}

async fn record<P: Role>(world: &World, key: &P::Key, name: &str) -> Result<P::Record, String> {
    let partition = saga::partition_of(name.as_bytes(), world.climate.partitions.of(P::SERVICE));
    let loaded =
        world.site(P::SERVICE).open().load(partition, &[stored_name(key)]).await.map_err(|error| error.to_string())?;
    let value = loaded.records.into_iter().next().flatten();
    decoded::<P>(&value.ok_or_else(|| format!("{name} is gone"))?)
}

/// Asks every replica for everything, and compares.
pub(crate) async fn every_replica_shows(world: &World, round: &Round, books: &Shop) -> Result<(), String> {
    let finds = (0..books.stock.len())
        .map(|item| Operation::FindItem { item })
        .chain((0..books.credit.len()).map(|user| Operation::FindUser { user }))
        .chain((0..books.orders.len()).map(|order| Operation::FindOrder { order }));
    let plan = Plan { operations: finds.collect(), ..round.setup.plan.clone() };
    let finds = Arc::new(Round::new(round.number, set_up(plan)));
    for (number, find) in finds.setup.plan.operations.iter().enumerate() {
        for replica in world.present(role::service_of(find)) {
            let expected = books.clone().perform(find);
            let shown = shown(world, replica, &finds, number).await;
            if shown.as_ref() != Some(&expected) {
                return Err(format!("replica {replica} shows {shown:?} to {find:?}, and it is {expected:?}"));
            }
        }
    }
    Ok(())
}

/// What a replica that may just be starting shows.
async fn shown(world: &World, replica: usize, finds: &Round, number: usize) -> Option<Outcome> {
    for _ in 0..200 {
        match client::ask_directly(world, replica, finds, number).await {
            None => wait(LOOK).await,
            shown => return shown,
        }
    }
    None
}

/// Finds out which checkouts were told the outcome of an attempt that another one had begun, and counts how attempts
/// ended.
pub(crate) fn note_joins(world: &World, round: &Round) -> Result<(), String> {
    let facts = world.site(Service::Order).facts();
    let operation_of = |fact: &Fact| fact.event.checkout().and_then(|checkout| round.operation_of(checkout.id));
    let of_round = |fact: &&Fact| operation_of(fact).is_some();
    let mut paid = vec![0; round.setup.orders.len()];
    for fact in facts.iter().filter(of_round) {
        let number = |order| round.setup.orders.iter().position(|other| other == order);
        match &fact.event {
            Event::CheckoutCompleted(checkout) => {
                let Some(order) = number(&checkout.order) else { continue };
                paid[order] += 1;
                if paid[order] > 1 {
                    return Err(format!("{} was paid twice", checkout.order));
                }
            }
            Event::CheckoutCancelled(_, Reason::Timeout, _) => world.reach("deadline fired"),
            _ => {}
        }
    }
    let (times, operations) = (lock(&round.times).clone(), &round.setup.plan.operations);
    for (operation, (begun, ended)) in times {
        let Operation::Checkout { order } = operations[operation] else { continue };
        let Some(outcome) = lock(&round.history).outcome(operation).cloned() else { continue };
        let decides = |fact: &&Fact| {
            (begun..=ended).contains(&fact.at) && decision(round, &fact.event, order).as_ref() == Some(&outcome)
        };
        let attempts = facts.iter().filter(of_round).filter(decides);
        let began: Vec<_> = attempts.filter_map(operation_of).collect();
        if !began.is_empty() && !began.contains(&operation) {
            world.reach("joined a running checkout");
            let earliest = began.into_iter().min_by_key(|other| lock(&round.history).began(*other));
            if let Some(attempt) = earliest {
                lock(&round.history).join(operation, attempt);
            }
        }
    }
    Ok(())
}

/// What an event tells those who wait for a checkout of this order.
fn decision(round: &Round, event: &Event, order: usize) -> Option<Outcome> {
    if round.setup.orders[order] != event.checkout()?.order {
        return None;
    }
    match event {
        Event::CheckoutCompleted(_) => Some(Outcome::Done),
        Event::CheckoutCancelled(_, reason, _) => {
            Some(Orders::outcome(&round.setup, &order::Reply::Cancelled(reason.clone())))
        }
        _ => None,
    }
}
