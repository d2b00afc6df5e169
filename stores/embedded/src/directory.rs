//! The database's directory: whose it is, what is in it, and the file `META` that says so.
//!
//! ```text
//! saga-store-embedded 2        the format
//! identity 0123456789abcdef    random, so that no other database's journal is taken for this one's
//! service order 8              one line for each service: its name and number of partitions
//! checksum 89abcdef            CRC-32C of the lines above
//! ```

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use saga::Partition;

use crate::{OpenError, files};

const FORMAT: u32 = 2;
const FORMAT_NAME: &str = "saga-store-embedded";
const META: &str = "META";
const LOCK: &str = "LOCK";
const JOURNAL: &str = "journal";
const BASE: &str = "base";
/// What may be in the directory of a database whose creation was cut off.
const OURS: [&str; 5] = [META, "META.new", LOCK, JOURNAL, BASE];

/// A service as `META` records it. Its index there is its number in the journal and the base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceMeta {
    pub(crate) name: String,
    pub(crate) partitions: Partition,
}

/// The directory of an open database; locked until dropped.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    pub(crate) identity: u64,
    pub(crate) services: Vec<ServiceMeta>,
    /// Held for its lock, which the operating system releases however the process ends.
    lock: File,
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Closing the file is not enough while a process that was just started still has it, too.
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(directory = %self.path.display(), %error, "could not be unlocked");
        }
    }
}

impl Directory {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        refuse_strangers(path)?;
        fs::create_dir_all(path).map_err(OpenError::io(path))?;
        let lock = lock(path)?;
        let meta = path.join(META);
        let known = match fs::read(&meta) {
            Ok(content) => Some(parse(&meta, &content)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(OpenError::io(meta)(error)),
        };
        let (identity, services) = match known {
            Some(known) => known,
            None => (create(path).map_err(OpenError::io(path))?, Vec::new()),
        };
        Ok(Self { path: path.to_owned(), identity, services, lock })
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.path.join(BASE)
    }

    pub(crate) fn meta(&self) -> PathBuf {
        self.path.join(META)
    }

    /// Records a new service, durably.
    pub(crate) fn add_service(&mut self, service: ServiceMeta) -> io::Result<()> {
        let mut services = self.services.clone();
        services.push(service);
        files::replace(&self.meta(), render(self.identity, &services).as_bytes())?;
        self.services = services;
        Ok(())
    }
}

/// Refuses a directory with anything in it that is not a database's, before anything is written there.
fn refuse_strangers(path: &Path) -> Result<(), OpenError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(OpenError::io(path)(error)),
    };
    let is_database = path.join(META).exists();
    for entry in entries {
        let entry = entry.map_err(OpenError::io(path))?;
        let name = entry.file_name();
        let ours = OURS.iter().any(|known| name == *known);
        // Only once `META` is there is anything put into the two directories: without it, their content is a stranger.
        let holds_data = !is_database && (name == JOURNAL || name == BASE) && !is_empty(&entry.path());
        if !(ours || is_database) || holds_data {
            let entry = name.to_string_lossy().into_owned();
            return Err(OpenError::NotADatabase { directory: path.to_owned(), entry });
        }
    }
    Ok(())
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let lock_path = path.join(LOCK);
    let file =
        File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(OpenError::io(&lock_path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { directory: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(OpenError::io(lock_path)(error)),
    }
}

/// Makes an empty database. `META` comes last: where it is, everything else is.
fn create(path: &Path) -> io::Result<u64> {
    for directory in [JOURNAL, BASE] {
        fs::create_dir_all(path.join(directory))?;
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        files::sync_directory(parent)?;
    }
    let identity = getrandom::u64().map_err(io::Error::other)?;
    files::replace(&path.join(META), render(identity, &[]).as_bytes())?;
    Ok(identity)
}

fn render(identity: u64, services: &[ServiceMeta]) -> String {
    let services = services.iter().map(|service| format!("service {} {}\n", service.name, service.partitions));
    let lines = format!("{FORMAT_NAME} {FORMAT}\nidentity {identity:016x}\n{}", services.collect::<String>());
    let checksum = crc32c::crc32c(lines.as_bytes());
    format!("{lines}checksum {checksum:08x}\n")
}

fn parse(path: &Path, content: &[u8]) -> Result<(u64, Vec<ServiceMeta>), OpenError> {
    let corrupt = |what: &str| OpenError::corrupt(path, 0, what);
    let content = std::str::from_utf8(content).map_err(|_| corrupt("it is not text"))?;
    let first = content.lines().next().unwrap_or_default();
    // The format comes before the checksum: another format may well do without one.
    match first.strip_prefix(FORMAT_NAME).and_then(|format| format.strip_prefix(' ')) {
        Some(found) if found == FORMAT.to_string() => {}
        Some(found) => {
            let found = found.to_owned();
            return Err(OpenError::UnknownFormat { file: path.to_owned(), found, supported: FORMAT });
        }
        None => return Err(corrupt("its first line does not name the format")),
    }
    parse_lines(content).ok_or_else(|| corrupt("its lines do not match their checksum"))
}

fn parse_lines(content: &str) -> Option<(u64, Vec<ServiceMeta>)> {
    let (lines, _checksum) = content.rsplit_once("checksum ")?;
    let mut lines = lines.lines().skip(1);
    let identity = u64::from_str_radix(lines.next()?.strip_prefix("identity ")?, 16).ok()?;
    let services = lines.map(|line| {
        let (name, partitions) = line.strip_prefix("service ")?.split_once(' ')?;
        Some(ServiceMeta { name: name.to_owned(), partitions: partitions.parse().ok()? })
    });
    let services = services.collect::<Option<Vec<_>>>()?;
    // Stricter than comparing checksums: there is one way only to write each content.
    (render(identity, &services) == content).then_some((identity, services))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reopened(path: &Path) -> Result<Directory, OpenError> {
        Directory::open(path)
    }

    #[test]
    fn what_was_recorded_is_read_again() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("data");
        let mut directory = Directory::open(&path).unwrap();
        let service = ServiceMeta { name: "order".into(), partitions: 8 };
        directory.add_service(service.clone()).unwrap();
        let identity = directory.identity;
        drop(directory);
        let directory = reopened(&path).unwrap();
        assert_eq!((directory.identity, &directory.services[..]), (identity, &[service][..]));
    }

    #[test]
    fn a_second_opener_is_refused_and_the_first_undisturbed() {
        let temporary = tempfile::tempdir().unwrap();
        let _first = Directory::open(temporary.path()).unwrap();
        assert!(matches!(reopened(temporary.path()), Err(OpenError::Locked { .. })));
    }

    #[test]
    fn a_directory_of_somebody_else_is_left_alone() {
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join("thesis.tex"), "42").unwrap();
        let error = reopened(temporary.path()).unwrap_err();
        assert!(matches!(&error, OpenError::NotADatabase { entry, .. } if entry == "thesis.tex"), "{error}");
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1, "nothing was added");
    }

    #[test]
    fn a_journal_without_meta_is_not_taken_for_a_new_database() {
        let temporary = tempfile::tempdir().unwrap();
        drop(Directory::open(temporary.path()).unwrap());
        fs::write(temporary.path().join(JOURNAL).join("0000000000000001.journal"), "data").unwrap();
        fs::remove_file(temporary.path().join(META)).unwrap();
        let error = reopened(temporary.path()).unwrap_err();
        assert!(matches!(error, OpenError::NotADatabase { .. }), "{error}");
    }

    #[test]
    fn a_creation_that_was_cut_off_is_done_again() {
        let temporary = tempfile::tempdir().unwrap();
        drop(Directory::open(temporary.path()).unwrap());
        fs::rename(temporary.path().join(META), temporary.path().join("META.new")).unwrap();
        assert_eq!(reopened(temporary.path()).unwrap().services, []);
    }

    #[test]
    fn an_unknown_format_is_named_and_nothing_overwritten() {
        let temporary = tempfile::tempdir().unwrap();
        drop(Directory::open(temporary.path()).unwrap());
        let meta = temporary.path().join(META);
        fs::write(&meta, "saga-store-embedded 999\nwhatever comes then\n").unwrap();
        let error = reopened(temporary.path()).unwrap_err();
        assert!(matches!(&error, OpenError::UnknownFormat { found, .. } if found == "999"), "{error}");
        assert_eq!(fs::read_to_string(meta).unwrap(), "saga-store-embedded 999\nwhatever comes then\n");
    }

    #[test]
    fn every_flipped_bit_of_meta_is_noticed() {
        let temporary = tempfile::tempdir().unwrap();
        let mut directory = Directory::open(temporary.path()).unwrap();
        directory.add_service(ServiceMeta { name: "order".into(), partitions: 8 }).unwrap();
        drop(directory);
        let meta = temporary.path().join(META);
        let content = fs::read(&meta).unwrap();
        for position in 0..content.len() * 8 {
            let mut flipped = content.clone();
            flipped[position / 8] ^= 1 << (position % 8);
            assert!(parse(&meta, &flipped).is_err(), "bit {position}");
        }
    }
}
