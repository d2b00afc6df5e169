//! The faults that come and go: one task for each kind, which strikes now and then.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::{
    climate::FaultKind,
    connection::wait,
    random::Random,
    replica::{Cut, Ending, Replica},
    site::Owner,
    task::watched,
    world::World,
};
use crate::Service;

/// Whether a fault comes by itself, not with a call or a message.
fn comes_by_itself(kind: FaultKind) -> bool {
    use FaultKind::{
        ClockJumps, Cut, DiskFull, DiskSlow, Failover, FlushFails, Freeze, Isolation, Kill, KillAtCall, Leave,
        Partition, Restart,
    };
    let those = [
        ClockJumps, Partition, Isolation, DiskSlow, DiskFull, FlushFails, Failover, Kill, KillAtCall, Restart, Leave,
        Freeze, Cut,
    ];
    those.contains(&kind)
}

/// Lets all kinds of faults strike the services and the observer again and again, until the tasks are aborted.
pub(crate) fn rise(world: &Arc<World>, round: u64) -> JoinSet<()> {
    let mut weather = JoinSet::new();
    for kind in FaultKind::ALL {
        let what = format!("the weather ({kind})");
        weather.spawn(watched(Arc::clone(world), what.clone(), blow(Arc::clone(world), *kind, round)));
        weather.spawn(watched(Arc::clone(world), what, blow_on_observer(Arc::clone(world), *kind, round)));
    }
    weather
}

/// Lets one kind of fault strike again and again.
async fn blow(world: Arc<World>, kind: FaultKind, round: u64) {
    let rate = world.rate(kind);
    if rate == 0 || !comes_by_itself(kind) {
        return;
    }
    let mut random = Random::new(world.seed, kind.name(), round + 1);
    loop {
        wait(random.wait(rate)).await;
        strike(&world, kind, &mut random).await;
    }
}

/// Lets one kind of fault strike the observer again and again, with chance of its own: what strikes the services is the same
/// without it.
async fn blow_on_observer(world: Arc<World>, kind: FaultKind, round: u64) {
    let rate = world.rate(kind);
    if rate == 0 || !strikes_observer(&world, kind) {
        return;
    }
    let mut random = Random::new(world.seed, "weather of the observer", ((kind as u64) << 32) + round);
    let processes = world.climate.processes();
    loop {
        wait(random.wait(rate)).await;
        let number = match world.climate.observing() {
            0 => random.below(processes),
            observing => processes + random.below(observing),
        };
        befall(&world, kind, number, Owner::Observer, &mut random).await;
    }
}

/// Whether a fault can strike the observer alone. Where it runs beside the services, one that its database has failed stays
/// ended for as long as the process lives, as it does where it ships.
fn strikes_observer(world: &World, kind: FaultKind) -> bool {
    let beside = [FaultKind::Partition, FaultKind::DiskSlow, FaultKind::DiskFull];
    let is_of_clients = matches!(kind, FaultKind::Isolation | FaultKind::ClockJumps);
    if world.climate.is_apart { comes_by_itself(kind) && !is_of_clients } else { beside.contains(&kind) }
}

/// What a fault is about, for the story.
fn place(kind: FaultKind, replica: usize, service: Owner) -> String {
    match kind {
        FaultKind::DiskSlow | FaultKind::DiskFull | FaultKind::FlushFails | FaultKind::Failover => service.to_string(),
        FaultKind::Partition => format!("replica {replica} and {service}"),
        _ => format!("replica {replica}"),
    }
}

async fn strike(world: &Arc<World>, kind: FaultKind, random: &mut Random) {
    let number = random.below(world.climate.processes());
    let service = Service::ALL[random.below(Service::ALL.len())];
    befall(world, kind, number, service.into(), random).await;
}

/// A fault comes over a process, or over a database.
async fn befall(world: &Arc<World>, kind: FaultKind, number: usize, owner: Owner, random: &mut Random) {
    let (replica, site) = (&world.replicas[number], world.site(owner));
    let duration = random.wait(1000);
    let choice = random.between(0, 1_000_000);
    let place = place(kind, number, owner);
    world.note(format_args!("{kind}: {place}"));
    match kind {
        FaultKind::ClockJumps => {
            world.reach("clock jumped");
            replica.jump_clock(i64::try_from(choice % 120_001).expect("a small number") - 60_000);
        }
        FaultKind::Partition => {
            world.reach("replica cut off from a database");
            replica.cut(owner, if choice.is_multiple_of(2) { Cut::Requests } else { Cut::Answers });
            wait(duration).await;
            replica.cut(owner, Cut::None);
        }
        FaultKind::Isolation => {
            replica.isolate(true);
            wait(duration).await;
            replica.isolate(false);
        }
        FaultKind::Cut => {
            let other = usize::try_from(choice).expect("a small number") % world.climate.processes();
            cut(world, [number, other], !choice.is_multiple_of(3), duration * 3).await;
        }
        FaultKind::DiskSlow => {
            site.set_flush(Some(50 + choice % 1000));
            wait(duration).await;
            site.set_flush(None);
        }
        FaultKind::DiskFull => {
            world.reach("disk full");
            site.set_full(true);
            wait(duration).await;
            site.set_full(false);
        }
        FaultKind::FlushFails => {
            world.reach("flush failed");
            site.poison();
            wait(duration / 4).await;
            crash(world, owner, 0);
        }
        FaultKind::Failover => {
            let (durable, last) = site.positions();
            crash(world, owner, durable + choice % (last - durable + 1));
        }
        FaultKind::Kill => replica.end(Ending::Kill),
        FaultKind::Restart => replica.end(Ending::Stop),
        FaultKind::Leave if let others @ 1.. = world.beside(number) => {
            world.reach(if others == 1 { "replica left, one stayed" } else { "replica left, several stayed" });
            leave(replica, duration * 3, choice.is_multiple_of(2)).await;
        }
        FaultKind::KillAtCall => replica.kill_after(1 + choice % 40),
        FaultKind::Freeze => {
            world.reach("replica frozen");
            replica.freeze(true);
            wait(duration * 3).await;
            replica.freeze(false);
        }
        _ => {}
    }
    world.note(format_args!("{kind}: {place}, over"));
}

/// Stops a replica in order; `returns`: for a while, else it is away when all comes to rest.
async fn leave(replica: &Replica, duration: Duration, returns: bool) {
    replica.stay_away(true);
    replica.end(Ending::Stop);
    wait(duration).await;
    if returns {
        replica.stay_away(false);
    }
}

/// Nothing gets from the first replica to the second for a while, nor, `both_ways`, back.
async fn cut(world: &World, [from, to]: [usize; 2], both_ways: bool, duration: Duration) {
    world.reach("replicas cut off from each other");
    world.network.cut(from, to);
    if both_ways {
        world.network.cut(to, from);
    }
    wait(duration).await;
    world.network.mend(from, to);
    world.network.mend(to, from);
}

/// A database loses what was committed after `kept` and is not durable.
fn crash(world: &World, owner: Owner, kept: u64) {
    let lost = world.site(owner).crash(kept);
    world.note(format_args!("{owner} lost {lost} commits"));
    world.reach("database lost its connections");
    if lost > 0 {
        world.reach("database lost its tail");
    }
}

/// Ends every fault.
pub(crate) fn clear(world: &World) {
    world.set_stormy(false);
    world.note(format_args!("the storm is over"));
    for site in &world.sites {
        site.set_flush(None);
        site.set_full(false);
        if site.is_poisoned() {
            crash(world, site.owner, 0);
        }
    }
    world.network.mend_all();
    for replica in &world.replicas {
        Owner::all().for_each(|owner| replica.cut(owner, Cut::None));
        replica.isolate(false);
        replica.freeze(false);
        replica.kill_after(0);
    }
}

/// Makes durable what somebody waits for, again and again.
pub(crate) async fn flush(world: Arc<World>, owner: Owner) {
    let site = world.site(owner);
    let mut random = Random::new(world.seed, "flush", owner.place() as u64);
    loop {
        let ms = site.flush_ms().unwrap_or_else(|| random.between(0, world.climate.flush_ms));
        wait(Duration::from_millis(1 + ms)).await;
        site.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::climate::Climate;

    /// A minute of weather over a world with these faults; what it broke.
    fn minute(faults: impl FnOnce(&mut World)) -> Option<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let mut climate = Climate::new(1);
            climate.faults.insert(FaultKind::Kill, 1000);
            let mut world = World::new(1, climate, false);
            faults(&mut world);
            world.set_stormy(true);
            let world = Arc::new(world);
            let mut weather = rise(&world, 0);
            wait(Duration::from_secs(60)).await;
            weather.abort_all();
            while weather.join_next().await.is_some() {}
            world.broken().borrow().clone()
        })
    }

    #[test]
    fn a_panic_in_the_weather_fails_the_run_and_its_end_does_not() {
        assert_eq!(minute(|_| {}), None);
        // Whatever strikes one of them finds none.
        let broken = minute(|world| world.replicas.clear());
        assert!(broken.as_ref().is_some_and(|promise| promise.ends_with("panicked")), "{broken:?}");
    }
}
