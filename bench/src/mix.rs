//! The mixed load: everything the API has, on few hot records and many cold ones, so that whatever can go wrong between
//! requests has its chance. It is there to be judged, not to be measured.
//!
//! ```text
//!  each connection, again and again:   change or read an item ┆ change or read a user ┆ an order of its own, a step
//!                                      further (create, addItem …, checkout, again if refused) ┆ someone else's order
//!                                      (find, addItem, a checkout at the same time)
//! ```

mod client;
mod options;
mod player;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use smol_str::SmolStr;
use tokio::task::JoinSet;

pub use options::MixOptions;

use crate::{Error, Result, client::Target, progress::Progress, threads};
use client::Client;
use player::Player;
use referee::history::Scribe;

/// Orders that others may meddle with: few, so that they do it at the same time.
const POOL_ORDERS: usize = 24;

/// One stretch of mixed load.
#[derive(Debug)]
pub(crate) struct Mix {
    pub(crate) target: Arc<Target>,
    pub(crate) options: MixOptions,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) duration: Duration,
    pub(crate) timeout: Duration,
    pub(crate) seed: u64,
}

/// Orders that are in the making, for all to see.
#[derive(Debug, Default)]
struct Pool {
    orders: Mutex<Vec<SmolStr>>,
}

impl Pool {
    fn share(&self, order: &SmolStr, random: &mut SmallRng) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.len() < POOL_ORDERS {
            orders.push(order.clone());
        } else if let Some(place) = orders.get_mut(random.random_range(0..POOL_ORDERS)) {
            *place = order.clone();
        }
    }

    fn any(&self, random: &mut SmallRng) -> Option<SmolStr> {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if orders.is_empty() { None } else { orders.get(random.random_range(0..orders.len())).cloned() }
    }
}

impl Mix {
    /// Runs the load to its end, recording every operation. Whatever the server does is part of the history.
    ///
    /// # Errors
    /// When the load threads could not be run.
    pub(crate) async fn run(&self, scribe: &Scribe) -> Result<Left> {
        let ended = Arc::new(AtomicU64::new(0));
        let pool = Arc::new(Pool::default());
        let until = Instant::now() + self.duration;
        let threads_count = self.threads.clamp(1, self.connections.max(1));
        let load = threads::run(threads_count, |thread| {
            let numbers = (0..self.connections).filter(|number| number % threads_count == thread);
            let players: Vec<Player> = numbers
                .map(|number| {
                    let number = u32::try_from(number).expect("a connection has a port");
                    let client = Client::new(&self.target, self.timeout, number, scribe.clone(), Arc::clone(&ended));
                    let random = SmallRng::seed_from_u64(self.seed.rotate_left(32) ^ u64::from(number));
                    Player::new(client, self.options.clone(), Arc::clone(&pool), random)
                })
                .collect();
            async move {
                let mut playing: JoinSet<Left> = players.into_iter().map(|player| player.run(until)).collect();
                let mut left = Left::default();
                while let Some(played) = playing.join_next().await {
                    left.merge(played.map_err(|_panicked| Error::ThreadDied)?);
                }
                Ok::<_, Error>(left)
            }
        });
        let progress = Progress::of_time("Playing a mixed load", self.duration);
        let finished = progress.watch(load, || ended.load(Ordering::Relaxed)).await?;
        let mut left = Left::default();
        for thread in finished {
            left.merge(thread.output?);
        }
        Ok(left)
    }
}

/// What a load leaves behind.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// The orders that were created.
    pub(crate) names: Vec<SmolStr>,
    /// Operations whose outcome is unknown.
    pub(crate) unknown: u64,
}

impl Left {
    fn merge(&mut self, other: Self) {
        self.names.extend(other.names);
        self.unknown += other.unknown;
    }
}
