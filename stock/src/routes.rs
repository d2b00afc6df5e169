//! Stock's public routes: from a path to a command, and from a reply to an answer.

use std::sync::Arc;

use api::{
    problems::{AMOUNT_TOO_LARGE, BUSY, OUT_OF_STOCK},
    schema,
};
use axum::{Json, extract::State};
use contract::{Amount, Answer, Counted, Id, ItemId, Sum};
use saga::{Handle, Partition, hold};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{
    Idempotency, Path, Problem,
    access::{Scope, guarded},
    bulk::{Message, Parts, call_in_parts, check_count, in_parts, numbers_of},
    call::{Waits, call, new_name},
    openapi::{AnyProblem, Conflict, KeyReused, NotFound},
};

use crate::participant::{Command, Reply, Stock};

/// What the routes work with.
#[derive(Clone, Debug)]
struct Shop {
    handle: Handle<Stock>,
    waits: Waits,
}

/// The routes under `/stock`.
pub fn router(handle: Handle<Stock>, waits: Waits) -> OpenApiRouter {
    let router = OpenApiRouter::new()
        .routes(routes!(create_item))
        .routes(routes!(find_item))
        .routes(routes!(add_stock))
        .routes(routes!(subtract_stock))
        .with_state(Arc::new(Shop { handle, waits }));
    guarded(router, Scope::StockRead, Scope::StockWrite)
}

/// The route that sets any number of items.
pub fn bulk_router(handle: Handle<Stock>) -> OpenApiRouter {
    guarded(OpenApiRouter::new().routes(routes!(initialise_items)).with_state(handle), Scope::Bulk, Scope::Bulk)
}

/// The name of a new item.
#[derive(Debug, Serialize, ToSchema)]
struct CreatedItem {
    #[schema(value_type = schema::Id, inline)]
    item_id: ItemId,
}

/// An item's units and price.
#[derive(Debug, Serialize, ToSchema)]
struct FoundItem {
    #[schema(value_type = schema::Amount, inline)]
    stock: Amount,
    #[schema(value_type = schema::Amount, inline)]
    price: Amount,
}

/// Creates an item with a price and no units.
#[utoipa::path(
    post, path = "/stock/item/create/{price}", tag = "stock",
    params(("price" = inline(schema::Amount), Path, description = "What one unit costs."), Idempotency),
    responses((status = 200, body = CreatedItem), AnyProblem, KeyReused),
)]
async fn create_item(
    State(shop): State<Arc<Shop>>,
    Path(price): Path<Amount>,
    key: Idempotency,
) -> Result<Json<CreatedItem>, Problem> {
    let (partition, item) = new_name(&shop.handle, &key, || ItemId(Id::from_random(rand::random())), ItemId::as_str);
    match call(&shop.handle, partition, Command::Create { item, price }, key, None).await? {
        Reply::Created(item_id) => Ok(Json(CreatedItem { item_id })),
        other => Err(problem(other)),
    }
}

/// Shows an item. Waits for checkouts that hold some of it and may still be undone.
#[utoipa::path(
    get, path = "/stock/find/{item_id}", tag = "stock",
    params(("item_id" = inline(schema::Id), Path, description = "The item.")),
    responses((status = 200, body = FoundItem), AnyProblem, NotFound),
)]
async fn find_item(State(shop): State<Arc<Shop>>, Path(item): Path<ItemId>) -> Result<Json<FoundItem>, Problem> {
    let partition = shop.handle.partition_of(item.as_str().as_bytes());
    let patience = Some(shop.waits.read);
    match call(&shop.handle, partition, Command::Find { item }, Idempotency::default(), patience).await? {
        Reply::Found { stock, price } => Ok(Json(FoundItem { stock, price })),
        Reply::Busy(item) => {
            let held = "units of the item are held by a checkout whose outcome is not known here yet: the order service \
                        decides it, at the latest when it is there again";
            Err(Problem::unavailable(held, 1).with("item_id", item.as_str()))
        }
        other => Err(problem(other)),
    }
}

/// Adds units.
#[utoipa::path(
    post, path = "/stock/add/{item_id}/{amount}", tag = "stock",
    params(
        ("item_id" = inline(schema::Id), Path, description = "The item."),
        ("amount" = inline(schema::Amount), Path, description = "How many units."),
        Idempotency,
    ),
    responses((status = 200, description = "They were added.", body = String, content_type = "text/plain"), AnyProblem, NotFound, KeyReused),
)]
async fn add_stock(
    State(shop): State<Arc<Shop>>,
    Path((item, amount)): Path<(ItemId, Amount)>,
    key: Idempotency,
) -> Result<&'static str, Problem> {
    let partition = shop.handle.partition_of(item.as_str().as_bytes());
    done(call(&shop.handle, partition, Command::Add { item, amount }, key, None).await?, "stock added")
}

/// Takes units away. Waits for checkouts if the units would be there once those that are running were undone.
#[utoipa::path(
    post, path = "/stock/subtract/{item_id}/{amount}", tag = "stock",
    params(
        ("item_id" = inline(schema::Id), Path, description = "The item."),
        ("amount" = inline(schema::Amount), Path, description = "How many units."),
        Idempotency,
    ),
    responses((status = 200, description = "They were taken away.", body = String, content_type = "text/plain"), AnyProblem, NotFound, Conflict, KeyReused),
)]
async fn subtract_stock(
    State(shop): State<Arc<Shop>>,
    Path((item, amount)): Path<(ItemId, Amount)>,
    key: Idempotency,
) -> Result<&'static str, Problem> {
    let partition = shop.handle.partition_of(item.as_str().as_bytes());
    let patience = Some(shop.waits.change);
    done(call(&shop.handle, partition, Command::Subtract { item, amount }, key, patience).await?, "stock subtracted")
}

/// Sets items "0" to "n-1" to a stock and a price, whether they exist or not. For tests and benchmarks.
#[utoipa::path(
    post, path = "/stock/batch_init/{n}/{starting_stock}/{item_price}", tag = "stock",
    params(
        ("n" = inline(schema::Count), Path, description = "How many items, at most 10,000,000."),
        ("starting_stock" = inline(schema::Amount), Path, description = "The units of each."),
        ("item_price" = inline(schema::Amount), Path, description = "The price of each."),
        Idempotency,
    ),
    responses((status = 200, body = Message), AnyProblem, Conflict, KeyReused),
)]
async fn initialise_items(
    State(handle): State<Handle<Stock>>,
    Path((count, stock, price)): Path<(Amount, Amount, Amount)>,
    key: Idempotency,
) -> Result<Json<Message>, Problem> {
    check_count(count.get())?;
    let handle = &handle;
    let parts = initial_parts(handle.partitions(), count, stock, price);
    let nothing = Command::Initialise { items: Vec::new(), stock, price };
    call_in_parts(handle, parts, nothing, Reply::Done, problem, key).await?;
    Ok(Json(Message { msg: "Batch init for stock successful" }))
}

fn initial_parts(partitions: Partition, count: Amount, stock: Amount, price: Amount) -> Parts<Command> {
    Box::new((0..partitions).flat_map(move |partition| {
        let items = numbers_of(partition, partitions, count.get()).map(|number| ItemId(Id::from_number(number)));
        in_parts(items).map(move |items| (partition, Command::Initialise { items, stock, price }))
    }))
}

fn done(reply: Reply, text: &'static str) -> Result<&'static str, Problem> {
    if reply == Reply::Done { Ok(text) } else { Err(problem(reply)) }
}

#[cold]
fn problem(reply: Reply) -> Problem {
    match reply {
        Reply::Unknown(item) => Problem::not_found(format!("there is no item {item}")).with("item_id", item.as_str()),
        Reply::OutOfStock(item) => {
            Problem::new(&OUT_OF_STOCK, format!("item {item} has fewer units")).with("item_id", item.as_str())
        }
        Reply::TooLarge(item) => {
            Problem::new(&AMOUNT_TOO_LARGE, format!("item {item} would have more units than can be counted"))
                .with("item_id", item.as_str())
        }
        Reply::Busy(item) => Problem::new(&BUSY, format!("checkouts hold units of item {item}"))
            .with("item_id", item.as_str())
            .retry_after_seconds(1),
        Reply::Done | Reply::Created(_) | Reply::Found { .. } | Reply::Counted(_) => {
            Problem::internal("a reply that fits no request")
        }
    }
}

/// What other services may ask stock.
#[derive(Clone, Debug)]
pub struct StockQueries(pub Handle<Stock>);

impl StockQueries {
    /// See [`contract::Books::units`].
    #[must_use]
    pub fn units(&self, item: ItemId) -> Answer<'_, Option<Amount>> {
        Box::pin(async move {
            let partition = self.0.partition_of(item.as_str().as_bytes());
            let patience = Some(Waits::default().read);
            match call(&self.0, partition, Command::Find { item }, Idempotency::default(), patience).await {
                Ok(Reply::Found { stock, .. }) => Ok(Some(stock)),
                Ok(Reply::Unknown(_)) => Ok(None),
                Ok(_) | Err(_) => Err(contract::QueryError::Unavailable),
            }
        })
    }

    /// See [`contract::Books::all_units`].
    #[must_use]
    pub fn all_units(&self) -> Answer<'_, Counted> {
        Box::pin(async move {
            let mut all = Vec::new();
            for partition in 0..self.0.partitions() {
                match call(&self.0, partition, Command::Count, Idempotency::default(), None).await {
                    Ok(Reply::Counted(totals)) => all.push(totals),
                    Ok(_) | Err(_) => return Err(contract::QueryError::Unavailable),
                }
            }
            let hold::Totals { accounts, total, held, shortfall } = all.into_iter().sum();
            Ok(Counted { accounts, total: Sum(total), held: Sum(held), shortfall: Sum(shortfall) })
        })
    }

    /// See [`contract::Queries::price`].
    #[must_use]
    pub fn price(&self, item: ItemId) -> Answer<'_, Option<Amount>> {
        Box::pin(async move {
            let partition = self.0.partition_of(item.as_str().as_bytes());
            match call(&self.0, partition, Command::Price { item }, Idempotency::default(), None).await {
                Ok(Reply::Found { price, .. }) => Ok(Some(price)),
                Ok(_) => Ok(None),
                Err(_) => Err(contract::QueryError::Unavailable),
            }
        })
    }
}
