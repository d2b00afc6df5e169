//! Whose data they are, and how old: another shop's processes, databases that were made anew, and older copies of them.

use std::sync::Arc;

use crate::common::network::Network;
use crate::common::{
    PARTITIONS, audit, balances, bank::Bank, bank::Reply, call_with, clerk::Clerk, database, deposit, open_accounts,
    pass, settings,
};
use saga::{
    CallError, CallOptions, Handle, Member, Metrics, PartitionView, Service, Store,
    remote::{Node, RunningNode},
    repair,
};
use store_memory::{MemoryDatabase, MemoryStore, Persistence::Immediate};

const CLERK_PARTITIONS: u16 = 2;

/// Two services with a database each, on a network that others may use too.
#[derive(Clone)]
struct Shop {
    network: Network,
    bank: MemoryDatabase,
    clerk: MemoryDatabase,
}

struct Branch<H> {
    handle: H,
    node: RunningNode,
    metrics: Metrics,
}

fn hosts(service: &str) -> Vec<String> {
    (1..=2).map(|number| format!("{service}-{number}")).collect()
}

impl Shop {
    fn new() -> Self {
        Self { network: Network::default(), bank: database(Immediate, true), clerk: database(Immediate, true) }
    }

    /// Another shop on the same network.
    fn another(&self) -> Self {
        Self { network: self.network.clone(), ..Self::new() }
    }

    fn bank(&self, number: u64) -> Branch<Handle<Bank>> {
        let (address, store, metrics) = (format!("bank-{number}"), self.bank.open("bank"), Metrics::default());
        let service = Service::new(Bank, store.clone(), PARTITIONS, settings(), metrics.clone());
        let me = Member { id: number, address: address.clone(), is_fit: false };
        let mut node = Node::new(service, me, Arc::new(self.network.clone()));
        let _: Handle<Clerk> = node.peer(hosts("clerk"), CLERK_PARTITIONS);
        let handle = node.handle();
        Branch { handle, node: node.start(self.network.listen(&address), store).expect("both are connected"), metrics }
    }

    /// The clerk, who passes the bank's requests on as another service would.
    fn clerk(&self, number: u64) -> Branch<Handle<Bank>> {
        let (address, store, metrics) = (format!("clerk-{number}"), self.clerk.open("clerk"), Metrics::default());
        let service = Service::new(Clerk, store.clone(), CLERK_PARTITIONS, settings(), metrics.clone());
        let me = Member { id: number, address: address.clone(), is_fit: false };
        let mut node = Node::new(service, me, Arc::new(self.network.clone()));
        let handle = node.peer(hosts("bank"), PARTITIONS);
        Branch { handle, node: node.start(self.network.listen(&address), store).expect("both are connected"), metrics }
    }

    async fn heads(&self, database: &MemoryDatabase) -> Vec<u64> {
        let store = database.open("bank");
        let mut heads = Vec::new();
        for partition in 0..PARTITIONS {
            heads.push(store.load(partition, &[]).await.expect("it is well").head);
        }
        heads
    }

    fn end<H>(&self, branch: Branch<H>, address: &str) {
        self.network.close(address);
        drop(branch);
    }
}

async fn strangers(branch: &Branch<Handle<Bank>>) -> u64 {
    crate::common::metric(&branch.metrics, "strangers_met_total")
}

#[tokio::test(start_paused = true)]
async fn another_shops_process_at_the_address_of_one_that_died_gets_nothing() {
    let shop = Shop::new();
    let (one, two, clerk) = (shop.bank(1), shop.bank(2), shop.clerk(1));
    pass(3000).await;
    open_accounts(&clerk.handle, 6, 100).await;
    shop.end(two, "bank-2");
    let another = shop.another();
    let stranger = another.bank(2);
    for round in 0..40 {
        for index in 0..6 {
            let more = deposit(&format!("account-{index}"), 1);
            let answer = call_with(&clerk.handle, more, CallOptions::default()).await;
            assert_eq!(answer, Ok(Reply::Balance(101 + round)), "account {index} in round {round}");
        }
        pass(100).await;
    }
    assert_eq!(balances(&one.handle, 6).await, [140; 6]);
    for partition in 0..PARTITIONS {
        let theirs = another.bank.open("bank").load(partition, &[]).await.expect("it is well");
        assert_eq!(theirs.head, 0, "the other shop's database was written to");
    }
    assert!(strangers(&clerk).await > 0);
    assert_eq!(clerk.node.health().reasons(), [""; 0], "one replica is well, so the service can be reached");
    let refusals = stranger.node.health().reasons();
    let (mine, known) = (another.bank.open("bank").identity(), shop.bank.open("bank").identity());
    for name in ["clerk", &mine.to_string(), &known.to_string()] {
        assert!(refusals.iter().any(|refusal| refusal.contains(name)), "{refusals:?} does not name {name}");
    }
}

#[tokio::test(start_paused = true)]
async fn data_made_anew_answer_nothing_beside_those_who_knew_the_ones_before() {
    let shop = Shop::new();
    let (bank, clerk) = (shop.bank(1), shop.clerk(1));
    pass(3000).await;
    open_accounts(&clerk.handle, 2, 100).await;
    shop.end(bank, "bank-1");
    let anew = Shop { bank: database(Immediate, true), ..shop.clone() };
    let bank = anew.bank(1);
    pass(3000).await;
    for handle in [&bank.handle, &clerk.handle] {
        let answer = call_with(handle, deposit("account-0", 1), CallOptions::default()).await;
        assert_eq!(answer, Err(CallError::Unavailable));
    }
    let (mine, known) = (anew.bank.open("bank").identity().to_string(), shop.bank.open("bank").identity().to_string());
    for refusals in [bank.node.health().reasons(), clerk.node.health().reasons()] {
        let names_both = |refusal: &String| refusal.contains(&mine) && refusal.contains(&known);
        assert!(refusals.iter().any(names_both), "{refusals:?}");
    }
    // An operator says that they are right all the same.
    shop.clerk.open("clerk").unbind("bank").await.expect("it is well");
    pass(3000).await;
    assert_eq!(bank.node.health().reasons(), [""; 0]);
    let answer = call_with(&clerk.handle, deposit("account-0", 1), CallOptions::default()).await;
    assert_eq!(answer, Ok(Reply::Balance(1)));
}

/// Audits, each of which is an event of the bank that the clerk consumes and one of the clerk that the bank does.
async fn audits(handle: &Handle<Bank>, ids: std::ops::Range<u64>) {
    for id in ids {
        let answer = call_with(handle, audit(&format!("audit-{id}")), CallOptions::default()).await;
        assert_eq!(answer, Ok(Reply::Audited(1)), "audit {id}");
    }
}

/// It answers nothing, and says why in words that all of these are among.
async fn stands_still(branch: &Branch<Handle<Bank>>, asked: &Handle<Bank>, words: &[&str]) {
    for index in 0..6 {
        let answer = call_with(asked, deposit(&format!("account-{index}"), 1), CallOptions::default()).await;
        assert!(matches!(answer, Err(CallError::Unavailable) | Ok(Reply::Balance(_))), "{answer:?}");
    }
    let reasons = branch.node.health().reasons();
    for word in words {
        assert!(reasons.iter().any(|reason| reason.contains(word)), "{reasons:?} does not say {word:?}");
    }
    assert!(crate::common::metric(&branch.metrics, "data_missing_events") > 0);
    let partitions = branch.node.inspection().services().remove(0).partitions;
    let still: Vec<_> = partitions.iter().filter(|partition| partition.stands_still).collect();
    let says_why = |view: &&PartitionView| view.reasons.iter().any(|reason| reason.contains("older than they were"));
    assert!(!still.is_empty() && still.iter().all(says_why), "{partitions:?}");
}

async fn accept_loss(store: &MemoryStore, partitions: u16) {
    for partition in 0..partitions {
        repair::accept_loss(store, partition).await.expect("it is well");
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_copy_of_a_producers_data_answers_nothing_until_somebody_accepts_the_loss() {
    let mut shop = Shop::new();
    let (bank, clerk) = (shop.bank(1), shop.clerk(1));
    pass(3000).await;
    audits(&clerk.handle, 0..12).await;
    let copy = shop.bank.copy();
    audits(&clerk.handle, 12..30).await;
    shop.end(bank, "bank-1");

    let right = std::mem::replace(&mut shop.bank, copy);
    let bank = shop.bank(1);
    pass(3000).await;
    stands_still(&bank, &clerk.handle, &["the data of bank/", "older than they were", "clerk/", "events are lost"])
        .await;
    let before: Vec<_> = shop.heads(&shop.bank).await;
    pass(5000).await;
    assert_eq!(shop.heads(&shop.bank).await, before, "nothing is written by who stands still");
    shop.end(bank, "bank-1");

    // The right data are found: nothing has to be decided.
    let copy = std::mem::replace(&mut shop.bank, right);
    let bank = shop.bank(1);
    pass(3000).await;
    assert_eq!(bank.node.health().reasons(), [""; 0]);
    audits(&clerk.handle, 30..40).await;
    shop.end(bank, "bank-1");

    // They are lost for good.
    shop.bank = copy;
    let bank = shop.bank(1);
    pass(3000).await;
    stands_still(&bank, &bank.handle, &["older than they were"]).await;
    accept_loss(&shop.bank.open("bank"), PARTITIONS).await;
    pass(5000).await;
    assert_eq!(bank.node.health().reasons(), [""; 0]);
    assert_eq!(crate::common::metric(&bank.metrics, "data_missing_events"), 0);
    audits(&clerk.handle, 100..130).await;
    audits(&bank.handle, 130..160).await;
    drop(clerk);
}

#[tokio::test(start_paused = true)]
async fn an_older_copy_of_a_consumers_data_answers_nothing_and_blames_itself() {
    let mut shop = Shop::new();
    let (bank, clerk) = (shop.bank(1), shop.clerk(1));
    pass(3000).await;
    audits(&bank.handle, 0..6).await;
    let copy = shop.clerk.copy();
    for round in 1..10 {
        audits(&bank.handle, round * 20..round * 20 + 20).await;
        // Until what was consumed is trimmed with a later commit.
        pass(2000).await;
    }
    shop.end(clerk, "clerk-1");
    shop.clerk = copy;
    let clerk = shop.clerk(1);
    pass(5000).await;
    let reasons = clerk.node.health().reasons();
    assert!(reasons.iter().any(|reason| reason.contains("the data of clerk/")), "{reasons:?}");
    assert!(!reasons.iter().any(|reason| reason.contains("the data of bank/")), "{reasons:?}");
    assert_eq!(bank.node.health().reasons(), [""; 0]);
    accept_loss(&shop.clerk.open("clerk"), CLERK_PARTITIONS).await;
    pass(5000).await;
    assert_eq!(clerk.node.health().reasons(), [""; 0]);
    audits(&bank.handle, 1000..1030).await;
}

#[tokio::test(start_paused = true)]
async fn data_made_anew_go_on_once_they_are_accepted() {
    let mut shop = Shop::new();
    let (bank, clerk) = (shop.bank(1), shop.clerk(1));
    pass(3000).await;
    audits(&clerk.handle, 0..30).await;
    shop.end(bank, "bank-1");
    shop.bank = database(Immediate, true);
    let bank = shop.bank(1);
    shop.clerk.open("clerk").unbind("bank").await.expect("it is well");
    pass(5000).await;
    stands_still(&bank, &clerk.handle, &["the data of bank/", "older than they were"]).await;
    accept_loss(&shop.bank.open("bank"), PARTITIONS).await;
    pass(5000).await;
    assert_eq!(bank.node.health().reasons(), [""; 0]);
    audits(&clerk.handle, 100..130).await;
}
