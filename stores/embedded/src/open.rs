//! Opening a database: the base, then what the journal has to add to it.

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64},
    },
    thread,
};

use saga::Durability;

use crate::{
    OpenError,
    base::{self, Base},
    checkpoint,
    directory::Directory,
    disk::Disk,
    flusher::Flusher,
    journal::Journal,
    options::Options,
    partition::Partition,
    place::Place,
    replay::{self, Marker, Remains, Tail, Torn},
    section,
    segment::{self, FIRST_FRAME, Pool},
    shared::{Open, Service, Shared},
    space::Space,
    stats::Counters,
    sync::Bell,
};

/// The threads of an open database.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    pub(crate) flusher: Option<thread::JoinHandle<()>>,
    pub(crate) others: Vec<thread::JoinHandle<()>>,
}

/// Partitions by service, as they are put together.
pub(crate) type Restored = Vec<Vec<Partition>>;

pub(crate) fn open(mut options: Options, disk: &Disk) -> Result<(Arc<Shared>, Threads), OpenError> {
    // With 0 there would never be room for a commit.
    options.checkpoint_bytes = options.checkpoint_bytes.max(1);
    let directory = Directory::open(disk, &options.directory)?;
    let base = Base::open(&directory.base(), options.cache_bytes)?;
    let (marker, mut restored) = restore(&directory, &base)?;
    let mut replayed_bytes = 0;
    let mut apply = |frame: u64, payload: &[u8]| {
        replayed_bytes += payload.len() as u64;
        apply(&mut restored, frame, payload)
    };
    let journal = directory.journal();
    let listing = segment::list(&journal).map_err(OpenError::io(&journal))?;
    let folder = disk.folder(&journal).map_err(OpenError::io(&journal))?;
    let (identity, closed) = (directory.identity, directory.closed);
    let remains = Remains { folder: &folder, listing: &listing, identity, marker, closed, to_go_on: true };
    let tail = replay::replay(remains, &mut apply)?;
    if let Some(Torn { segment, offset, frame, bytes }) = tail.as_ref().and_then(|tail| tail.torn.as_ref()) {
        let segment = segment.display();
        tracing::warn!(%segment, offset, bytes, frame, "a frame that was being written when the store ended is cut off");
    }
    for draft in &listing.drafts {
        disk.remove(draft).map_err(OpenError::io(draft))?;
    }
    let pool = Arc::new(Pool::new(folder, identity, options.clone(), listing.spares));
    let last_frame = tail.as_ref().map_or(0, |tail| tail.frame);
    let (journal, preparer) = go_on(&pool, marker, tail).map_err(OpenError::io(directory.journal()))?;

    let segment = journal.segment();
    let mut shared = share(directory, base, pool, restored, options, (last_frame, replayed_bytes));
    shared.open.get_mut().unwrap_or_else(PoisonError::into_inner).segment = segment;
    let shared = Arc::new(shared);
    let threads = start(&shared, journal, preparer).map_err(OpenError::io(&shared.options.directory))?;
    Ok((shared, threads))
}

/// Puts together what was found: up to the last frame, of which so many bytes are not in the base.
pub(crate) fn share(
    directory: Directory,
    base: Base,
    pool: Arc<Pool>,
    mut restored: Restored,
    options: Options,
    (last_frame, replayed_bytes): (u64, u64),
) -> Shared {
    let names = directory.services.iter().map(|service| service.name.clone());
    for (service, partitions) in directory.services.iter().zip(&mut restored) {
        for (partition, slot) in (0..).zip(partitions) {
            slot.epochs = service.epochs.get(&partition).cloned().unwrap_or_default();
        }
    }
    let services = (0..).zip(names.zip(restored)).map(|(index, (name, partitions))| {
        Arc::new(Service { index, name, partitions: partitions.into_iter().map(Mutex::new).collect() })
    });
    Shared {
        durability: Durability::new(last_frame),
        open: RwLock::new(Open { group: last_frame + 1, segment: 0, services: services.collect() }),
        is_looked_at: directory.is_looked_at,
        directory: Mutex::new(directory),
        base,
        pool,
        pending_commits: AtomicU64::default(),
        pending_bytes: AtomicU64::default(),
        dirty_bytes: AtomicU64::new(replayed_bytes),
        refusing: AtomicBool::default(),
        space: Space::default(),
        caught_up: tokio::sync::Notify::new(),
        bell: Bell::default(),
        counters: Counters::default(),
        options,
    }
}

/// What the base says.
pub(crate) fn restore(directory: &Directory, base: &Base) -> Result<(Marker, Restored), OpenError> {
    let error = |error| base::open_error(directory.base(), error);
    let mut restored: Restored = Vec::new();
    for service in &directory.services {
        restored.push((0..service.partitions).map(|_| Partition::default()).collect());
    }
    let unknown = || OpenError::corrupt(directory.meta(), 0, "it does not list everything that the base holds");
    for entry in base.partitions() {
        let (place, meta) = entry.map_err(error)?;
        *slot(&mut restored, place).ok_or_else(unknown)? = Partition::restored(meta);
    }
    for entry in base.residents() {
        let (place, key, value) = entry.map_err(error)?;
        slot(&mut restored, place).ok_or_else(unknown)?.records.residents.settle(&key, Some(&value));
    }
    Ok((base.marker().map_err(error)?.unwrap_or_default(), restored))
}

fn slot(restored: &mut Restored, place: Place) -> Option<&mut Partition> {
    restored.get_mut(usize::from(place.service))?.get_mut(usize::from(place.partition))
}

/// What a frame of the journal says.
pub(crate) fn apply(restored: &mut Restored, frame: u64, payload: &[u8]) -> Result<(), String> {
    for section in section::read(payload) {
        let section = section.ok_or("a frame has a valid checksum but makes no sense")?;
        let place = section.place;
        let partition =
            slot(restored, place).ok_or_else(|| format!("frame {frame} is about {place:?}, which does not exist"))?;
        if !partition.replay(frame, &section) {
            return Err(format!("frame {frame} does not fit what came before it in {place:?}"));
        }
    }
    Ok(())
}

/// Makes the journal ready for the next frame.
fn go_on(pool: &Arc<Pool>, marker: Marker, tail: Option<Tail>) -> std::io::Result<(Journal, thread::JoinHandle<()>)> {
    let (current, prepared) = match tail {
        None => (pool.make(1)?, Vec::new()),
        Some(tail) => {
            let reopened = tail.prepared.iter().map(|&number| pool.reopen(number, FIRST_FRAME as u64));
            (pool.reopen(tail.segment, tail.offset as u64)?, reopened.collect::<Result<_, _>>()?)
        }
    };
    pool.retire_below(marker.segment)?;
    Journal::new(Arc::clone(pool), current, prepared)
}

fn start(shared: &Arc<Shared>, journal: Journal, preparer: thread::JoinHandle<()>) -> std::io::Result<Threads> {
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| thread::Builder::new().name(name.into()).spawn(run);
    let flusher = Flusher::new(Arc::clone(shared), journal);
    // What was left unmerged when the database was last closed.
    let merge_wanted = Arc::new(AtomicBool::new(true));
    let (checkpoints, merges) = (Arc::clone(shared), Arc::clone(shared));
    // Before anybody may ask.
    shared.space.look(&shared.options);
    let watched = Arc::clone(shared);
    let checkpoints_done = Arc::clone(&merge_wanted);
    Ok(Threads {
        flusher: Some(spawn("journal-flusher", Box::new(move || flusher.run()))?),
        others: vec![
            preparer,
            spawn("checkpoint", Box::new(move || checkpoint::run_checkpoints(&checkpoints, &checkpoints_done)))?,
            spawn("disk-space", Box::new(move || watched.space.watch(&watched.options, || watched.base.is_stopped())))?,
            spawn("base-merge", Box::new(move || checkpoint::run_merges(&merges, &merge_wanted)))?,
        ],
    })
}
