//! A shop with the whole public API that goes wrong between requests, in one chosen way: what a referee is for.
//!
//! Correct, it holds one lock for each request. Each fault leaves the lock out, or lies, in one place.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

/// In which way the shop is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Race {
    /// In none.
    None,
    /// Direct changes read, wait and write, without a lock.
    ReadModifyWrite,
    /// A checkout looks whether there is enough, waits, and takes it all the same.
    ChecksThenTakes,
    /// Reads come from a copy that lags behind, now and then.
    ReadsACopy,
    /// Checkouts are answered 200 and forgotten, now and then.
    ForgetsSales,
    /// Additions are answered 200 and forgotten, now and then.
    ForgetsAdditions,
    /// Additions are applied twice, now and then.
    AddsTwice,
    /// What a refused checkout took from stock is not given back.
    KeepsWhatItRefuses,
    /// What a refused checkout took from stock is given back, after a while.
    ShowsWhatItRefuses,
    /// A checkout takes the units first and the credit a while later.
    TearsCheckouts,
    /// Says there is too little when there is enough, now and then.
    RefusesWithoutReason,
}

/// Long enough for others to come in between.
const WHILE: Duration = Duration::from_millis(3);
/// How often what happens now and then happens.
const NOW_AND_THEN: u64 = 40;

#[derive(Clone, Debug, Default)]
struct Order {
    user: String,
    lines: Vec<(String, i64)>,
    paid: bool,
}

#[derive(Clone, Debug, Default)]
struct Data {
    items: HashMap<String, i64>,
    users: HashMap<String, i64>,
    orders: HashMap<String, Order>,
}

#[derive(Debug)]
struct Shop {
    race: Race,
    data: Mutex<Data>,
    /// What reads show that lag behind.
    copy: Mutex<Data>,
    requests: AtomicU64,
}

type Shared = State<Arc<Shop>>;

impl Shop {
    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().expect("no test server panics while it holds its data")
    }

    fn now_and_then(&self, race: Race) -> bool {
        self.race == race && self.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(NOW_AND_THEN)
    }

    fn copy(&self) {
        if self.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(NOW_AND_THEN) {
            *self.copy.lock().expect("as above") = self.data().clone();
        }
    }

    /// What reads are answered from.
    fn shown(&self) -> Data {
        if self.race == Race::ReadsACopy { self.copy.lock().expect("as above").clone() } else { self.data().clone() }
    }
}

/// The shop's routes.
pub(crate) fn router(race: Race) -> Router {
    let shop = Shop { race, data: Mutex::default(), copy: Mutex::default(), requests: AtomicU64::new(0) };
    // Most servers with this API have no such route; only the one whose copy lags needs it, to end with what it has.
    let readiness = if race == Race::ReadsACopy { Router::new().route("/readyz", get(ready)) } else { Router::new() };
    readiness
        .route("/orders/create/{user}", post(create_order))
        .route("/orders/find/{order}", get(find_order))
        .route("/orders/addItem/{order}/{item}/{quantity}", post(add_item))
        .route("/orders/checkout/{order}", post(checkout))
        .route("/stock/find/{item}", get(find_item))
        .route("/stock/add/{item}/{amount}", post(add_stock))
        .route("/stock/subtract/{item}/{amount}", post(subtract_stock))
        .route("/stock/batch_init/{items}/{stock}/{price}", post(init_items))
        .route("/payment/find_user/{user}", get(find_user))
        .route("/payment/add_funds/{user}/{amount}", post(add_funds))
        .route("/payment/pay/{user}/{amount}", post(pay))
        .route("/payment/batch_init/{users}/{credit}", post(init_users))
        .with_state(Arc::new(shop))
}

fn problem(status: StatusCode, slug: &str) -> Response {
    let body = json!({ "type": format!("/problems/{slug}"), "title": slug, "status": status.as_u16() });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "not-found")
}

fn out_of_stock(item: &str) -> Response {
    let body = json!({ "type": "/problems/out-of-stock", "item_id": item });
    (StatusCode::CONFLICT, body.to_string()).into_response()
}

fn done() -> Response {
    StatusCode::OK.into_response()
}

/// The copy has caught up once the shop is asked whether it is ready: what a load ends with is not what lags behind.
async fn ready(State(shop): Shared) -> Json<Value> {
    *shop.copy.lock().expect("as above") = shop.data().clone();
    Json(json!({ "durability": "none: kept in memory" }))
}

async fn init_items(State(shop): Shared, Path((items, stock, _price)): Path<(u64, i64, i64)>) -> Json<Value> {
    shop.data().items = (0..items).map(|item| (item.to_string(), stock)).collect();
    *shop.copy.lock().expect("as above") = shop.data().clone();
    Json(json!({ "msg": "initialised" }))
}

async fn init_users(State(shop): Shared, Path((users, credit)): Path<(u64, i64)>) -> Json<Value> {
    shop.data().users = (0..users).map(|user| (user.to_string(), credit)).collect();
    *shop.copy.lock().expect("as above") = shop.data().clone();
    Json(json!({ "msg": "initialised" }))
}

async fn find_item(State(shop): Shared, Path(item): Path<String>) -> Response {
    let stock = shop.shown().items.get(&item).copied();
    stock.map_or_else(not_found, |stock| Json(json!({ "stock": stock, "price": 1 })).into_response())
}

async fn find_user(State(shop): Shared, Path(user): Path<String>) -> Response {
    let credit = shop.shown().users.get(&user).copied();
    credit.map_or_else(not_found, |credit| Json(json!({ "user_id": user, "credit": credit })).into_response())
}

async fn find_order(State(shop): Shared, Path(order_id): Path<String>) -> Response {
    let Some(order) = shop.data().orders.get(&order_id).cloned() else { return not_found() };
    let total_cost: i64 = order.lines.iter().map(|(_, quantity)| quantity).sum();
    let Order { user, lines, paid } = order;
    let body = json!({ "order_id": order_id, "paid": paid, "items": lines, "user_id": user, "total_cost": total_cost });
    Json(body).into_response()
}

async fn create_order(State(shop): Shared, Path(user): Path<String>) -> Json<Value> {
    let mut data = shop.data();
    let order_id = format!("order-{}", data.orders.len());
    data.orders.insert(order_id.clone(), Order { user, ..Order::default() });
    Json(json!({ "order_id": order_id }))
}

async fn add_item(State(shop): Shared, Path((order, item, quantity)): Path<(String, String, i64)>) -> Response {
    let mut data = shop.data();
    let Some(order) = data.orders.get_mut(&order) else { return not_found() };
    if order.paid {
        return problem(StatusCode::CONFLICT, "order-paid");
    }
    order.lines.push((item, quantity));
    done()
}

async fn add_stock(State(shop): Shared, Path((item, amount)): Path<(String, i64)>) -> Response {
    change(&shop, |data| &mut data.items, &item, amount, "out-of-stock").await
}

async fn subtract_stock(State(shop): Shared, Path((item, amount)): Path<(String, i64)>) -> Response {
    change(&shop, |data| &mut data.items, &item, -amount, "out-of-stock").await
}

async fn add_funds(State(shop): Shared, Path((user, amount)): Path<(String, i64)>) -> Response {
    change(&shop, |data| &mut data.users, &user, amount, "not-enough-credit").await
}

async fn pay(State(shop): Shared, Path((user, amount)): Path<(String, i64)>) -> Response {
    change(&shop, |data| &mut data.users, &user, -amount, "not-enough-credit").await
}

async fn change(
    shop: &Shop,
    accounts: fn(&mut Data) -> &mut HashMap<String, i64>,
    name: &str,
    delta: i64,
    too_little: &str,
) -> Response {
    if delta < 0 && shop.now_and_then(Race::RefusesWithoutReason) {
        return problem(StatusCode::CONFLICT, too_little);
    }
    if delta > 0 && shop.now_and_then(Race::ForgetsAdditions) {
        return done();
    }
    let twice = delta > 0 && shop.now_and_then(Race::AddsTwice);
    if shop.race == Race::ReadModifyWrite {
        let Some(before) = accounts(&mut shop.data()).get(name).copied() else { return not_found() };
        tokio::time::sleep(WHILE).await;
        if before + delta < 0 {
            return problem(StatusCode::CONFLICT, too_little);
        }
        accounts(&mut shop.data()).insert(name.to_owned(), before + delta);
        return done();
    }
    {
        let mut data = shop.data();
        let Some(value) = accounts(&mut data).get_mut(name) else { return not_found() };
        if *value + delta < 0 {
            return problem(StatusCode::CONFLICT, too_little);
        }
        *value += if twice { 2 * delta } else { delta };
    }
    shop.copy();
    done()
}

async fn checkout(State(shop): Shared, Path(order_id): Path<String>) -> Response {
    let Some(order) = shop.data().orders.get(&order_id).cloned() else { return not_found() };
    if order.paid {
        return done();
    }
    if shop.now_and_then(Race::ForgetsSales) {
        return done();
    }
    match shop.race {
        Race::ChecksThenTakes => {
            if let Some(refused) = wanting(&shop.data(), &order) {
                return refused;
            }
            tokio::time::sleep(WHILE).await;
            take_units(&mut shop.data(), &order);
            finish(&shop, &order_id)
        }
        Race::KeepsWhatItRefuses | Race::ShowsWhatItRefuses | Race::TearsCheckouts => in_steps(&shop, &order_id).await,
        _ => at_once(&shop, &order_id),
    }
}

fn at_once(shop: &Shop, order_id: &str) -> Response {
    {
        let mut data = shop.data();
        let Some(order) = data.orders.get(order_id).cloned().filter(|order| !order.paid) else { return done() };
        if let Some(refused) = wanting(&data, &order) {
            return refused;
        }
        take_units(&mut data, &order);
        pay_for(&mut data, &order, order_id);
    }
    shop.copy();
    done()
}

/// Takes the units, then looks at the credit, with time in between.
async fn in_steps(shop: &Shop, order_id: &str) -> Response {
    let order = {
        let mut data = shop.data();
        let Some(order) = data.orders.get(order_id).cloned().filter(|order| !order.paid) else { return done() };
        if let Some(refused) = short_of_units(&data, &order) {
            return refused;
        }
        let short_of_credit = credit(&data, &order) < cost(&order);
        match shop.race {
            // Only the order in which things show is wrong: the credit is reserved here.
            Race::TearsCheckouts if short_of_credit => {
                return problem(StatusCode::PAYMENT_REQUIRED, "not-enough-credit");
            }
            Race::TearsCheckouts => data.orders.entry(order_id.to_owned()).and_modify(|order| order.paid = true),
            _ if !short_of_credit => {
                take_units(&mut data, &order);
                pay_for(&mut data, &order, order_id);
                return done();
            }
            _ => data.orders.entry(order_id.to_owned()),
        };
        take_units(&mut data, &order);
        order
    };
    tokio::time::sleep(WHILE).await;
    let mut data = shop.data();
    match shop.race {
        Race::TearsCheckouts => {
            pay_for(&mut data, &order, order_id);
            return done();
        }
        Race::ShowsWhatItRefuses => {
            for (item, quantity) in &order.lines {
                *data.items.entry(item.clone()).or_default() += quantity;
            }
        }
        _ => {}
    }
    problem(StatusCode::PAYMENT_REQUIRED, "not-enough-credit")
}

fn finish(shop: &Shop, order_id: &str) -> Response {
    let mut data = shop.data();
    if let Some(order) = data.orders.get(order_id).cloned() {
        pay_for(&mut data, &order, order_id);
    }
    done()
}

fn cost(order: &Order) -> i64 {
    order.lines.iter().map(|(_, quantity)| quantity).sum()
}

fn credit(data: &Data, order: &Order) -> i64 {
    data.users.get(&order.user).copied().unwrap_or(0)
}

fn short_of_units(data: &Data, order: &Order) -> Option<Response> {
    if order.lines.is_empty() {
        return Some(problem(StatusCode::CONFLICT, "order-empty"));
    }
    let mut wanted: HashMap<&str, i64> = HashMap::new();
    order.lines.iter().for_each(|(item, quantity)| *wanted.entry(item).or_default() += quantity);
    let short = wanted.iter().find(|(item, quantity)| data.items.get(**item).copied().unwrap_or(0) < **quantity);
    short.map(|(item, _)| out_of_stock(item))
}

fn wanting(data: &Data, order: &Order) -> Option<Response> {
    let short_of_credit = || problem(StatusCode::PAYMENT_REQUIRED, "not-enough-credit");
    short_of_units(data, order).or_else(|| (credit(data, order) < cost(order)).then(short_of_credit))
}

fn take_units(data: &mut Data, order: &Order) {
    for (item, quantity) in &order.lines {
        *data.items.entry(item.clone()).or_default() -= quantity;
    }
}

fn pay_for(data: &mut Data, order: &Order, order_id: &str) {
    *data.users.entry(order.user.clone()).or_default() -= cost(order);
    data.orders.entry(order_id.to_owned()).and_modify(|order| order.paid = true);
}
