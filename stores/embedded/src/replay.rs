//! Reading the journal when a database is opened.
//!
//! Only the last frame can be torn, since each is durable before the next is written. So a journal that ends in
//! something that is no frame is cut there. One in which a frame follows that something, be it a damaged one, is corrupt:
//! what was acknowledged is missing, and the database refuses to open. So it is with one that ends before what the base
//! holds, or before what was on disk when the database was last closed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    OpenError,
    disk::{Disk, Folder},
    frame,
    segment::{self, FIRST_FRAME, Listing},
};

/// Up to where the base makes the journal superfluous.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The last frame whose effects the base holds in full.
    pub(crate) frame: u64,
    /// The first segment that is still needed.
    pub(crate) segment: u64,
}

/// Where the journal ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) segment: u64,
    pub(crate) offset: usize,
    /// The last frame, wherever it is.
    pub(crate) frame: u64,
    /// Segments after the last frame, made ahead.
    pub(crate) prepared: Vec<u64>,
    /// What follows the last frame and is cut off.
    pub(crate) torn: Option<Torn>,
}

/// A frame that was being written when the process or the power went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) segment: PathBuf,
    pub(crate) offset: usize,
    pub(crate) frame: u64,
    /// How long it was to become.
    pub(crate) bytes: u64,
}

/// What there is of a journal, and what has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remains<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) listing: &'a Listing,
    pub(crate) identity: u64,
    pub(crate) marker: Marker,
    /// The last frame when the database was closed the last time; 0 where it never was.
    pub(crate) closed: u64,
    /// Whether somebody is going to count on what is found.
    pub(crate) to_go_on: bool,
}

/// Applies to each frame's number and payload; `Err` says what is wrong with it.
pub(crate) type Apply<'a> = dyn FnMut(u64, &[u8]) -> Result<(), String> + 'a;

/// Applies every frame that the marker does not cover, in order. `None` when there is no journal yet.
pub(crate) fn replay(remains: Remains<'_>, apply: &mut Apply<'_>) -> Result<Option<Tail>, OpenError> {
    let Remains { folder, listing, identity, marker, closed, to_go_on } = remains;
    let directory = folder.path();
    let needed = needed_segments(directory, listing, marker)?;
    let mut scan = Scan { identity, marker, apply, last: None, gap: None, last_start: 0, torn: None };
    let mut tail: Option<Tail> = None;
    for &(number, ref path) in needed {
        let bytes = fs::read(path).map_err(OpenError::io(path))?;
        segment::check_header(path, &bytes, identity, number)?;
        let end = scan.segment(path, &bytes)?;
        match (&mut tail, end) {
            (Some(tail), None) => tail.prepared.push(number),
            (tail, end) => {
                let (offset, frame) = (end.unwrap_or(FIRST_FRAME), scan.last.unwrap_or(marker.frame));
                *tail = Some(Tail { segment: number, offset, frame, prepared: Vec::new(), torn: None });
            }
        }
    }
    if scan.last.unwrap_or_default() < marker.frame {
        let what = format!("the journal ends with frame {:?}, before {}", scan.last, marker.frame);
        return Err(OpenError::corrupt(directory, 0, what));
    }
    let last = scan.last.unwrap_or_default();
    if last < closed {
        let what = format!("frame {closed} was on disk when the database was closed, and the journal ends with {last}");
        let (file, offset) = scan.gap.unwrap_or((directory.to_owned(), 0));
        return Err(OpenError::corrupt(file, offset as u64, what));
    }
    if let Some(tail) = &mut tail {
        if to_go_on && scan.last.is_some() {
            let path = segment::path(directory, tail.segment);
            make_durable(folder.disk(), &path, scan.last_start, tail.offset)?;
        }
        tail.torn = scan.torn;
    }
    Ok(tail)
}

/// The segments from the marker's on, without a hole.
fn needed_segments<'a>(
    directory: &Path,
    listing: &'a Listing,
    marker: Marker,
) -> Result<&'a [(u64, PathBuf)], OpenError> {
    let first_needed = marker.segment.max(1);
    let skipped = listing.segments.partition_point(|(number, _)| *number < first_needed);
    let (_, needed) = listing.segments.split_at(skipped);
    let has_history = marker.frame > 0 || !listing.segments.is_empty();
    let expected = (first_needed..).take(needed.len().max(usize::from(has_history)));
    for (index, expected) in expected.enumerate() {
        if needed.get(index).is_none_or(|(number, _)| *number != expected) {
            return Err(OpenError::corrupt(segment::path(directory, expected), 0, "it is missing"));
        }
    }
    Ok(needed)
}

struct Scan<'a, 'b> {
    identity: u64,
    marker: Marker,
    apply: &'a mut Apply<'b>,
    /// The last frame seen.
    last: Option<u64>,
    /// Where the frames of the segment that holds the last one end.
    gap: Option<(PathBuf, usize)>,
    last_start: usize,
    /// What stands where the next frame should.
    torn: Option<Torn>,
}

impl Scan<'_, '_> {
    /// Goes through the frames of one segment. Returns where they end, if there is any.
    fn segment(&mut self, path: &Path, bytes: &[u8]) -> Result<Option<usize>, OpenError> {
        let mut offset = FIRST_FRAME;
        while let Some(frame) = frame::at(bytes, offset, self.identity) {
            match self.last {
                // What is left of a recycled segment's last life.
                Some(last) if frame.number <= last => break,
                Some(last) if frame.number != last + 1 => return Err(self.missing(path, offset)),
                None if frame.number > self.marker.frame + 1 => return Err(self.missing(path, offset)),
                _ => {}
            }
            if frame.number > self.marker.frame {
                let payload =
                    bytes.get(frame.payload.clone()).expect("a frame that was read is in what it was read from");
                (self.apply)(frame.number, payload).map_err(|what| OpenError::corrupt(path, offset as u64, what))?;
            }
            self.last = Some(frame.number);
            self.last_start = offset;
            self.torn = None;
            offset = frame.end;
        }
        let next = self.last.unwrap_or(self.marker.frame) + 1;
        // The next frame may be torn. Nothing can have been begun after it, nor it anywhere else.
        let is_begun = |offset, number_min| frame::is_begun(bytes, offset, self.identity, number_min);
        if is_begun(offset, next + 1) || is_begun(offset + 1, next) {
            return Err(self.missing(path, offset));
        }
        let begun = frame::begun_at(bytes, offset, self.identity);
        if let Some(begun) = begun.filter(|begun| begun.number == next) {
            self.torn = Some(Torn { segment: path.to_owned(), offset, frame: next, bytes: begun.bytes });
        }
        if offset == FIRST_FRAME {
            return Ok(None);
        }
        self.gap = Some((path.to_owned(), offset));
        Ok(Some(offset))
    }

    /// A frame is missing where the last one ended: `path` and `offset` tell where that was noticed.
    fn missing(&self, path: &Path, offset: usize) -> OpenError {
        let next = self.last.unwrap_or(self.marker.frame) + 1;
        let (file, at) = match &self.gap {
            Some((gap, end)) if offset == FIRST_FRAME => (gap.clone(), *end),
            _ => (path.to_owned(), offset),
        };
        OpenError::corrupt(file, at as u64, format!("frame {next} is damaged or missing, but later ones are there"))
    }
}

/// Writes the last frame once more. It may have come from the page cache after a process died, or a flush failed,
/// before it was on disk; from now on the database counts on it.
fn make_durable(disk: &Disk, path: &Path, start: usize, end: usize) -> Result<(), OpenError> {
    let rewrite = || -> io::Result<()> {
        let file = disk.open(path)?;
        let mut frame = vec![0; end - start];
        file.read_exact_at(&mut frame, start as u64)?;
        file.write_all_at(&frame, start as u64)?;
        file.sync_data()
    };
    rewrite().map_err(OpenError::io(path))
}

#[cfg(test)]
mod tests;
