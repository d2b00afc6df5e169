//! What operators may do to orders, on their own listener.

use api::schema;
use axum::{Json, extract::State};
use contract::OrderId;
use saga::Handle;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{
    Idempotency, Path, Problem,
    call::call,
    openapi::{AnyProblem, Conflict, NotFound},
    operator::Instruction,
};

use super::problem;
use crate::{
    participant::{Command, Orders, Reply},
    record::Stage,
};

/// The routes of an operator of orders.
pub fn router(handle: Handle<Orders>) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(cancel_checkout)).with_state(handle)
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
struct Cancelled {
    #[schema(value_type = schema::Id, inline)]
    order_id: OrderId,
    /// Whether it was only tried.
    dry_run: bool,
    /// What was done, or would be.
    message: String,
}

/// Ends the checkout of an order that runs as cancelled. What it holds is released; nothing else is changed. An order whose
/// checkout is decided is left as it is.
#[utoipa::path(
    post, path = "/orders/{order_id}/cancel", tag = "process",
    params(("order_id" = inline(schema::Id), Path, description = "The order."), Instruction),
    responses((status = 200, body = Cancelled), AnyProblem, NotFound, Conflict),
)]
async fn cancel_checkout(
    State(handle): State<Handle<Orders>>,
    Path(order): Path<OrderId>,
    Instruction { by, because, dry_run }: Instruction,
) -> Result<Json<Cancelled>, Problem> {
    let (by, because) = (Instruction::remark("by", &by)?, Instruction::remark("because", &because)?);
    let partition = handle.partition_of(order.as_str().as_bytes());
    let command = match dry_run {
        true => Command::Find { order: order.clone() },
        false => Command::Cancel { order: order.clone(), by, because },
    };
    let message = match call(&handle, partition, command, Idempotency::default(), None).await? {
        Reply::Done => "its checkout was cancelled; what it held is released".to_owned(),
        Reply::Found { order: found } => match found.stage {
            Stage::InCheckout(checkout) => {
                let held = "would release what it holds";
                format!("would cancel its checkout of {} by user {}, and {held}", checkout.amount.get(), checkout.user)
            }
            Stage::Paid => return Err(problem(Reply::Paid, &order)),
            Stage::Open => return Err(problem(Reply::NoCheckout, &order)),
        },
        other => return Err(problem(other, &order)),
    };
    Ok(Json(Cancelled { order_id: order, dry_run, message }))
}
