//! A load that is sent whatever happens, faults under it, and what came of both.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use sagamart_black_box::{Fleet, Market, Order, Outcome, Placed, Shop, audit, load::in_parallel};
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until},
};

/// Checkouts that fall due each second, whether those before them were answered or not.
const PER_SECOND: u32 = 60;

/// How long the load goes on after the fault is over.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// Orders of one fleet: more than fall due while it lives.
const ORDERS: usize = 12_000;

/// Items and users that the orders are of: few, so that checkouts meet.
const ITEMS: u64 = 60;

/// The stock of each item, and what a unit costs.
const STOCK: (u64, u64) = (1_000_000, 2);

/// What each user has.
const CREDIT: u64 = 10_000_000;

/// A fleet with a market.
pub(crate) struct Chaos {
    pub(crate) fleet: Fleet,
    market: Market,
    /// Orders that nobody has checked out yet.
    fresh: VecDeque<usize>,
    operations: usize,
}

/// What a load under one fault was answered.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    what: String,
    /// By the answer's kind.
    counts: BTreeMap<String, usize>,
    unknown: usize,
}

impl Answers {
    /// The gateway hid it: nobody was left without an answer, and nothing was refused, but for want of time where the
    /// machine is busy.
    pub(crate) fn nobody_noticed(&self) {
        let count = |slug: &str| self.counts.get(slug).copied().unwrap_or_default();
        assert_eq!(self.counts.values().sum::<usize>(), count("succeeded") + count("timeout"), "{self:?}");
        assert!(count("timeout") < count("succeeded"), "{self:?}");
    }

    /// The fault was one: not everybody got through.
    pub(crate) fn somebody_noticed(&self) {
        assert!(self.counts.keys().any(|kind| kind != "succeeded"), "{self:?}");
    }

    /// Every checkout was answered with 200 or 4xx.
    pub(crate) fn every_outcome_is_known(&self) {
        assert_eq!(self.unknown, 0, "{self:?}");
    }
}

impl Chaos {
    pub(crate) async fn start(checkout_timeout_seconds: u32) -> Self {
        Self::of(Fleet::start(checkout_timeout_seconds).await).await
    }

    pub(crate) async fn of(fleet: Fleet) -> Self {
        let shop = fleet.shop();
        let (stock, price) = STOCK;
        for path in [
            format!("/stock/batch_init/{ITEMS}/{stock}/{price}"),
            format!("/payment/batch_init/{ITEMS}/{CREDIT}"),
            format!("/orders/batch_init/{ORDERS}/{ITEMS}/{ITEMS}/{price}"),
        ] {
            assert_eq!(shop.client.post(&path).await.status, 200, "{path}");
        }
        let mut market = Market::default();
        market.credit.extend((0..ITEMS).map(|user| (user.to_string(), CREDIT)));
        market.stock.extend((0..ITEMS).map(|item| (item.to_string(), STOCK)));
        Self { fleet, market, fresh: (0..ORDERS).collect(), operations: 0 }
    }

    /// Sends checkouts at a steady rate while `fault` happens and for a while afterwards.
    pub(crate) async fn under_load(&mut self, what: impl Into<String>, fault: impl AsyncFnOnce(&mut Fleet)) -> Answers {
        let (shop, fleet) = (self.fleet.shop(), &mut self.fleet);
        let (market, fresh) = (&mut self.market, &mut self.fresh);
        let orders = read_orders(&shop, fresh, usize::try_from(PER_SECOND).unwrap_or_default() * 30).await;
        let mut loading = JoinSet::new();
        let started = Instant::now();
        let mut over = None;
        let mut faulty = std::pin::pin!(async {
            sleep(Duration::from_millis(500)).await;
            fault(fleet).await;
            sleep(AFTERWARDS).await;
        });
        let mut placed = orders.into_iter();
        let mut due = tokio::time::Instant::now();
        let mut all = Vec::new();
        while over.is_none() {
            tokio::select! {
                () = &mut faulty => over = Some(()),
                () = sleep_until(due) => {
                    due += Duration::from_secs(1) / PER_SECOND;
                    // A fault that takes long to mend has to do with what there is.
                    let Some(placed) = placed.next() else { continue };
                    let shop = shop.clone();
                    loading.spawn(async move { check_out(&shop, placed, started).await });
                }
            }
        }
        // What was prepared and did not fall due is for the next fault.
        fresh.extend(placed.map(|placed| placed.order.parse::<usize>().expect("orders are numbers")));
        while let Some(answered) = loading.join_next().await {
            all.push(answered.expect("no panic"));
        }
        self.operations += all.len();
        report(what.into(), market, all)
    }

    /// Everything that is there is explained by the answers; returns how many orders are paid.
    pub(crate) async fn audit(&self) -> u64 {
        let paid = audit(&self.fleet.shop(), &self.market).await;
        println!("audit: {paid} of {} orders are paid, and explain every credit and every unit", self.operations);
        u64::try_from(paid).expect("few")
    }
}

/// Takes orders off the front, and reads what is in them.
async fn read_orders(shop: &Shop, fresh: &mut VecDeque<usize>, count: usize) -> Vec<Placed> {
    let numbers: Vec<usize> = fresh.drain(..count.min(fresh.len())).collect();
    assert!(!numbers.is_empty(), "there are orders left");
    let shop = shop.clone();
    in_parallel(16, numbers, move |number| {
        let shop = shop.clone();
        async move {
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                let answer = shop.client.get(&format!("/orders/find/{number}")).await;
                if answer.status == 200 {
                    let order: Order = answer.json();
                    return Placed {
                        order: order.order_id,
                        user: order.user_id,
                        lines: order.items,
                        answers: Vec::new(),
                    };
                }
                assert!(Instant::now() < deadline, "{answer:?}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    })
    .await
}

/// One checkout, with when it was answered.
async fn check_out(shop: &Shop, mut placed: Placed, started: Instant) -> (Placed, Duration) {
    placed.answers.push(shop.checkout(&placed.order).await);
    (placed, started.elapsed())
}

fn report(what: String, market: &mut Market, mut all: Vec<(Placed, Duration)>) -> Answers {
    let mut answers = Answers { what, ..Answers::default() };
    all.sort_by_key(|(_, at)| *at);
    let (mut last, mut longest) = (Duration::ZERO, Duration::ZERO);
    for (placed, at) in all {
        let Some(answer) = placed.answers.last() else { continue };
        *answers.counts.entry(answer.slug().to_owned()).or_default() += 1;
        answers.unknown += usize::from(matches!(answer, Outcome::Unknown(_)));
        if *answer == Outcome::Succeeded {
            longest = longest.max(at.saturating_sub(last));
            last = at;
        }
        market.orders.push(placed);
    }
    println!("{}: {:?}; at most {longest:.1?} without a success", answers.what, answers.counts);
    answers
}
