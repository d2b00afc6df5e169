//! A store over another one does and promises what that one does, but for what it has of its own.

use crate::common::database;
use saga::{
    Durability, Store,
    store::{Commit, Cursor, Identity, Residents, Result, Visibility, Wrap, Write},
};
use store_memory::{MemoryStore, Persistence::Immediate};

/// Has nothing of its own.
struct Through<S>(S);

impl<S: Store> Wrap for Through<S> {
    type Within = S;

    fn within(&self) -> &S {
        &self.0
    }
}

/// Promises the opposite of what a store does that says nothing.
struct Contrary {
    store: MemoryStore,
    gate: Durability,
}

impl Wrap for Contrary {
    type Within = MemoryStore;

    fn within(&self) -> &MemoryStore {
        &self.store
    }

    async fn residents(&self, partition: u16) -> Result<Residents> {
        let residents = self.store.residents(partition).await?;
        Ok(Residents { head: residents.head + 100, ..residents })
    }

    fn is_certain(&self) -> bool {
        true
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn room(&self) -> Result<(), String> {
        Err("full".to_owned())
    }

    fn partitions_share_fate(&self) -> bool {
        false
    }

    fn durability(&self) -> &Durability {
        &self.gate
    }
}

#[tokio::test]
async fn a_wrapper_promises_what_it_wraps_promises_whatever_the_defaults_of_stores_are() {
    let database = database(Immediate, true);
    let (store, gate) = (database.open("bank"), Durability::immediate());
    let wrapped = Through(Through(Contrary { store, gate: gate.clone() }));
    assert!(Store::is_certain(&wrapped));
    assert!(Store::is_exclusive(&wrapped));
    assert_eq!(Store::room(&wrapped), Err("full".to_owned()));
    assert!(!Store::partitions_share_fate(&wrapped));
    assert!(Store::durability(&wrapped).same_domain(&gate));
    assert_eq!(Store::residents(&wrapped, 0).await.expect("works").head, 100);
}

#[tokio::test]
async fn every_call_reaches_the_store_within() {
    let database = database(Immediate, true);
    let (store, wrapped) = (database.open("bank"), Through(database.open("bank")));
    let peer = Identity::from_bits(7);
    let commit = Commit {
        writes: vec![Write { key: "*key".into(), value: Some("value".into()) }],
        events: vec!["event".into()],
        cursors: vec![Cursor { log: saga::LogName { service: "clerk".into(), partition: 1 }, position: 5 }],
        ..Commit::default()
    };
    Store::commit(&wrapped, 2, commit).await.expect("works");
    Store::begin_epoch(&wrapped, 1, 3).await.expect("works");
    assert_eq!(Store::bound_to(&wrapped, "clerk", Some(peer)).await.expect("works"), Some(peer));
    assert_eq!(Store::identity(&wrapped), store.identity());
    assert_eq!(store.bound_to("clerk", None).await.expect("works"), Some(peer));
    Store::unbind(&wrapped, "clerk").await.expect("works");
    assert_eq!(store.bound_to("clerk", None).await.expect("works"), None);
    for partition in 0..3 {
        let keys = ["*key".into()];
        let there = store.load(partition, &keys).await.expect("works");
        assert_eq!(Store::load(&wrapped, partition, &keys).await.expect("works"), there);
        let there = store.residents(partition).await.expect("works");
        assert_eq!(Store::residents(&wrapped, partition).await.expect("works"), there);
        let there = Store::read_log(&store, partition, 0, 9, Visibility::Durable).await.expect("works");
        assert_eq!(Store::read_log(&wrapped, partition, 0, 9, Visibility::Durable).await.expect("works"), there);
    }
    let changed = store.load(2, &["*key".into()]).await.expect("works");
    assert_eq!((changed.head, changed.log_end, changed.cursors.len()), (1, 1, 1));
}
