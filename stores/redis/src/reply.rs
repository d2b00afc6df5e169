//! What the functions answer.

use bytes::Bytes;
use redis::{FromRedisValue, Value};
use saga::store::{
    Cursor, Identity, LogEntry, Residents, Snapshot,
    position::{position, sequence_of},
};

use crate::{error::Failure, keys::parse_log_name};

/// How the names of what is among the cursors begin that is none: see the library.
const STAMP: &str = "=/";

/// The answer of `load`.
pub(crate) fn snapshot(values: Vec<Value>) -> Result<Snapshot, Failure> {
    let mut values = values.into_iter();
    let epoch = number(values.next())?;
    let head = encode(epoch, number(values.next())?)?;
    let log_end = encode(epoch, number(values.next())?)?;
    let mut cursors = Vec::new();
    let mut pairs = array(values.next())?.into_iter();
    while let (Some(log), Some(position)) = (pairs.next(), pairs.next()) {
        let name = String::from_utf8_lossy(&bytes(log)?).into_owned();
        if name.starts_with(STAMP) {
            continue;
        }
        let log = parse_log_name(&name)
            .ok_or_else(|| Failure::Broken(format!("a cursor is on {name:?}, which is no log")))?;
        cursors.push(Cursor { log, position: number(Some(position))? });
    }
    let records = array(values.next())?.into_iter().map(|value| match value {
        Value::Nil => Ok(None),
        value => bytes(value).map(Some),
    });
    let records = records.collect::<Result<_, _>>()?;
    Ok(Snapshot { head, log_end, cursors, position: 0, records })
}

/// An identity as it is kept.
pub(crate) fn identity(value: Value) -> Result<Identity, Failure> {
    let bytes = bytes(value)?;
    let text = String::from_utf8_lossy(&bytes);
    text.parse().map_err(|_| Failure::Broken(format!("the data belong with {text:?}, which is no identity")))
}

/// The answer of `residents`.
pub(crate) fn residents(values: Vec<Value>) -> Result<Residents, Failure> {
    let mut values = values.into_iter();
    let epoch = number(values.next())?;
    let head = encode(epoch, number(values.next())?)?;
    let mut records = Vec::new();
    let mut pairs = array(values.next())?.into_iter();
    while let (Some(key), Some(value)) = (pairs.next(), pairs.next()) {
        records.push((bytes(key)?, bytes(value)?));
    }
    Ok(Residents { head, records })
}

/// The answer of `read`: the head, and the events after the position `after` that were not trimmed, at most `limit`.
pub(crate) fn log(values: Vec<Value>, after: u64, limit: usize) -> Result<(u64, Vec<LogEntry>), Failure> {
    let mut values = values.into_iter();
    let epoch = number(values.next())?;
    let head = encode(epoch, number(values.next())?)?;
    let trimmed = encode(number(values.next())?, number(values.next())?)?;
    let after = after.max(trimmed);
    let mut events = entries(array(values.next())?)?;
    events.retain(|entry| entry.position > after);
    events.truncate(limit);
    Ok((head, events))
}

/// The events of a log's entries.
pub(crate) fn entries(entries: Vec<Value>) -> Result<Vec<LogEntry>, Failure> {
    let mut events = Vec::new();
    for entry in entries {
        let mut entry = array(Some(entry))?.into_iter();
        let last = entry_id(&bytes(entry.next().unwrap_or_default())?)?;
        let mut fields = array(entry.next())?;
        let count = fields.len() as u64 / 2;
        if count == 0 || count > sequence_of(last) {
            return Err(Failure::Broken(format!("the log's entry {last} has {count} events")));
        }
        let first = last - count + 1;
        for (position, event) in (first..).zip(fields.drain(..).skip(1).step_by(2)) {
            events.push(LogEntry { position, event: bytes(event)? });
        }
    }
    Ok(events)
}

fn entry_id(id: &[u8]) -> Result<u64, Failure> {
    let text = String::from_utf8_lossy(id);
    let parts = text.split_once('-').and_then(|(epoch, sequence)| Some((epoch.parse().ok()?, sequence.parse().ok()?)));
    let (epoch, sequence) = parts.ok_or_else(|| Failure::Broken(format!("the log has an entry {text:?}")))?;
    encode(epoch, sequence)
}

fn encode(epoch: u64, sequence: u64) -> Result<u64, Failure> {
    position(epoch, sequence).ok_or_else(|| Failure::Broken(format!("{epoch}-{sequence} is too high for a position")))
}

fn number(value: Option<Value>) -> Result<u64, Failure> {
    u64::from_redis_value(value.unwrap_or_default()).map_err(|error| Failure::unexpected(&error.to_string()))
}

fn array(value: Option<Value>) -> Result<Vec<Value>, Failure> {
    match value {
        Some(Value::Array(values)) => Ok(values),
        other => Err(Failure::unexpected(&format!("{other:?} instead of a list"))),
    }
}

fn bytes(value: Value) -> Result<Bytes, Failure> {
    match value {
        Value::BulkString(bytes) => Ok(bytes.into()),
        other => Err(Failure::unexpected(&format!("{other:?} instead of bytes"))),
    }
}

#[cfg(test)]
mod tests {
    use saga::store::position::epoch_of;

    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn entry(id: &str, events: &[&str]) -> Value {
        let fields = events.iter().flat_map(|event| [text("e"), text(event)]);
        Value::Array(vec![text(id), Value::Array(fields.collect())])
    }

    fn read(trimmed: i64, entries: Vec<Value>, after: u64, limit: usize) -> Vec<(u64, Bytes)> {
        let values = vec![Value::Int(0), Value::Int(9), Value::Int(0), Value::Int(trimmed), Value::Array(entries)];
        let (_, entries) = log(values, after, limit).expect("well-formed");
        entries.into_iter().map(|entry| (entry.position, entry.event)).collect()
    }

    #[test]
    fn the_events_of_an_entry_are_numbered_up_to_its_id() {
        let entries = || vec![entry("0-3", &["a", "b", "c"]), entry("0-4", &["d"])];
        let all = [(1, "a".into()), (2, "b".into()), (3, "c".into()), (4, "d".into())];
        assert_eq!(read(0, entries(), 0, 10), all);
        assert_eq!(read(0, entries(), 1, 2), all[1..3]);
        assert_eq!(read(2, entries(), 0, 10), all[2..]);
    }

    #[test]
    fn an_entry_of_a_later_epoch_has_higher_numbers() {
        let later = position(7, 3).expect("not too high");
        assert_eq!(
            read(0, vec![entry("0-2", &["b"]), entry("7-3", &["c"])], 1, 10),
            [(2, "b".into()), (later, "c".into())]
        );
    }

    #[test]
    fn what_is_not_a_log_breaks_the_store() {
        for bad in [entry("x-1", &["a"]), entry("0-1", &[]), entry("0-1", &["a", "b"]), text("a")] {
            let values = vec![Value::Int(0), Value::Int(9), Value::Int(0), Value::Int(0), Value::Array(vec![bad])];
            assert!(matches!(log(values, 0, 10), Err(Failure::Broken(_))));
        }
    }

    #[test]
    fn epochs_in_a_position_survive_the_way_there_and_back() {
        let last = position(1_048_575, 17_592_186_044_415).expect("the highest");
        assert_eq!(entry_id(format!("{}-{}", epoch_of(last), sequence_of(last)).as_bytes()).expect("good"), last);
    }
}
