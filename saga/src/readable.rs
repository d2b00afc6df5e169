//! What a store holds, for whoever looks at data without serving them.

use crate::{
    Partition, Standing, Store,
    codec::{Codec, CodecError},
    engine_records::{EngineRecord, store_key, write_domain_key},
    participant::{Participant, Timestamp},
    record::Record as _,
    recorded::Recorded,
    store::{self, RESIDENT},
};

/// Reads one event of a log, and when it was committed (see [`Origin::at`](crate::Origin::at)).
///
/// # Errors
/// It cannot be read.
pub fn read_event<E: Codec>(bytes: &[u8]) -> Result<(Timestamp, E), CodecError> {
    Recorded::decode_from(bytes).map(|Recorded { at, event }| (at, event))
}

/// Loads one of `P`'s records, as it was committed last.
///
/// # Errors
/// The store's, or [`store::Error::Failed`] where the record cannot be read.
pub async fn load_record<P: Participant>(
    store: &impl Store,
    partition: Partition,
    key: &P::Key,
) -> store::Result<Option<P::Record>> {
    let loaded = store.load(partition, &[store_key(|out| write_domain_key(key, out))]).await?;
    loaded.records.into_iter().flatten().next().map(|record| read::<P>(&record)).transpose()
}

/// Counts those of `P`'s [resident](crate::Key::is_resident) records that are of a saga for which something is held, and those
/// of one that waits.
///
/// # Errors
/// The store's, or [`store::Error::Failed`] where one of them cannot be read.
pub async fn count_sagas<P: Participant>(store: &impl Store, partition: Partition) -> store::Result<Sagas> {
    let mut sagas = Sagas::default();
    for (key, record) in store.residents(partition).await?.records {
        if key.first() == Some(&RESIDENT) {
            match read::<P>(&record)?.standing() {
                Standing::Held => sagas.held += 1,
                Standing::Parked => sagas.parked += 1,
                Standing::Settled => {}
            }
        }
    }
    Ok(sagas)
}

/// How many sagas are where, as the records of one partition say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sagas {
    /// Those for which something is held.
    pub held: u64,
    /// Those that wait for what others hold.
    pub parked: u64,
}

fn read<P: Participant>(record: &[u8]) -> store::Result<P::Record> {
    let unreadable = |error| store::Error::Failed(format!("a record of {} cannot be read: {error}", P::NAME));
    P::Record::decode_from(record).map_err(unreadable)
}

/// Reads one record as `P`'s engine would, by its name in the store.
///
/// # Errors
/// It cannot be read.
pub fn check_record<P: Participant>(key: &[u8], value: &[u8]) -> Result<(), CodecError> {
    match key.first() {
        Some(&(b'd' | RESIDENT)) => P::Record::decode_from(value).map(drop),
        _ => EngineRecord::decode_from(value).map(drop),
    }
}
