//! A replica's way to the others: links that are slow, cut, and break.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use saga::remote::{BoxStream, Reaching, Transport};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split};

use crate::simulation::{climate::FaultKind, connection::wait, lock::lock, random::Random, task, world::World};

/// What one end may have written before the other has read any, and what is taken at one time: little, so that frames come
/// in pieces.
const BUFFER_BYTES: usize = 4096;

/// How often a cut link is looked at again.
const LOOK: Duration = Duration::from_millis(20);

/// A replica's way to the others.
pub(crate) struct Wire {
    pub(crate) world: Arc<World>,
    pub(crate) replica: usize,
}

impl Wire {
    async fn open(&self, address: &str) -> io::Result<BoxStream> {
        let (world, network) = (&self.world, &self.world.network);
        let number = network.streams.fetch_add(1, Ordering::Relaxed);
        let mut random = Random::new(world.seed, "stream", number);
        wait(Duration::from_millis(1) + random.delay(world.climate.network_ms)).await;
        let there = world.replicas.iter().position(|replica| replica.address() == address);
        let there = there.ok_or(io::ErrorKind::ConnectionRefused)?;
        while !passes(world, self.replica, there) || !passes(world, there, self.replica) {
            wait(LOOK).await;
        }
        let listener = lock(&network.listeners).get(address).cloned().ok_or(io::ErrorKind::ConnectionRefused)?;
        let (near, between) = duplex(BUFFER_BYTES);
        let (beyond, far) = duplex(BUFFER_BYTES);
        listener.send(Box::new(far)).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        let (world, here) = (Arc::clone(world), self.replica);
        task::spawn(&Arc::clone(&world), "a connection between processes", async move {
            let (from_near, to_near) = split(between);
            let (from_far, to_far) = split(beyond);
            let back = Random::new(world.seed, "stream back", number);
            tokio::select! {
                biased;
                // Where one direction ends, both do: whoever still reads is told so.
                () = pump(&world, (here, there), from_near, to_far, random) => {}
                () = pump(&world, (there, here), from_far, to_near, back) => {}
            }
        });
        Ok(Box::new(near))
    }
}

/// Whether anything gets from one replica to another now.
fn passes(world: &World, from: usize, to: usize) -> bool {
    let sleeps = |replica: usize| world.replicas[replica].is_frozen();
    !world.network.is_cut(from, to) && !sleeps(from) && !sleeps(to)
}

/// Carries bytes one way, in order, until either end is gone or the connection breaks.
async fn pump(
    world: &World,
    (from, to): (usize, usize),
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    mut random: Random,
) {
    let mut buffer = [0; BUFFER_BYTES];
    loop {
        let Ok(length @ 1..) = reader.read(&mut buffer).await else { return };
        wait(random.delay(world.climate.network_ms)).await;
        if random.in_thousand(world.rate(FaultKind::ConnectionsBreak)) {
            world.note(format_args!("the connection from {from} to {to} breaks"));
            world.reach("connection broke");
            return;
        }
        while !passes(world, from, to) {
            wait(LOOK).await;
        }
        if writer.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

impl Transport for Wire {
    fn resolve<'a>(&'a self, name: &'a str) -> Reaching<'a, Vec<String>> {
        // A name stands for the processes of a service, whether they run or not.
        let addresses = self.world.replicas.iter().map(|replica| replica.address().to_owned());
        let found: Vec<_> = addresses.filter(|address| address.starts_with(name)).collect();
        Box::pin(async move { Ok(found) })
    }

    fn connect<'a>(&'a self, address: &'a str) -> Reaching<'a, BoxStream> {
        Box::pin(self.open(address))
    }
}
