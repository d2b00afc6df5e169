//! `kill -9` at any moment: nothing that was answered is lost, nothing that was refused is kept, and what was open is
//! resolved by the restarted server alone.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use rustix::process::Signal;
use sagamart_black_box::{Fixture, Market, Outcome, Server, Settings, audit, load::in_parallel};
use tokio::time::sleep;

/// A market where most checkouts succeed, some want what there is too little of, and some cannot pay.
async fn market(fixture: &Fixture, random: &mut SmallRng) -> Market {
    let mut market = Market::default();
    let shop = &fixture.shop;
    market.add_items(shop, 20, 3, 100_000).await;
    market.add_items(shop, 2, 3, 40).await;
    market.add_users(shop, 30, 100_000).await;
    market.add_users(shop, 5, 20).await;
    place(fixture, &mut market, random, 100).await;
    market
}

async fn place(fixture: &Fixture, market: &mut Market, random: &mut SmallRng, count: usize) -> usize {
    let users: Vec<String> = market.credit.keys().cloned().collect();
    let items: Vec<String> = market.stock.keys().cloned().collect();
    let wanted = (0..count).map(|_| {
        let user = users.choose(random).expect("users").clone();
        let lines = 0..random.random_range(1..=4);
        let lines = lines.map(|_| (items.choose(random).expect("items").clone(), random.random_range(1..=3)));
        (user, lines.collect())
    });
    let wanted = wanted.collect();
    market.place(&fixture.shop, wanted).await
}

#[tokio::test]
async fn kills_under_load_lose_nothing_that_was_answered_and_keep_nothing_that_was_not() {
    for (seed, partitions) in [(1, 1), (2, 4)] {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut fixture = Fixture::with(Settings::partitions(partitions)).await;
        let mut market = market(&fixture, &mut random).await;
        let mut open = 0;
        for _ in 0..15 {
            let first = place(&fixture, &mut market, &mut random, 400).await;
            let life = Duration::from_millis(random.random_range(5..150));
            let shop = fixture.shop.clone();
            let killer = async {
                sleep(life).await;
                fixture.kill();
            };
            tokio::join!(market.check_out(&shop, first, 32), killer);
            fixture.restart().await;
            let unknown = |outcome: &&Outcome| matches!(outcome, Outcome::Unknown(_));
            open += market.orders.iter().skip(first).filter_map(|placed| placed.answers.last()).filter(unknown).count();
            let paid = audit(&fixture.shop, &market).await;
            // Who got no answer asks again, and gets one.
            market.check_out(&fixture.shop, first, 32).await;
            assert!(market.orders.iter().skip(first).filter_map(|placed| placed.answers.last()).all(|a| !unknown(&a)));
            assert!(audit(&fixture.shop, &market).await >= paid, "nothing paid was undone");
        }
        assert!(open > 0, "the kills hit running checkouts");
    }
}

#[tokio::test]
async fn a_server_killed_while_it_starts_starts_again() {
    let mut random = SmallRng::seed_from_u64(3);
    let mut fixture = Fixture::new().await;
    let mut market = market(&fixture, &mut random).await;
    let shop = fixture.shop.clone();
    let killer = async {
        sleep(Duration::from_millis(30)).await;
        fixture.kill();
    };
    tokio::join!(market.check_out(&shop, 0, 32), killer);
    for _ in 0..25 {
        let life = Duration::from_millis(random.random_range(0..60));
        Server::start_and_kill(&fixture.settings, fixture.data(), life).await;
    }
    fixture.restart().await;
    audit(&fixture.shop, &market).await;
}

#[tokio::test]
async fn a_server_killed_during_its_very_first_start_starts_again() {
    for life_ms in (0..30).step_by(2) {
        let directory = tempfile::tempdir().expect("a directory");
        let settings = Settings::default();
        Server::start_and_kill(&settings, directory.path(), Duration::from_millis(life_ms)).await;
        let server = Server::start(&settings, directory.path()).await;
        assert_eq!(server.shop().credit(&server.shop().user_with(3).await).await, 3);
    }
}

#[tokio::test]
async fn direct_changes_and_creations_that_were_answered_survive_a_kill() {
    let mut fixture = Fixture::with(Settings::partitions(2)).await;
    let mut answers = 0;
    for round in 0..6 {
        let shop = fixture.shop.clone();
        let load = tokio::spawn(in_parallel(16, 0..400_u64, move |number| {
            let client = shop.client.clone();
            async move {
                let created = client.send(hyper::Method::POST, "/stock/item/create/9", &[]).await.ok()?;
                let item: serde_json::Value = created.json();
                let item = item.get("item_id")?.as_str()?.to_owned();
                let path = format!("/stock/add/{item}/{number}");
                let added = client.send(hyper::Method::POST, &path, &[]).await.is_ok();
                Some((item, number, added))
            }
        }));
        sleep(Duration::from_millis(20 + 25 * round)).await;
        fixture.kill();
        let answered = load.await.expect("the load does not panic");
        fixture.restart().await;
        let answered: Vec<_> = answered.into_iter().flatten().collect();
        answers += answered.len();
        for (item, number, added) in answered {
            let stock = fixture.shop.stock(&item).await;
            assert!(stock == number || (!added && stock == 0), "{item} has {stock}, was given {number}: {added}");
        }
    }
    assert!(answers > 0, "something was answered before the kills");
}

#[tokio::test]
async fn a_batch_cut_off_by_a_kill_is_completed_by_the_same_request() {
    let mut fixture = Fixture::with(Settings::partitions(4)).await;
    let batches = [
        ("/stock/batch_init/20000/9/2", "items"),
        ("/payment/batch_init/20000/77", "users"),
        ("/orders/batch_init/20000/20000/20000/2", "orders"),
    ];
    for (path, key) in batches {
        let client = fixture.shop.client.clone();
        let request = tokio::spawn(async move { client.try_post_with_key(path, key).await });
        sleep(Duration::from_millis(15)).await;
        fixture.kill();
        drop(request.await.expect("the request does not panic"));
        fixture.restart().await;
        let answer = fixture.shop.client.post_with_key(path, key).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let shop = fixture.shop.clone();
    in_parallel(32, (0..20_000).step_by(37), move |id: u32| {
        let (shop, id) = (shop.clone(), id.to_string());
        async move {
            assert_eq!(shop.stock(&id).await, 9);
            assert_eq!(shop.credit(&id).await, 77);
            assert_eq!(shop.order(&id).await.total_cost, 4);
        }
    })
    .await;
}

#[tokio::test]
async fn a_pause_longer_than_the_deadline_leaves_every_checkout_decided() {
    let settings = Settings { checkout_timeout_seconds: Some(1), ..Settings::partitions(4) };
    let mut random = SmallRng::seed_from_u64(4);
    let fixture = Fixture::with(settings).await;
    let mut market = market(&fixture, &mut random).await;
    for pause_ms in [1_500, 300] {
        let first = place(&fixture, &mut market, &mut random, 600).await;
        let pause = async {
            sleep(Duration::from_millis(30)).await;
            fixture.server().signal(Signal::STOP);
            sleep(Duration::from_millis(pause_ms)).await;
            fixture.server().signal(Signal::CONT);
        };
        tokio::join!(market.check_out(&fixture.shop, first, 64), pause);
        for placed in market.orders.iter().skip(first) {
            let slug = placed.answers.last().map(Outcome::slug).expect("an answer");
            let decided = matches!(slug, "succeeded" | "out-of-stock" | "not-enough-credit" | "timeout" | "busy");
            assert!(decided, "{placed:?}");
        }
        audit(&fixture.shop, &market).await;
    }
}
