//! A service that consumes another one's logs does not start before somebody says where that is.

use crate::common::{
    PARTITIONS,
    bank::Bank,
    clerk::Clerk,
    database, kept_events, open_accounts, settings, transfer_around,
    watcher::{Seen, Watcher},
};
use saga::{CallOptions, Choreography, Handle, Metrics, NotConnected, Participant};
use store_memory::Persistence::Immediate;

#[tokio::test(start_paused = true)]
async fn services_of_one_process_start_only_with_all_that_they_consume() {
    let stores = database(Immediate, false);
    let mut alone = Choreography::new(settings(), Metrics::default());
    let _: Handle<Clerk> = alone.add(Clerk, stores.open("clerk"), 2);
    let missing = NotConnected { consumer: Clerk::NAME, producer: Bank::NAME };
    assert_eq!(alone.start().err(), Some(missing));
    assert_eq!(missing.to_string(), "clerk consumes the events of bank, and nobody says where that is");

    let mut both = Choreography::new(settings(), Metrics::default());
    let _: Handle<Clerk> = both.add(Clerk, stores.open("clerk"), 2);
    let _: Handle<Bank> = both.add(Bank, stores.open("bank"), PARTITIONS);
    let running = both.start().expect("both are there, in whichever order");
    assert!(running.recovered().await);
}

#[tokio::test(start_paused = true)]
async fn the_logs_of_services_that_do_not_run_are_consumed_as_far_as_they_go_and_nothing_is_added() {
    let stores = database(Immediate, false);
    let mut town = Choreography::new(settings(), Metrics::default());
    let bank = town.add(Bank, stores.open("bank"), PARTITIONS);
    let _: Handle<Clerk> = town.add(Clerk, stores.open("clerk"), 2);
    let _: Handle<Watcher> = town.add(Watcher::default(), stores.open("watcher"), 1);
    let services = town.start().expect("all are there").split();
    let [bank_runs, clerk_runs, watching] = services.try_into().expect("three services");
    // What happens from now on is kept for it.
    watching.stop().await.expect("it stops in order");
    open_accounts(&bank, 6, 100).await;
    transfer_around(&bank, 6, 10).await;
    bank_runs.stop().await.expect("it stops in order");
    clerk_runs.stop().await.expect("it stops in order");
    let kept = async || {
        let (bank, clerk) = (stores.open("bank"), stores.open("clerk"));
        kept_events(&bank, PARTITIONS).await + kept_events(&clerk, 2).await
    };
    let before = kept().await;
    assert!(before > 0, "there is something to consume");

    let archive = |services: &[(&'static str, u16)]| {
        let mut archive = Choreography::new(settings(), Metrics::default());
        let watcher = archive.add(Watcher::default(), stores.open("watcher"), 1);
        services.iter().for_each(|(name, partitions)| archive.add_logs(name, stores.open(name), *partitions));
        (watcher, archive.start())
    };
    let missing = NotConnected { consumer: Watcher::NAME, producer: Clerk::NAME };
    assert_eq!(archive(&[("bank", PARTITIONS)]).1.err(), Some(missing), "one log of two is not enough");
    let (watcher, running) = archive(&[("bank", PARTITIONS), ("clerk", 2)]);
    let _running = running.expect("all logs are there");
    // Answered once all that there was is consumed.
    let seen: Seen = watcher.call(0, (), CallOptions::default()).await.expect("it answers");
    assert_eq!((seen.events, seen.missed), (before as u64, 0));
    assert_eq!(kept().await, before, "nothing was added, and nothing taken");
}
