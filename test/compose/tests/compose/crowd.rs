//! Clients as the course's own: fifty users at once who each make a user with one credit, an order of one item, and check it out; and its
//! test of consistency, in which more users than there are items all want the same one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use sagamart_black_box::{Outcome, Shop};
use tokio::task::JoinHandle;

use crate::project::Project;

const USERS: usize = 50;
/// More than fifty users can buy while a test lasts.
const PLENTY: u64 = 1_000_000;

/// Fifty users who buy one after the other until they are told to stop.
pub(crate) struct Crowd {
    shop: Shop,
    item: String,
    stop: Arc<AtomicBool>,
    users: Vec<JoinHandle<Bought>>,
    began: Instant,
}

/// What one of them, or all, have bought.
#[derive(Debug, Default)]
pub(crate) struct Bought {
    pub(crate) units: u64,
    /// Answers other than 200: when, in seconds from the beginning, to what, and which.
    pub(crate) noticed: Vec<(f64, String)>,
}

impl Crowd {
    /// Lets them in.
    pub(crate) async fn start(project: &Project) -> Self {
        let shop = Shop::new(project.client());
        let item = shop.item_with(1, PLENTY).await;
        let (stop, began) = (Arc::default(), Instant::now());
        let users = (0..USERS).map(|_| {
            // Each with connections of its own, as a browser has.
            let shop = Shop::new(project.client());
            tokio::spawn(buy_until(shop, item.clone(), Arc::clone(&stop), began))
        });
        let users = users.collect();
        Self { shop, item, stop, users, began }
    }

    /// Seconds since they came.
    pub(crate) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Sends them home, and counts the units.
    ///
    /// # Panics
    /// More or fewer are gone than were sold.
    pub(crate) async fn finish(self) -> Bought {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Bought::default();
        for user in self.users {
            let bought = user.await.expect("a user does not panic");
            all.units += bought.units;
            all.noticed.extend(bought.noticed);
        }
        let gone = PLENTY - self.shop.stock(&self.item).await;
        // Of a checkout without an answer nobody knows yet.
        let unknown = all.noticed.len() as u64;
        assert!((all.units..=all.units + unknown).contains(&gone), "{gone} units are gone: {all:?}");
        all
    }
}

async fn buy_until(shop: Shop, item: String, stop: Arc<AtomicBool>, began: Instant) -> Bought {
    let mut bought = Bought::default();
    while !stop.load(Ordering::Relaxed) {
        match buy(&shop, &item).await {
            Ok(()) => bought.units += 1,
            Err(noticed) => bought.noticed.push((began.elapsed().as_secs_f64(), noticed)),
        }
    }
    bought
}

/// One purchase. An error is the first answer that is not a 200.
async fn buy(shop: &Shop, item: &str) -> Result<(), String> {
    let user = created(shop, "/payment/create_user", "user_id").await?;
    done(shop, &format!("/payment/add_funds/{user}/1")).await?;
    let order = created(shop, &format!("/orders/create/{user}"), "order_id").await?;
    done(shop, &format!("/orders/addItem/{order}/{item}/1")).await?;
    done(shop, &format!("/orders/checkout/{order}")).await
}

/// A new id.
async fn created(shop: &Shop, path: &str, member: &str) -> Result<String, String> {
    let answer = shop.client.send(hyper::Method::POST, path, &[]).await.map_err(|none| format!("{path}: {none}"))?;
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let id = body.get(member).and_then(serde_json::Value::as_str);
    id.map(str::to_owned).ok_or_else(|| format!("{path}: {} {}", answer.status, answer.text()))
}

async fn done(shop: &Shop, path: &str) -> Result<(), String> {
    match shop.attempt(path).await {
        Outcome::Succeeded => Ok(()),
        other => Err(format!("{path}: {}", other.slug())),
    }
}

/// The course's test of consistency: many users check out, a hundred at a time as its client does, there is an item for a part of them,
/// and each item that is gone was paid for, once. `meanwhile` happens to the project while they do.
///
/// # Panics
/// It was otherwise.
pub(crate) async fn only_what_is_there_is_sold(project: &Project, meanwhile: impl Future<Output = ()>) {
    const AT_A_TIME: usize = 100;
    const EACH: u64 = 3;
    const STOCK: u64 = 100;
    let shop = Shop::new(project.client());
    let item = shop.item_with(1, STOCK).await;
    let ready = (0..AT_A_TIME).map(|_| {
        let (shop, item) = (shop.clone(), item.clone());
        tokio::spawn(async move {
            let mut pairs = Vec::new();
            for _ in 0..EACH {
                let user = shop.user_with(1).await;
                let order = shop.order_of(&user, &[(&item, 1)]).await;
                pairs.push((user, order));
            }
            pairs
        })
    });
    let mut buyers = Vec::with_capacity(AT_A_TIME);
    for pairs in ready.collect::<Vec<_>>() {
        buyers.push(pairs.await.expect("users with orders"));
    }
    let checkouts = buyers.into_iter().map(|pairs| tokio::spawn(check_out(shop.clone(), pairs)));
    let checkouts: Vec<_> = checkouts.collect();
    meanwhile.await;
    let mut sold = 0;
    for checkout in checkouts {
        sold += checkout.await.expect("only answers that are right");
    }
    assert_eq!((sold, shop.stock(&item).await), (STOCK, 0));
}

/// How many of these orders were paid; the others found nothing left.
async fn check_out(shop: Shop, pairs: Vec<(String, String)>) -> u64 {
    let mut sold = 0;
    for (user, order) in pairs {
        let outcome = shop.checkout(&order).await;
        let paid = outcome == Outcome::Succeeded;
        assert!(paid || outcome.slug() == "out-of-stock", "checkout of {order}: {outcome:?}");
        assert_eq!((shop.order(&order).await.paid, shop.credit(&user).await), (paid, u64::from(!paid)), "{order}");
        sold += u64::from(paid);
    }
    sold
}
