//! An item's units or a user's credit: all that changed them.

use std::sync::Arc;

use api::schema;
use axum::extract::{Query, State as Shared, rejection::QueryRejection};
use contract::{Amount, ItemId, QueryError, UserId};
use maud::{Markup, html};
use serde::Deserialize;
use utoipa::IntoParams;
use web::{Path, Problem};

use super::{
    Console,
    layout::{Failed, NoPage, NothingSuch, Page, order_link, when},
    plot,
};
use crate::{
    history::LOOKING,
    query::{Account, Changes, Row},
    shown::ShownRow,
    statement::Running,
    wanted::now,
};

/// Changes that are looked at for the plot and for whether they add up.
const LOOKED_AT: u32 = 2000;

/// Of which so many are in the table.
const ROWS: usize = 100;

/// Where the changes go on.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct From {
    /// What the address of "Earlier changes" has.
    cursor: Option<String>,
}

type Queried = Result<Query<From>, QueryRejection>;

/// Shows an item's units.
#[utoipa::path(
    get, path = "/console/items/{item_id}", tag = "console", operation_id = "console_item",
    params(("item_id" = inline(schema::Id), Path, description = "The item."), From),
    responses((status = 200, description = "A page for people.", body = String, content_type = "text/html"), NoPage, NothingSuch),
)]
pub(super) async fn show_item(
    Shared(console): Shared<Arc<Console>>,
    item: Result<Path<ItemId>, Problem>,
    query: Queried,
) -> Result<Page, Failed> {
    let Path(item) = item?;
    let balance = known(console.books.units(item.clone()).await, || format!("there is no item {item}"))?;
    show(&console, &Account::Item(item), balance, query).await
}

/// Shows a user's credit.
#[utoipa::path(
    get, path = "/console/users/{user_id}", tag = "console", operation_id = "console_user",
    params(("user_id" = inline(schema::Id), Path, description = "The user."), From),
    responses((status = 200, description = "A page for people.", body = String, content_type = "text/html"), NoPage, NothingSuch),
)]
pub(super) async fn show_user(
    Shared(console): Shared<Arc<Console>>,
    user: Result<Path<UserId>, Problem>,
    query: Queried,
) -> Result<Page, Failed> {
    let Path(user) = user?;
    let balance = known(console.books.credit(user.clone()).await, || format!("there is no user {user}"))?;
    show(&console, &Account::User(user), balance, query).await
}

fn known(answer: Result<Option<Amount>, QueryError>, unknown: impl Fn() -> String) -> Result<Amount, Problem> {
    let balance = answer.map_err(|error| Problem::unavailable(error.to_string(), 1))?;
    balance.ok_or_else(|| Problem::not_found(unknown()))
}

async fn show(console: &Console, account: &Account, balance: Amount, query: Queried) -> Result<Page, Failed> {
    let Query(From { cursor }) = query.map_err(|rejection| Problem::malformed(rejection.body_text()))?;
    let (after, mut running) = Running::from_cursor(cursor.as_deref(), balance)?;
    let Changes { rows: found, next: rest, has_gap } =
        console.history.account_within(LOOKING, account, after, LOOKED_AT).await?;
    if has_gap {
        running.note_gap();
    }
    let mut next = None;
    let mut rows: Vec<(&Row, Option<u64>)> = Vec::new();
    for row in &found {
        rows.push((row, running.next(row)));
        if rows.len() == ROWS && found.len() > ROWS {
            next = Some(running.cursor(row.cursor));
        }
    }
    let next = next.or_else(|| rest.map(|rest| running.cursor(rest)));
    let (path, name, title, by) = match account {
        Account::Item(item) => ("items", "Units", format!("Item {item}"), "item"),
        Account::User(user) => ("users", "Credit", format!("User {user}"), "user"),
    };
    let mut points: Vec<_> = rows.iter().map_while(|(row, left)| Some((row.at, (*left)?))).collect();
    points.reverse();
    let (first, last) = (points.first().map_or(0, |(at, _)| *at), points.last().map_or(0, |(at, _)| *at));
    let until = now().min(last + last.saturating_sub(first) / 10);
    let body = html! {
        dl {
            div { dt { (name) " now, held by no checkout" } dd { (balance.get()) } }
            div { dt { "Does it add up?" } dd { (verdict(running.adds_up(rest.is_none()), rest.is_some(), found.len())) } }
            div { dt { "Checkouts" } dd { a href={ "/console/checkouts?" (by) "=" (account.id()) } { "of this " (by) } } }
        }
        (plot::steps(name, &points, until))
        (table(rows.get(..ROWS).unwrap_or(&rows)))
        @if let Some(next) = next { p { a rel="next" href={ "/console/" (path) "/" (account.id()) "?cursor=" (next) } { "Earlier changes" } } }
    };
    Ok(Page { title, place: "", body })
}

fn verdict(adds_up: Option<bool>, has_more: bool, looked_at: usize) -> Markup {
    html! {
        @match adds_up {
            Some(true) => { span.good { "yes" } ": all changes since it was created or set make what there is now" }
            Some(false) => { span.bad { "no" } ": what changed since it was created or set makes something else" }
            None if has_more => { "not known yet: " (looked_at) " changes were looked at, and there are more" }
            None => "not known: the history does not go back to where it was created, something was missed, or a bulk command set it",
        }
    }
}

fn table(rows: &[(&Row, Option<u64>)]) -> Markup {
    if rows.is_empty() {
        return html! { p.empty { "The history has no change of it." } };
    }
    html! { div.wide tabindex="0" role="region" aria-label="Changes" { table {
        thead { tr { th { "When (UTC)" } th { "What" } th.number { "Change" } th.number { "After it" } } }
        tbody { @for (row, left) in rows { (change(&ShownRow::of(row, *left), row.at)) } }
    } } }
}

fn change(shown: &ShownRow, at: u64) -> Markup {
    html! { tr {
        td { (when(at)) }
        td { @match &shown.order_id { Some(order) => { "order " (order_link(order)) } None => (shown.kind) } }
        td.number { @match shown.change { Some(change) => (format!("{change:+}")), None => "" } }
        td.number { @match shown.balance { Some(balance) => (balance), None => "?" } }
    } }
}
