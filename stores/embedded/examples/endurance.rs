//! Runs until told to stop, and shows what stays level: memory, disk, the time to recover, the longest waits.
//!
//! ```text
//! cargo run --release -p saga-store-embedded --example endurance -- [millions of checkouts] [directory]
//! ```
//!
//! A checkout here overwrites four records (100 bytes each, at random out of 400,000), makes three that live for a while
//! and removes three of those, and appends three events, of which it trims as many. In the end the database is closed
//! and opened again, and that is timed: closing writes no checkpoint, so there is as much to replay as after a crash.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::{
    collections::VecDeque,
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use saga::{
    Store as _,
    store::{Commit, Write},
};
use saga_store_embedded::{Embedded, EmbeddedStore, Options};

const PARTITIONS: u16 = 12;
const LASTING_RECORDS: u64 = 400_000;
const CHECKOUTS_PER_BATCH: u64 = 8;
/// How many batches later a short-lived record is removed.
const LIFE_BATCHES: usize = 200;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What the writers have done since the last line was printed.
#[derive(Default)]
struct Progress {
    checkouts: AtomicU64,
    load_microseconds_max: AtomicU64,
    commit_microseconds_max: AtomicU64,
    durable_microseconds_max: AtomicU64,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = env::args().skip(1);
    let millions = arguments.next().map_or(Ok(1.0), |millions| millions.parse::<f64>())?;
    let parent = arguments.next().map_or_else(env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(parent)?;
    let data = directory.path().join("data");

    let embedded = Embedded::open(Options::new(&data))?;
    let progress = Arc::new(Progress::default());
    let checkouts_max = (millions * 1e6) as u64 / u64::from(PARTITIONS);
    let writers: Vec<_> = (0..PARTITIONS)
        .map(|partition| Ok(Writer::new(embedded.service("bench", PARTITIONS)?, partition, Arc::clone(&progress))))
        .map(|writer: Outcome<Writer>| Ok(tokio::spawn(writer?.run(checkouts_max))))
        .collect::<Outcome<_>>()?;
    println!(
        "seconds  checkouts/s  rss MB  journal MB  base MB  unmerged  checkpoints  longest load, commit, durable ms"
    );
    let started = Instant::now();
    while writers.iter().any(|writer| !writer.is_finished()) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        print_line(started, &progress, &embedded, &data)?;
    }
    for writer in writers {
        writer.await??;
    }

    embedded.close()?;
    drop(embedded);
    let started = Instant::now();
    let embedded = Embedded::open(Options::new(&data))?;
    println!(
        "reopened in {:.3} s, with {} bytes of journal to replay",
        started.elapsed().as_secs_f64(),
        embedded.stats().dirty_bytes
    );
    Ok(())
}

fn print_line(started: Instant, progress: &Progress, embedded: &Embedded, data: &Path) -> Outcome<()> {
    let stats = embedded.stats();
    let milliseconds = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed) as f64 / 1e3;
    println!(
        "{:>7.0} {:>12} {:>7} {:>11} {:>8} {:>9} {:>12} {:>12.1} {:>7.1} {:>7.1}",
        started.elapsed().as_secs_f64(),
        progress.checkouts.swap(0, Ordering::Relaxed),
        resident_bytes()? >> 20,
        directory_bytes(&data.join("journal"))? >> 20,
        directory_bytes(&data.join("base"))? >> 20,
        stats.base_unmerged,
        stats.checkpoints,
        milliseconds(&progress.load_microseconds_max),
        milliseconds(&progress.commit_microseconds_max),
        milliseconds(&progress.durable_microseconds_max),
    );
    Ok(())
}

struct Writer {
    store: EmbeddedStore,
    partition: u16,
    progress: Arc<Progress>,
    random: u64,
    made: u64,
    living: VecDeque<Vec<Bytes>>,
}

impl Writer {
    fn new(store: EmbeddedStore, partition: u16, progress: Arc<Progress>) -> Self {
        let random = 0x9E37_79B9_7F4A_7C15 ^ u64::from(partition);
        Self { store, partition, progress, random, made: 0, living: VecDeque::new() }
    }

    async fn run(mut self, checkouts_max: u64) -> Outcome<()> {
        let mut flying = 0;
        for _ in 0..checkouts_max / CHECKOUTS_PER_BATCH {
            let position = self.batch().await?;
            // Two batches are on their way at any time, as when a sequencer goes on while the last one is flushed.
            let started = Instant::now();
            self.store.durability().wait(flying).await?;
            note(&self.progress.durable_microseconds_max, started);
            self.store.durability().request(position);
            flying = position;
            self.progress.checkouts.fetch_add(CHECKOUTS_PER_BATCH, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn batch(&mut self) -> Outcome<u64> {
        let lasting = (0..CHECKOUTS_PER_BATCH * 4).map(|_| self.lasting_key());
        let mut keys: Vec<Bytes> = lasting.collect();
        keys.sort_unstable();
        keys.dedup();
        let passing: Vec<Bytes> = (0..CHECKOUTS_PER_BATCH * 3).map(|_| self.passing_key()).collect();
        keys.extend(passing.iter().cloned());

        let started = Instant::now();
        let snapshot = self.store.load(self.partition, &keys).await?;
        note(&self.progress.load_microseconds_max, started);

        let value = || Some(Bytes::from(vec![1; 100]));
        let mut writes: Vec<_> = keys.into_iter().map(|key| Write { key, value: value() }).collect();
        self.living.push_back(passing);
        if self.living.len() > LIFE_BATCHES {
            let dying = self.living.pop_front().unwrap_or_default();
            writes.extend(dying.into_iter().map(|key| Write { key, value: None }));
        }
        let events = (0..CHECKOUTS_PER_BATCH * 3).map(|_| Bytes::from(vec![2; 128])).collect();
        let trim = snapshot.log_end.saturating_sub(1000);
        let commit = Commit { expected_head: snapshot.head, writes, events, trim, ..Commit::default() };
        let started = Instant::now();
        let committed = self.store.commit(self.partition, commit).await?;
        note(&self.progress.commit_microseconds_max, started);
        Ok(committed.position)
    }

    fn lasting_key(&mut self) -> Bytes {
        format!("lasting:{:012}", self.next() % (LASTING_RECORDS / u64::from(PARTITIONS))).into()
    }

    fn passing_key(&mut self) -> Bytes {
        self.made += 1;
        format!("passing:{:016x}", self.next()).into()
    }

    /// Marsaglia's xorshift64: any uniform numbers will do.
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

fn note(maximum: &AtomicU64, started: Instant) {
    let microseconds = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    maximum.fetch_max(microseconds, Ordering::Relaxed);
}

fn resident_bytes() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim_end_matches("kB").trim().parse::<u64>()? << 10)
}

fn directory_bytes(directory: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        // Files come and go while this looks.
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => bytes += directory_bytes(&path)?,
            Ok(metadata) => bytes += metadata.len(),
            Err(_) => {}
        }
    }
    Ok(bytes)
}
