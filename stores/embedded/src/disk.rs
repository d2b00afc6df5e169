//! The files of a database, but the base's: all of them are made, written, renamed and flushed here.
//!
//! What was written may be lost or torn by a loss of power until [`File::sync`] has returned, and the name of a file that
//! was made, renamed or removed until [`Folder::sync`] has. So that a test can hold a database against that, a
//! [`Recorder`] may be told of each step before it is taken.

use std::{
    fmt,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::io::Errno;

/// What a database holds is its owner's business.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// A step that changes the disk. Open files are known by number.
#[derive(Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "only tests look at what they record"))]
pub(crate) enum Step<'a> {
    MakeDirectory(&'a Path),
    /// An empty file, in place of whatever was there.
    Create(&'a Path, u64),
    Open(&'a Path, u64),
    Write(u64, u64, &'a [u8]),
    Sync(u64),
    Rename(&'a Path, &'a Path),
    Remove(&'a Path),
    SyncDirectory(&'a Path),
}

/// Told of each step before it is taken; an error keeps it from being taken.
pub(crate) type Recorder = Arc<dyn Fn(&Step<'_>) -> io::Result<()> + Send + Sync>;

/// How files are made and changed.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    recorder: Option<Recorder>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Disk").field("recorded", &self.recorder.is_some()).finish()
    }
}

impl Disk {
    #[cfg(test)]
    pub(crate) fn recorded(recorder: Recorder) -> Self {
        Self { recorder: Some(recorder) }
    }

    fn tell(&self, step: &Step<'_>) -> io::Result<()> {
        self.recorder.as_ref().map_or(Ok(()), |recorder| recorder(step))
    }

    /// A file that is there, to be read and written.
    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        let file = File::new(self, fs::File::options().read(true).write(true).open(path)?);
        self.tell(&Step::Open(path, file.number))?;
        Ok(file)
    }

    /// An empty file, in place of whatever was there.
    pub(crate) fn create(&self, path: &Path) -> io::Result<File> {
        let number = next_number();
        self.tell(&Step::Create(path, number))?;
        let mut options = fs::File::options();
        let file = options.create(true).truncate(true).read(true).write(true).mode(FILE_MODE).open(path)?;
        Ok(File { number, ..File::new(self, file) })
    }

    /// A file that is there only to be locked. It does not matter if it is lost.
    pub(crate) fn lock_file(&self, path: &Path) -> io::Result<fs::File> {
        fs::File::options().create(true).truncate(false).write(true).mode(FILE_MODE).open(path)
    }

    /// Makes a directory where there is none.
    pub(crate) fn make_directory(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        self.tell(&Step::MakeDirectory(path))?;
        match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.tell(&Step::Rename(from, to))?;
        fs::rename(from, to)
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.tell(&Step::Remove(path))?;
        fs::remove_file(path)
    }

    /// The directory at `path`, which is there.
    pub(crate) fn folder(&self, path: &Path) -> io::Result<Folder> {
        Ok(Folder { disk: self.clone(), path: path.to_owned(), file: fs::File::open(path)? })
    }
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// An open file.
#[derive(Debug)]
pub(crate) struct File {
    disk: Disk,
    number: u64,
    file: fs::File,
}

impl File {
    fn new(disk: &Disk, file: fs::File) -> Self {
        Self { disk: disk.clone(), number: next_number(), file }
    }

    pub(crate) fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.tell(&Step::Write(self.number, offset, bytes))?;
        self.file.write_all_at(bytes, offset)
    }

    pub(crate) fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Makes what was written last, and of the rest what it takes to read it.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        self.disk.tell(&Step::Sync(self.number))?;
        self.file.sync_data()
    }

    /// Makes the file last as it is.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.disk.tell(&Step::Sync(self.number))?;
        self.file.sync_all()
    }
}

/// An open directory: to sync it takes no further descriptor.
#[derive(Debug)]
pub(crate) struct Folder {
    disk: Disk,
    path: PathBuf,
    file: fs::File,
}

impl Folder {
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the creation, renaming and removal of files in the directory last.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.disk.tell(&Step::SyncDirectory(&self.path))?;
        self.file.sync_all()
    }

    /// Puts a file of this `content` in place of whatever had its name: after a crash it is the old one or the new one.
    pub(crate) fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let path = self.path.join(name);
        let draft = path.with_extension("new");
        let file = self.disk.create(&draft)?;
        file.write_all_at(content, 0)?;
        file.sync()?;
        self.disk.rename(&draft, &path)?;
        self.sync()
    }
}

/// Whether an error passes when others give back what they took, descriptors, memory or room on the disk. Only of a step
/// after which nothing depends on what was written: what a failed flush did nobody knows.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{OutOfMemory, QuotaExceeded, StorageFull};
    // Those of descriptors, the process's and the system's, have no kind.
    matches!(error.kind(), OutOfMemory | QuotaExceeded | StorageFull)
        || matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
