//! What a directory keeps of each partition, before anything is consumed.

use std::collections::HashSet;

use contract::{CheckoutId, Event, Service};
use observer::Observer;
use payment::Payment;
use saga::{
    LogName, Participant as _, Partition, Sagas, Store as _, count_sagas, read_event,
    store::{self, Visibility, position::sequence_of},
};
use stock::Stock;

use super::Stores;
use crate::any_store::AnyStore;

/// Events that are read at once.
const READ_LIMIT: usize = 1024;

/// One partition.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) service: &'static str,
    pub(crate) partition: Partition,
    /// How many commits it had.
    pub(crate) head: u64,
    /// The number of the last event of its log.
    pub(crate) log_end: u64,
    /// Checkouts that are begun and not decided (order), or for which something is held (stock, payment).
    pub(crate) open: u64,
    /// Checkouts that wait for what others hold.
    pub(crate) parked: u64,
    /// How far it has consumed others' logs.
    consumed: Vec<(LogName, u64)>,
}

/// Every partition of every service.
pub(super) async fn all(stores: &Stores) -> Result<Vec<Kept>, store::Error> {
    let mut all = Vec::new();
    for (service, store, partitions) in &stores.0 {
        for partition in 0..*partitions {
            let snapshot = store.load(partition, &[]).await?;
            let Sagas { held: open, parked } = match Service::named(service) {
                Some(Service::Order) => undecided(store, partition).await?,
                Some(Service::Stock) => count_sagas::<Stock>(store, partition).await?,
                Some(Service::Payment) => count_sagas::<Payment>(store, partition).await?,
                None => Sagas::default(),
            };
            let cursors = snapshot.cursors.into_iter();
            let consumed = cursors.map(|cursor| (cursor.log, sequence_of(cursor.position))).collect();
            let (head, log_end) = (snapshot.head, sequence_of(snapshot.log_end));
            all.push(Kept { service, partition, head, log_end, open, parked, consumed });
        }
    }
    Ok(all)
}

/// Checkouts that order has begun and not decided: the log keeps the events of each until it is.
async fn undecided(store: &AnyStore, partition: Partition) -> Result<Sagas, store::Error> {
    let (mut begun, mut after): (HashSet<CheckoutId>, _) = (HashSet::new(), 0);
    loop {
        let entries = store.read_log(partition, after, READ_LIMIT, Visibility::Durable).await?;
        let Some(last) = entries.last() else { break };
        after = last.position;
        for entry in entries {
            let event = read_event::<Event>(&entry.event);
            let (_, event) = event.map_err(|error| store::Error::Failed(format!("an event: {error}")))?;
            match event {
                Event::CheckoutStarted(checkout) => drop(begun.insert(checkout.id)),
                Event::CheckoutCompleted(checkout) | Event::CheckoutCancelled(checkout, ..) => {
                    begun.remove(&checkout.id);
                }
                _ => {}
            }
        }
    }
    Ok(Sagas { held: begun.len() as u64, parked: 0 })
}

/// Where a log ends, if it is in the directory.
pub(super) fn log_end(kept: &[Kept], log: &LogName) -> Option<u64> {
    let of_log = |kept: &&Kept| kept.service == &*log.service && kept.partition == log.partition;
    kept.iter().find(of_log).map(|kept| kept.log_end)
}

/// How far the observer had consumed a log.
pub(super) fn consumed(kept: &[Kept], log: &LogName) -> u64 {
    let observer = kept.iter().find(|kept| kept.service == Observer::NAME);
    let cursors = observer.into_iter().flat_map(|observer| &observer.consumed);
    cursors.into_iter().find(|(known, _)| known == log).map_or(0, |(_, position)| *position)
}
