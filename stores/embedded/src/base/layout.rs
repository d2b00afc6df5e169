//! How keys and values are written in the base. [`super`] shows the shapes.

use bytes::Bytes;
use saga::store::Cursor;

use crate::{
    ops::{self, Op, OpBuffer, Reader},
    partition::PartitionMeta,
    place::Place,
    replay::Marker,
};

pub(super) const MARKER: [u8; 1] = [0];
pub(super) const META: u8 = 1;
pub(super) const EVENT: u8 = 2;
pub(super) const RECORD: u8 = 3;
pub(super) const RESIDENT: u8 = 4;
/// The bytes of a key that say what it is and where it belongs.
pub(super) const PLACE_BYTES: usize = 4;

pub(super) fn marker_bytes(marker: Marker) -> Vec<u8> {
    [marker.frame, marker.segment].map(u64::to_le_bytes).concat()
}

pub(super) fn marker_from(bytes: &[u8]) -> Option<Marker> {
    let mut reader = Reader(bytes);
    Some(Marker { frame: reader.u64()?, segment: reader.u64()? })
}

pub(super) fn join(kind: u8, place: Place, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(PLACE_BYTES + rest.len());
    key.extend_from_slice(&[kind, place.service]);
    key.extend_from_slice(&place.partition.to_be_bytes());
    key.extend_from_slice(rest);
    key
}

pub(super) fn place_in(key: &[u8]) -> Option<Place> {
    let mut reader = Reader(key.get(1..)?);
    let service = reader.u8()?;
    let partition = reader.u16()?.swap_bytes();
    Some(Place { service, partition })
}

pub(super) fn meta_bytes(meta: &PartitionMeta) -> Vec<u8> {
    let mut bytes = [meta.head, meta.log_end, meta.trim].map(u64::to_le_bytes).concat();
    let mut words = OpBuffer::default();
    for Cursor { log, position } in &meta.cursors {
        words.cursor(&log.service, log.partition, *position);
    }
    for (key, value) in &meta.residents {
        words.put(key, value);
    }
    words.write_to(&mut bytes);
    bytes
}

pub(super) fn meta_from(bytes: &[u8]) -> Option<PartitionMeta> {
    let mut reader = Reader(bytes);
    let (head, log_end, trim) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let (mut cursors, mut residents) = (Vec::new(), Vec::new());
    for op in ops::read(reader.0) {
        match op? {
            Op::Cursor { service, partition, position } => {
                let log = saga::LogName { service: service.into(), partition };
                cursors.push(Cursor { log, position });
            }
            Op::Put { key, value } => residents.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))),
            _ => return None,
        }
    }
    Some(PartitionMeta { head, log_end, trim, cursors, residents })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let cursor =
            |partition| Cursor { log: saga::LogName { service: "stock".into(), partition }, position: 7 << 40 };
        let cursors = vec![cursor(0), cursor(u16::MAX)];
        let residents = vec![("*a".into(), "".into()), ("*b".into(), "value".into())];
        let meta = PartitionMeta { head: 1, log_end: 2, trim: 3, cursors, residents };
        assert_eq!(meta_from(&meta_bytes(&meta)).as_ref(), Some(&meta));
        let bytes = meta_bytes(&meta);
        assert_eq!(meta_from(&bytes[..bytes.len() - 1]), None);
        let marker = Marker { frame: 1 << 40, segment: 2 };
        assert_eq!(marker_from(&marker_bytes(marker)), Some(marker));
        let place = Place { service: 200, partition: 0x0102 };
        assert_eq!(place_in(&join(META, place, &[])), Some(place));
    }

    #[test]
    fn keys_sort_by_place_and_number() {
        let keys = [(0, 255, 1), (1, 0, 255), (1, 0, 256), (1, 1, 0), (1, 256, 0)];
        let joined = keys.map(|(service, partition, number): (u8, u16, u64)| {
            join(EVENT, Place { service, partition }, &number.to_be_bytes())
        });
        assert!(joined.is_sorted());
    }
}
