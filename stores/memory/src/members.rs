//! The list of living replicas, which forgets by tokio's clock.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use saga::Member;
use tokio::time::Instant;

/// By id: the member, and until when the member counts as alive.
#[derive(Debug, Default)]
pub(crate) struct List(Mutex<BTreeMap<u64, (Member, Instant)>>);

impl List {
    pub(crate) fn beat(&self, me: &Member, ttl: Duration) -> Vec<Member> {
        let now = Instant::now();
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.insert(me.id, (me.clone(), now + ttl));
        list.retain(|_, (_, until)| *until > now);
        list.values().map(|(member, _)| member.clone()).collect()
    }

    pub(crate) fn leave(&self, id: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}
