//! A replica's way to a database: the real store, behind a network that may fail and at the mercy of whoever kills or
//! freezes the replica.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use saga::{
    Member, Members, Partition, Store,
    store::{Commit, Committed, Error, LogEntry, Residents, Result, Snapshot, Visibility, Wrap},
};
use store_memory::{Kind, MemoryStore};

use super::{climate::FaultKind, lock::lock, random::Random, replica::Cut, site::Owner, task, world::World};

/// How long a client of a store waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(250);

/// A replica's way to a database.
#[derive(Clone)]
pub(crate) struct Connection {
    world: Arc<World>,
    replica: usize,
    owner: Owner,
    store: MemoryStore,
    random: Arc<Mutex<Random>>,
}

/// What becomes of a call.
struct Fate {
    before: Duration,
    effect: Effect,
    after: Duration,
}

enum Effect {
    Applied,
    /// Fails, after this long, without effect.
    Lost(&'static str, Duration),
    /// Is applied, and the answer is lost.
    Unanswered(&'static str),
    /// Is given up, and applied after this long.
    Late(Duration),
}

impl Connection {
    pub(crate) fn new(world: &Arc<World>, replica: usize, owner: Owner, random: &Arc<Mutex<Random>>) -> Self {
        let store = world.site(owner).open();
        Self { world: Arc::clone(world), replica, owner, store, random: Arc::clone(random) }
    }

    fn fate(&self, kind: Kind) -> Fate {
        let (world, mut random) = (&self.world, lock(&self.random));
        let slow = random.in_thousand(world.rate(FaultKind::StoreSlow));
        let ms_max = if slow { 2000 } else { world.climate.store_ms };
        let (before, after) = (random.delay(ms_max), random.delay(ms_max));
        let is_commit = kind == Kind::Commit;
        let may_doubt = is_commit && !world.climate.is_certain;
        let fails = random.in_thousand(world.rate(FaultKind::StoreFails));
        let doubtful = random.in_thousand(world.rate(FaultKind::CommitsDoubtful));
        let late = random.in_thousand(world.rate(FaultKind::CommitsLate));
        let effect = match world.replicas[self.replica].cut_from(self.owner) {
            Cut::Answers if may_doubt => Effect::Unanswered("no answer"),
            Cut::Requests | Cut::Answers => Effect::Lost("no route", ANSWER_TIMEOUT),
            Cut::None if is_commit && world.site(self.owner).is_full() => {
                Effect::Lost("the disk is full", Duration::ZERO)
            }
            Cut::None if fails => Effect::Lost("the connection broke", Duration::ZERO),
            Cut::None if may_doubt && doubtful => Effect::Unanswered("the answer was lost"),
            Cut::None if may_doubt && late => Effect::Late(random.delay(3000)),
            Cut::None => Effect::Applied,
        };
        Fate { before, effect, after }
    }

    /// Counts a rare event, which is to be reached with a service of the shop.
    fn reach(&self, event: &'static str) {
        if self.owner != Owner::Observer {
            self.world.reach(event);
        }
    }

    /// Where a replica may be killed or frozen.
    async fn pass(&self) {
        let replica = &self.world.replicas[self.replica];
        replica.thawed().await;
        if replica.is_killed_here() {
            self.world.note(format_args!("replica {} is killed at a call of {}", self.replica, self.owner));
            self.reach("killed at a call of a store");
            std::future::pending::<()>().await;
        }
    }

    async fn meet<T>(
        &self,
        kind: Kind,
        fate: Fate,
        partition: Partition,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let Fate { before, effect, after } = fate;
        self.pass().await;
        wait(before).await;
        let answer = match effect {
            Effect::Lost(reason, timeout) => {
                wait(timeout).await;
                Err(Error::Failed(reason.to_owned()))
            }
            Effect::Unanswered(reason) => {
                if call.await.is_ok() {
                    self.reach("commit applied, its answer lost");
                }
                wait(ANSWER_TIMEOUT).await;
                Err(Error::Failed(reason.to_owned()))
            }
            Effect::Applied | Effect::Late(_) => call.await,
        };
        self.pass().await;
        wait(after).await;
        let result = match &answer {
            Ok(_) => "ok",
            Err(Error::Conflict) => "conflict",
            Err(Error::Failed(reason)) => reason,
            Err(Error::Poisoned(_)) => "poisoned",
        };
        self.world.note(format_args!("r{} {}/{partition} {kind:?}: {result}", self.replica, self.owner));
        answer
    }

    /// Applies a commit, and looks at what it did.
    async fn apply(self, partition: Partition, commit: Commit) -> Result<Committed> {
        let copy = commit.clone();
        let committed = self.store.commit(partition, commit).await?;
        let (world, site) = (&self.world, self.world.site(self.owner));
        if let Err(promise) = site.committed(partition, &copy, committed, world.now()) {
            world.breaks(promise);
        }
        world.note(format_args!("  {}/{partition} is at {}, {} events", self.owner, committed.head, copy.events.len()));
        Ok(committed)
    }

    /// A commit that its sender has given up reaches the store after all.
    fn apply_late(&self, partition: Partition, commit: Commit, delay: Duration) {
        let (copy, under_way) = (self.clone(), self.world.send_off());
        task::spawn(&self.world, "a late commit", async move {
            wait(delay).await;
            match copy.clone().apply(partition, commit).await {
                Ok(_) => copy.reach("late commit applied"),
                Err(_) => copy.reach("late commit shut out"),
            }
            drop(under_way);
        });
    }
}

/// Sleeps, if there is anything to sleep.
pub(crate) async fn wait(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

impl Wrap for Connection {
    type Within = MemoryStore;

    fn within(&self) -> &MemoryStore {
        &self.store
    }

    async fn load(&self, partition: Partition, keys: &[Bytes]) -> Result<Snapshot> {
        self.meet(Kind::Load, self.fate(Kind::Load), partition, self.store.load(partition, keys)).await
    }

    async fn residents(&self, partition: Partition) -> Result<Residents> {
        self.meet(Kind::Load, self.fate(Kind::Load), partition, self.store.residents(partition)).await
    }

    async fn commit(&self, partition: Partition, commit: Commit) -> Result<Committed> {
        let trims = commit.trim > 0;
        let fate = self.fate(Kind::Commit);
        if let Effect::Late(delay) = fate.effect {
            self.pass().await;
            self.apply_late(partition, commit, delay);
            wait(ANSWER_TIMEOUT).await;
            self.pass().await;
            return Err(Error::Failed("no answer in time".to_owned()));
        }
        let committed = self.meet(Kind::Commit, fate, partition, self.clone().apply(partition, commit)).await;
        if committed.is_ok() && trims {
            self.reach("log trimmed");
        }
        committed
    }

    async fn read_log(
        &self,
        partition: Partition,
        after: u64,
        limit: usize,
        visibility: Visibility,
    ) -> Result<Vec<LogEntry>> {
        let reading = self.store.read_log(partition, after, limit, visibility);
        let entries = self.meet(Kind::ReadLog, self.fate(Kind::ReadLog), partition, reading).await?;
        if entries.first().is_some_and(|entry| entry.position == after + 1) && after > 0 {
            self.reach("gap read from a log");
        }
        Ok(entries)
    }

    fn is_certain(&self) -> bool {
        self.world.climate.is_certain
    }
}

impl Members for Connection {
    async fn beat(&self, me: &Member, ttl: Duration) -> Result<Vec<Member>> {
        self.meet(Kind::Load, self.fate(Kind::Load), 0, self.store.beat(me, ttl)).await
    }

    async fn leave(&self, id: u64) -> Result<()> {
        self.meet(Kind::Load, self.fate(Kind::Load), 0, self.store.leave(id)).await
    }
}
