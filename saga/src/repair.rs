//! What an operator may decide about data that are older than they were.
//!
//! Each partition knows by its consumers whether events are missing from its log, and by the logs that it consumes whether
//! it has forgotten what it consumed. Then it stands still: it answers nothing and writes nothing, for what it would say is
//! what was true once. The best way out is to put the right data in place. Where there are none, somebody has to accept what
//! is lost:
//!
//! ```text
//!  order's log, as it was     1 … 12 13 … 20               stock has consumed 20
//!  as it came back            1 … 12                        12 < 20: stands still
//!  accepted                   1 … 12 | 4097·13 …            a new epoch: 13 to 20 of epoch 0 are lost
//! ```

use crate::{
    Codec, Partition, Store,
    engine_records::{EngineKey, EngineRecord, store_key},
    record::Key,
    store::{
        Commit, Error, Result, Write,
        position::{epoch_of, sequence_of},
    },
};

/// An epoch that a consumer knows may be higher than the one of older data: by at most 64 for each time that a server was
/// started or replaced since. So many epochs are left out that it takes dozens.
const EPOCHS_LEFT_OUT: u64 = 4096;

/// How often another writer may come in between.
const TRIES: u32 = 100;

/// Accepts, for one partition, that events which others have consumed are lost, and events which it has to consume, too.
/// Returns with which number the log ends: consumers that have more consider that lost from now on. The partition goes on as
/// soon as its owner sees this.
///
/// # Errors
/// As of [`Store`]; may be tried again.
pub async fn accept_loss<S: Store>(store: &S, partition: Partition) -> Result<u64> {
    let key = store_key(|out| EngineKey::Accepted.write_to(out));
    let mut tries = 0;
    loop {
        let before = store.load(partition, &[]).await?;
        store.begin_epoch(partition, epoch_of(before.log_end) + EPOCHS_LEFT_OUT).await?;
        let now = store.load(partition, &[]).await?;
        let cursor =
            |cursor: &crate::store::Cursor| (cursor.log.service.to_string(), cursor.log.partition, cursor.position);
        let accepted =
            EngineRecord::Accepted { epoch: epoch_of(now.log_end), cursors: now.cursors.iter().map(cursor).collect() };
        let mut value = Vec::new();
        accepted.encode_to(&mut value);
        let writes = vec![Write { key: key.clone(), value: Some(value.into()) }];
        match store.commit(partition, Commit { expected_head: now.head, writes, ..Commit::default() }).await {
            Ok(committed) => {
                store.durability().wait(committed.position).await?;
                return Ok(sequence_of(now.log_end));
            }
            Err(Error::Conflict) if tries < TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}
