//! The database's directory: whose it is, what is in it, and the file `META` that says so.
//!
//! ```text
//! saga-store-embedded 4        the format
//! identity 0123456789abcdef    random, so that no other database's journal is taken for this one's
//! service order 8              one line for each service: its name and number of partitions
//! epoch 3 4097 13              of partition 3 of it: from event 13 on it is epoch 4097
//! bond stock fedcba9876543210  after it, which data of each other service it belongs with
//! checksum 89abcdef            CRC-32C of the lines above
//! ```
//!
//! Beside it, `CLOSED` names the last frame that was on disk when the database was last closed.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use saga::{
    Partition,
    store::{Identity, position::Epochs},
};

use crate::{
    OpenError,
    disk::{Disk, Folder},
};

const FORMAT: u32 = 4;
/// Before it, the base had resident records all in one place, where they are read as well.
const OLDEST_FORMAT: u32 = 3;
const FORMAT_NAME: &str = "saga-store-embedded";
const META: &str = "META";
const CLOSED: &str = "CLOSED";
const LOCK: &str = "LOCK";
const JOURNAL: &str = "journal";
const BASE: &str = "base";
/// What may be in the directory of a database whose creation was cut off.
const OURS: [&str; 5] = [META, "META.new", LOCK, JOURNAL, BASE];
/// What some file systems put into the top directory of a disk.
const OF_THE_DISK: &str = "lost+found";

/// A service as `META` records it. Its index there is its number in the journal and the base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceMeta {
    pub(crate) name: String,
    pub(crate) partitions: Partition,
    /// By partition, which events are of which epoch.
    pub(crate) epochs: BTreeMap<Partition, Epochs>,
    /// By the name of another service, which data of it these belong with.
    pub(crate) bonds: BTreeMap<String, Identity>,
}

/// The directory of an open database; locked until dropped.
#[derive(Debug)]
pub(crate) struct Directory {
    folder: Folder,
    pub(crate) identity: u64,
    pub(crate) services: Vec<ServiceMeta>,
    /// The last frame when the database was closed the last time; 0 where it never was.
    pub(crate) closed: u64,
    /// Held for its lock, which the operating system releases however the process ends.
    lock: File,
    /// What is recorded is kept in memory only.
    pub(crate) is_looked_at: bool,
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Closing the file is not enough while a process that was just started still has it, too.
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(directory = %self.folder.path().display(), %error, "could not be unlocked");
        }
    }
}

impl Directory {
    pub(crate) fn open(disk: &Disk, path: &Path) -> Result<Self, OpenError> {
        refuse_strangers(path)?;
        make_all(disk, path).map_err(OpenError::io(path))?;
        let folder = disk.folder(path).map_err(OpenError::io(path))?;
        let lock = lock(disk, path)?;
        let meta = path.join(META);
        let known = match fs::read(&meta) {
            Ok(content) => Some(parse(&meta, &content)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(OpenError::io(meta)(error)),
        };
        let (identity, services) = match known {
            // Whoever put them there may have died before their names were on disk.
            Some((identity, services, format)) => sync_all(&folder).and_then(|()| {
                if format < FORMAT {
                    // From now on there will be things that an older version overlooks.
                    folder.replace(META, render(FORMAT, identity, &services).as_bytes())?;
                }
                Ok((identity, services))
            }),
            None => create(&folder).map(|identity| (identity, Vec::new())),
        }
        .map_err(OpenError::io(path))?;
        let closed = read_closed(&path.join(CLOSED))?;
        Ok(Self { folder, identity, services, closed, lock, is_looked_at: false })
    }

    /// The directory of a database, to be looked at only: nothing in it is changed. Several may look at once, while nobody has it
    /// open.
    pub(crate) fn look_at(disk: &Disk, path: &Path) -> Result<Self, OpenError> {
        let folder = disk.folder(path).map_err(OpenError::io(path))?;
        let meta = path.join(META);
        if !meta.exists() {
            return Err(OpenError::NoDatabase { directory: path.to_owned() });
        }
        let lock_path = path.join(LOCK);
        let lock = File::open(&lock_path).map_err(OpenError::io(&lock_path))?;
        match lock.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(path, &lock)),
            Err(TryLockError::Error(error)) => return Err(OpenError::io(lock_path)(error)),
        }
        let content = fs::read(&meta).map_err(OpenError::io(&meta))?;
        let (identity, services, _) = parse(&meta, &content)?;
        let closed = read_closed(&path.join(CLOSED))?;
        Ok(Self { folder, identity, services, closed, lock, is_looked_at: true })
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.path().join(JOURNAL)
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.folder.path().join(BASE)
    }

    pub(crate) fn meta(&self) -> PathBuf {
        self.folder.path().join(META)
    }

    /// Records a new service, durably.
    pub(crate) fn add_service(&mut self, service: ServiceMeta) -> io::Result<()> {
        let mut services = self.services.clone();
        services.push(service);
        self.record(services)
    }

    /// Records, durably, which data of `peer` those of the service with this index belong with.
    pub(crate) fn bind(&mut self, service: u8, peer: &str, bond: Option<Identity>) -> io::Result<()> {
        let mut services = self.services.clone();
        if let Some(service) = services.get_mut(usize::from(service)) {
            match bond {
                Some(bond) => service.bonds.insert(peer.to_owned(), bond),
                None => service.bonds.remove(peer),
            };
        }
        if services == self.services { Ok(()) } else { self.record(services) }
    }

    /// Records, durably, from which event on a partition of the service with this index is in a new epoch.
    pub(crate) fn begin_epoch(&mut self, service: u8, partition: Partition, epochs: Epochs) -> io::Result<()> {
        let mut services = self.services.clone();
        if let Some(service) = services.get_mut(usize::from(service)) {
            service.epochs.insert(partition, epochs);
        }
        self.record(services)
    }

    fn record(&mut self, services: Vec<ServiceMeta>) -> io::Result<()> {
        if !self.is_looked_at {
            self.folder.replace(META, render(FORMAT, self.identity, &services).as_bytes())?;
        }
        self.services = services;
        Ok(())
    }

    /// Records that everything up to `frame` is on disk and the database is being closed. It stays true afterwards, and
    /// need not be taken back.
    pub(crate) fn note_closed(&mut self, frame: u64) -> io::Result<()> {
        if frame > self.closed && !self.is_looked_at {
            self.folder.replace(CLOSED, render_closed(frame).as_bytes())?;
            self.closed = frame;
        }
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
        let ours = name == OF_THE_DISK || OURS.iter().any(|known| name == *known);
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

fn lock(disk: &Disk, path: &Path) -> Result<File, OpenError> {
    let lock_path = path.join(LOCK);
    let file = disk.lock_file(&lock_path).map_err(OpenError::io(&lock_path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(locked(path, &file)),
        Err(TryLockError::Error(error)) => Err(OpenError::io(lock_path)(error)),
    }
}

fn locked(path: &Path, lock: &File) -> OpenError {
    OpenError::Locked { directory: path.to_owned(), holder: holder(lock) }
}

/// The process that holds the lock, where Linux says so. It says it of processes that this one may see: not of those in another
/// container.
fn holder(lock: &File) -> Option<u32> {
    let inode = lock.metadata().ok()?.ino().to_string();
    // `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`. The device is that of the file system, which is not always the one that
    // the file names, so two locked files of one number are told apart by nothing.
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let mut holders = locks.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, process, file, ..] = words.as_slice() else { return None };
        (file.rsplit(':').next() == Some(&inode)).then(|| process.parse().ok()).flatten()
    });
    let holder = holders.next().filter(|process| *process > 0)?;
    holders.all(|other| other == holder).then_some(holder)
}

/// Makes an empty database. `META` comes last: where it is, everything else is.
fn create(folder: &Folder) -> io::Result<u64> {
    for directory in [JOURNAL, BASE] {
        folder.disk().make_directory(&folder.path().join(directory))?;
    }
    sync_all(folder)?;
    // Whoever made these may not have come to it.
    for ancestor in fs::canonicalize(folder.path())?.ancestors().skip(1) {
        sync_if_allowed(folder.disk(), ancestor)?;
    }
    let identity = getrandom::u64().map_err(io::Error::other)?;
    folder.replace(META, render(FORMAT, identity, &[]).as_bytes())?;
    Ok(identity)
}

/// Makes the names of everything in a database last, and its own.
fn sync_all(folder: &Folder) -> io::Result<()> {
    folder.sync()?;
    for directory in [JOURNAL, BASE] {
        match folder.disk().folder(&folder.path().join(directory)) {
            // What is lost with it is for those to tell who miss it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => opened?.sync()?,
        }
    }
    fs::canonicalize(folder.path())?.parent().map_or(Ok(()), |parent| sync_if_allowed(folder.disk(), parent))
}

/// A directory above may be closed to us or read-only; then nothing in it was made by us.
fn sync_if_allowed(disk: &Disk, directory: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem};
    match disk.folder(directory).and_then(|folder| folder.sync()) {
        Err(error) if matches!(error.kind(), InvalidInput | PermissionDenied | ReadOnlyFilesystem) => Ok(()),
        synced => synced,
    }
}

/// Makes a directory, and those that it lies in, where they are missing.
fn make_all(disk: &Disk, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_all(disk, parent)?;
    }
    disk.make_directory(path)
}

fn render_closed(frame: u64) -> String {
    format!("{FORMAT_NAME} closed\nframe {frame}\n")
}

fn read_closed(path: &Path) -> Result<u64, OpenError> {
    let content = match fs::read_to_string(path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(OpenError::io(path)(error)),
    };
    let frame = content.lines().last().and_then(|line| line.strip_prefix("frame ")?.parse().ok());
    let frame = frame.filter(|frame| render_closed(*frame) == content);
    frame.ok_or_else(|| OpenError::corrupt(path, 0, "it does not say which frame was the last"))
}

fn render(format: u32, identity: u64, services: &[ServiceMeta]) -> String {
    let mut lines = format!("{FORMAT_NAME} {format}\nidentity {identity:016x}\n");
    for service in services {
        lines += &format!("service {} {}\n", service.name, service.partitions);
        for (partition, epochs) in &service.epochs {
            epochs.iter().for_each(|(epoch, begin)| lines += &format!("epoch {partition} {epoch} {begin}\n"));
        }
        service.bonds.iter().for_each(|(peer, bond)| lines += &format!("bond {peer} {bond}\n"));
    }
    let checksum = crc32c::crc32c(lines.as_bytes());
    format!("{lines}checksum {checksum:08x}\n")
}

/// The identity, the services, and the format.
fn parse(path: &Path, content: &[u8]) -> Result<(u64, Vec<ServiceMeta>, u32), OpenError> {
    let corrupt = |what: &str| OpenError::corrupt(path, 0, what);
    let content = std::str::from_utf8(content).map_err(|_| corrupt("it is not text"))?;
    let first = content.lines().next().unwrap_or_default();
    // The format comes before the checksum: another format may well do without one.
    let found = first.strip_prefix(FORMAT_NAME).and_then(|format| format.strip_prefix(' '));
    let found = found.ok_or_else(|| corrupt("its first line does not name the format"))?;
    let Some(format) = (OLDEST_FORMAT..=FORMAT).find(|format| found == format.to_string()) else {
        let found = found.to_owned();
        return Err(OpenError::UnknownFormat { file: path.to_owned(), found, supported: FORMAT });
    };
    let (identity, services) =
        parse_lines(format, content).ok_or_else(|| corrupt("its lines do not match their checksum"))?;
    Ok((identity, services, format))
}

fn parse_lines(format: u32, content: &str) -> Option<(u64, Vec<ServiceMeta>)> {
    let (lines, _checksum) = content.rsplit_once("checksum ")?;
    let mut lines = lines.lines().skip(1);
    let identity = u64::from_str_radix(lines.next()?.strip_prefix("identity ")?, 16).ok()?;
    let mut services: Vec<ServiceMeta> = Vec::new();
    for line in lines {
        let mut words = line.split(' ');
        let (kind, name, value) = (words.next()?, words.next()?.to_owned(), words.next()?);
        match kind {
            "service" => {
                let (partitions, epochs, bonds) = (value.parse().ok()?, BTreeMap::new(), BTreeMap::new());
                services.push(ServiceMeta { name, partitions, epochs, bonds });
            }
            "epoch" => {
                let epochs = services.last_mut()?.epochs.entry(name.parse().ok()?).or_default();
                epochs.begin(value.parse().ok()?, words.next()?.parse().ok()?);
            }
            "bond" => drop(services.last_mut()?.bonds.insert(name, value.parse().ok()?)),
            _ => return None,
        }
    }
    // Stricter than comparing checksums: there is one way only to write each content.
    (render(format, identity, &services) == content).then_some((identity, services))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> ServiceMeta {
        ServiceMeta { name: "order".into(), partitions: 8, epochs: BTreeMap::new(), bonds: BTreeMap::new() }
    }

    fn reopened(path: &Path) -> Result<Directory, OpenError> {
        Directory::open(&Disk::default(), path)
    }

    #[test]
    fn what_was_recorded_is_read_again() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("data");
        let mut directory = Directory::open(&Disk::default(), &path).unwrap();
        let service = order();
        directory.add_service(service.clone()).unwrap();
        let identity = directory.identity;
        drop(directory);
        let directory = reopened(&path).unwrap();
        assert_eq!((directory.identity, &directory.services[..]), (identity, &[service][..]));
    }

    #[test]
    fn a_second_opener_is_refused_and_the_first_undisturbed() {
        let temporary = tempfile::tempdir().unwrap();
        let _first = Directory::open(&Disk::default(), temporary.path()).unwrap();
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
    fn what_a_file_system_keeps_at_the_top_of_a_disk_is_no_stranger() {
        let temporary = tempfile::tempdir().unwrap();
        fs::create_dir(temporary.path().join("lost+found")).unwrap();
        reopened(temporary.path()).unwrap();
        reopened(temporary.path()).unwrap();
    }

    #[test]
    fn nobody_else_may_look_into_what_was_made() {
        use std::os::unix::fs::PermissionsExt as _;
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("parent").join("data");
        drop(reopened(&path).unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        for directory in [path.parent().unwrap(), &path, &path.join(JOURNAL), &path.join(BASE)] {
            assert_eq!(mode(directory), 0o700, "{}", directory.display());
        }
        for file in [META, LOCK] {
            assert_eq!(mode(&path.join(file)), 0o600, "{file}");
        }
    }

    #[test]
    fn a_journal_without_meta_is_not_taken_for_a_new_database() {
        let temporary = tempfile::tempdir().unwrap();
        drop(Directory::open(&Disk::default(), temporary.path()).unwrap());
        fs::write(temporary.path().join(JOURNAL).join("0000000000000001.journal"), "data").unwrap();
        fs::remove_file(temporary.path().join(META)).unwrap();
        let error = reopened(temporary.path()).unwrap_err();
        assert!(matches!(error, OpenError::NotADatabase { .. }), "{error}");
    }

    #[test]
    fn a_creation_that_was_cut_off_is_done_again() {
        let temporary = tempfile::tempdir().unwrap();
        drop(Directory::open(&Disk::default(), temporary.path()).unwrap());
        fs::rename(temporary.path().join(META), temporary.path().join("META.new")).unwrap();
        assert_eq!(reopened(temporary.path()).unwrap().services, []);
    }

    #[test]
    fn an_unknown_format_is_named_and_nothing_overwritten() {
        let temporary = tempfile::tempdir().unwrap();
        drop(Directory::open(&Disk::default(), temporary.path()).unwrap());
        let meta = temporary.path().join(META);
        fs::write(&meta, "saga-store-embedded 999\nwhatever comes then\n").unwrap();
        let error = reopened(temporary.path()).unwrap_err();
        assert!(matches!(&error, OpenError::UnknownFormat { found, .. } if found == "999"), "{error}");
        assert_eq!(fs::read_to_string(meta).unwrap(), "saga-store-embedded 999\nwhatever comes then\n");
    }

    #[test]
    fn a_directory_of_the_format_before_is_marked_with_this_one_when_it_is_opened() {
        let temporary = tempfile::tempdir().unwrap();
        drop(Directory::open(&Disk::default(), temporary.path()).unwrap());
        let meta = temporary.path().join(META);
        let (identity, services, format) = parse(&meta, &fs::read(&meta).unwrap()).unwrap();
        assert_eq!(format, FORMAT);
        fs::write(&meta, render(OLDEST_FORMAT, identity, &services)).unwrap();
        assert_eq!(reopened(temporary.path()).unwrap().identity, identity);
        assert_eq!(fs::read_to_string(&meta).unwrap(), render(FORMAT, identity, &services));
    }

    #[test]
    fn every_flipped_bit_of_meta_is_noticed() {
        let temporary = tempfile::tempdir().unwrap();
        let mut directory = Directory::open(&Disk::default(), temporary.path()).unwrap();
        directory.add_service(order()).unwrap();
        directory.bind(0, "stock", Some(Identity::from_bits(7))).unwrap();
        let mut epochs = Epochs::default();
        epochs.begin(4097, 13);
        directory.begin_epoch(0, 3, epochs).unwrap();
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
