//! The list of living replicas, on the server.

use std::time::Duration;

use redis::Value;
use saga::{
    Member, Members,
    store::{Error, Result},
};

use crate::{RedisStore, error::Failure};

impl Members for RedisStore {
    async fn beat(&self, me: &Member, ttl: Duration) -> Result<Vec<Member>> {
        let core = self.core();
        let Some(keys) = core.partitions.first() else { return Ok(Vec::new()) };
        let answer = core.call(keys, &keys.beat(me.id, &me.entry(), ttl.as_millis())).await?;
        let texts: Vec<String> =
            redis::from_redis_value(answer).map_err(|error| Failure::unexpected(&error.to_string()))?;
        let mut members = Vec::with_capacity(texts.len() / 2);
        for pair in texts.chunks_exact(2) {
            let [id, entry] = pair else { continue };
            let id = id
                .parse()
                .map_err(|_| Error::Failed(format!("the membership list has a replica with the id {id:?}")))?;
            members.push(Member::from_entry(id, entry));
        }
        members.sort_unstable();
        Ok(members)
    }

    async fn leave(&self, id: u64) -> Result<()> {
        let core = self.core();
        let Some(keys) = core.partitions.first() else { return Ok(()) };
        let _: Value = core.call(keys, &keys.leave(id)).await?;
        Ok(())
    }
}
