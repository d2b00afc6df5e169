//! The parts of a frame's payload: for each partition that a group of commits changed, what became of it.
//!
//! ```text
//!  service u8 | 0 u8 | partition u16 | words' bytes u32 | head u64 | end of the log u64 | trim u64 | words …
//! ```

use crate::{
    ops::{self, Op, OpBuffer, Reader},
    place::Place,
};

const HEADER_BYTES: usize = 32;

/// What one group of commits did to one partition.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) place: Place,
    pub(crate) head: u64,
    pub(crate) log_end: u64,
    pub(crate) trim: u64,
    pub(crate) ops: OpBuffer,
}

impl Section {
    pub(crate) fn write_to(&self, payload: &mut Vec<u8>) {
        let start = payload.len();
        payload.resize(start + HEADER_BYTES, 0);
        self.ops.write_to(payload);
        let ops_bytes = payload.len() - start - HEADER_BYTES;
        let ops_bytes = u32::try_from(ops_bytes).expect("groups are far below 4 GiB");
        let [partition_low, partition_high] = self.place.partition.to_le_bytes();
        let fields = [
            &[self.place.service, 0, partition_low, partition_high][..],
            &ops_bytes.to_le_bytes(),
            &self.head.to_le_bytes(),
            &self.log_end.to_le_bytes(),
            &self.trim.to_le_bytes(),
        ];
        let header = payload.get_mut(start..start + HEADER_BYTES).expect("it was just made");
        header.copy_from_slice(&fields.concat());
    }
}

/// A section as it stands in a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SectionRead<'a> {
    pub(crate) place: Place,
    pub(crate) head: u64,
    pub(crate) log_end: u64,
    pub(crate) trim: u64,
    ops: &'a [u8],
}

impl SectionRead<'_> {
    /// The words of the section; `None` for one that makes no sense.
    pub(crate) fn ops(&self) -> impl Iterator<Item = Option<Op<'_>>> {
        ops::read(self.ops)
    }
}

/// The sections of a payload; `None` for one that makes no sense, which is the last one then.
pub(crate) fn read(payload: &[u8]) -> impl Iterator<Item = Option<SectionRead<'_>>> {
    let mut reader = Reader(payload);
    std::iter::from_fn(move || {
        if reader.0.is_empty() {
            return None;
        }
        let section = read_one(&mut reader);
        if section.is_none() {
            reader.0 = &[];
        }
        Some(section)
    })
}

fn read_one<'a>(reader: &mut Reader<'a>) -> Option<SectionRead<'a>> {
    let (service, _zero, partition) = (reader.u8()?, reader.u8()?, reader.u16()?);
    let ops_bytes = reader.u32()?;
    Some(SectionRead {
        place: Place { service, partition },
        head: reader.u64()?,
        log_end: reader.u64()?,
        trim: reader.u64()?,
        ops: reader.take(ops_bytes as usize)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_read_as_they_were_written() {
        let mut ops = OpBuffer::default();
        ops.put(b"key", b"value");
        let place = Place { service: 2, partition: 0x0102 };
        let section = Section { place, head: 3, log_end: 4, trim: 1, ops };
        let mut payload = Vec::new();
        section.write_to(&mut payload);
        section.write_to(&mut payload);
        let sections: Vec<_> = read(&payload).map(|section| section.expect("whole")).collect();
        assert_eq!(sections.len(), 2);
        let SectionRead { place: read_place, head, log_end, trim, .. } = sections[1];
        assert_eq!((read_place, head, log_end, trim), (place, 3, 4, 1));
        assert_eq!(sections[1].ops().collect::<Vec<_>>(), [Some(Op::Put { key: b"key", value: b"value" })]);
        assert_eq!(read(&payload[..payload.len() - 1]).last(), Some(None));
    }
}
