//! Deadlines fire in time, are rebuilt from the log, and keep it for as long as they are open.

use std::{sync::Arc, time::Duration};

use crate::common::bank::{AUDIT_TIMEOUT, Bank, Command, Event, Reply, State};
use crate::common::clerk::Clerk;
use crate::common::{
    AdjustedClock, PARTITIONS, Town, audit, call, database, deposit, kept_events, metric, pass, settings, spawn_call,
};
use saga::{
    CallOptions, Choreography, Destinations, Handle, Input, Metrics, Missing, Participant, Partition, Running,
    Settings, Step,
};
use store_memory::{MemoryDatabase, Persistence::Immediate};
use tokio::time::Instant;

/// A clerk who reads what is for others and answers nothing.
struct Mute;

impl Participant for Mute {
    const NAME: &'static str = Clerk::NAME;
    const CONSUMES: &'static [&'static str] = Clerk::CONSUMES;
    type Key = String;
    type Record = State;
    type Command = Command;
    type Reply = Reply;
    type Event = Event;

    fn step(&self, _: &mut Step<'_, Self>, _: Input<'_, Self>) -> Result<(), Missing> {
        Ok(())
    }

    fn destinations(_: &Event, _: Partition, _: &mut Destinations) {}
}

/// A bank with such a clerk, so that no audit is ever answered.
fn start_alone(database: &MemoryDatabase, settings: &Settings) -> (Handle<Bank>, Running) {
    let mut town = Choreography::new(settings.clone(), Metrics::default());
    let bank = town.add(Bank, database.open("bank"), PARTITIONS);
    town.add(Mute, database.open("clerk"), 2);
    (bank, town.start().expect("both are there"))
}

fn about(duration: Duration, expected: Duration) -> bool {
    // Deadlines are looked at once a tick, which may just have passed.
    let late = Duration::from_millis(30);
    (expected..expected + late).contains(&duration)
}

#[tokio::test(start_paused = true)]
async fn a_deadline_fires_once_when_it_is_due() {
    let database = database(Immediate, false);
    let Town { bank, clerk_runs, metrics, bank_runs, .. } = Town::of(&database).await;
    clerk_runs.stop().await.expect("the clerk stops");
    let asked = Instant::now();
    assert_eq!(call(&bank, audit("audit")).await, Ok(Reply::GaveUp));
    assert!(about(asked.elapsed(), AUDIT_TIMEOUT), "{:?}", asked.elapsed());
    pass(20_000).await;
    assert_eq!(metric(&metrics, "steps_noted_total"), 1, "how often it fired");
    bank_runs.stop().await.expect("the bank stops");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_was_cleared_does_not_fire() {
    let database = database(Immediate, false);
    let town = Town::of(&database).await;
    for index in 0..20 {
        assert_eq!(call(&town.bank, audit(&format!("audit-{index}"))).await, Ok(Reply::Audited(1)));
    }
    pass(20_000).await;
    assert_eq!(town.metric("steps_noted_total"), 0);
    assert_eq!(town.metric("sagas_in_flight"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_rebuilt_from_the_log_after_a_restart() {
    let (database, settings) = (database(Immediate, false), settings());
    let asked = Instant::now();
    let (bank, runs) = start_alone(&database, &settings);
    drop(spawn_call(&bank, audit("audit"), CallOptions::default()));
    pass(2000).await;
    runs.stop().await.expect("the bank stops");
    pass(1000).await;

    let (bank, runs) = start_alone(&database, &settings);
    assert_eq!(call(&bank, audit("audit")).await, Ok(Reply::GaveUp), "who asks again joins");
    assert!(about(asked.elapsed(), AUDIT_TIMEOUT), "{:?}", asked.elapsed());
    runs.stop().await.expect("the bank stops");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passed_while_nothing_ran_fires_at_start() {
    let (database, settings) = (database(Immediate, false), settings());
    let (bank, runs) = start_alone(&database, &settings);
    drop(spawn_call(&bank, audit("audit"), CallOptions::default()));
    pass(10).await;
    runs.stop().await.expect("the bank stops");
    pass(3_600_000).await;

    let (bank, _runs) = start_alone(&database, &settings);
    let asked = Instant::now();
    assert_eq!(call(&bank, audit("audit")).await, Ok(Reply::GaveUp));
    assert!(about(asked.elapsed(), Duration::ZERO), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_log_is_kept_while_a_deadline_is_open_and_trimmed_afterwards() {
    let (database, settings) = (database(Immediate, false), settings());
    let (bank, runs) = start_alone(&database, &settings);
    let open = spawn_call(&bank, audit("audit"), CallOptions::default());
    pass(10).await;
    let touch = async |bank: &Handle<Bank>| {
        // Every partition, and the one with the deadline among them, has something to commit.
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            call(bank, deposit(name, 1)).await.expect("a deposit");
        }
    };
    let later = audit_elsewhere_in_the_partition_of("audit");
    for _ in 0..5 {
        touch(&bank).await;
        pass(500).await;
    }
    assert_eq!(kept_events(&database.open("bank"), PARTITIONS).await, 1);
    let second = spawn_call(&bank, later, CallOptions::default());
    assert_eq!(open.await.expect("no panic"), Ok(Reply::GaveUp));
    touch(&bank).await;
    let kept = kept_events(&database.open("bank"), PARTITIONS).await;
    assert!((1..=2).contains(&kept), "the second one's event is needed, the first one's is not: {kept}");
    assert_eq!(second.await.expect("no panic"), Ok(Reply::GaveUp));
    pass(1000).await;
    touch(&bank).await;
    assert_eq!(kept_events(&database.open("bank"), PARTITIONS).await, 0);
    runs.stop().await.expect("the bank stops");
}

/// An audit by another name whose events go to the same log.
fn audit_elsewhere_in_the_partition_of(id: &str) -> Command {
    let place = saga::partition_of(id.as_bytes(), PARTITIONS);
    let mut names = (0..).map(|index| format!("other-{index}"));
    audit(&names.find(|name| saga::partition_of(name.as_bytes(), PARTITIONS) == place).expect("one of them"))
}

/// When the replica whose clock is ahead looked at the log for the last time before another one begins something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    /// When it took the partition over.
    AtTheStart,
    /// Now and then, for it had nothing to do.
    WhenIdle,
    /// When it wrote itself.
    WhenItWrote,
}

/// It reads in the log that something was begun, by its clock long ago, and is asked to write beside the one that began it.
#[tokio::test(start_paused = true)]
async fn a_replica_whose_clock_is_ahead_gives_up_nothing_early_that_another_has_just_begun() {
    for (looked, tolerance) in [
        (Looked::AtTheStart, Duration::from_millis(100)),
        (Looked::WhenIdle, settings().poll),
        (Looked::WhenItWrote, Duration::from_millis(200)),
    ] {
        let database = database(Immediate, false);
        let clock = AdjustedClock::new();
        clock.set_ahead(3_600_000);
        let (ahead, ahead_runs) = start_alone(&database, &Settings { clock: Arc::new(clock), ..settings() });
        let (bank, bank_runs) = start_alone(&database, &settings());
        assert!(ahead_runs.recovered().await && bank_runs.recovered().await);
        let write = async || {
            for name in ["a", "b", "c", "d", "e", "f"] {
                call(&ahead, deposit(name, 1)).await.expect("a deposit");
            }
            pass(100).await;
        };
        match looked {
            Looked::AtTheStart => {}
            Looked::WhenIdle => pass(10_000).await,
            // For half the time between two looks at least.
            Looked::WhenItWrote => {
                let started = Instant::now();
                while started.elapsed() < settings().poll * 7 / 4 {
                    write().await;
                }
            }
        }
        let asked = Instant::now();
        let given_up = spawn_call(&bank, audit("audit"), CallOptions::default());
        // The first thing that happens.
        pass(10).await;
        while !given_up.is_finished() {
            write().await;
            // So that the other one reads the log again and again.
            call(&bank, deposit("a", 1)).await.expect("a deposit");
        }
        assert_eq!(given_up.await.expect("no panic"), Ok(Reply::GaveUp));
        let expected = AUDIT_TIMEOUT - tolerance..AUDIT_TIMEOUT + Duration::from_millis(200);
        assert!(expected.contains(&asked.elapsed()), "{looked:?}: {:?}", asked.elapsed());
        ahead_runs.stop().await.expect("the one stops");
        bank_runs.stop().await.expect("the other stops");
    }
}
