//! The data that checkouts need, made through the public API only, so that any server can be measured.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::index};
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::{
    Error, Options, Result,
    api::{Api, Repeat, is_id},
    client::Target,
    load::{Claims, OrderIds},
    progress::Progress,
    threads,
};

/// The shop as it is before the first checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Items "0", "1", …
    pub items: u32,
    /// Users "0", "1", …
    pub users: u32,
    /// Units of each item.
    pub stock: u64,
    /// Credit of each user.
    pub credit: u64,
    /// Price of each item.
    pub price: u64,
    /// Lines of each order, each of one unit.
    pub lines_per_order: u16,
    /// The share of orders with item "0", in percent.
    pub hot_item_percent: Option<u8>,
    /// Chooses users and items.
    pub seed: u64,
}

impl Setup {
    /// What the options ask for.
    #[must_use]
    pub fn of(options: &Options) -> Self {
        Self {
            items: options.items,
            users: options.users,
            stock: options.stock,
            credit: options.credit,
            price: options.price,
            lines_per_order: options.lines_per_order,
            hot_item_percent: options.hot_item,
            seed: options.seed,
        }
    }

    /// The order at `index` when orders are created one by one; `None` when a batch initialisation makes them, which
    /// chooses by itself. The same every time it is asked.
    #[must_use]
    pub fn plan(&self, order: u64) -> Option<Plan> {
        if self.lines_per_order == 2 && self.hot_item_percent.is_none() {
            return None;
        }
        // Mixed, so that neighbouring seeds do not make shifted copies of each other's orders.
        let mut random = StdRng::seed_from_u64(self.seed.rotate_left(32) ^ order);
        let user = random.random_range(0..self.users);
        let percent = u64::from(self.hot_item_percent.unwrap_or(0));
        // Evenly spread, and exact over every hundred orders.
        let hot = (order + 1) * percent / 100 > order * percent / 100;
        let first = u32::from(self.hot_item_percent.is_some());
        let count = usize::from(self.lines_per_order) - usize::from(hot);
        let others = index::sample(&mut random, (self.items - first) as usize, count);
        let others = others.into_iter().filter_map(|item| u32::try_from(item).ok());
        let items = hot.then_some(0).into_iter().chain(others.map(|item| item + first)).collect();
        Some(Plan { user, items })
    }
}

/// What an order should contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The user's number.
    pub user: u32,
    /// The numbers of its items, all different, one unit of each.
    pub items: Vec<u32>,
}

/// How much may go on at once while preparing and auditing.
#[derive(Clone, Copy, Debug)]
pub struct Parallelism {
    /// Threads.
    pub threads: usize,
    /// Connections over all threads.
    pub connections: usize,
}

/// Connections that prepare and audit, where fewer are measured with.
const CONNECTIONS_MIN: usize = 64;

impl Parallelism {
    /// What a run with these options prepares and audits with.
    #[must_use]
    pub fn of(options: &Options) -> Self {
        Self {
            threads: usize::from(options.threads),
            connections: usize::from(options.connections).max(CONNECTIONS_MIN),
        }
    }
}

/// Initialises items and users, and with them every total.
///
/// # Errors
/// [`Error::Api`], [`Error::Unreachable`].
pub async fn initialise(target: &Arc<Target>, setup: &Setup) -> Result<()> {
    let Setup { items, users, stock, credit, price, .. } = setup;
    let requests = [
        (format!("/stock/batch_init/{items}/{stock}/{price}"), format!("Preparing {items} items")),
        (format!("/payment/batch_init/{users}/{credit}"), format!("Preparing {users} users")),
    ];
    let mut api = Api::new(Arc::clone(target));
    for (path, message) in requests {
        Progress::of_wait(&message).watch(api.post(&path, Repeat::Freely), || 0).await?;
    }
    Ok(())
}

/// Makes `count` orders that have not been checked out, for items and users that are there.
///
/// # Errors
/// [`Error::Api`], [`Error::Unreachable`].
pub async fn orders(target: &Arc<Target>, setup: &Setup, count: u64, parallelism: Parallelism) -> Result<OrderIds> {
    if setup.plan(0).is_some() {
        return create_orders(target, setup, count, parallelism).await;
    }
    let Setup { items, users, price, .. } = setup;
    let path = format!("/orders/batch_init/{count}/{items}/{users}/{price}");
    let mut api = Api::new(Arc::clone(target));
    let progress = Progress::of_wait(&format!("Preparing {count} orders"));
    progress.watch(api.post(&path, Repeat::Freely), || 0).await?;
    Ok(OrderIds::Numbered)
}

async fn create_orders(target: &Arc<Target>, setup: &Setup, count: u64, parallelism: Parallelism) -> Result<OrderIds> {
    let setup = Arc::new(setup.clone());
    let message = format!("Preparing orders of {} lines", setup.lines_per_order);
    let created = for_each(target, count, parallelism, &message, move |mut api, claims, done| {
        let setup = Arc::clone(&setup);
        async move {
            let mut created = Vec::new();
            while let Some(index) = claims.next() {
                if let Some(plan) = setup.plan(index) {
                    created.push((index, create_order(&mut api, &plan).await?));
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
            Ok(created)
        }
    })
    .await?;
    let mut created: Vec<(u64, Box<str>)> = created.into_iter().flatten().collect();
    created.sort_unstable_by_key(|(index, _)| *index);
    Ok(OrderIds::Listed(created.into_iter().map(|(_, id)| id).collect()))
}

#[derive(Deserialize)]
struct CreatedOrder {
    order_id: Box<str>,
}

async fn create_order(api: &mut Api, plan: &Plan) -> Result<Box<str>> {
    let user = plan.user;
    // If the answer to a creation is lost, the order that may be left over is never used.
    let CreatedOrder { order_id } = api.create(&format!("/orders/create/{user}")).await?;
    if !is_id(&order_id) {
        return Err(Error::Api {
            request: format!("POST /orders/create/{user}"),
            reason: "the order's id cannot be used in a path".to_owned(),
        });
    }
    for item in &plan.items {
        let path = format!("/orders/addItem/{order_id}/{item}/1");
        // Added twice, the order would not be as planned.
        api.post(&path, Repeat::WhenRefused).await?;
    }
    Ok(order_id)
}

/// Runs `work` on every connection until together they have done `count` things, each claiming the next from the
/// shared claims and counting it when done.
///
/// # Errors
/// The first error of any.
pub(crate) async fn for_each<T, F>(
    target: &Arc<Target>,
    count: u64,
    parallelism: Parallelism,
    message: &str,
    work: impl Fn(Api, Arc<Claims>, Arc<AtomicU64>) -> F,
) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let claims = Arc::new(Claims::new(count));
    let done = Arc::new(AtomicU64::new(0));
    let threads_count = parallelism.threads.max(1);
    let connections = parallelism.connections.div_ceil(threads_count);
    let running = threads::run(threads_count, |_| {
        let work: Vec<F> = (0..connections)
            .map(|_| work(Api::new(Arc::clone(target)), Arc::clone(&claims), Arc::clone(&done)))
            .collect();
        let claims = Arc::clone(&claims);
        async move {
            let mut tasks: JoinSet<Result<T>> = work.into_iter().collect();
            let mut outputs = Vec::new();
            while let Some(ended) = tasks.join_next().await {
                let output = ended.map_err(|_panicked| Error::ThreadDied).flatten();
                if output.is_err() {
                    // This thread's other tasks end with the set; the other threads' find nothing left to do.
                    claims.close();
                }
                outputs.push(output?);
            }
            Ok(outputs)
        }
    });
    let progress = Progress::of_count(message, count);
    let finished = progress.watch(running, || done.load(Ordering::Relaxed)).await?;
    let outputs: Result<Vec<Vec<T>>> = finished.into_iter().map(|thread| thread.output).collect();
    Ok(outputs?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn setup(lines_per_order: u16, hot_item_percent: Option<u8>) -> Setup {
        Setup::of(&Options { items: 200, users: 50, lines_per_order, hot_item: hot_item_percent, ..Options::default() })
    }

    #[test]
    fn plain_orders_are_left_to_the_batch_initialisation() {
        assert_eq!(setup(2, None).plan(0), None);
    }

    #[test]
    fn planned_orders_have_the_lines_asked_for_of_different_items() {
        for lines in [1, 3, 100] {
            for order in 0..500 {
                let plan = setup(lines, None).plan(order).unwrap();
                let distinct: HashSet<_> = plan.items.iter().copied().collect();
                assert_eq!((plan.items.len(), distinct.len()), (usize::from(lines), usize::from(lines)));
                assert!(plan.user < 50 && plan.items.iter().all(|item| *item < 200), "{plan:?}");
            }
        }
    }

    #[test]
    fn exactly_the_share_asked_for_has_the_hot_item_once() {
        for percent in [0, 1, 50, 99, 100] {
            let setup = setup(2, Some(percent));
            let orders: Vec<_> = (0..1_000).map(|order| setup.plan(order).unwrap()).collect();
            let hot = orders.iter().filter(|plan| plan.items.contains(&0)).count();
            assert_eq!(hot, usize::from(percent) * 10);
            assert!(orders.iter().all(|plan| plan.items.len() == 2 && plan.items[0] != plan.items[1]));
        }
    }

    #[test]
    fn a_plan_is_the_same_each_time_and_other_seeds_make_others() {
        let setup = setup(5, None);
        let other = Setup { seed: 1, ..setup };
        assert!((0..100).all(|order| setup.plan(order) == setup.plan(order)));
        assert!((0..100).filter(|order| setup.plan(*order) == other.plan(*order)).count() < 3);
    }
}
