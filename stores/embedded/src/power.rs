//! Loss of power. A kill leaves what was written in the system's cache; a power cut takes whatever was not flushed: all
//! of it, none, or any part. So a database is run on a [`Disk`] that is recorded, and after each step a disk is made as
//! the power cut may leave it, and opened: every acknowledged commit has to be there, and no half of another one.
//!
//! The base's files are the `lsm-tree` crate's own business and are not recorded: here they change in one durable step
//! when a checkpoint is installed, which is what that crate promises. That it also moves the first table to another level, in
//! a thread of its own, changes the files and nothing that they hold, and is not recorded.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use saga::{
    LogName, Store as _,
    store::{Commit, Cursor, Result, Visibility, Write},
};

use crate::{
    Embedded, EmbeddedStore, FaultPoint, OpenError, Options,
    disk::{Disk, Step},
    sync::lock,
};

/// What power cuts spare: by a generator of its own, so that each test has the same ones every time.
struct Chance(u64);

impl Chance {
    fn half(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 & 1 == 1
    }

    /// Whether something is spared by a cut that spares nothing, any part, or everything.
    fn spares(&mut self, how: Option<bool>) -> bool {
        how.unwrap_or_else(|| self.half())
    }
}

#[derive(Clone, Debug)]
enum Entry {
    Directory,
    File(usize),
}

/// A file's content that no power cut can take, and what was written since.
#[derive(Clone, Debug, Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<(u64, Arc<[u8]>)>,
}

#[derive(Clone, Debug)]
enum Change {
    Put(PathBuf, Entry),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Change {
    fn directory(&self) -> &Path {
        let (Self::Put(path, _) | Self::Rename(_, path) | Self::Remove(path)) = self;
        path.parent().expect("nothing is done to the root")
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Entry>) {
        match self {
            Self::Put(path, entry) => drop(names.insert(path.clone(), entry.clone())),
            Self::Rename(from, to) => {
                if let Some(entry) = names.remove(from) {
                    names.insert(to.clone(), entry);
                }
            }
            Self::Remove(path) => drop(names.remove(path)),
        }
    }
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A file system: what programs see of it, and what of that is durable.
#[derive(Clone, Debug, Default)]
struct World {
    names: BTreeMap<PathBuf, Entry>,
    durable: BTreeMap<PathBuf, Entry>,
    pending: Vec<Change>,
    contents: Vec<Content>,
    open: HashMap<u64, usize>,
    base: Arc<Files>,
}

impl World {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    fn content(&mut self, file: u64) -> &mut Content {
        &mut self.contents[self.open[&file]]
    }

    fn take(&mut self, step: &Step<'_>) {
        match *step {
            Step::MakeDirectory(path) => self.change(Change::Put(path.to_owned(), Entry::Directory)),
            Step::Create(path, file) => {
                self.contents.push(Content::default());
                let content = self.contents.len() - 1;
                self.open.insert(file, content);
                self.change(Change::Put(path.to_owned(), Entry::File(content)));
            }
            Step::Open(path, file) => {
                let Some(Entry::File(content)) = self.names.get(path) else { panic!("no file {}", path.display()) };
                self.open.insert(file, *content);
            }
            Step::Write(file, offset, bytes) => self.content(file).pending.push((offset, bytes.into())),
            Step::Sync(file) => {
                let Content { durable, pending } = self.content(file);
                pending.drain(..).for_each(|(offset, bytes)| overwrite(durable, offset, &bytes));
            }
            Step::Rename(from, to) => self.change(Change::Rename(from.to_owned(), to.to_owned())),
            Step::Remove(path) => self.change(Change::Remove(path.to_owned())),
            Step::SyncDirectory(directory) => {
                let (synced, pending) = self.pending.drain(..).partition(|change| change.directory() == directory);
                self.pending = pending;
                let synced: Vec<Change> = synced;
                synced.iter().for_each(|change| change.apply(&mut self.durable));
            }
        }
    }

    /// What a power cut leaves, below `root`: directories without content, and files.
    fn after_power_cut(&self, root: &Path, cut: Cut, chance: &mut Chance) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut names = self.durable.clone();
        self.pending.iter().filter(|_| chance.spares(cut.names)).for_each(|change| change.apply(&mut names));
        let mut left = BTreeMap::new();
        for (path, entry) in &names {
            // In order of paths, so a directory comes before what is in it.
            let parent = path.parent().expect("nothing is done to the root");
            if parent != root && !left.contains_key(parent) {
                continue;
            }
            let content = match entry {
                Entry::Directory => None,
                Entry::File(content) => Some(torn(&self.contents[*content], cut, chance)),
            };
            left.insert(path.clone(), content);
        }
        left
    }
}

fn overwrite(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = usize::try_from(offset).unwrap();
    content.resize(content.len().max(offset + bytes.len()), 0);
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// Sectors survive or do not, each for itself.
fn torn(content: &Content, cut: Cut, chance: &mut Chance) -> Vec<u8> {
    const SECTOR: u64 = 512;
    let mut left = content.durable.clone();
    for (offset, bytes) in &content.pending {
        let mut at = *offset;
        let end = offset + bytes.len() as u64;
        while at < end {
            let next = ((at / SECTOR + 1) * SECTOR).min(end);
            if chance.spares(cut.contents) {
                let (from, to) = (usize::try_from(at - offset).unwrap(), usize::try_from(next - offset).unwrap());
                overwrite(&mut left, at, &bytes[from..to]);
            }
            at = next;
        }
    }
    left
}

/// What a power cut spares of names and of contents that were not flushed: nothing, all, or any part.
#[derive(Clone, Copy, Debug)]
struct Cut {
    names: Option<bool>,
    contents: Option<bool>,
}

const WORST: Cut = Cut { names: Some(false), contents: Some(false) };

const CUTS: [Cut; 7] = [
    WORST,
    Cut { names: Some(true), contents: Some(true) },
    Cut { names: Some(true), contents: Some(false) },
    Cut { names: Some(false), contents: Some(true) },
    Cut { names: Some(true), contents: None },
    Cut { names: None, contents: None },
    Cut { names: None, contents: None },
];

#[derive(Debug, Default)]
struct Recording {
    world: World,
    /// The world after each step.
    history: Vec<World>,
    /// After how many steps it was known that so many commits are durable.
    acknowledged: Vec<(usize, u64)>,
    /// How many steps the process has left; none: it is killed.
    steps_left: Option<usize>,
}

/// A machine with a disk of its own, which is recorded.
struct Machine {
    root: tempfile::TempDir,
    recording: Arc<Mutex<Recording>>,
}

/// In memory where that can be: nothing here depends on the real disk.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}

fn options(data: &Path) -> Options {
    Options {
        segment_bytes: 8 << 10,
        checkpoint_bytes: 6 << 10,
        cache_bytes: 1 << 20,
        flush_delay_max: Duration::from_secs(3600),
        ..Options::new(data)
    }
}

/// A base's files, all of one moment: tables may be moved to another level meanwhile, and the list that named them is gone
/// once the next one is in force.
fn base_at(directory: &Path) -> Files {
    let list_in_force = || fs::read(directory.join("current")).ok();
    loop {
        let before = list_in_force();
        let files = files_below(directory);
        if let Some(files) = files
            && before == list_in_force()
        {
            return files;
        }
    }
}

/// `None` where one is gone before it is read.
fn files_below(directory: &Path) -> Option<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(directory).ok()? {
        let path = entry.ok()?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            let content = fs::read(&path).ok()?;
            files.insert(path, content);
        }
    }
    Some(files)
}

impl Machine {
    fn new() -> Self {
        Self { root: directory(), recording: Arc::default() }
    }

    fn root(&self) -> PathBuf {
        self.root.path().canonicalize().expect("it is there")
    }

    fn data(&self) -> PathBuf {
        self.root().join("deep").join("data")
    }

    fn disk(&self) -> Disk {
        let (root, recording) = (self.root(), Arc::clone(&self.recording));
        Disk::recorded(Arc::new(move |step| {
            if let Step::SyncDirectory(directory) = step
                && !directory.starts_with(&root)
            {
                return Ok(());
            }
            let mut recording = lock(&recording);
            if let Some(left) = &mut recording.steps_left {
                *left = left.checked_sub(1).ok_or_else(|| io::Error::other("the process was killed"))?;
            }
            recording.world.take(step);
            let world = recording.world.clone();
            recording.history.push(world);
            Ok(())
        }))
    }

    fn open(&self) -> std::result::Result<Embedded, OpenError> {
        let (recording, base) = (Arc::clone(&self.recording), self.data().join("base"));
        let hook = move |point| {
            if point == FaultPoint::CheckpointInstalled {
                lock(&recording).world.base = Arc::new(base_at(&base));
            }
            Ok(())
        };
        Embedded::open_on(Options { fault: Some(Arc::new(hook)), ..options(&self.data()) }, &self.disk())
    }

    fn acknowledge(&self, commits: u64) {
        let mut recording = lock(&self.recording);
        let steps = recording.history.len();
        recording.acknowledged.push((steps, commits));
    }

    /// Opens the database and commits until there are so many, or the process is killed. Returns how many there were.
    fn live(&self, until: u64) -> Option<u64> {
        let embedded = self.open().ok()?;
        let result = block_on(async {
            let shop = Shop::open(&embedded)?;
            let found = shop.check().await;
            // It counts on what it has read.
            self.acknowledge(found);
            for number in found + 1..=until {
                let position = shop.commit(number).await?;
                if number % 3 != 1 {
                    shop.order.durability().wait(position).await?;
                    self.acknowledge(number);
                }
            }
            Ok::<_, saga::store::Error>(found)
        });
        assert!(embedded.stats().base_unmerged < 6, "merges are not recorded");
        let _poisoned = embedded.close();
        result.ok()
    }

    /// Cuts the power after each step from the one numbered `from`, and opens what is left each time.
    fn cut_power(&self, from: usize, cuts: &[Cut]) -> usize {
        let recording = lock(&self.recording);
        let root = self.root();
        let mut left: HashMap<_, u64> = HashMap::new();
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
        for (index, world) in recording.history.iter().enumerate().skip(from) {
            let told = recording.acknowledged.iter().filter(|(steps, _)| *steps <= index + 1);
            let acknowledged = told.map(|(_, commits)| *commits).max().unwrap_or_default();
            for cut in cuts {
                let files = world.after_power_cut(&root, *cut, &mut chance);
                let known = left.entry((files, Arc::clone(&world.base))).or_default();
                *known = acknowledged.max(*known);
            }
        }
        for ((files, base), acknowledged) in &left {
            self.check(files, base, *acknowledged);
        }
        left.len()
    }

    fn check(&self, files: &BTreeMap<PathBuf, Option<Vec<u8>>>, base: &Files, acknowledged: u64) {
        let copy = directory();
        let place = |path: &Path| copy.path().join(path.strip_prefix(self.root()).expect("below the root"));
        for (path, content) in files {
            match content {
                None => fs::create_dir(place(path)).unwrap(),
                Some(content) => fs::write(place(path), content).unwrap(),
            }
        }
        if files.contains_key(&self.data().join("base")) {
            for (path, content) in base {
                fs::create_dir_all(place(path).parent().unwrap()).unwrap();
                fs::write(place(path), content).unwrap();
            }
        }
        let names: Vec<_> = files.keys().collect();
        let embedded = Embedded::open(options(&place(&self.data())));
        let embedded = embedded.unwrap_or_else(|error| panic!("after {acknowledged}: {error}; left: {names:?}"));
        let found = block_on(async {
            let shop = Shop::open(&embedded).expect("the services can be made");
            let found = shop.check().await;
            // And it goes on.
            let position = shop.commit(found + 1).await.unwrap();
            shop.order.durability().wait(position).await.unwrap();
            found
        });
        assert!(found >= acknowledged, "{acknowledged} were acknowledged, {found} are left: {names:?}");
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// Two services, whose commits are numbered in one order: what each of them does follows from its number.
struct Shop {
    order: EmbeddedStore,
    stock: EmbeddedStore,
}

impl Shop {
    fn open(embedded: &Embedded) -> Result<Self> {
        let service = |name, partitions| {
            embedded.service(name, partitions).map_err(|error| saga::store::Error::Failed(error.to_string()))
        };
        Ok(Self { order: service("order", 2)?, stock: service("stock", 1)? })
    }

    /// Where commit number `number` goes, and which of those there it is.
    fn place(&self, number: u64) -> (&EmbeddedStore, u16, u64) {
        let nth = number.div_ceil(3);
        match number % 3 {
            0 => (&self.stock, 0, nth),
            1 => (&self.order, 0, nth),
            _ => (&self.order, 1, nth),
        }
    }

    async fn commit(&self, number: u64) -> Result<u64> {
        let (store, partition, nth) = self.place(number);
        let log = LogName { service: "other".into(), partition: 3 };
        let commit = Commit {
            expected_head: nth - 1,
            writes: vec![write(nth), write(nth + 2)],
            events: vec![event(nth)],
            cursors: vec![Cursor { log, position: nth }],
            trim: nth.saturating_sub(4),
        };
        Ok(store.commit(partition, commit).await?.position)
    }

    /// How many commits there are, which must all be whole.
    async fn check(&self) -> u64 {
        let mut heads = Vec::new();
        for number in 1..=3 {
            let (store, partition, _) = self.place(number);
            heads.push(store.load(partition, &[]).await.unwrap().head);
        }
        let count: u64 = heads.iter().sum();
        for number in 1..=3 {
            let (store, partition, _) = self.place(number);
            let nth = (count + 3 - number) / 3;
            let keys: Vec<_> = (0..5_u64).map(|key| Bytes::from(format!("key:{key}"))).collect();
            let found = store.load(partition, &keys).await.unwrap();
            assert_eq!((found.head, found.log_end), (nth, nth), "a later commit without an earlier one: {heads:?}");
            assert_eq!(found.cursors.first().map_or(0, |cursor| cursor.position), nth);
            assert_eq!(found.records, records(nth), "after {nth} in {partition}");
            let log = store.read_log(partition, 0, 1000, Visibility::Committed).await.unwrap();
            let kept = nth.saturating_sub(4) + 1..=nth;
            assert!(log.iter().map(|entry| entry.position).eq(kept), "{log:?}");
            assert!(log.iter().all(|entry| entry.event == event(entry.position)));
        }
        count
    }
}

fn event(nth: u64) -> Bytes {
    format!("event {nth}").into()
}

/// What commit `nth` of a partition writes: a record of any length, or nothing in its place.
fn write(nth: u64) -> Write {
    let bytes = usize::try_from(nth * 37 % 600).unwrap();
    let value = (!nth.is_multiple_of(4)).then(|| vec![u8::try_from(nth % 251).unwrap(); bytes].into());
    Write { key: format!("key:{}", nth % 5).into(), value }
}

/// The records after so many commits.
fn records(commits: u64) -> Vec<Option<Bytes>> {
    let mut records = vec![None; 5];
    for nth in 1..=commits {
        for write in [write(nth), write(nth + 2)] {
            let key = usize::from(write.key.last().unwrap() - b'0');
            records[key] = write.value;
        }
    }
    records
}

#[test]
fn power_lost_after_any_step_takes_nothing_that_was_acknowledged() {
    let machine = Machine::new();
    assert_eq!(machine.live(60), Some(0));
    assert_eq!(machine.live(70), Some(60));
    let steps = lock(&machine.recording).history.len();
    let disks = machine.cut_power(0, &CUTS);
    assert!(steps > 100 && disks > 100, "{disks} disks after {steps} steps");
    assert!(lock(&machine.recording).world.base.len() > 3, "there were checkpoints");
}

#[test]
fn power_lost_after_a_kill_takes_nothing_that_the_next_process_counts_on() {
    let mut disks = 0;
    for steps in 0.. {
        let machine = Machine::new();
        lock(&machine.recording).steps_left = Some(steps);
        let is_whole = machine.live(24).is_some();
        lock(&machine.recording).steps_left = None;
        let from = lock(&machine.recording).history.len();
        machine.live(40).expect("what a kill leaves can be opened");
        disks += machine.cut_power(from.saturating_sub(1), &[WORST]);
        if is_whole && from < steps {
            assert!(steps > 50, "{steps} steps");
            break;
        }
    }
    assert!(disks > 200, "{disks} disks");
}
