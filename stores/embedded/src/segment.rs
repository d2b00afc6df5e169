//! Journal segments: files of a fixed size, filled with zeros or recycled, so that a flush inside one changes nothing
//! but data and `fdatasync` has no metadata to write (which halves its time).
//!
//! ```text
//!  0        magic 8 | identity u64 | number u64 | checksum u32
//!  4096     frame, frame, frame … then zeros, or what is left of the segment's last life
//! ```
//!
//! A segment appears under its name (`0000000000000007.journal`) complete and durable. Segments that the base has made
//! superfluous become spares (`0000000000000003.spare`).

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::{
    OpenError, files,
    options::{FaultPoint, Options},
};

/// Where the first frame starts: after a whole block, so that the header is never written again with it.
pub(crate) const FIRST_FRAME: usize = 4096;
const MAGIC: [u8; 8] = *b"sagajrn\x01";
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

/// The journal's directory: makes segments, and takes back those that are no longer needed.
#[derive(Debug)]
pub(crate) struct Pool {
    directory: PathBuf,
    identity: u64,
    options: Options,
    spares: Mutex<Vec<PathBuf>>,
}

impl Pool {
    pub(crate) fn new(directory: PathBuf, identity: u64, options: Options, spares: Vec<PathBuf>) -> Self {
        Self { directory, identity, options, spares: Mutex::new(spares) }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn identity(&self) -> u64 {
        self.identity
    }

    /// A new segment of this number, from a spare where there is one.
    pub(crate) fn make(&self, number: u64) -> io::Result<Segment> {
        self.options.check(FaultPoint::SegmentPrepare)?;
        let draft = self.directory.join("draft.new");
        let spare = self.spares().pop();
        let file = match spare {
            Some(spare) => {
                fs::rename(&spare, &draft)?;
                File::options().read(true).write(true).open(&draft)?
            }
            None => self.zero_filled(&draft)?,
        };
        file.write_all_at(&header(self.identity, number), 0)?;
        file.sync_all()?;
        fs::rename(&draft, path(&self.directory, number))?;
        files::sync_directory(&self.directory)?;
        Ok(Segment { file, number, offset: FIRST_FRAME as u64 })
    }

    fn zero_filled(&self, path: &Path) -> io::Result<File> {
        let file = File::options().create(true).truncate(true).read(true).write(true).open(path)?;
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
        let file = File::options().read(true).write(true).open(path(&self.directory, number))?;
        Ok(Segment { file, number, offset })
    }

    /// Takes back every segment with a number below `needed`. The base must have recorded that durably before.
    pub(crate) fn retire_below(&self, needed: u64) -> io::Result<()> {
        for (number, path) in list(&self.directory)?.segments {
            if number >= needed {
                break;
            }
            let mut spares = self.spares();
            let is_regular = fs::metadata(&path)?.len() <= self.options.segment_bytes;
            if is_regular && spares.len() < SPARES_MAX {
                let spare = path.with_extension("spare");
                fs::rename(&path, &spare)?;
                spares.push(spare);
            } else {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    fn spares(&self) -> std::sync::MutexGuard<'_, Vec<PathBuf>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Checks that `segment`, read from `path`, is the one of this number.
pub(crate) fn check_header(path: &Path, segment: &[u8], identity: u64, number: u64) -> Result<(), OpenError> {
    let expected = header(identity, number);
    if segment.starts_with(&expected) {
        return Ok(());
    }
    Err(OpenError::corrupt(path, 0, format!("it does not start as segment {number} of this database")))
}

fn header(identity: u64, number: u64) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&identity.to_le_bytes());
    header.extend_from_slice(&number.to_le_bytes());
    header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
    header
}
