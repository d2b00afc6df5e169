//! How many checkouts a second the store takes, beside the least that any durable store must do.
//!
//! ```text
//! cargo run --release -p saga-store-embedded --example throughput -- [seconds per line] [directory]
//! ```
//!
//! A checkout here is four records read, the same four written (100 bytes each, at random out of 300,000), and one event
//! of 128 bytes. One writer puts so many of them into a batch, commits it, and waits until it is durable. The limit is a
//! file filled with zeros to which as many bytes as a frame has are appended, with one `fdatasync` each. The two take
//! turns, half a second each, so that a busy machine slows both.
//!
//! CPU time is given by thread: the writer's includes making up its keys and values, and calling the store.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use saga::{
    Store as _,
    store::{Commit, Write},
};
use saga_store_embedded::{Embedded, EmbeddedStore, Options};

const RECORDS: u64 = 300_000;
const PARTITIONS: u16 = 4;
const VALUE_BYTES: usize = 100;
const EVENT_BYTES: usize = 128;

/// Half a second for the store, half a second for the limit, and again.
const TURN: Duration = Duration::from_millis(500);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let mut arguments = env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(6), |seconds| seconds.parse())?;
    let parent = arguments.next().map_or_else(env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(parent)?;
    println!("                                              {:>45}", "CPU µs a checkout");
    println!(
        "{:>5} {:>11} {:>11} {:>6} {:>9} {:>8} {:>8} {:>10} {:>8} {:>9}",
        "batch", "checkouts/s", "limit/s", "ratio", "bytes", "writer", "flusher", "checkpoint", "merge", "flush µs"
    );
    for batch in [1, 8, 64, 256] {
        let data = directory.path().join(format!("batch-{batch}"));
        measure(&data, batch, seconds).await?;
        fs::remove_dir_all(data)?;
    }
    Ok(())
}

async fn measure(data: &Path, batch: u64, seconds: u32) -> Outcome<()> {
    let embedded = Embedded::open(Options::new(data))?;
    let store = embedded.service("bench", PARTITIONS)?;
    let mut writer = Writer { store, random: 0x9E37_79B9_7F4A_7C15, events: [0; PARTITIONS as usize] };
    for first in (0..RECORDS).step_by(1000) {
        writer.fill(first..first + 1000).await?;
    }
    writer.run(batch, TURN).await?;
    let mut limit = Limit::new(data.join("limit"))?;
    let (before, mut cpu) = (embedded.stats(), CpuTimes::default());
    let (mut checkouts, mut time) = (0, Duration::ZERO);
    for _ in 0..seconds {
        let (cpu_before, started) = (CpuTimes::now()?, Instant::now());
        checkouts += writer.run(batch, TURN).await?;
        time += started.elapsed();
        cpu.add_difference(&CpuTimes::now()?, &cpu_before);
        let after = embedded.stats();
        limit.run((after.journal_bytes - before.journal_bytes) / (after.flushes - before.flushes), TURN)?;
    }
    let after = embedded.stats();
    embedded.close()?;

    let (rate, limit) = (checkouts as f64 / time.as_secs_f64(), limit.rate() * batch as f64);
    let flushes = (after.flushes - before.flushes) as f64;
    let cpu = |thread: &str| cpu.of(thread).as_secs_f64() * 1e6 / checkouts as f64;
    println!(
        "{batch:>5} {rate:>11.0} {limit:>11.0} {:>6.2} {:>9.0} {:>8.2} {:>8.2} {:>10.2} {:>8.2} {:>9.0}",
        rate / limit,
        (after.journal_bytes - before.journal_bytes) as f64 / checkouts as f64,
        cpu("throughput"),
        cpu("journal-flusher"),
        cpu("checkpoint"),
        cpu("base-merge"),
        (after.flush_time - before.flush_time).as_secs_f64() * 1e6 / flushes,
    );
    Ok(())
}

struct Writer {
    store: EmbeddedStore,
    random: u64,
    events: [u64; PARTITIONS as usize],
}

impl Writer {
    async fn fill(&mut self, numbers: std::ops::Range<u64>) -> Outcome<()> {
        for partition in 0..PARTITIONS {
            let writes = numbers.clone().filter(|number| number % u64::from(PARTITIONS) == u64::from(partition));
            let writes = writes.map(|number| Write { key: key(number), value: Some(vec![0; VALUE_BYTES].into()) });
            let expected_head = self.store.load(partition, &[]).await?.head;
            let commit = Commit { expected_head, writes: writes.collect(), ..Commit::default() };
            let position = self.store.commit(partition, commit).await?.position;
            self.store.durability().wait(position).await?;
        }
        Ok(())
    }

    /// Returns how many checkouts it did in that time.
    async fn run(&mut self, batch: u64, time: Duration) -> Outcome<u64> {
        let started = Instant::now();
        let mut checkouts = 0;
        while started.elapsed() < time {
            self.run_batch(batch).await?;
            checkouts += batch;
        }
        Ok(checkouts)
    }

    async fn run_batch(&mut self, checkouts: u64) -> Outcome<()> {
        let partition = u16::try_from(self.next() % u64::from(PARTITIONS))?;
        let mut keys: Vec<Bytes> = (0..checkouts * 4).map(|_| key(self.next_record(partition))).collect();
        let snapshot = self.store.load(partition, &keys).await?;
        let values = snapshot.records.into_iter().map(|record| {
            let mut value = record.ok_or("a record is missing")?.to_vec();
            value.iter_mut().take(1).for_each(|byte| *byte = byte.wrapping_add(1));
            Ok::<Bytes, &str>(value.into())
        });
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let writes = keys.drain(..).zip(values).map(|(key, value)| Write { key, value: Some(value) }).collect();
        let events = (0..checkouts).map(|_| Bytes::from(vec![7; EVENT_BYTES])).collect();
        let known = self.events.get_mut(usize::from(partition)).ok_or("no such partition")?;
        // The events of the batch before are needed by nobody any more.
        let trim = std::mem::replace(known, snapshot.log_end);
        let commit = Commit { expected_head: snapshot.head, writes, events, trim, ..Commit::default() };
        let position = self.store.commit(partition, commit).await?.position;
        Ok(self.store.durability().wait(position).await?)
    }

    fn next_record(&mut self, partition: u16) -> u64 {
        let number = self.next() % (RECORDS / u64::from(PARTITIONS));
        number * u64::from(PARTITIONS) + u64::from(partition)
    }

    /// Marsaglia's xorshift64: any uniform numbers will do.
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

fn key(number: u64) -> Bytes {
    format!("record:{number:012}").into()
}

/// Appends and flushes, and nothing else.
struct Limit {
    file: File,
    offset: u64,
    appends: u64,
    time: Duration,
}

impl Limit {
    const FILE_BYTES: u64 = 64 << 20;

    fn new(path: PathBuf) -> Outcome<Self> {
        let file = File::create(path)?;
        file.write_all_at(&vec![0; usize::try_from(Self::FILE_BYTES)?], 0)?;
        file.sync_all()?;
        Ok(Self { file, offset: 0, appends: 0, time: Duration::ZERO })
    }

    fn run(&mut self, bytes: u64, time: Duration) -> Outcome<()> {
        let frame = vec![1; usize::try_from(bytes)?];
        let started = Instant::now();
        while started.elapsed() < time {
            if self.offset + bytes > Self::FILE_BYTES {
                self.offset = 0;
            }
            self.file.write_all_at(&frame, self.offset)?;
            self.file.sync_data()?;
            self.offset += bytes;
            self.appends += 1;
        }
        self.time += started.elapsed();
        Ok(())
    }

    fn rate(&self) -> f64 {
        self.appends as f64 / self.time.as_secs_f64()
    }
}

/// The CPU time that each thread of this process has had, by its name, from the kernel's accounts.
#[derive(Default)]
struct CpuTimes(BTreeMap<String, Duration>);

impl CpuTimes {
    fn now() -> Outcome<Self> {
        let mut times = BTreeMap::new();
        for task in fs::read_dir("/proc/self/task")? {
            let task = task?.path();
            let name = fs::read_to_string(task.join("comm"))?.trim_end().to_owned();
            let accounts = fs::read_to_string(task.join("schedstat"))?;
            let nanoseconds = accounts.split_whitespace().next().ok_or("an empty schedstat")?.parse()?;
            *times.entry(name).or_default() += Duration::from_nanos(nanoseconds);
        }
        Ok(Self(times))
    }

    fn add_difference(&mut self, after: &Self, before: &Self) {
        for (name, time) in &after.0 {
            let earlier = before.0.get(name).copied().unwrap_or_default();
            *self.0.entry(name.clone()).or_default() += time.saturating_sub(earlier);
        }
    }

    fn of(&self, thread: &str) -> Duration {
        self.0.get(thread).copied().unwrap_or_default()
    }
}
