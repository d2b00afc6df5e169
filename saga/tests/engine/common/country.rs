//! Two services in processes of their own, on one network in memory.

use std::sync::Arc;

use saga::{
    Codec, Handle, Member, Metrics, Participant, Service, Store,
    remote::{Node, RunningNode, Secrets},
};
use store_memory::{MemoryDatabase, Persistence::Immediate};

use crate::common::network::Network;
use crate::common::{PARTITIONS, bank::Bank, clerk::Clerk, database, pass, settings};

pub(crate) const CLERK_PARTITIONS: u16 = 2;

/// Two services with a database each, on one network.
pub(crate) struct Country {
    pub(crate) network: Network,
    pub(crate) bank: MemoryDatabase,
    pub(crate) clerk: MemoryDatabase,
    /// What replicas that are started now have to know.
    pub(crate) secrets: Option<Secrets>,
}

/// One replica.
pub(crate) struct Branch<H> {
    pub(crate) handle: H,
    pub(crate) node: RunningNode,
    pub(crate) metrics: Metrics,
}

impl Country {
    pub(crate) fn new() -> Self {
        Self {
            network: Network::default(),
            bank: database(Immediate, true),
            clerk: database(Immediate, true),
            secrets: None,
        }
    }

    pub(crate) fn hosts(service: &str) -> Vec<String> {
        (1..=3).map(|number| format!("{service}-{number}")).collect()
    }

    pub(crate) fn member(address: &str, id: u64) -> Member {
        Member { id, address: address.to_owned(), is_fit: false }
    }

    fn node<P: Participant<Command: Codec>, S: Store + Clone>(&self, service: Service<P, S>, me: Member) -> Node<P, S> {
        let node = Node::new(service, me, Arc::new(self.network.clone()));
        match &self.secrets {
            Some(secrets) => node.guarded_by(secrets.clone()),
            None => node,
        }
    }

    pub(crate) async fn bank(&self, number: u64) -> Branch<Handle<Bank>> {
        let (address, store, metrics) = (format!("bank-{number}"), self.bank.open("bank"), Metrics::default());
        let service = Service::new(Bank, store.clone(), PARTITIONS, settings(), metrics.clone());
        let mut node = self.node(service, Self::member(&address, number));
        let _: Handle<Clerk> = node.peer(Self::hosts("clerk"), CLERK_PARTITIONS);
        let handle = node.handle();
        let node = node.start(self.network.listen(&address), store).expect("both are connected");
        Branch { handle, node, metrics }
    }

    /// The clerk, who passes the bank's requests on as another service would.
    pub(crate) async fn clerk(&self, number: u64) -> Branch<Handle<Bank>> {
        self.clerk_of(number, number).await
    }

    /// The same with an id that decides which partitions it gets.
    pub(crate) async fn clerk_of(&self, number: u64, id: u64) -> Branch<Handle<Bank>> {
        let (address, store, metrics) = (format!("clerk-{number}"), self.clerk.open("clerk"), Metrics::default());
        let service = Service::new(Clerk, store.clone(), CLERK_PARTITIONS, settings(), metrics.clone());
        let mut node = self.node(service, Self::member(&address, id));
        let handle = node.peer(Self::hosts("bank"), PARTITIONS);
        let node = node.start(self.network.listen(&address), store).expect("both are connected");
        Branch { handle, node, metrics }
    }
}

impl<H> Branch<H> {
    pub(crate) async fn recovered(self) -> Self {
        assert!(self.node.recovered().await, "it runs");
        self
    }
}

pub(crate) async fn two_of_each(country: &Country) -> ([Branch<Handle<Bank>>; 2], [Branch<Handle<Bank>>; 2]) {
    let banks = [country.bank(1).await.recovered().await, country.bank(2).await.recovered().await];
    let clerks = [country.clerk(1).await.recovered().await, country.clerk(2).await.recovered().await];
    // Until all have found each other.
    pass(3000).await;
    (banks, clerks)
}
