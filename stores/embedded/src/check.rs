//! Reading all of a database without changing anything in it.

use std::path::{Path, PathBuf};

use crate::{
    OpenError,
    base::Base,
    directory::Directory,
    disk::Disk,
    look::{Left, view},
    open,
    replay::{self, Remains},
    segment,
};

/// What reading all of a database found.
#[derive(Debug, Default)]
pub struct Report {
    /// Tables of the base.
    pub tables: u64,
    /// Records, events and marks in them, each as often as it was written and not merged.
    pub records: u64,
    /// Frames of the journal that the base does not hold.
    pub frames: u64,
    /// The last frame, if there is any.
    pub last_frame: Option<u64>,
    /// A frame that was being written when the database ended, in words. It is no damage.
    pub torn: Option<String>,
    /// What is damaged; empty where all is well.
    pub damage: Vec<Damage>,
}

/// A damaged file.
#[derive(Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which one.
    pub file: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl From<OpenError> for Damage {
    fn from(error: OpenError) -> Self {
        let (OpenError::Corrupt { file, .. } | OpenError::Io { path: file, .. }) = &error else {
            return Self { file: PathBuf::new(), what: error.to_string() };
        };
        Self { file: file.clone(), what: error.to_string() }
    }
}

/// Reads every table and every frame of the database in `directory`, which nobody may have open. Nothing is changed there.
///
/// # Errors
/// [`OpenError`] where it cannot be looked at: it is in use, there is none, or its `META` cannot be read.
pub fn check(directory: &Path) -> Result<Report, OpenError> {
    let disk = Disk::default();
    let directory = Directory::look_at(&disk, directory)?;
    let mut report = Report::default();
    let links = tempfile::tempdir().map_err(OpenError::io(std::env::temp_dir()))?;
    view(&directory.base(), links.path()).map_err(OpenError::io(directory.base()))?;
    let base = match Base::open(links.path(), 0) {
        Ok(base) => base,
        Err(error) => {
            report.damage.push(Damage { file: directory.base(), what: error.to_string() });
            return Ok(report);
        }
    };
    let read = base.read_all();
    (report.tables, report.records) = (read.tables, read.records);
    for (table, what) in read.damaged {
        let name = table.file_name().expect("a table is a file");
        report.damage.push(Damage { file: directory.base().join("tables").join(name), what });
    }
    if let Err(error) = check_journal(&disk, &directory, &base, &mut report) {
        report.damage.push(error.into());
    }
    Ok(report)
}

fn check_journal(disk: &Disk, directory: &Directory, base: &Base, report: &mut Report) -> Result<(), OpenError> {
    let (marker, mut restored) = open::restore(directory, base)?;
    let journal = directory.journal();
    let folder = disk.folder(&journal).map_err(OpenError::io(&journal))?;
    let listing = segment::list(&journal).map_err(OpenError::io(&journal))?;
    let (identity, closed) = (directory.identity, directory.closed);
    let remains = Remains { folder: &folder, listing: &listing, identity, marker, closed, to_go_on: false };
    let mut frames = 0;
    let tail = replay::replay(remains, &mut |frame, payload| {
        frames += 1;
        open::apply(&mut restored, frame, payload)
    });
    report.frames = frames;
    let tail = tail?;
    report.last_frame = tail.as_ref().map(|tail| tail.frame);
    report.torn = Left::torn(tail.and_then(|tail| tail.torn));
    Ok(())
}
