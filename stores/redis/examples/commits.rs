//! How many checkouts a second the store commits, beside the least that any durable command costs.
//!
//! ```text
//! cargo run --release -p saga-store-redis --example commits -- [seconds per line] [url] [always|replicated|everysec]
//! ```
//!
//! Without a URL it starts a Valkey of its own that flushes always. A checkout here is four records written (100 bytes
//! each, at random out of 100,000) and one event of 128 bytes. One writer for each of four partitions puts so many of them
//! into a batch and commits it on the head it knows, as a sequencer does whose records are in memory. The limit is a `SET`
//! of as many bytes, by four writers on one connection too. The two take turns, half a second each, so that a busy machine
//! slows both.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::{
    env,
    error::Error,
    fs,
    time::{Duration, Instant},
};

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use saga::{
    Store as _,
    store::{Commit, Write},
};
use saga_store_redis::{Options, Promise, RedisStore};
use test_servers::{Kind, Server};
use tokio::task::JoinSet;

const RECORDS: u64 = 100_000;
const PARTITIONS: u16 = 4;
const VALUE_BYTES: usize = 100;
const EVENT_BYTES: usize = 128;
const RECORDS_PER_CHECKOUT: u64 = 4;

/// Half a second for the store, half a second for the limit, and again.
const TURN: Duration = Duration::from_millis(500);

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let mut arguments = env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(4), |seconds| seconds.parse())?;
    let given = arguments.next();
    let promise: Promise = arguments.next().unwrap_or_else(|| "always".to_owned()).parse()?;
    let own = given.is_none().then(|| Server::start(Kind::Valkey8, test_servers::Options::default()));
    let url = given.or_else(|| own.as_ref().map(Server::url)).ok_or("no server")?;
    println!("{:>45} {:>30}", "", "CPU µs a checkout");
    println!(
        "{:>5} {:>11} {:>11} {:>6} {:>9} {:>10} {:>9} {:>9}",
        "batch", "checkouts/s", "limit/s", "ratio", "commits/s", "AOF bytes", "server", "client"
    );
    for batch in [1, 8, 64, 256] {
        measure(&url, promise, batch, seconds).await?;
    }
    Ok(())
}

async fn measure(url: &str, promise: Promise, batch: u64, seconds: u32) -> Outcome<()> {
    let service = format!("bench-{}-{batch}", std::process::id());
    let options = Options { promise, ..Options::new(url, service, PARTITIONS) };
    let store = RedisStore::open(options).await?;
    let client = redis::Client::open(url)?;
    let mut limit = client.get_multiplexed_async_connection().await?;
    limit.set_response_timeout(Duration::from_secs(10));
    run(&store, batch, TURN).await?;
    let (mut checkouts, mut time, mut sets, mut sets_time) = (0, Duration::ZERO, 0, Duration::ZERO);
    let (mut server, mut own, mut bytes) = (Duration::ZERO, Duration::ZERO, 0);
    for _ in 0..seconds {
        let (server_before, own_before) = (ServerUse::now(&mut limit).await?, own_cpu()?);
        let started = Instant::now();
        checkouts += run(&store, batch, TURN).await?;
        time += started.elapsed();
        let server_after = ServerUse::now(&mut limit).await?;
        server += server_after.cpu.saturating_sub(server_before.cpu);
        bytes += server_after.aof_bytes.saturating_sub(server_before.aof_bytes);
        own += own_cpu()?.saturating_sub(own_before);
        let started = Instant::now();
        sets += run_limit(&limit, batch, TURN).await?;
        sets_time += started.elapsed();
    }
    let (rate, limit) = (checkouts as f64 / time.as_secs_f64(), sets as f64 / sets_time.as_secs_f64() * batch as f64);
    let each = |total: Duration| total.as_secs_f64() * 1e6 / checkouts as f64;
    println!(
        "{batch:>5} {rate:>11.0} {limit:>11.0} {:>6.2} {:>9.0} {:>10.0} {:>9.1} {:>9.1}",
        rate / limit,
        rate / batch as f64,
        bytes as f64 / checkouts as f64,
        each(server),
        each(own),
    );
    Ok(())
}

/// Returns how many checkouts were committed in that time.
async fn run(store: &RedisStore, batch: u64, time: Duration) -> Outcome<u64> {
    let mut writers = JoinSet::new();
    for partition in 0..PARTITIONS {
        let store = store.clone();
        writers.spawn(async move { Writer::new(store, partition).run(batch, time).await });
    }
    let mut checkouts = 0;
    while let Some(done) = writers.join_next().await {
        checkouts += done??;
    }
    Ok(checkouts)
}

/// Returns how many commands were answered in that time.
async fn run_limit(connection: &MultiplexedConnection, batch: u64, time: Duration) -> Outcome<u64> {
    let bytes = usize::try_from(batch * RECORDS_PER_CHECKOUT)? * VALUE_BYTES + usize::try_from(batch)? * EVENT_BYTES;
    let mut writers = JoinSet::new();
    for partition in 0..PARTITIONS {
        let (mut connection, value) = (connection.clone(), vec![1_u8; bytes]);
        writers.spawn(async move {
            let (started, mut sets) = (Instant::now(), 0);
            while started.elapsed() < time {
                let () = redis::cmd("SET")
                    .arg(format!("limit:{partition}"))
                    .arg(&value)
                    .query_async(&mut connection)
                    .await?;
                sets += 1;
            }
            Ok::<u64, redis::RedisError>(sets)
        });
    }
    let mut sets = 0;
    while let Some(done) = writers.join_next().await {
        sets += done??;
    }
    Ok(sets)
}

struct Writer {
    store: RedisStore,
    partition: u16,
    random: u64,
}

impl Writer {
    fn new(store: RedisStore, partition: u16) -> Self {
        Self { store, partition, random: 0x9E37_79B9_7F4A_7C15 ^ u64::from(partition) }
    }

    async fn run(mut self, batch: u64, time: Duration) -> Outcome<u64> {
        let (started, mut checkouts) = (Instant::now(), 0);
        let snapshot = self.store.load(self.partition, &[]).await?;
        let (mut head, mut log_end) = (snapshot.head, snapshot.log_end);
        while started.elapsed() < time {
            let writes = (0..batch * RECORDS_PER_CHECKOUT)
                .map(|_| Write { key: self.key(), value: Some(vec![1; VALUE_BYTES].into()) });
            let writes = writes.collect();
            let events = (0..batch).map(|_| Bytes::from(vec![7; EVENT_BYTES])).collect();
            // The events of the batch before are needed by nobody any more.
            let commit = Commit { expected_head: head, writes, events, trim: log_end, ..Commit::default() };
            let committed = self.store.commit(self.partition, commit).await?;
            self.store.durability().wait(committed.position).await?;
            head = committed.head;
            log_end += batch;
            checkouts += batch;
        }
        Ok(checkouts)
    }

    fn key(&mut self) -> Bytes {
        // Marsaglia's xorshift64: any uniform numbers will do.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        format!("record:{:012}", self.random % RECORDS).into()
    }
}

/// What the server says of itself.
struct ServerUse {
    cpu: Duration,
    aof_bytes: u64,
}

impl ServerUse {
    async fn now(connection: &mut MultiplexedConnection) -> Outcome<Self> {
        let info: String = redis::cmd("INFO").arg("everything").query_async(connection).await?;
        let value = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.ok_or_else(|| format!("INFO has no {name}"))
        };
        let cpu = value("used_cpu_user")?.parse::<f64>()? + value("used_cpu_sys")?.parse::<f64>()?;
        Ok(Self { cpu: Duration::from_secs_f64(cpu), aof_bytes: value("aof_current_size")?.parse()? })
    }
}

/// The CPU time of this process, from the kernel's accounts.
fn own_cpu() -> Outcome<Duration> {
    let mut total = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let accounts = fs::read_to_string(task?.path().join("schedstat"))?;
        total += accounts.split_whitespace().next().ok_or("an empty schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(total))
}
