//! Payment's public routes: from a path to a command, and from a reply to an answer.

use std::sync::Arc;

use api::{
    problems::{AMOUNT_TOO_LARGE, BUSY, NOT_ENOUGH_CREDIT},
    schema,
};
use axum::{Json, extract::State};
use contract::{Amount, Answer, Counted, Id, Sum, UserId};
use saga::{Handle, Partition, hold};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{
    Asker, Idempotency, Path, Problem,
    access::{Scope, guarded},
    bulk::{Message, Parts, call_in_parts, check_count, in_parts, numbers_of},
    call::{Waits, call, new_name},
    openapi::{AnyProblem, Conflict, KeyReused, NotFound, PaymentRequired},
};

use crate::participant::{Command, Payment, Reply};

/// What the routes work with.
#[derive(Clone, Debug)]
struct Till {
    handle: Handle<Payment>,
    waits: Waits,
}

/// The routes under `/payment`.
pub fn router(handle: Handle<Payment>, waits: Waits) -> OpenApiRouter {
    let router = OpenApiRouter::new()
        .routes(routes!(create_user))
        .routes(routes!(find_user))
        .routes(routes!(add_funds))
        .routes(routes!(pay))
        .with_state(Arc::new(Till { handle, waits }));
    guarded(router, Scope::PaymentRead, Scope::PaymentWrite)
}

/// The route that sets any number of users.
pub fn bulk_router(handle: Handle<Payment>) -> OpenApiRouter {
    guarded(OpenApiRouter::new().routes(routes!(initialise_users)).with_state(handle), Scope::Bulk, Scope::Bulk)
}

/// Another's credit is told to nobody from that of a user who is not there.
fn check_is_own(asker: &Asker, user: &UserId) -> Result<(), Problem> {
    if asker.speaks_for(user.as_str()) { Ok(()) } else { Err(problem(Reply::Unknown(user.clone()))) }
}

/// The name of a new user.
#[derive(Debug, Serialize, ToSchema)]
struct CreatedUser {
    #[schema(value_type = schema::Id, inline)]
    user_id: UserId,
}

/// A user's credit.
#[derive(Debug, Serialize, ToSchema)]
struct FoundUser {
    #[schema(value_type = schema::Id, inline)]
    user_id: UserId,
    #[schema(value_type = schema::Amount, inline)]
    credit: Amount,
}

/// Creates a user without credit.
#[utoipa::path(
    post, path = "/payment/create_user", tag = "payment",
    params(Idempotency),
    responses((status = 200, body = CreatedUser), AnyProblem, KeyReused),
)]
async fn create_user(
    State(till): State<Arc<Till>>,
    asker: Asker,
    key: Idempotency,
) -> Result<Json<CreatedUser>, Problem> {
    asker.check_unbound()?;
    let (partition, user) = new_name(&till.handle, &key, || UserId(Id::from_random(rand::random())), UserId::as_str);
    match call(&till.handle, partition, Command::Create { user }, key, None).await? {
        Reply::Created(user_id) => Ok(Json(CreatedUser { user_id })),
        other => Err(problem(other)),
    }
}

/// Shows a user. Waits for checkouts that hold some of the credit and may still be undone.
#[utoipa::path(
    get, path = "/payment/find_user/{user_id}", tag = "payment",
    params(("user_id" = inline(schema::Id), Path, description = "The user.")),
    responses((status = 200, body = FoundUser), AnyProblem, NotFound),
)]
async fn find_user(
    State(till): State<Arc<Till>>,
    Path(user_id): Path<UserId>,
    asker: Asker,
) -> Result<Json<FoundUser>, Problem> {
    check_is_own(&asker, &user_id)?;
    let partition = till.handle.partition_of(user_id.as_str().as_bytes());
    let (command, patience) = (Command::Find { user: user_id.clone() }, Some(till.waits.read));
    match call(&till.handle, partition, command, Idempotency::default(), patience).await? {
        Reply::Found(credit) => Ok(Json(FoundUser { user_id, credit })),
        Reply::Busy(user) => {
            let held = "credit of the user is held by a checkout whose outcome is not known here yet: the order service \
                        decides it, at the latest when it is there again";
            Err(Problem::unavailable(held, 1).with("user_id", user.as_str()))
        }
        other => Err(problem(other)),
    }
}

/// Adds credit.
#[utoipa::path(
    post, path = "/payment/add_funds/{user_id}/{amount}", tag = "payment",
    params(
        ("user_id" = inline(schema::Id), Path, description = "The user."),
        ("amount" = inline(schema::Amount), Path, description = "How much."),
        Idempotency,
    ),
    responses((status = 200, description = "It was added.", body = String, content_type = "text/plain"), AnyProblem, NotFound, KeyReused),
)]
async fn add_funds(
    State(till): State<Arc<Till>>,
    Path((user, amount)): Path<(UserId, Amount)>,
    asker: Asker,
    key: Idempotency,
) -> Result<&'static str, Problem> {
    check_is_own(&asker, &user)?;
    let partition = till.handle.partition_of(user.as_str().as_bytes());
    done(call(&till.handle, partition, Command::AddFunds { user, amount }, key, None).await?, "funds added")
}

/// Takes credit away. Waits for checkouts if the credit would be there once those that are running were undone.
#[utoipa::path(
    post, path = "/payment/pay/{user_id}/{amount}", tag = "payment",
    params(
        ("user_id" = inline(schema::Id), Path, description = "The user."),
        ("amount" = inline(schema::Amount), Path, description = "How much."),
        Idempotency,
    ),
    responses(
        (status = 200, description = "It was taken away.", body = String, content_type = "text/plain"), AnyProblem, PaymentRequired, NotFound, Conflict, KeyReused
    ),
)]
async fn pay(
    State(till): State<Arc<Till>>,
    Path((user, amount)): Path<(UserId, Amount)>,
    asker: Asker,
    key: Idempotency,
) -> Result<&'static str, Problem> {
    check_is_own(&asker, &user)?;
    let partition = till.handle.partition_of(user.as_str().as_bytes());
    let patience = Some(till.waits.change);
    done(call(&till.handle, partition, Command::Pay { user, amount }, key, patience).await?, "paid")
}

/// Sets users "0" to "n-1" to a credit, whether they exist or not. For tests and benchmarks.
#[utoipa::path(
    post, path = "/payment/batch_init/{n}/{starting_money}", tag = "payment",
    params(
        ("n" = inline(schema::Count), Path, description = "How many users, at most 10,000,000."),
        ("starting_money" = inline(schema::Amount), Path, description = "The credit of each."),
        Idempotency,
    ),
    responses((status = 200, body = Message), AnyProblem, Conflict, KeyReused),
)]
async fn initialise_users(
    State(handle): State<Handle<Payment>>,
    Path((count, credit)): Path<(Amount, Amount)>,
    key: Idempotency,
) -> Result<Json<Message>, Problem> {
    check_count(count.get())?;
    let handle = &handle;
    let parts = initial_parts(handle.partitions(), count, credit);
    let nothing = Command::Initialise { users: Vec::new(), credit };
    call_in_parts(handle, parts, nothing, Reply::Done, problem, key).await?;
    Ok(Json(Message { msg: "Batch init for users successful" }))
}

fn initial_parts(partitions: Partition, count: Amount, credit: Amount) -> Parts<Command> {
    Box::new((0..partitions).flat_map(move |partition| {
        let users = numbers_of(partition, partitions, count.get()).map(|number| UserId(Id::from_number(number)));
        in_parts(users).map(move |users| (partition, Command::Initialise { users, credit }))
    }))
}

fn done(reply: Reply, text: &'static str) -> Result<&'static str, Problem> {
    if reply == Reply::Done { Ok(text) } else { Err(problem(reply)) }
}

#[cold]
fn problem(reply: Reply) -> Problem {
    match reply {
        Reply::Unknown(user) => Problem::not_found(format!("there is no user {user}")).with("user_id", user.as_str()),
        Reply::NotEnoughCredit(user) => {
            Problem::new(&NOT_ENOUGH_CREDIT, format!("user {user} has less credit")).with("user_id", user.as_str())
        }
        Reply::TooLarge(user) => {
            Problem::new(&AMOUNT_TOO_LARGE, format!("user {user} would have more credit than can be counted"))
                .with("user_id", user.as_str())
        }
        Reply::Busy(user) => Problem::new(&BUSY, format!("checkouts hold credit of user {user}"))
            .with("user_id", user.as_str())
            .retry_after_seconds(1),
        Reply::Done | Reply::Created(_) | Reply::Found(_) | Reply::Counted(_) => {
            Problem::internal("a reply that fits no request")
        }
    }
}

/// What other services may ask payment.
#[derive(Clone, Debug)]
pub struct PaymentQueries(pub Handle<Payment>);

impl PaymentQueries {
    /// See [`contract::Books::credit`].
    #[must_use]
    pub fn credit(&self, user: UserId) -> Answer<'_, Option<Amount>> {
        Box::pin(async move {
            let partition = self.0.partition_of(user.as_str().as_bytes());
            let patience = Some(Waits::default().read);
            match call(&self.0, partition, Command::Find { user }, Idempotency::default(), patience).await {
                Ok(Reply::Found(credit)) => Ok(Some(credit)),
                Ok(Reply::Unknown(_)) => Ok(None),
                Ok(_) | Err(_) => Err(contract::QueryError::Unavailable),
            }
        })
    }

    /// See [`contract::Books::all_credit`].
    #[must_use]
    pub fn all_credit(&self) -> Answer<'_, Counted> {
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

    /// See [`contract::Queries::knows_user`].
    #[must_use]
    pub fn knows_user(&self, user: UserId) -> Answer<'_, bool> {
        Box::pin(async move {
            let partition = self.0.partition_of(user.as_str().as_bytes());
            match call(&self.0, partition, Command::Exists { user }, Idempotency::default(), None).await {
                Ok(reply) => Ok(matches!(reply, Reply::Found(_))),
                Err(_) => Err(contract::QueryError::Unavailable),
            }
        })
    }
}
