//! The list of living replicas, which forgets by tokio's clock.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use saga::{Member, Members, store::Result};
use tokio::time::Instant;

use crate::MemoryStore;

/// By id: the address, and until when the member counts as alive.
#[derive(Debug, Default)]
pub(crate) struct List(Mutex<BTreeMap<u64, (String, Instant)>>);

impl List {
    fn beat(&self, me: &Member, ttl: Duration) -> Vec<Member> {
        let now = Instant::now();
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.insert(me.id, (me.address.clone(), now + ttl));
        list.retain(|_, (_, until)| *until > now);
        list.iter().map(|(id, (address, _))| Member { id: *id, address: address.clone() }).collect()
    }

    fn leave(&self, id: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

/// Shared by all handles on one service of one database. No crash takes it back, for it is no commit.
impl Members for MemoryStore {
    async fn beat(&self, me: &Member, ttl: Duration) -> Result<Vec<Member>> {
        Ok(self.members().beat(me, ttl))
    }

    async fn leave(&self, id: u64) -> Result<()> {
        self.members().leave(id);
        Ok(())
    }
}
