//! Replicas that come and go in good order, and processes that say what no replica would.

use std::{io, sync::Arc, time::Duration};

use crate::common::country::{CLERK_PARTITIONS, Country, two_of_each};
use crate::common::fake::{ACKS, ANSWER, CALL, Fake};
use crate::common::network::Network;
use crate::common::{
    PARTITIONS, audit, bank::Bank, bank::Reply, call_with, clerk::Clerk, deposit, kept_events, keyed, pass, settings,
    spawn_call,
};
use saga::{
    CallError, CallOptions, Halt, Handle, Metrics, NotConnected, Participant as _, Service, Store as _,
    remote::{Alone, BoxStream, Node, Reaching, RunningNode, Transport},
};
use store_memory::MemoryDatabase;
use tokio::time::timeout;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A third replica, with an id that makes it the owner of what others had, or of nothing.
#[tokio::test(start_paused = true)]
async fn a_replica_that_comes_and_goes_leaves_nobody_without_an_owner() {
    let country = Country::new();
    let (banks, clerks) = two_of_each(&country).await;
    let mut asked = 0;
    let mut ask = async || {
        for _ in 0..6 {
            asked += 1;
            let id = format!("audit-{asked}");
            let told = call_with(&banks[asked % 2].handle, audit(&id), CallOptions::default()).await;
            assert_eq!(told, Ok(Reply::Audited(1)), "{id}");
        }
    };
    for id in [0, 9, 9, 0] {
        let third = country.clerk_of(3, id).await.recovered().await;
        pass(3000).await;
        ask().await;
        third.node.stop().await.expect("it stops in order");
        ask().await;
        country.network.close("clerk-3");
        pass(3000).await;
        ask().await;
    }
    drop(clerks);
}

/// It would go on for ever, and nobody would start another one in its place.
#[tokio::test(start_paused = true)]
async fn a_replica_that_owns_nothing_ends_too_when_its_store_is_poisoned() {
    let country = Country::new();
    let _bank = country.bank(1).await;
    country.clerk.poison("the disk is gone");
    // Its data have met nobody's, so it is on no list.
    let mut new = country.clerk(1).await;
    let poisoned = Halt::Poisoned("the disk is gone".to_owned());
    assert_eq!(timeout(PATIENCE, new.node.halted()).await, Ok(poisoned.clone()));
    drop(new);
    country.network.close("clerk-1");

    country.clerk.crash();
    let _owners = [country.clerk(1).await.recovered().await, country.clerk(2).await.recovered().await];
    let mut idle = country.clerk_of(3, 9).await;
    pass(3000).await;
    country.clerk.poison("the disk is gone");
    assert_eq!(timeout(PATIENCE, idle.node.halted()).await, Ok(poisoned));
}

/// Nor has it a list in its store that would tell it.
#[tokio::test(start_paused = true)]
async fn a_replica_that_is_alone_and_has_nothing_to_commit_ends_too_when_its_store_is_poisoned() {
    let country = Country::new();
    let _bank = country.bank(1).await;
    let service = Service::new(Clerk, country.clerk.open("clerk"), CLERK_PARTITIONS, settings(), Metrics::default());
    let mut node = Node::new(service, Country::member("clerk-1", 1), Arc::new(country.network.clone()));
    let _: Handle<Bank> = node.peer(Country::hosts("bank"), PARTITIONS);
    let mut node = node.start(country.network.listen("clerk-1"), Alone).expect("both are connected");
    assert!(node.recovered().await);
    pass(3000).await;
    country.clerk.poison("the disk is gone");
    assert_eq!(timeout(PATIENCE, node.halted()).await, Ok(Halt::Poisoned("the disk is gone".to_owned())));
}

/// What it is told is the same whatever a later replica refuses it for.
#[tokio::test(start_paused = true)]
async fn a_request_that_was_sent_and_not_answered_stays_unknown() {
    const OVERLOADED: u32 = 2;
    const STOPPED: u32 = 4;
    const UNAVAILABLE: u32 = 5;
    const MOVED: u32 = 6;
    for told in [OVERLOADED, STOPPED, UNAVAILABLE, MOVED] {
        let country = Country::new();
        let mut listener = country.network.listen("bank-1");
        tokio::spawn(async move {
            let mut calls = 0;
            while let Ok(stream) = listener.accept().await {
                let Some(mut fake) = Fake::welcome(stream, "bank-1").await else { continue };
                fake.claim("bank-1", PARTITIONS).await;
                while let Some((kind, number)) = fake.receive().await {
                    if kind != CALL {
                        continue;
                    }
                    calls += 1;
                    if calls == 1 {
                        // It may have been done.
                        break;
                    }
                    let number = number.expect("calls have numbers");
                    let refusal = |fields: &mut minicbor::Encoder<&mut Vec<u8>>| {
                        fields.array(2)?.u64(number)?.array(2)?.u32(told)?.array(0).map(drop)
                    };
                    fake.send(ANSWER, refusal).await;
                }
            }
        });
        let clerk = country.clerk(1).await;
        pass(1000).await;
        let asked = call_with(&clerk.handle, deposit("account", 1), keyed("key", 1)).await;
        assert_eq!(asked, Err(CallError::Unknown), "{told}");
        let asked = call_with(&clerk.handle, deposit("account", 1), keyed("other", 1)).await;
        let known = if told == OVERLOADED { CallError::Overloaded } else { CallError::Unavailable };
        assert_eq!(asked, Err(known), "nothing was done");
    }
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_beyond_the_end_or_from_nobody_trims_nothing() {
    let country = Country::new();
    // The bank's data have met the clerk's, which is gone.
    let clerk = country.clerk(1).await;
    let bank = country.bank(1).await.recovered().await;
    pass(1000).await;
    country.network.close("clerk-1");
    drop(clerk);
    pass(1000).await;
    let data = |database: &MemoryDatabase, service| database.open(service).identity().to_bits();
    let (of_bank, of_clerk) = (data(&country.bank, "bank"), data(&country.clerk, "clerk"));
    let waiting: Vec<_> = (0..6)
        .map(|index| spawn_call(&bank.handle, audit(&format!("audit-{index}")), CallOptions::default()))
        .collect();
    pass(100).await;
    let kept = kept_events(&country.bank.open("bank"), PARTITIONS).await;
    for caller in [("clerk", CLERK_PARTITIONS, of_clerk), ("bank", PARTITIONS, of_bank)] {
        let mut fake = Fake::greet(&country.network, "bank-1", caller, ("bank", PARTITIONS)).await;
        let pairs = (0..=PARTITIONS).flat_map(|producer| (0..=PARTITIONS).map(move |to| (producer, to)));
        // What is heard late takes nothing back.
        for (position, (producer, consumer)) in
            [u64::MAX >> 1, 0].into_iter().flat_map(|p| pairs.clone().map(move |to| (p, to)))
        {
            let acks = |fields: &mut minicbor::Encoder<&mut Vec<u8>>| {
                fields.array(1)?.array(1)?.array(3)?.u16(producer)?.u16(consumer)?.u64(position).map(drop)
            };
            assert!(fake.send(ACKS, acks).await);
        }
        pass(100).await;
    }
    // Consumers that know more than the log has are the sign of data that went back: nothing is done until an operator
    // decides, and above all nothing is dropped.
    for index in 0..12 {
        let more = call_with(&bank.handle, deposit(&format!("further-{index}"), 1), CallOptions::default()).await;
        assert_eq!(more, Err(CallError::Unavailable));
    }
    assert!(kept_events(&country.bank.open("bank"), PARTITIONS).await >= kept, "the clerk has not seen them");
    drop(waiting);
}

/// A network on which one process reaches no clerk.
struct Shut(Network);

impl Transport for Shut {
    fn resolve<'a>(&'a self, name: &'a str) -> Reaching<'a, Vec<String>> {
        self.0.resolve(name)
    }

    fn connect<'a>(&'a self, address: &'a str) -> Reaching<'a, BoxStream> {
        if address.starts_with("clerk") {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        }
        self.0.connect(address)
    }
}

/// Replica `number` of the bank, with other ways to the clerk.
fn bank_of(
    country: &Country,
    number: u64,
    transport: Arc<dyn Transport>,
    clerk: Vec<String>,
) -> (Handle<Bank>, RunningNode) {
    let (address, store) = (format!("bank-{number}"), country.bank.open("bank"));
    let service = Service::new(Bank, store.clone(), PARTITIONS, settings(), Metrics::default());
    let mut node = Node::new(service, Country::member(&address, number), transport);
    let _: Handle<Clerk> = node.peer(clerk, CLERK_PARTITIONS);
    (node.handle(), node.start(country.network.listen(&address), store).expect("both are connected"))
}

async fn assert_audits_work(banks: &[&Handle<Bank>], name: &str) {
    for index in 0..6 {
        let bank = banks.iter().cycle().nth(index).expect("there are banks");
        let id = format!("{name}-{index}");
        assert_eq!(call_with(bank, audit(&id), CallOptions::default()).await, Ok(Reply::Audited(1)), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_reach_its_peers_takes_nothing_while_another_does() {
    let country = Country::new();
    let _clerk = country.clerk(1).await;
    let names = Country::hosts("clerk");
    // The lower id, so that it would be given more.
    let (shut_off, node) = bank_of(&country, 1, Arc::new(Shut(country.network.clone())), names);
    pass(1000).await;
    let why = node.health().reasons().join("; ");
    assert!(why.contains("no replica of clerk can be reached; clerk-1: "), "{why}");
    let whole = country.bank(2).await.recovered().await;
    pass(3000).await;
    assert_audits_work(&[&shut_off, &whole.handle], "audit").await;
    assert_eq!(whole.node.health().reasons(), Vec::<String>::new());
    let why = node.health().reasons().join("; ");
    assert!(why.contains("clerk-1: connection refused"), "{why}");
    // It has them all.
    country.network.close("bank-1");
    drop((shut_off, node));
    assert_audits_work(&[&whole.handle], "later").await;
    assert_eq!(crate::common::metric(&whole.metrics, "commit_conflicts_total"), 0);
}

#[tokio::test(start_paused = true)]
async fn who_finds_nobody_is_found() {
    let country = Country::new();
    let _clerk = country.clerk(1).await;
    let (bank, node) = bank_of(&country, 1, Arc::new(country.network.clone()), Vec::new());
    pass(3000).await;
    assert_audits_work(&[&bank], "audit").await;
    assert_eq!(node.health().reasons(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_replica_is_well_once_it_has_reached_its_peers_and_stays_so_when_they_are_gone_for_all() {
    let country = Country::new();
    let bank = country.bank(1).await.recovered().await;
    pass(10_000).await;
    assert_eq!(
        bank.node.health().reasons(),
        [
            "the data are new, and have not met all of the others'",
            "no replica of clerk can be reached; clerk-1: connection refused; clerk-2: connection refused; clerk-3: \
             connection refused",
            "no replica of clerk is connected to this one, which says that it is to be reached at bank-1",
        ]
    );
    let clerk = country.clerk(1).await.recovered().await;
    pass(2000).await;
    assert_eq!(bank.node.health().reasons(), Vec::<String>::new());
    country.network.close("clerk-1");
    drop(clerk);
    pass(20_000).await;
    assert_eq!(bank.node.health().reasons(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_its_peers_will_not_have_says_so() {
    let country = Country::new();
    let _bank = country.bank(1).await.recovered().await;
    let store = country.clerk.open("clerk");
    let service = Service::new(Clerk, store.clone(), CLERK_PARTITIONS, settings(), Metrics::default());
    let mut node = Node::new(service, Country::member("clerk-1", 1), Arc::new(country.network.clone()));
    let _: Handle<Bank> = node.peer(Country::hosts("bank"), PARTITIONS + 1);
    let node = node.start(country.network.listen("clerk-1"), store).expect("both are connected");
    pass(3000).await;
    let why = node.health().reasons().join("; ");
    assert!(why.contains("bank-1: clerk expects 4 partitions of bank, but it has 3"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn what_no_waiting_mends_is_said_by_one_that_was_well_too() {
    let country = Country::new();
    let bank = country.bank(1).await.recovered().await;
    let clerk = country.clerk(1).await.recovered().await;
    pass(3000).await;
    assert_eq!(clerk.node.health().reasons(), Vec::<String>::new());
    country.network.close("bank-1");
    drop(bank);
    // Somebody starts it again with another number of partitions.
    let store = country.bank.open("bank");
    let service = Service::new(Bank, store.clone(), PARTITIONS + 1, settings(), Metrics::default());
    let mut node = Node::new(service, Country::member("bank-1", 2), Arc::new(country.network.clone()));
    let _: Handle<Clerk> = node.peer(Country::hosts("clerk"), CLERK_PARTITIONS);
    let _bank = node.start(country.network.listen("bank-1"), store).expect("both are connected");
    pass(10_000).await;
    let why = clerk.node.health().reasons().join("; ");
    assert!(why.contains("bank-1: clerk expects 3 partitions of bank, but it has 4"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_replica_starts_only_with_all_that_it_consumes() {
    let country = Country::new();
    let store = country.bank.open("bank");
    let service = Service::new(Bank, store.clone(), PARTITIONS, settings(), Metrics::default());
    let node = Node::new(service, Country::member("bank-1", 1), Arc::new(country.network.clone()));
    let missing = NotConnected { consumer: Bank::NAME, producer: Clerk::NAME };
    assert_eq!(node.start(country.network.listen("bank-1"), store).err(), Some(missing));
}
