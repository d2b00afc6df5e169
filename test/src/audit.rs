//! Conservation: what is there is what was given, less what paid orders took, to the last unit and credit.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{Answer, Market, Order, Outcome, Shop, User, load::in_parallel, shop::Item};

/// How many reads at once.
const READ_AT_ONCE_MAX: usize = 32;

/// How long a read may say that the outcome of a checkout is still open: the longest deadline of a checkout that the
/// tests use, and time for what follows it.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// Reads everything of the market and compares it with every answer given.
///
/// An order is paid if one of its checkouts succeeded, is not paid if all were refused, and may be either if one was
/// left without an answer. Whatever it is, exactly the paid orders explain each user's credit and each item's stock.
///
/// Returns how many orders are paid.
///
/// # Panics
/// Anything disagrees.
pub async fn audit(shop: &Shop, market: &Market) -> usize {
    audit_apart([shop; 3], market).await
}

/// The same of a shop whose orders, items and users are asked for at servers of their own.
///
/// # Panics
/// Anything disagrees.
pub async fn audit_apart([of_orders, of_items, of_users]: [&Shop; 3], market: &Market) -> usize {
    let paths = market.orders.iter().map(|placed| format!("/orders/find/{}", placed.order));
    let orders = read(of_orders, paths.collect()).await;
    let mut spent: BTreeMap<&str, u64> = BTreeMap::new();
    let mut sold: BTreeMap<&str, u64> = BTreeMap::new();
    let mut paid = 0;
    for (placed, answer) in market.orders.iter().zip(orders) {
        let order: Order = answer.json();
        let shown = format!("{placed:?} is {order:?}");
        assert_eq!(order.user_id, placed.user, "{shown}");
        assert_eq!(order.items, placed.lines, "{shown}");
        assert_eq!(order.total_cost, market.cost(placed), "{shown}");
        let succeeded = placed.answers.contains(&Outcome::Succeeded);
        let unknown = placed.answers.iter().any(|answer| matches!(answer, Outcome::Unknown(_)));
        assert!(order.paid || !succeeded, "answered 200 and not paid: {shown}");
        assert!(!order.paid || succeeded || unknown, "paid though never answered 200: {shown}");
        if order.paid {
            paid += 1;
            *spent.entry(&placed.user).or_default() += order.total_cost;
            for (item, quantity) in &placed.lines {
                *sold.entry(item).or_default() += quantity;
            }
        }
    }
    let paths = market.credit.keys().map(|user| format!("/payment/find_user/{user}"));
    let users = read(of_users, paths.collect()).await;
    for ((user, given), answer) in market.credit.iter().zip(users) {
        let spent = spent.get(user.as_str()).copied().unwrap_or_default();
        assert_eq!(answer.json::<User>().credit + spent, *given, "credit of {user}, who spent {spent} of {given}");
    }
    let paths = market.stock.keys().map(|item| format!("/stock/find/{item}"));
    let items = read(of_items, paths.collect()).await;
    for ((item, (given, _)), answer) in market.stock.iter().zip(items) {
        let sold = sold.get(item.as_str()).copied().unwrap_or_default();
        assert_eq!(answer.json::<Item>().stock + sold, *given, "stock of {item}, of which {sold} of {given} were sold");
    }
    paid
}

async fn read(shop: &Shop, paths: Vec<String>) -> Vec<Answer> {
    let shop = shop.clone();
    in_parallel(READ_AT_ONCE_MAX, paths, move |path| {
        let shop = shop.clone();
        async move { settled(&shop, &path).await }
    })
    .await
}

/// A read waits, bounded, for the holds it meets; right after a restart they may outlast that bound.
async fn settled(shop: &Shop, path: &str) -> Answer {
    let deadline = Instant::now() + OPEN_TIMEOUT;
    loop {
        let answer = shop.client.get(path).await;
        if answer.status != 503 {
            return answer;
        }
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        assert!(Instant::now() < deadline, "still open: {path}");
        sleep(Duration::from_millis(100)).await;
    }
}
