//! Runs a replica's process for as long as the run lasts.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use saga::Halt;

use super::Ending;
use crate::simulation::{
    connection::wait,
    lock::lock,
    process::{Calls, Process},
    random::Random,
    world::World,
};

/// How long a process that is told to stop has before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs a replica, and starts it again whenever it has ended, for as long as the run lasts.
pub(crate) async fn supervise(world: Arc<World>, number: usize) {
    let replica = &world.replicas[number];
    let Some(mut endings) = lock(&replica.heard).take() else { return };
    let mut random = Random::new(world.seed, "replica", number as u64);
    let calls = Calls::new(world.seed, number);
    loop {
        let mut process = Process::start(&world, number, &mut random, &calls);
        *lock(&replica.desks) = Some(process.desks.clone());
        world.note(format_args!("replica {number} starts"));
        let ended = tokio::select! {
            biased;
            ending = endings.recv() => Ok(ending),
            halt = process.halted() => Err(halt),
        };
        *lock(&replica.desks) = None;
        if !process.is_recovered() {
            world.reach("ended during recovery");
        }
        world.note(format_args!("replica {number} ends: {ended:?}"));
        match ended {
            Ok(Some(Ending::Kill)) => {
                world.reach("replica killed");
                drop(process);
            }
            // It listens until it has handed over.
            Ok(_) => stop(&world, process).await,
            Err(halt) => {
                judge(&world, &halt);
                drop(process);
            }
        }
        world.network.close(replica.address());
        replica.ended.fetch_add(1, Ordering::Relaxed);
        replica.ending.notify_waiters();
        // Whatever else was to end it has.
        replica.kill_after(0);
        while endings.try_recv().is_ok() {}
        let pause_ms = if world.is_stormy() { 2000 } else { 20 };
        wait(Duration::from_millis(1) + random.delay(pause_ms)).await;
        while replica.is_away() {
            replica.comes_back.notified().await;
        }
    }
}

async fn stop(world: &World, process: Process) {
    match tokio::time::timeout(STOP_TIMEOUT, process.stop()).await {
        Ok(Ok(())) => world.reach("replica stopped in good order"),
        Ok(Err(halt)) => judge(world, &halt),
        Err(_) => world.reach("replica killed while it stopped"),
    }
}

/// A partition may stop by itself because its database was lost, and for no other reason.
fn judge(world: &World, halt: &Halt) {
    match halt {
        Halt::Poisoned(reason) if !reason.contains("panicked") => world.reach("halted by a lost database"),
        halt => world.breaks(format!("a partition stopped: {halt}")),
    }
}
