//! The order service's public routes: from a path to a command, and from a reply to an answer.

pub(crate) mod operator;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use api::{
    problems::{AMOUNT_TOO_LARGE, BUSY, NOT_ENOUGH_CREDIT, OUT_OF_STOCK},
    schema,
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use contract::{
    Amount, CallerSpan, CheckoutId, Id, ItemId, Line, OrderId, Quantity, Queries, QueryError, Reason, RequestName,
    SpanId, TraceId, UserId,
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use saga::{Clock, Handle, Partition, SystemClock};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{
    Asker, Idempotency, Path, Problem, TraceParent, Traced,
    access::{Scope, guarded},
    bulk::{Message, Parts, call_in_parts, check_count, in_parts, numbers_of},
    call::{Waits, call, new_name},
    openapi::{AnyProblem, Conflict, KeyReused, NotFound, OutcomeUnknown, PaymentRequired},
};

use crate::{
    log::Log,
    participant::{Command, NewOrder, Orders, Reply},
    problems,
    record::{Order, Stage},
};

/// What the routes work with.
struct Desk {
    handle: Handle<Orders>,
    queries: Arc<dyn Queries>,
    /// How long the caller of a checkout waits before it is told that the outcome is unknown.
    checkout_wait: Duration,
    log: Log,
}

/// The routes under `/orders`. `checkout_timeout` is the participant's.
pub fn router(
    handle: Handle<Orders>,
    queries: Arc<dyn Queries>,
    checkout_timeout: Duration,
    waits: Waits,
    log: Log,
) -> OpenApiRouter {
    let router = OpenApiRouter::new()
        .routes(routes!(create_order))
        .routes(routes!(find_order))
        .routes(routes!(add_item))
        .routes(routes!(checkout))
        .with_state(Arc::new(Desk { handle, queries, checkout_wait: checkout_timeout + waits.grace, log }));
    guarded(router, Scope::OrdersRead, Scope::OrdersWrite)
}

/// The route that sets any number of orders.
pub fn bulk_router(handle: Handle<Orders>) -> OpenApiRouter {
    guarded(OpenApiRouter::new().routes(routes!(initialise_orders)).with_state(handle), Scope::Bulk, Scope::Bulk)
}

/// The name of a new order.
#[derive(Debug, Serialize, ToSchema)]
struct CreatedOrder {
    #[schema(value_type = schema::Id, inline)]
    order_id: OrderId,
}

/// An order.
#[derive(Debug, Serialize, ToSchema)]
struct FoundOrder {
    #[schema(value_type = schema::Id, inline)]
    order_id: OrderId,
    /// Whether it was checked out.
    paid: bool,
    // No comment of its own here or at others that are in line: the document would call it an object as well.
    #[schema(value_type = schema::Lines, inline)]
    items: Vec<(ItemId, Quantity)>,
    #[schema(value_type = schema::Id, inline)]
    user_id: UserId,
    #[schema(value_type = schema::Amount, inline)]
    total_cost: Amount,
}

impl FoundOrder {
    fn new(order_id: OrderId, order: Order) -> Self {
        Self {
            order_id,
            paid: order.stage == Stage::Paid,
            items: order.lines.into_iter().map(|line| (line.item, line.quantity)).collect(),
            user_id: order.user,
            total_cost: order.total_cost,
        }
    }
}

/// Creates an empty order.
#[utoipa::path(
    post, path = "/orders/create/{user_id}", tag = "orders",
    params(("user_id" = inline(schema::Id), Path, description = "Who orders and pays."), Idempotency),
    responses((status = 200, body = CreatedOrder), AnyProblem, NotFound, KeyReused),
)]
async fn create_order(
    State(desk): State<Arc<Desk>>,
    Path(user): Path<UserId>,
    asker: Asker,
    key: Idempotency,
) -> Result<Json<CreatedOrder>, Problem> {
    if !asker.speaks_for(user.as_str())
        || !desk.queries.knows_user(user.clone()).await.map_err(|error| unavailable(&error, "payment"))?
    {
        return Err(Problem::not_found(format!("there is no user {user}")).with("user_id", user.as_str()));
    }
    let (partition, order) = new_name(&desk.handle, &key, || OrderId(Id::from_random(rand::random())), OrderId::as_str);
    match call(&desk.handle, partition, Command::Create { order: order.clone(), user }, key, None).await? {
        Reply::Created(order_id) => Ok(Json(CreatedOrder { order_id })),
        other => Err(problem(other, &order)),
    }
}

/// Shows an order.
#[utoipa::path(
    get, path = "/orders/find/{order_id}", tag = "orders",
    params(("order_id" = inline(schema::Id), Path, description = "The order.")),
    responses((status = 200, body = FoundOrder), AnyProblem, NotFound),
)]
async fn find_order(
    State(desk): State<Arc<Desk>>,
    Path(order): Path<OrderId>,
    asker: Asker,
) -> Result<Json<FoundOrder>, Problem> {
    let found = find(&desk, &asker, &order).await?;
    Ok(Json(FoundOrder::new(order, found)))
}

/// The order, if it is one of whoever asks: another's is told to nobody from one that is not there.
async fn find(desk: &Desk, asker: &Asker, order: &OrderId) -> Result<Order, Problem> {
    let partition = desk.handle.partition_of(order.as_str().as_bytes());
    let command = Command::Find { order: order.clone() };
    match call(&desk.handle, partition, command, Idempotency::default(), None).await? {
        Reply::Found { order: found } if asker.speaks_for(found.user.as_str()) => Ok(found),
        Reply::Found { .. } => Err(problem(Reply::Unknown(order.clone()), order)),
        other => Err(problem(other, order)),
    }
}

/// Refuses what is asked for another's order, by whoever may speak for one user alone. An order's user stays the same, but for bulk
/// requests of operators.
async fn check_is_own(desk: &Desk, asker: &Asker, order: &OrderId) -> Result<(), Problem> {
    match asker.user() {
        Some(_) => find(desk, asker, order).await.map(drop),
        None => Ok(()),
    }
}

/// Adds a line to an order, at stock's price of this moment.
#[utoipa::path(
    post, path = "/orders/addItem/{order_id}/{item_id}/{quantity}", tag = "orders",
    params(
        ("order_id" = inline(schema::Id), Path, description = "The order."),
        ("item_id" = inline(schema::Id), Path, description = "The item."),
        ("quantity" = inline(schema::Quantity), Path, description = "How many units, at least 1."),
        Idempotency,
    ),
    responses((status = 200, description = "It was added.", body = String, content_type = "text/plain"), AnyProblem, NotFound, Conflict, KeyReused),
)]
async fn add_item(
    State(desk): State<Arc<Desk>>,
    Path((order, item, quantity)): Path<(OrderId, ItemId, Quantity)>,
    asker: Asker,
    key: Idempotency,
) -> Result<&'static str, Problem> {
    check_is_own(&desk, &asker, &order).await?;
    let price = desk.queries.price(item.clone()).await.map_err(|error| unavailable(&error, "stock"))?;
    let Some(price) = price else {
        return Err(Problem::not_found(format!("there is no item {item}")).with("item_id", item.as_str()));
    };
    let partition = desk.handle.partition_of(order.as_str().as_bytes());
    let command = Command::AddItem { order: order.clone(), item, quantity, price };
    match call(&desk.handle, partition, command, key, None).await? {
        Reply::Done => Ok("item added"),
        other => Err(problem(other, &order)),
    }
}

/// Checks an order out: takes its items from stock and its cost from the user's credit, or does nothing.
///
/// Answers once the outcome is durable: 200 when all of it happened, 4xx when none did and none will. Checking out an
/// order that is being checked out joins the attempt that runs; a paid order is left as it is.
#[utoipa::path(
    post, path = "/orders/checkout/{order_id}", tag = "orders",
    params(("order_id" = inline(schema::Id), Path, description = "The order."), Idempotency),
    responses(
        (status = 200, description = "It is paid.", body = String, content_type = "text/plain"),
        AnyProblem, PaymentRequired, NotFound, Conflict, KeyReused, OutcomeUnknown
    ),
)]
async fn checkout(
    State(desk): State<Arc<Desk>>,
    Path(order): Path<OrderId>,
    Traced(parent): Traced,
    asker: Asker,
    key: Idempotency,
) -> Response {
    let attempt = CheckoutId::from_random(key.shared_number().unwrap_or_else(rand::random));
    let caller = caller_of(parent, &key);
    let trace = caller.map_or_else(|| attempt.trace(), |caller| caller.trace);
    let outcome = match check_is_own(&desk, &asker, &order).await {
        Ok(()) => check_out(&desk, order, (attempt, caller, trace), key).await,
        Err(problem) => Err(problem),
    };
    let answer = outcome.map_err(|problem| problem.with("trace_id", trace.to_string())).into_response();
    if web::is_replayed() {
        // The span is another request's, whose name is not known.
        return answer;
    }
    let (trace, span) = (u128::from_be_bytes(trace.to_bytes()), u64::from_be_bytes(attempt.span().to_bytes()));
    TraceParent { trace, span, flags: parent.map_or(0, |parent| parent.flags) }.on(answer)
}

/// The trace that a checkout belongs to, where that does not follow from the name of its attempt: that is another one with every
/// request, also of those that repeat a client's own key.
fn caller_of(parent: Option<TraceParent>, key: &Idempotency) -> Option<CallerSpan> {
    match parent {
        Some(parent) => Some(CallerSpan { trace: TraceId::new(parent.trace)?, span: SpanId::new(parent.span) }),
        None if key.shared_number().is_some() => None,
        None => Some(CallerSpan { trace: TraceId::new(key.number()?)?, span: None }),
    }
}

async fn check_out(
    desk: &Desk,
    order: OrderId,
    (attempt, caller, trace): (CheckoutId, Option<CallerSpan>, TraceId),
    key: Idempotency,
) -> Result<&'static str, Problem> {
    let began = Instant::now();
    let partition = desk.handle.partition_of(order.as_str().as_bytes());
    let is_shared = key.shared_number().is_some();
    let asked = key.since().unwrap_or_else(|| SystemClock.now().0);
    let request = web::RequestName::current().and_then(|name| RequestName::new(name.as_str()));
    let mut command = Command::Checkout { order: order.clone(), attempt, asked, request: request.clone(), caller };
    let asking = async {
        loop {
            let reply = call(&desk.handle, partition, command.clone(), key.clone(), None).await?;
            match command.asked_anew(&reply) {
                // Whoever made the key may have sent copies elsewhere, and been answered.
                Some(anew) if !is_shared => command = anew,
                _ => return Ok(reply),
            }
        }
    };
    let outcome = tokio::time::timeout(desk.checkout_wait, asking).await;
    desk.log.answered(&order, (request.as_ref(), trace), matches!(outcome, Ok(Ok(Reply::Done))), began.elapsed());
    match outcome {
        Ok(Ok(Reply::Done)) => Ok("Checkout successful"),
        Ok(Ok(refused)) => Err(problem(refused, &order)),
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(Problem::outcome_unknown(format!("GET /orders/find/{order} will show whether it is paid"))
            .with("order_id", order.as_str())),
    }
}

/// Sets orders "0" to "n-1" to two lines of one unit each, of random items, for random users, whether they exist or
/// not. Items and users are among "0" to "n_items-1" and "n_users-1". For tests and benchmarks.
#[utoipa::path(
    post, path = "/orders/batch_init/{n}/{n_items}/{n_users}/{item_price}", tag = "orders",
    params(
        ("n" = inline(schema::Count), Path, description = "How many orders, at most 10,000,000."),
        ("n_items" = inline(schema::Quantity), Path, description = "How many items there are, at least 1."),
        ("n_users" = inline(schema::Quantity), Path, description = "How many users there are, at least 1."),
        ("item_price" = inline(schema::Amount), Path, description = "What each unit costs."),
        Idempotency,
    ),
    responses((status = 200, body = Message), AnyProblem, Conflict, KeyReused),
)]
async fn initialise_orders(
    State(handle): State<Handle<Orders>>,
    Path((count, items, users, price)): Path<(Amount, Quantity, Quantity, Amount)>,
    key: Idempotency,
) -> Result<Json<Message>, Problem> {
    check_count(count.get())?;
    let Some(total_cost) = price.checked_add(price) else {
        return Err(Problem::new(&AMOUNT_TOO_LARGE, "an order would cost more than can be counted"));
    };
    let handle = &handle;
    let new = Random { random: SmallRng::from_rng(&mut rand::rng()), items, users, total_cost };
    let parts = initial_parts(handle.partitions(), count, new);
    let nothing = Command::Initialise { orders: Vec::new() };
    let refusal = |reply| problem(reply, &OrderId(Id::from_number(0)));
    call_in_parts(handle, parts, nothing, Reply::Done, refusal, key).await?;
    Ok(Json(Message { msg: "Batch init for orders successful" }))
}

/// What random orders are made of.
#[derive(Clone)]
struct Random {
    random: SmallRng,
    items: Quantity,
    users: Quantity,
    total_cost: Amount,
}

impl Random {
    fn order(&mut self, number: u64) -> NewOrder {
        let user = UserId(Id::from_number(self.random.random_range(0..self.users.get())));
        let lines = [self.line(), self.line()].into_iter().flatten().collect();
        NewOrder { order: OrderId(Id::from_number(number)), user, lines, total_cost: self.total_cost }
    }

    fn line(&mut self) -> Option<Line> {
        let item = ItemId(Id::from_number(self.random.random_range(0..self.items.get())));
        Quantity::new(1).ok().map(|quantity| Line { item, quantity })
    }
}

fn initial_parts(partitions: Partition, count: Amount, mut random: Random) -> Parts<Command> {
    Box::new((0..partitions).flat_map(move |partition| {
        let mut random = Random { random: SmallRng::from_rng(&mut random.random), ..random.clone() };
        let orders = numbers_of(partition, partitions, count.get()).map(move |number| random.order(number));
        in_parts(orders).map(move |orders| (partition, Command::Initialise { orders }))
    }))
}

#[cold]
fn unavailable(error: &QueryError, service: &str) -> Problem {
    Problem::unavailable(format!("{service}: {error}; nothing was changed"), 1)
}

#[cold]
fn problem(reply: Reply, order: &OrderId) -> Problem {
    let problem = match reply {
        Reply::Unknown(order) => Problem::not_found(format!("there is no order {order}")),
        Reply::InCheckout => {
            Problem::new(&problems::ORDER_IN_CHECKOUT, "a checkout of the order runs").retry_after_seconds(1)
        }
        Reply::Paid => Problem::new(&problems::ORDER_PAID, "the order was checked out before"),
        Reply::TooManyLines => Problem::new(&problems::TOO_MANY_LINES, "the order has 100 lines already"),
        Reply::TooLarge => Problem::new(&AMOUNT_TOO_LARGE, "the order would be more than can be counted"),
        Reply::Empty => Problem::new(&problems::ORDER_EMPTY, "the order has no lines"),
        Reply::NoCheckout => Problem::new(&problems::NO_CHECKOUT, "the order is not being checked out"),
        Reply::Cancelled(reason) => cancelled(reason),
        Reply::Late { may_be_paid: true, .. } => {
            let detail = "the order was set anew after a checkout that may have been this one";
            Problem::outcome_unknown(detail)
        }
        Reply::Late { .. } => {
            let detail = "the order was tried or set anew since the request was made; nothing was done";
            Problem::new(&BUSY, detail).retry_after_seconds(1)
        }
        Reply::Done | Reply::Created(_) | Reply::Found { .. } => Problem::internal("a reply that fits no request"),
    };
    problem.with("order_id", order.as_str())
}

fn cancelled(reason: Reason) -> Problem {
    match reason {
        Reason::OutOfStock { item } => {
            Problem::new(&OUT_OF_STOCK, format!("item {item} has fewer units")).with("item_id", item.as_str())
        }
        Reason::UnknownItem { item } => {
            Problem::not_found(format!("there is no item {item}")).with("item_id", item.as_str())
        }
        Reason::NotEnoughCredit => Problem::new(&NOT_ENOUGH_CREDIT, "the user has less credit"),
        Reason::UnknownUser => Problem::not_found("there is no user with the order's user_id"),
        Reason::Busy => {
            Problem::new(&BUSY, "too many checkouts wait for the same item or credit").retry_after_seconds(1)
        }
        Reason::Timeout => Problem::new(&problems::TIMEOUT, "the checkout was cancelled at its deadline"),
        // Who and why is for operators.
        Reason::CancelledByOperator { .. } => {
            Problem::new(&problems::CANCELLED_BY_OPERATOR, "an operator ended the checkout")
        }
    }
}
