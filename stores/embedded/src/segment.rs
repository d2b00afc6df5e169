//! Journal segments: files of a fixed size, filled with zeros or recycled, so that a flush inside one changes nothing
//! but data and `fdatasync` has no metadata to write (which halves its time).
//!
//! ```text
//!  0        magic 8 | identity u64 | number u64 | length u64 | checksum u32
//!  4096     frame, frame, frame … then zeros, or what is left of the segment's last life
//! ```
//!
//! A segment appears under its name (`0000000000000007.journal`) complete and durable, so one that is shorter than it says
//! was cut off by somebody. (It may be longer: a frame that no segment could hold makes its own one grow.) Segments that the base has made
//! superfluous become spares (`0000000000000003.spare`).

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    OpenError,
    disk::{File, Folder, is_passing},
    options::{FaultPoint, Options},
    sync::{Bell, lock},
};

/// Where the first frame starts: after a whole block, so that the header is never written again with it.
pub(crate) const FIRST_FRAME: usize = 4096;
const MAGIC: [u8; 8] = *b"sagajrn\x02";
const SPARES_MAX: usize = 4;
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// A segment open for appending.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) file: File,
    pub(crate) number: u64,
    /// Where the next frame goes.
    pub(crate) offset: u64,
}

/// The wait between tries to make a segment doubles from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The journal's directory: makes segments, and takes back those that are no longer needed.
#[derive(Debug)]
pub(crate) struct Pool {
    folder: Folder,
    identity: u64,
    options: Options,
    spares: Mutex<Vec<PathBuf>>,
    /// It is no use to wait for better times any more.
    hurried: AtomicBool,
    bell: Bell,
}

impl Pool {
    pub(crate) fn new(folder: Folder, identity: u64, options: Options, spares: Vec<PathBuf>) -> Self {
        let spares = Mutex::new(spares);
        Self { folder, identity, options, spares, hurried: AtomicBool::default(), bell: Bell::default() }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn identity(&self) -> u64 {
        self.identity
    }

    /// A new segment of this number. As long as descriptors, memory or room on the disk are lacking, it is tried again:
    /// nothing that was acknowledged depends on it yet, and the segments before it are open and have their room.
    pub(crate) fn make_patiently(&self, number: u64) -> io::Result<Segment> {
        let mut delay = BACKOFF.0;
        loop {
            match self.make(number) {
                Err(error) if is_passing(&error) && !self.hurried.load(Ordering::SeqCst) => {
                    if delay == BACKOFF.0 {
                        tracing::warn!(segment = number, %error, "the next journal segment cannot be made yet");
                    }
                    self.bell.wait_for(delay, || self.hurried.load(Ordering::SeqCst));
                    delay = (delay * 2).min(BACKOFF.1);
                }
                made => return made,
            }
        }
    }

    /// From now on [`Self::make_patiently`] gives up at once.
    pub(crate) fn stop_waiting(&self) {
        self.hurried.store(true, Ordering::SeqCst);
        self.bell.ring();
    }

    /// A new segment of this number, from a spare where there is one.
    pub(crate) fn make(&self, number: u64) -> io::Result<Segment> {
        self.options.check(FaultPoint::SegmentPrepare)?;
        let disk = self.folder.disk();
        let spare = self.spares().last().cloned();
        let (file, draft) = match spare {
            Some(spare) => (disk.open(&spare)?, spare),
            None => {
                let draft = self.folder.path().join("draft.new");
                (self.zero_filled(&draft)?, draft)
            }
        };
        file.write_all_at(&header(self.identity, number, file.length()?), 0)?;
        file.sync()?;
        disk.rename(&draft, &path(self.folder.path(), number))?;
        self.spares().retain(|spare| *spare != draft);
        self.folder.sync()?;
        Ok(Segment { file, number, offset: FIRST_FRAME as u64 })
    }

    fn zero_filled(&self, path: &Path) -> io::Result<File> {
        let file = self.folder.disk().create(path)?;
        let mut offset = 0;
        while offset < self.options.segment_bytes {
            let wanted = usize::try_from(self.options.segment_bytes - offset).unwrap_or(usize::MAX);
            let zeros = ZEROS.get(..wanted).unwrap_or(&ZEROS);
            file.write_all_at(zeros, offset)?;
            offset += zeros.len() as u64;
        }
        Ok(file)
    }

    /// Opens a segment that is there already, to append at `offset`.
    pub(crate) fn reopen(&self, number: u64, offset: u64) -> io::Result<Segment> {
        let file = self.folder.disk().open(&path(self.folder.path(), number))?;
        Ok(Segment { file, number, offset })
    }

    /// Takes back every segment with a number below `needed`. The base must have recorded that durably before.
    pub(crate) fn retire_below(&self, needed: u64) -> io::Result<()> {
        for (number, path) in list(self.folder.path())?.segments {
            if number >= needed {
                break;
            }
            let mut spares = self.spares();
            let is_regular = fs::metadata(&path)?.len() <= self.options.segment_bytes;
            if is_regular && spares.len() < SPARES_MAX {
                let spare = path.with_extension("spare");
                self.folder.disk().rename(&path, &spare)?;
                spares.push(spare);
            } else {
                self.folder.disk().remove(&path)?;
            }
        }
        Ok(())
    }

    fn spares(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        lock(&self.spares)
    }
}

/// What is in the journal's directory.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// By number, ascending.
    pub(crate) segments: Vec<(u64, PathBuf)>,
    pub(crate) spares: Vec<PathBuf>,
    /// Left over from a segment that was being made.
    pub(crate) drafts: Vec<PathBuf>,
}

pub(crate) fn list(directory: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(OsStr::to_str).and_then(|stem| stem.parse().ok());
        match (path.extension().and_then(OsStr::to_str), number) {
            (Some("journal"), Some(number)) => listing.segments.push((number, path)),
            (Some("spare"), _) => listing.spares.push(path),
            (Some("new"), _) => listing.drafts.push(path),
            // Not ours; a stray file does no harm here.
            _ => {}
        }
    }
    listing.segments.sort_unstable();
    Ok(listing)
}

pub(crate) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:016}.journal"))
}

/// Checks that `segment`, read from `path`, is the one of this number, and whole.
pub(crate) fn check_header(path: &Path, segment: &[u8], identity: u64, number: u64) -> Result<(), OpenError> {
    let length = segment.get(24..32).and_then(<[u8]>::first_chunk).copied().map_or(0, u64::from_le_bytes);
    if !segment.starts_with(&header(identity, number, length)) {
        return Err(OpenError::corrupt(path, 0, format!("it does not start as segment {number} of this database")));
    }
    let found = segment.len() as u64;
    if found < length {
        return Err(OpenError::corrupt(path, found, format!("it was cut off: it had {length} bytes when it was made")));
    }
    Ok(())
}

fn header(identity: u64, number: u64, length: u64) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    for field in [identity, number, length] {
        header.extend_from_slice(&field.to_le_bytes());
    }
    header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
    header
}
