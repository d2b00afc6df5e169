//! What operators may ask, over HTTP.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use api::schema;
use axum::{
    Json,
    extract::{Query, State as Shared, rejection::QueryRejection},
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use contract::{Amount, Books, ItemId, OrderId, QueryError, UserId};
use futures_util::stream;
use saga::Handle;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{
    Path, Problem,
    openapi::{AnyProblem, NotFound},
};

use crate::{
    console::console,
    explain::explain,
    history::{History, LOOKING},
    participant::Observer,
    proof::{Proof, Prover},
    query::{Account, Cursor},
    shown::{self, ShownAct, ShownCheckout, ShownRow, moment},
    statement::Running,
    wanted::{Wanted, now, parameter},
};

/// What is answered where nobody says how much.
const LIMIT_DEFAULT: u32 = 50;

/// The most that one answer has.
const LIMIT_MAX: u32 = 500;

/// A stream ends after this long, and whoever follows it asks again: a process that stops need not wait for it.
const STREAM_MAX: Duration = Duration::from_secs(300);

/// How soon it is looked for new events.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

struct Admin {
    history: History,
    books: Arc<dyn Books>,
    prover: Prover,
}

/// The routes of an operator, and the console's pages.
pub fn router(handle: Handle<Observer>, books: Arc<dyn Books>) -> OpenApiRouter {
    let history = History(handle);
    let prover = Prover::new(history.clone(), Arc::clone(&books));
    let console = console(history.clone(), Arc::clone(&books), prover.clone());
    OpenApiRouter::new()
        .routes(routes!(list_checkouts))
        .routes(routes!(order_attempts))
        .routes(routes!(order_why))
        .routes(routes!(item_account))
        .routes(routes!(user_account))
        .routes(routes!(history_span))
        .routes(routes!(prove))
        .routes(routes!(list_acts))
        .routes(routes!(follow_events))
        .with_state(Arc::new(Admin { history, books, prover }))
        .merge(console)
}

/// A page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Portion {
    /// No more than so many.
    limit: Option<u32>,
    /// What an earlier answer gave as `next`.
    cursor: Option<String>,
}

/// Some checkouts.
#[derive(Debug, Serialize, ToSchema)]
struct Checkouts {
    /// The checkouts.
    checkouts: Vec<ShownCheckout>,
    /// The `cursor` with which to ask for more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// All attempts of an order.
#[derive(Debug, Serialize, ToSchema)]
struct Attempts {
    /// The last one first.
    checkouts: Vec<ShownCheckout>,
}

/// What happened to an order's checkouts, in words.
#[derive(Debug, Serialize, ToSchema)]
struct Why {
    /// Line by line, the last attempt first.
    lines: Vec<String>,
}

/// A statement of account.
#[derive(Debug, Serialize, ToSchema)]
struct Statement {
    /// What there is now, of what no checkout holds.
    balance: u64,
    /// The last change first.
    rows: Vec<ShownRow>,
    /// Whether all changes since it was created or set make what there is now; nothing where the history does not go back that
    /// far, where something was missed, where a bulk command set it while it was bought, or where the rest is still to be
    /// asked for.
    adds_up: Option<bool>,
    /// The `cursor` with which to ask for more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// How far the history goes.
#[derive(Debug, Serialize, ToSchema)]
struct ShownSpan {
    /// When the oldest of it happened.
    from: Option<String>,
    /// Pages that are kept.
    pages: u64,
    /// About how many bytes they take.
    bytes: u64,
    /// Checkouts that were decided for, since the beginning.
    completed: u64,
    /// Checkouts that were decided against, since the beginning.
    cancelled: u64,
    /// Events that were dropped before they were seen.
    missed: u64,
    /// Checkouts that are not decided.
    undecided: u64,
    /// Whether some of those may have been decided unheard.
    is_doubtful: bool,
}

type Queried<T> = Result<Query<T>, QueryRejection>;

fn queried<T>(query: Queried<T>) -> Result<T, Problem> {
    query.map(|Query(value)| value).map_err(|rejection| Problem::malformed(rejection.body_text()))
}

fn limit(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        _ => Err(Problem::malformed(format!("limit: from 1 to {LIMIT_MAX}")).with("parameter", "limit")),
    }
}

/// Lists checkouts with all that is known of them: the last decided first, or, of those that are open, the oldest first.
#[utoipa::path(
    get, path = "/checkouts", tag = "history", params(Wanted),
    responses((status = 200, body = Checkouts), AnyProblem),
)]
async fn list_checkouts(Shared(admin): Shared<Arc<Admin>>, query: Queried<Wanted>) -> Result<Json<Checkouts>, Problem> {
    let wanted = queried(query)?;
    let (limit, after) = (limit(wanted.limit)?, parameter("cursor", wanted.cursor.as_ref())?);
    let (entries, next) = admin.history.checkouts_within(LOOKING, &wanted.filter(now())?, after, limit).await?;
    let checkouts = entries.iter().map(|entry| ShownCheckout::from(&entry.story)).collect();
    Ok(Json(Checkouts { checkouts, next: next.map(|next: Cursor| next.to_string()) }))
}

/// Shows all attempts to check an order out.
#[utoipa::path(
    get, path = "/orders/{order_id}/checkouts", tag = "history",
    params(("order_id" = inline(schema::Id), Path, description = "The order.")),
    responses((status = 200, body = Attempts), AnyProblem, NotFound),
)]
async fn order_attempts(
    Shared(admin): Shared<Arc<Admin>>,
    Path(order): Path<OrderId>,
) -> Result<Json<Attempts>, Problem> {
    let stories = attempts(&admin, &order).await?;
    Ok(Json(Attempts { checkouts: stories.iter().map(ShownCheckout::from).collect() }))
}

async fn attempts(admin: &Admin, order: &OrderId) -> Result<Vec<crate::Story>, Problem> {
    let stories = admin.history.attempts(order).await?;
    if stories.is_empty() {
        let unknown = format!("no checkout of order {order} is in the history");
        return Err(Problem::not_found(unknown).with("order_id", order.as_str()));
    }
    Ok(stories)
}

/// Says in words what happened to an order's checkouts: what was held when, behind whom it waited, what was missing.
#[utoipa::path(
    get, path = "/orders/{order_id}/why", tag = "history",
    params(("order_id" = inline(schema::Id), Path, description = "The order.")),
    responses((status = 200, body = Why), AnyProblem, NotFound),
)]
async fn order_why(Shared(admin): Shared<Arc<Admin>>, Path(order): Path<OrderId>) -> Result<Json<Why>, Problem> {
    let mut lines = Vec::new();
    for story in attempts(&admin, &order).await?.iter().take(8) {
        lines.extend(explain(&admin.history, story).await?);
    }
    Ok(Json(Why { lines }))
}

/// Shows what was added to an item's units and taken from them, with what there was after each change.
#[utoipa::path(
    get, path = "/items/{item_id}/account", tag = "history",
    params(("item_id" = inline(schema::Id), Path, description = "The item."), Portion),
    responses((status = 200, body = Statement), AnyProblem, NotFound),
)]
async fn item_account(
    Shared(admin): Shared<Arc<Admin>>,
    Path(item): Path<ItemId>,
    query: Queried<Portion>,
) -> Result<Json<Statement>, Problem> {
    let balance = balance(admin.books.units(item.clone()).await)?;
    let balance = balance.ok_or_else(|| Problem::not_found(format!("there is no item {item}")))?;
    statement(&admin, &Account::Item(item), balance, queried(query)?).await
}

/// Shows what was added to a user's credit and taken from it, with what there was after each change.
#[utoipa::path(
    get, path = "/users/{user_id}/account", tag = "history",
    params(("user_id" = inline(schema::Id), Path, description = "The user."), Portion),
    responses((status = 200, body = Statement), AnyProblem, NotFound),
)]
async fn user_account(
    Shared(admin): Shared<Arc<Admin>>,
    Path(user): Path<UserId>,
    query: Queried<Portion>,
) -> Result<Json<Statement>, Problem> {
    let balance = balance(admin.books.credit(user.clone()).await)?;
    let balance = balance.ok_or_else(|| Problem::not_found(format!("there is no user {user}")))?;
    statement(&admin, &Account::User(user), balance, queried(query)?).await
}

fn balance(answer: Result<Option<Amount>, QueryError>) -> Result<Option<Amount>, Problem> {
    answer.map_err(|error| Problem::unavailable(error.to_string(), 1))
}

async fn statement(
    admin: &Admin,
    account: &Account,
    balance: Amount,
    portion: Portion,
) -> Result<Json<Statement>, Problem> {
    let (after, mut running) = Running::from_cursor(portion.cursor.as_deref(), balance)?;
    let changes = admin.history.account_within(LOOKING, account, after, limit(portion.limit)?).await?;
    let rows = changes.rows.iter().map(|row| ShownRow::of(row, running.next(row))).collect();
    if changes.has_gap {
        running.note_gap();
    }
    let next = changes.next.map(|next| running.cursor(next));
    Ok(Json(Statement { balance: balance.get(), rows, adds_up: running.adds_up(changes.next.is_none()), next }))
}

/// Says how far the history goes, what is counted, and what is missing.
#[utoipa::path(get, path = "/history", tag = "history", responses((status = 200, body = ShownSpan), AnyProblem))]
async fn history_span(Shared(admin): Shared<Arc<Admin>>) -> Result<Json<ShownSpan>, Problem> {
    let span = admin.history.span().await?;
    Ok(Json(ShownSpan {
        from: span.from.map(moment),
        pages: span.pages,
        bytes: span.bytes,
        completed: span.completed,
        cancelled: span.cancelled,
        missed: span.missed,
        undecided: span.undecided,
        is_doubtful: span.is_doubtful,
    }))
}

/// Says whether all units and all credit are explained by what happened: what there was, what was added, taken and paid, beside what
/// stock and payment count themselves.
#[utoipa::path(get, path = "/proof", tag = "history", responses((status = 200, body = Proof), AnyProblem))]
async fn prove(Shared(admin): Shared<Arc<Admin>>) -> Result<Json<Proof>, Problem> {
    Ok(Json(admin.prover.prove().await?))
}

/// What operators had done.
#[derive(Debug, Serialize, ToSchema)]
struct Acts {
    /// The last one first.
    acts: Vec<ShownAct>,
}

/// Lists what operators had done last: checkouts that they ended, and partitions that they had read their sources' logs again.
#[utoipa::path(get, path = "/acts", tag = "history", responses((status = 200, body = Acts), AnyProblem))]
async fn list_acts(Shared(admin): Shared<Arc<Admin>>) -> Result<Json<Acts>, Problem> {
    Ok(Json(Acts { acts: admin.history.acts().await?.iter().map(ShownAct::from).collect() }))
}

/// Where a stream is.
struct Following {
    history: History,
    after: Option<Cursor>,
    queue: std::collections::VecDeque<Event>,
    is_up_to_date: bool,
    until: Instant,
}

/// Follows all events from now on, or from the one on that `Last-Event-ID` names, as server-sent events of JSON objects. A
/// comment, with the id from which on to ask again, comes where there is nothing more yet; an event `cut` says that some are gone. It ends after five minutes; whoever follows
/// asks again, as browsers do.
#[utoipa::path(
    get, path = "/events", tag = "history",
    params(("Last-Event-ID" = Option<String>, Header, description = "The event after which to go on.")),
    responses((status = 200, description = "Events.", body = String, content_type = "text/event-stream"), AnyProblem),
)]
async fn follow_events(
    Shared(admin): Shared<Arc<Admin>>,
    headers: HeaderMap,
) -> Result<Sse<impl stream::Stream<Item = Result<Event, Infallible>>>, Problem> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let after: Option<Cursor> = parameter("Last-Event-ID", last.as_ref())?;
    let after = match after {
        Some(after) => after,
        None => admin.history.events(None, 1).await?.1,
    };
    let following = Following {
        history: admin.history.clone(),
        after: Some(after),
        queue: std::collections::VecDeque::new(),
        is_up_to_date: false,
        until: Instant::now() + STREAM_MAX,
    };
    let events = stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok(event), following))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

impl Following {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if Instant::now() >= self.until {
                return None;
            }
            // A history that does not answer now may do so later.
            if let Ok((events, next, is_cut)) = self.history.events(self.after, LIMIT_MAX).await {
                if is_cut {
                    self.queue.push_back(Event::default().event("cut").data("{}"));
                }
                let shown = events.iter().map(|(cursor, noted)| {
                    Event::default().id(cursor.to_string()).data(shown::event(noted).to_string())
                });
                self.queue.extend(shown);
                self.after = Some(next);
                if self.queue.is_empty() && !self.is_up_to_date {
                    // An id without data: nothing for whoever listens but from where on to ask again.
                    self.queue.push_back(Event::default().id(next.to_string()).comment("up to date"));
                }
                self.is_up_to_date = events.is_empty();
            }
            if self.queue.is_empty() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }
}
