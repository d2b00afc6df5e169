//! The faults that come and go: one task for each kind, which strikes now and then.

use std::{sync::Arc, time::Duration};

use super::{
    climate::FaultKind,
    connection::wait,
    random::Random,
    replica::{Cut, Ending},
    world::World,
};

/// Whether a fault comes by itself, not with a call or a message.
fn comes_by_itself(kind: FaultKind) -> bool {
    use FaultKind::{
        ClockJumps, Cut, DiskFull, DiskSlow, Failover, FlushFails, Freeze, Isolation, Kill, KillAtCall, Partition,
        Restart,
    };
    let those = [
        ClockJumps, Partition, Isolation, DiskSlow, DiskFull, FlushFails, Failover, Kill, KillAtCall, Restart, Freeze,
        Cut,
    ];
    those.contains(&kind)
}

/// Lets one kind of fault strike again and again.
pub(crate) async fn blow(world: Arc<World>, kind: FaultKind, round: u64) {
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

/// What a fault is about, for the story.
fn place(kind: FaultKind, replica: usize, service: &impl std::fmt::Display) -> String {
    match kind {
        FaultKind::DiskSlow | FaultKind::DiskFull | FaultKind::FlushFails | FaultKind::Failover => service.to_string(),
        FaultKind::Partition => format!("replica {replica} and {service}"),
        _ => format!("replica {replica}"),
    }
}

async fn strike(world: &Arc<World>, kind: FaultKind, random: &mut Random) {
    let number = random.below(world.replicas.len());
    let site_number = random.below(world.sites.len());
    let (replica, site) = (&world.replicas[number], &world.sites[site_number]);
    let duration = random.wait(1000);
    let choice = random.between(0, 1_000_000);
    let place = place(kind, number, &site.service);
    world.note(format_args!("{kind}: {place}"));
    match kind {
        FaultKind::ClockJumps => {
            world.reach("clock jumped");
            replica.jump_clock(i64::try_from(choice % 120_001).unwrap_or_default() - 60_000);
        }
        FaultKind::Partition => {
            world.reach("replica cut off from a database");
            replica.cut(site_number, if choice.is_multiple_of(2) { Cut::Requests } else { Cut::Answers });
            wait(duration).await;
            replica.cut(site_number, Cut::None);
        }
        FaultKind::Isolation => {
            replica.isolate(true);
            wait(duration).await;
            replica.isolate(false);
        }
        FaultKind::Cut => {
            let other = usize::try_from(choice).unwrap_or_default() % world.replicas.len();
            world.reach("replicas cut off from each other");
            world.network.cut(number, other);
            if !choice.is_multiple_of(3) {
                world.network.cut(other, number);
            }
            wait(duration * 3).await;
            world.network.mend(number, other);
            world.network.mend(other, number);
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
            crash(world, site_number, 0);
        }
        FaultKind::Failover => {
            let (durable, last) = site.positions();
            crash(world, site_number, durable + choice % (last - durable + 1));
        }
        FaultKind::Kill => replica.end(Ending::Kill),
        FaultKind::Restart => replica.end(Ending::Stop),
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

/// A database loses what was committed after `kept` and is not durable.
fn crash(world: &World, site: usize, kept: u64) {
    let lost = world.sites[site].crash(kept);
    world.note(format_args!("{} lost {lost} commits", world.sites[site].service));
    world.reach("database lost its connections");
    if lost > 0 {
        world.reach("database lost its tail");
    }
}

/// Ends every fault.
pub(crate) fn clear(world: &World) {
    world.set_stormy(false);
    world.note(format_args!("the storm is over"));
    for (number, site) in world.sites.iter().enumerate() {
        site.set_flush(None);
        site.set_full(false);
        if site.is_poisoned() {
            crash(world, number, 0);
        }
    }
    world.network.mend_all();
    for replica in &world.replicas {
        for site in 0..world.sites.len() {
            replica.cut(site, Cut::None);
        }
        replica.isolate(false);
        replica.freeze(false);
        replica.kill_after(0);
    }
}

/// Makes durable what somebody waits for, again and again.
pub(crate) async fn flush(world: Arc<World>, site: usize) {
    let mut random = Random::new(world.seed, "flush", site as u64);
    loop {
        let ms = world.sites[site].flush_ms().unwrap_or_else(|| random.between(0, world.climate.flush_ms));
        wait(Duration::from_millis(1 + ms)).await;
        world.sites[site].flush();
    }
}
