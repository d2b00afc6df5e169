//! What a process knows of its partitions, as its operators see it.

use crate::common::bank::Reply;
use crate::common::country::{CLERK_PARTITIONS, Country, two_of_each};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::common::{PARTITIONS, Town, audit, call, database, open_accounts, pass, settings, spawn_call};
use saga::{CallOptions, PartitionView, Running, Settings, Store as _, store::Visibility};
use store_memory::{Call as FaultCall, Fault, Persistence};

fn partitions(running: &Running, service: &str) -> Vec<PartitionView> {
    let mut services = running.inspection().services().into_iter();
    services.find(|view| view.service == service).expect("the service runs").partitions
}

#[tokio::test(start_paused = true)]
async fn a_partition_says_how_far_it_is_and_how_far_everybody_else_is_behind() {
    let database = database(Persistence::Immediate, false);
    let town = Town::of(&database).await;
    for index in 0..12 {
        assert_eq!(call(&town.bank, audit(&format!("audit-{index}"))).await, Ok(Reply::Audited(1)));
    }
    pass(2000).await;
    let banks = partitions(&town.bank_runs, "bank");
    assert_eq!(banks.len(), usize::from(PARTITIONS));
    let store = database.open("bank");
    for (partition, view) in (0..).zip(&banks) {
        let stored = store.load(partition, &[]).await.expect("the store is well");
        assert_eq!((view.log.partition, view.head, view.log_end), (partition, stored.head, stored.log_end));
        assert!(view.is_owned && view.is_loaded && !view.stands_still && view.reasons.is_empty(), "{view:?}");
        assert_eq!((view.owner.as_ref(), view.in_flight, view.gate.waiting), (None, 0, 0), "{view:?}");
        for consumer in &view.consumers {
            assert_eq!((consumer.consumed, consumer.lag), (Some(view.log_end), 0), "{view:?}");
        }
        let clerks = view.consumers.iter().filter(|consumer| &*consumer.log.service == "clerk").count();
        assert_eq!(clerks, usize::from(CLERK_PARTITIONS));
        assert!(view.sources.iter().all(|source| source.consumed.is_some() && source.lag == 0), "{view:?}");
    }

    let Town { bank, bank_runs, clerk_runs, .. } = town;
    clerk_runs.stop().await.expect("the clerk stops");
    open_accounts(&bank, 1, 5).await;
    let waiting: Vec<_> =
        (0..9).map(|index| spawn_call(&bank, audit(&format!("late-{index}")), CallOptions::default())).collect();
    pass(1000).await;
    let banks = partitions(&bank_runs, "bank");
    let sum = |count: fn(&PartitionView) -> u64| banks.iter().map(count).sum::<u64>();
    assert_eq!((sum(|view| view.in_flight), sum(|view| view.queues.waiting)), (9, 9), "{banks:?}");
    for view in &banks {
        let behind = view.consumers.iter().filter(|consumer| &*consumer.log.service == "clerk");
        let kept = store.read_log(view.log.partition, 0, usize::MAX, Visibility::Committed).await;
        assert!(view.retained >= kept.expect("the store is well").len() as u64, "{view:?}");
        for consumer in behind {
            let consumed = consumer.consumed.expect("it has said so");
            assert_eq!(consumer.lag, view.log_end - consumed, "{view:?}");
        }
    }
    assert!(banks.iter().flat_map(|view| &view.consumers).any(|consumer| consumer.lag > 0), "{banks:?}");
    bank_runs.stop().await.expect("the bank stops");
    for call in waiting {
        drop(call.await.expect("no panic"));
    }
}

#[tokio::test(start_paused = true)]
async fn replicas_agree_on_who_is_there_and_who_owns_what() {
    let country = Country::new();
    let (banks, clerks) = two_of_each(&country).await;
    let views = banks.each_ref().map(|bank| bank.node.inspection().services().remove(0));
    let owners = views.each_ref().map(|view| {
        let owner = |partition: &PartitionView| partition.owner.clone().expect("somebody is the owner");
        view.partitions.iter().map(owner).collect::<Vec<_>>()
    });
    assert_eq!(owners[0], owners[1]);
    for view in &views {
        let replicas = view.replicas.as_ref().expect("there may be several");
        let mut members: Vec<_> = replicas.members.iter().map(|member| member.address.as_str()).collect();
        members.sort_unstable();
        assert_eq!(members, ["bank-1", "bank-2"]);
        assert!(replicas.is_reached && replicas.members.iter().all(|member| member.is_fit), "{replicas:?}");
        assert_eq!(replicas.lacks, [""; 0]);
        for partition in &view.partitions {
            assert_eq!(partition.is_owned, partition.owner.as_ref() == Some(&replicas.address), "{partition:?}");
            assert_eq!(partition.consumers.is_empty(), !partition.is_owned, "{partition:?}");
        }
    }

    country.network.close("clerk-1");
    country.network.close("clerk-2");
    drop(clerks);
    pass(10_000).await;
    let replicas = banks[0].node.inspection().services().remove(0).replicas.expect("there may be several");
    assert!(replicas.lacks.iter().any(|lack| lack.contains("clerk")), "{replicas:?}");
}

#[tokio::test(start_paused = true)]
async fn a_partition_reads_the_logs_of_its_sources_again_when_it_is_told_to() {
    let database = database(Persistence::Immediate, false);
    // Of itself it looks again in an hour.
    let settings = Settings { poll: Duration::from_secs(3600), ..settings() };
    let town = Town::start(database.open("bank"), database.open("clerk"), settings).await;
    assert_eq!(call(&town.bank, audit("audit")).await, Ok(Reply::Audited(1)));
    pass(2000).await;
    let reads = Arc::<AtomicUsize>::default();
    let counts = Arc::clone(&reads);
    database.set_fault_plan(move |operation| {
        if matches!(operation.call, FaultCall::ReadLog { .. }) {
            counts.fetch_add(1, Ordering::Relaxed);
        }
        Fault::none()
    });
    pass(2000).await;
    assert_eq!(reads.load(Ordering::Relaxed), 0);
    let before = partitions(&town.clerk_runs, "clerk");
    town.clerk_runs.inspection().redeliver("clerk", 1);
    town.clerk_runs.inspection().redeliver("clerk", CLERK_PARTITIONS);
    pass(2000).await;
    let sources = before[1].sources.len();
    assert_eq!(sources, usize::from(PARTITIONS));
    assert!(reads.load(Ordering::Relaxed) >= sources, "each of them");
    for (before, after) in before.iter().zip(partitions(&town.clerk_runs, "clerk")) {
        assert_eq!(after.log_end, before.log_end, "nothing is applied again");
    }
    town.stop().await;
}
