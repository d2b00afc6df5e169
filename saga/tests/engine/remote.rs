//! Services in processes of their own, several replicas of each, and what happens when some of them go.

use std::sync::Arc;

use crate::common::country::{Branch, CLERK_PARTITIONS, Country, two_of_each};
use crate::common::{
    PARTITIONS, audit, balances, bank::Bank, bank::Reply, call_with, clerk::Clerk, deposit, kept_events, keyed,
    open_accounts, pass, patient, settings, spawn_call, transfer, transfer_around, wait_for,
};
use saga::{CallError, CallOptions, Handle, Metrics, Service, remote::Node};

#[tokio::test(start_paused = true)]
async fn any_replica_takes_any_request_and_everything_is_applied_once() {
    let country = Country::new();
    let (banks, clerks) = two_of_each(&country).await;
    open_accounts(&banks[0].handle, 6, 100).await;
    for handle in [&banks[0].handle, &banks[1].handle, &clerks[0].handle] {
        assert_eq!(balances(handle, 6).await, [100; 6]);
    }
    let mut running = Vec::new();
    for index in 0..120 {
        let (from, to) = (format!("account-{}", index % 6), format!("account-{}", (index + 1) % 6));
        let handle = &banks[index % 2].handle;
        let away = transfer(&format!("transfer-{index}"), &from, &to, 3);
        running.push((spawn_call(handle, away, CallOptions::default()), Reply::Done));
        let audit = audit(&format!("audit-{index}"));
        running.push((spawn_call(handle, audit, CallOptions::default()), Reply::Audited(1)));
    }
    for (call, expected) in running {
        assert_eq!(call.await.expect("no panic"), Ok(expected));
    }
    assert_eq!(balances(&clerks[1].handle, 6).await, [100; 6]);
    // What everybody has consumed is trimmed, though they only tell each other.
    pass(10_000).await;
    // Trimming goes with a commit, so every partition needs one.
    for index in 0..12 {
        let more = call_with(&banks[1].handle, deposit(&format!("further-{index}"), 1), CallOptions::default()).await;
        assert_eq!(more, Ok(Reply::Balance(1)));
    }
    let kept = kept_events(&country.bank.open("bank"), PARTITIONS).await;
    assert!(kept < 50, "logs are trimmed: {kept} events are kept");
    let conflicts = |branch: &Branch<_>| crate::common::metric(&branch.metrics, "commit_conflicts_total");
    assert!(banks.iter().map(conflicts).sum::<u64>() < 20, "replicas keep out of each other's way");
    for branch in banks.into_iter().chain(clerks) {
        branch.node.stop().await.expect("it stops in order");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_dying_replica_leaves_is_taken_over_and_its_callers_get_their_answers() {
    let country = Country::new();
    let ([one, other], clerks) = two_of_each(&country).await;
    open_accounts(&one.handle, 6, 100).await;
    // Some wait in the memory of the replica that is about to die, whichever partition they are of.
    let waiting: Vec<_> = (0..6)
        .map(|index| spawn_call(&other.handle, wait_for(&format!("account-{index}"), 150), patient(60_000)))
        .collect();
    pass(100).await;
    country.network.close("bank-1");
    drop(one);
    pass(1000).await;
    transfer_around(&other.handle, 6, 3).await;
    for index in 0..6 {
        let more = call_with(&clerks[0].handle, deposit(&format!("account-{index}"), 100), CallOptions::default());
        assert!(matches!(more.await, Ok(Reply::Balance(200 | 50))));
    }
    for call in waiting {
        assert_eq!(call.await.expect("no panic"), Ok(Reply::Balance(50)));
    }
    assert_eq!(balances(&other.handle, 6).await, [50; 6]);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_leaves_hands_over_without_anybody_noticing() {
    let country = Country::new();
    let ([one, other], _clerks) = two_of_each(&country).await;
    open_accounts(&other.handle, 6, 100).await;
    let waiting = spawn_call(&other.handle, wait_for("account-1", 150), patient(60_000));
    let handle = other.handle.clone();
    let busy = tokio::spawn(async move { transfer_around(&handle, 6, 30).await });
    pass(5).await;
    country.network.close("bank-1");
    one.node.stop().await.expect("it stops in order");
    busy.await.expect("every transfer arrived");
    let more = call_with(&other.handle, deposit("account-1", 50), CallOptions::default()).await;
    assert!(matches!(more, Ok(Reply::Balance(_))));
    assert_eq!(waiting.await.expect("no panic"), Ok(Reply::Balance(0)));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_cut_off_is_given_up_at_the_deadline_and_found_again() {
    let country = Country::new();
    let (banks, clerks) = two_of_each(&country).await;
    let cut = ["bank-1", "bank-2", "clerk-1", "clerk-2"];
    cut.iter().for_each(|address| country.network.cut(address));
    let asked = call_with(&banks[0].handle, audit("partition-of-this-replica"), CallOptions::default()).await;
    let found = [Ok(Reply::GaveUp), Err(CallError::Unavailable), Err(CallError::Unknown)];
    assert!(found.contains(&asked), "{asked:?}");
    let unreachable = call_with(&clerks[0].handle, deposit("account", 1), CallOptions::default()).await;
    assert!(matches!(unreachable, Err(CallError::Unavailable | CallError::Unknown)), "{unreachable:?}");
    cut.iter().for_each(|address| country.network.mend(address));
    pass(10_000).await;
    for index in 0..12 {
        let asked = call_with(&banks[index % 2].handle, audit(&format!("later-{index}")), CallOptions::default()).await;
        assert_eq!(asked, Ok(Reply::Audited(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_applied_once_though_its_answer_is_lost_with_the_connection() {
    let country = Country::new();
    let (banks, clerks) = two_of_each(&country).await;
    for round in 0..10 {
        let calls: Vec<_> = (0..6)
            .map(|index| {
                let deposit = deposit(&format!("account-{index}"), 1);
                spawn_call(&clerks[0].handle, deposit, keyed(&format!("key-{round}-{index}"), 1))
            })
            .collect();
        // Somewhere between the request and its answer.
        pass(round % 3).await;
        for address in ["bank-1", "bank-2"] {
            country.network.cut(address);
            country.network.mend(address);
        }
        for call in calls {
            assert!(matches!(call.await.expect("no panic"), Ok(Reply::Balance(_))));
        }
    }
    assert_eq!(balances(&banks[0].handle, 6).await, [10; 6]);
}

#[tokio::test(start_paused = true)]
async fn a_service_with_another_number_of_partitions_is_not_let_in() {
    let country = Country::new();
    let bank = country.bank(1).await.recovered().await;
    let store = country.clerk.open("clerk");
    let service = Service::new(Clerk, store.clone(), CLERK_PARTITIONS, settings(), Metrics::default());
    let mut node = Node::new(service, Country::member("clerk-1", 1), Arc::new(country.network.clone()));
    let handle: Handle<Bank> = node.peer(Country::hosts("bank"), PARTITIONS + 1);
    let _node = node.start(country.network.listen("clerk-1"), store).expect("both are connected");
    pass(3000).await;
    let refused = handle.call(0, deposit("account", 1), CallOptions::default()).await;
    assert_eq!(refused, Err(CallError::Unavailable));
    drop(bank);
}
