//! A shop with the public API in memory, correct or broken in one chosen way.
//!
//! Unlike a real one it refuses to check an order out a second time, so that a load that repeats itself shows.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
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
pub(crate) enum Fault {
    /// In none.
    None,
    /// Sells what it does not have.
    Oversells,
    /// Sells what it does not have, and lets the stock go below zero.
    OversellsBelowZero,
    /// Charges one credit too many, once in a while.
    LosesACredit,
    /// Forgets to charge, once in a while.
    ForgetsToCharge,
    /// Answers 200 without paying, once in a while, and takes nothing.
    AnswersWithoutPaying,
    /// Keeps the stock it took when the credit does not suffice.
    KeepsStockOfTheRefused,
    /// Answers 409 after it has paid, once in a while.
    RefusesWhatIsPaid,
    /// Marks another order than the one it was asked for as paid as well.
    PaysTwice,
    /// Loses an order, once in a while.
    ForgetsOrders,
    /// Adds a line while checking out.
    ChangesOrders,
    /// Changes an item's price when it is bought.
    ChangesPrices,
    /// Applies the checkout but answers 500, once in a while: unknown to the client, but correct.
    AnswersLateErrors,
    /// Does not apply the checkout and answers 500, once in a while: unknown to the client, but correct.
    AnswersEarlyErrors,
    /// Describes users in a way nobody can read: nothing can be audited.
    GarblesUsers,
    /// Stands still for a second, once, in the middle of the run, and is correct.
    StallsOnce,
}

#[derive(Clone, Debug, Default)]
struct Order {
    user: String,
    lines: Vec<(String, i64)>,
    total_cost: i64,
    paid: bool,
}

#[derive(Debug, Default)]
struct Data {
    items: HashMap<String, (i64, i64)>,
    users: HashMap<String, i64>,
    orders: HashMap<String, Order>,
    checkouts: u64,
}

#[derive(Debug)]
struct Shop {
    fault: Fault,
    data: Mutex<Data>,
}

type Shared = State<Arc<Shop>>;

impl Shop {
    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().expect("no test server panics while it holds its data")
    }
}

/// The shop's routes.
pub(crate) fn router(fault: Fault) -> Router {
    let shop = Arc::new(Shop { fault, data: Mutex::default() });
    Router::new()
        .route("/readyz", get(|| async { Json(json!({ "durability": "none: kept in memory" })) }))
        .route("/orders/create/{user}", post(create_order))
        .route("/orders/find/{order}", get(find_order))
        .route("/orders/addItem/{order}/{item}/{quantity}", post(add_item))
        .route("/orders/checkout/{order}", post(checkout))
        .route("/orders/batch_init/{orders}/{items}/{users}/{price}", post(init_orders))
        .route("/stock/find/{item}", get(find_item))
        .route("/stock/batch_init/{items}/{stock}/{price}", post(init_items))
        .route("/payment/find_user/{user}", get(find_user))
        .route("/payment/batch_init/{users}/{credit}", post(init_users))
        .with_state(shop)
}

fn problem(status: StatusCode, slug: &str) -> Response {
    let body = json!({ "type": format!("/problems/{slug}"), "title": slug, "status": status.as_u16() });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "not-found")
}

async fn init_items(State(shop): Shared, Path((items, stock, price)): Path<(u64, i64, i64)>) -> Json<Value> {
    shop.data().items = (0..items).map(|item| (item.to_string(), (stock, price))).collect();
    Json(json!({ "msg": "initialised" }))
}

async fn init_users(State(shop): Shared, Path((users, credit)): Path<(u64, i64)>) -> Json<Value> {
    shop.data().users = (0..users).map(|user| (user.to_string(), credit)).collect();
    Json(json!({ "msg": "initialised" }))
}

async fn init_orders(
    State(shop): Shared,
    Path((orders, items, users, price)): Path<(u64, u64, u64, i64)>,
) -> Json<Value> {
    let made = (0..orders).map(|order| {
        // Spread well enough; the first item of every order is one of few, so that stock can run out.
        let mixed = (order + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let lines = vec![((mixed % items).to_string(), 1), ((mixed / 7 % items).to_string(), 1)];
        let order_made = Order { user: (mixed / 11 % users).to_string(), lines, total_cost: 2 * price, paid: false };
        (order.to_string(), order_made)
    });
    shop.data().orders = made.collect();
    Json(json!({ "msg": "initialised" }))
}

async fn create_order(State(shop): Shared, Path(user): Path<String>) -> Json<Value> {
    let mut data = shop.data();
    let order_id = format!("order-{}", data.orders.len());
    let order = Order { user, ..Order::default() };
    data.orders.insert(order_id.clone(), order);
    Json(json!({ "order_id": order_id }))
}

async fn add_item(State(shop): Shared, Path((order, item, quantity)): Path<(String, String, i64)>) -> Response {
    let mut data = shop.data();
    let Some(price) = data.items.get(&item).map(|(_, price)| *price) else {
        return not_found();
    };
    let Some(order) = data.orders.get_mut(&order) else {
        return not_found();
    };
    order.lines.push((item, quantity));
    order.total_cost += price * quantity;
    StatusCode::OK.into_response()
}

async fn find_order(State(shop): Shared, Path(order_id): Path<String>) -> Response {
    let data = shop.data();
    let Some(order) = data.orders.get(&order_id) else {
        return not_found();
    };
    let body = json!({
        "order_id": order_id,
        "paid": order.paid,
        "items": order.lines,
        "user_id": order.user,
        "total_cost": order.total_cost,
    });
    Json(body).into_response()
}

async fn find_item(State(shop): Shared, Path(item): Path<String>) -> Response {
    match shop.data().items.get(&item) {
        Some((stock, price)) => Json(json!({ "stock": stock, "price": price })).into_response(),
        None => not_found(),
    }
}

async fn find_user(State(shop): Shared, Path(user): Path<String>) -> Response {
    if shop.fault == Fault::GarblesUsers {
        return "a user".into_response();
    }
    match shop.data().users.get(&user) {
        Some(credit) => Json(json!({ "user_id": user, "credit": credit })).into_response(),
        None => not_found(),
    }
}

async fn checkout(State(shop): Shared, Path(order_id): Path<String>) -> Response {
    let mut data = shop.data();
    data.checkouts += 1;
    let stall = shop.fault == Fault::StallsOnce && data.checkouts == STALLING_CHECKOUT;
    if stall {
        // With the lock held and on the only thread: nobody is served meanwhile.
        std::thread::sleep(Duration::from_secs(1));
    }
    // Rare enough that most of the shop looks right, often enough for a short run.
    let now = data.checkouts.is_multiple_of(50);
    sell(&mut data, shop.fault, now, &order_id)
}

/// The checkout during which [`Fault::StallsOnce`] stands still.
const STALLING_CHECKOUT: u64 = 200;

fn sell(data: &mut Data, fault: Fault, now: bool, order_id: &str) -> Response {
    let Some(order) = data.orders.get(order_id).cloned() else {
        return not_found();
    };
    if order.paid {
        return problem(StatusCode::CONFLICT, "paid-already");
    }
    match fault {
        Fault::AnswersWithoutPaying if now => return StatusCode::OK.into_response(),
        Fault::AnswersEarlyErrors if now => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => {}
    }
    let oversells = matches!(fault, Fault::Oversells | Fault::OversellsBelowZero);
    let taken = order.lines.iter().filter_map(|(item, _)| data.items.get_key_value(item));
    let mut items: HashMap<String, (i64, i64)> = taken.map(|(item, state)| (item.clone(), *state)).collect();
    for (item, quantity) in &order.lines {
        let Some((stock, price)) = items.get_mut(item) else {
            return not_found();
        };
        if *stock < *quantity && !oversells {
            return problem(StatusCode::CONFLICT, "out-of-stock");
        }
        *stock -= quantity;
        if fault == Fault::Oversells {
            *stock = (*stock).max(0);
        }
        if fault == Fault::ChangesPrices && now {
            *price += 1;
        }
    }
    let credit = data.users.get(&order.user).copied().unwrap_or(0);
    if credit < order.total_cost {
        if fault == Fault::KeepsStockOfTheRefused {
            data.items.extend(items);
        }
        return problem(StatusCode::PAYMENT_REQUIRED, "not-enough-credit");
    }
    let charged = match fault {
        Fault::LosesACredit if now => order.total_cost + 1,
        Fault::ForgetsToCharge if now => 0,
        _ => order.total_cost,
    };
    data.items.extend(items);
    data.users.insert(order.user, credit - charged);
    mark_paid(data, fault, now, order_id)
}

fn mark_paid(data: &mut Data, fault: Fault, now: bool, order_id: &str) -> Response {
    if let Some(order) = data.orders.get_mut(order_id) {
        order.paid = true;
        if fault == Fault::ChangesOrders && now {
            order.lines.push(("0".to_owned(), 1));
        }
    }
    match fault {
        Fault::RefusesWhatIsPaid if now => return problem(StatusCode::CONFLICT, "timeout"),
        Fault::AnswersLateErrors if now => return StatusCode::BAD_GATEWAY.into_response(),
        Fault::ForgetsOrders if now => drop(data.orders.remove(order_id)),
        Fault::PaysTwice if now => {
            let other = data.orders.values_mut().find(|order| !order.paid);
            other.into_iter().for_each(|order| order.paid = true);
        }
        _ => {}
    }
    Json(json!({ "order_id": order_id })).into_response()
}
