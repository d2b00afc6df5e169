//! What the tests of the engine share: a small town with a bank and a clerk, in tokio's time.

pub(crate) mod bank;
pub(crate) mod clerk;
pub(crate) mod country;
pub(crate) mod fake;
pub(crate) mod network;
pub(crate) mod watcher;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use saga::{
    CallError, CallOptions, Choreography, Clock, Handle, IdempotencyKey, Metrics, Partition, Running, Settings, Store,
    Timestamp, partition_of,
    store::{Cursor, Visibility},
};
use store_memory::{Call, Fault, MemoryDatabase, MemoryStore, Persistence};
use tokio::time::Instant;

use bank::{Bank, Command, Reply};
use clerk::Clerk;

pub(crate) const PARTITIONS: Partition = 3;

/// Tokio's clock, which stands still while anything runs.
#[derive(Debug)]
pub(crate) struct PausedClock {
    start: Instant,
}

impl PausedClock {
    pub(crate) const START: u64 = 1_700_000_000_000;
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp(Self::START).after(self.start.elapsed())
    }
}

/// The same clock, which can be put forward and back.
#[derive(Clone, Debug)]
pub(crate) struct AdjustedClock {
    start: Instant,
    ahead_ms: Arc<AtomicU64>,
}

impl AdjustedClock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), ahead_ms: Arc::default() }
    }

    pub(crate) fn set_ahead(&self, ahead_ms: u64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }
}

impl Clock for AdjustedClock {
    fn now(&self) -> Timestamp {
        Timestamp(PausedClock::START + self.ahead_ms.load(Ordering::Relaxed)).after(self.start.elapsed())
    }
}

/// The usual settings, by tokio's clock.
pub(crate) fn settings() -> Settings {
    Settings { clock: Arc::new(PausedClock { start: Instant::now() }), ..Settings::default() }
}

pub(crate) fn database(persistence: Persistence, may_fail_after_applying: bool) -> MemoryDatabase {
    MemoryDatabase::new(store_memory::Settings { persistence, may_fail_after_applying, identity: None })
}

/// Both services, running.
#[derive(Debug)]
pub(crate) struct Town {
    pub(crate) bank: Handle<Bank>,
    pub(crate) clerk: Handle<Clerk>,
    pub(crate) bank_runs: Running,
    pub(crate) clerk_runs: Running,
    pub(crate) metrics: Metrics,
}

impl Town {
    /// Both services in one database, with the usual settings.
    pub(crate) async fn of(database: &MemoryDatabase) -> Self {
        Self::start(database.open("bank"), database.open("clerk"), settings()).await
    }

    /// Starts both services and waits until they have recovered.
    pub(crate) async fn start<S: Store + Clone, T: Store + Clone>(bank: S, clerk: T, settings: Settings) -> Self {
        let town = Self::begin(bank, clerk, settings);
        for recovered in [town.bank_runs.recovered(), town.clerk_runs.recovered()] {
            assert!(recovered.await, "the service runs");
        }
        town
    }

    /// Starts both services.
    pub(crate) fn begin<S: Store + Clone, T: Store + Clone>(bank: S, clerk: T, settings: Settings) -> Self {
        let metrics = Metrics::default();
        let mut town = Choreography::new(settings, metrics.clone());
        let (bank, clerk) = (town.add(Bank, bank, PARTITIONS), town.add(Clerk, clerk, 2));
        let services = town.start().expect("both are there").split();
        let [bank_runs, clerk_runs] = services.try_into().expect("two services");
        Self { bank, clerk, bank_runs, clerk_runs, metrics }
    }

    pub(crate) async fn stop(self) {
        self.bank_runs.stop().await.expect("the bank stops in order");
        self.clerk_runs.stop().await.expect("the clerk stops in order");
    }

    /// What the metrics say under `name`, over all services and partitions.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        metric(&self.metrics, name)
    }
}

/// What `metrics` say under `name`, over all services and partitions.
pub(crate) fn metric(metrics: &Metrics, name: &str) -> u64 {
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("metrics are text");
    let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    lines.map(|line| line.rsplit(' ').next().expect("a value").parse::<u64>().expect("a number")).sum()
}

/// Where a command is carried out.
pub(crate) fn place(command: &Command) -> Partition {
    let name = match command {
        Command::Deposit { account, .. }
        | Command::Withdraw { account, .. }
        | Command::Await { account, .. }
        | Command::Balance { account } => account,
        Command::Transfer { from, .. } => from,
        Command::Audit { id } => id,
        Command::Panic => return 0,
    };
    partition_of(name.as_bytes(), PARTITIONS)
}

pub(crate) async fn call_with(bank: &Handle<Bank>, command: Command, options: CallOptions) -> Result<Reply, CallError> {
    bank.call(place(&command), command, options).await
}

pub(crate) async fn call(bank: &Handle<Bank>, command: Command) -> Result<Reply, CallError> {
    call_with(bank, command, CallOptions::default()).await
}

/// Calls in a task of its own, so that it runs without being waited for.
pub(crate) fn spawn_call(
    bank: &Handle<Bank>,
    command: Command,
    options: CallOptions,
) -> tokio::task::JoinHandle<Result<Reply, CallError>> {
    let bank = bank.clone();
    tokio::spawn(async move { call_with(&bank, command, options).await })
}

pub(crate) async fn balance(bank: &Handle<Bank>, account: &str) -> u64 {
    match call(bank, Command::Balance { account: account.to_owned() }).await {
        Ok(Reply::Balance(balance)) => balance,
        other => panic!("no balance of {account}: {other:?}"),
    }
}

pub(crate) fn deposit(account: &str, amount: u64) -> Command {
    Command::Deposit { account: account.to_owned(), amount }
}

pub(crate) fn withdraw(account: &str, amount: u64) -> Command {
    Command::Withdraw { account: account.to_owned(), amount }
}

pub(crate) fn wait_for(account: &str, amount: u64) -> Command {
    Command::Await { account: account.to_owned(), amount }
}

pub(crate) fn transfer(id: &str, from: &str, to: &str, amount: u64) -> Command {
    Command::Transfer { id: id.to_owned(), from: from.to_owned(), to: to.to_owned(), amount }
}

pub(crate) fn audit(id: &str) -> Command {
    Command::Audit { id: id.to_owned() }
}

/// Options with an idempotency key for a request whose content has this fingerprint.
pub(crate) fn keyed(key: &str, fingerprint: u64) -> CallOptions {
    CallOptions { key: Some(IdempotencyKey { key: key.into(), fingerprint, retention: None }), patience: None }
}

pub(crate) fn patient(patience_ms: u64) -> CallOptions {
    CallOptions { key: None, patience: Some(Duration::from_millis(patience_ms)) }
}

/// Lets everything that is ready run, and time pass by so much.
pub(crate) async fn pass(duration_ms: u64) {
    tokio::time::sleep(Duration::from_millis(duration_ms)).await;
}

/// `count` accounts with so much each.
pub(crate) async fn open_accounts(bank: &Handle<Bank>, count: usize, amount: u64) {
    for index in 0..count {
        let reply = call(bank, deposit(&format!("account-{index}"), amount)).await;
        assert_eq!(reply, Ok(Reply::Balance(amount)));
    }
}

/// All those transfers, at once, must succeed: number `index` goes from account `index` to the next but one.
pub(crate) async fn transfer_around(bank: &Handle<Bank>, accounts: usize, rounds: usize) {
    let mut running = Vec::new();
    for index in 0..accounts * rounds {
        let from = format!("account-{}", index % accounts);
        let to = format!("account-{}", (index + 2) % accounts);
        running.push(spawn_call(bank, transfer(&format!("transfer-{index}"), &from, &to, 1), CallOptions::default()));
    }
    for transfer in running {
        assert_eq!(transfer.await.expect("no panic"), Ok(Reply::Done));
    }
}

/// The balances of the accounts of [`open_accounts`].
pub(crate) async fn balances(bank: &Handle<Bank>, count: usize) -> Vec<u64> {
    let mut all = Vec::new();
    for index in 0..count {
        all.push(balance(bank, &format!("account-{index}")).await);
    }
    all
}

/// How many events a store still keeps in the logs of its partitions.
pub(crate) async fn kept_events(store: &MemoryStore, partitions: Partition) -> usize {
    let mut kept = 0;
    for partition in 0..partitions {
        let log = Store::read_log(store, partition, 0, usize::MAX, Visibility::Committed).await;
        kept += log.expect("the store is well").len();
    }
    kept
}

/// What a partition has consumed.
pub(crate) async fn cursors(store: &MemoryStore, partition: Partition) -> Vec<Cursor> {
    store.load(partition, &[]).await.expect("the store is well").cursors
}

/// Watches what is committed to a database, by its place in the fault plan. Takes conflicts for commits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    present: Arc<Mutex<HashSet<Vec<u8>>>>,
    commits: Arc<AtomicU64>,
}

impl Records {
    pub(crate) fn watch(database: &MemoryDatabase) -> Self {
        let records = Self::default();
        let watching = records.clone();
        database.set_fault_plan(move |operation| {
            if let Call::Commit(commit) = operation.call {
                watching.commits.fetch_add(1, Ordering::Relaxed);
                let mut present = watching.present.lock().expect("no panic");
                for write in &commit.writes {
                    let mut name = vec![u8::try_from(operation.partition).expect("few partitions")];
                    name.extend_from_slice(&write.key);
                    if write.value.is_some() {
                        present.insert(name)
                    } else {
                        present.remove(&name)
                    };
                }
            }
            Fault::none()
        });
        records
    }

    /// How many records there are whose name in the store begins with `kind`.
    pub(crate) fn count(&self, kind: u8) -> usize {
        self.present.lock().expect("no panic").iter().filter(|name| name.get(1) == Some(&kind)).count()
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}
