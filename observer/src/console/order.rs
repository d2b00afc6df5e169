//! One order: every attempt to check it out.

use std::sync::Arc;

use api::schema;
use axum::extract::State as Shared;
use contract::{OrderId, Wait};
use maud::{Markup, html};
use web::{Path, Problem};

use super::{
    Console,
    layout::{Failed, NoPage, NothingSuch, Page, badge, item_link, order_link, user_link, when},
    sequence,
};
use crate::{
    explain::explain,
    page::{Story, What},
    query::Account,
    shown::ShownCheckout,
};

/// Attempts that are drawn; there are more only of an order that was cancelled again and again.
const ATTEMPTS_MAX: usize = 8;

/// Holders that are named for each wait.
const HOLDERS_MAX: usize = 12;

/// Shows all attempts, the last one first.
#[utoipa::path(
    get, path = "/console/orders/{order_id}", tag = "console", operation_id = "console_order",
    params(("order_id" = inline(schema::Id), Path, description = "The order.")),
    responses((status = 200, description = "A page for people.", body = String, content_type = "text/html"), NoPage, NothingSuch),
)]
pub(super) async fn show(
    Shared(console): Shared<Arc<Console>>,
    order: Result<Path<OrderId>, Problem>,
) -> Result<Page, Failed> {
    let Path(order) = order?;
    let stories = console.history.attempts(&order).await?;
    if stories.is_empty() {
        return Err(Problem::not_found(format!("no checkout of order {order} is in the history")).into());
    }
    let mut attempts = Vec::new();
    for (later, story) in stories.iter().take(ATTEMPTS_MAX).enumerate() {
        attempts.push(attempt(&console, story, stories.len() - later).await?);
    }
    let body = html! {
        @for attempt in &attempts { (attempt) }
        @if stories.len() > ATTEMPTS_MAX { p.empty { "Of " (stories.len()) " attempts, these are the last " (ATTEMPTS_MAX) "." } }
    };
    Ok(Page { title: format!("Order {order}"), place: "/console/checkouts", body })
}

async fn attempt(console: &Console, story: &Story, number: usize) -> Result<Markup, Problem> {
    let shown = ShownCheckout::from(story);
    let waits = waits(console, story).await?;
    let words = explain(&console.history, story).await?;
    Ok(html! { section {
        h2 {
            "Attempt " (number) " " (badge(shown.state)) @if let Some(reason) = shown.reason { " " (reason) }
            @if let Some(took) = shown.took_ms { " after " (took) " ms" }
        }
        dl {
            div { dt { "Begun (UTC)" } dd { (when(story.checkout.started_at_ms)) } }
            div { dt { "User" } dd { (user_link(&shown.user_id)) } }
            div { dt { "Pays" } dd { (shown.amount) } }
            div { dt { "Buys" } dd { @for (place, line) in shown.lines.iter().enumerate() {
                @if place > 0 { ", " } (line.quantity) " × " (item_link(&line.item_id))
            } } }
        }
        (sequence::draw(story))
        @if !waits.is_empty() { h3 { "What it waited for" } ul { @for wait in &waits { li { (wait) } } } }
        h3 { "In words" }
        pre tabindex="0" { @for line in &words { span.line { (line) "\n" } } }
    } })
}

/// What it waited for, and who held that then.
async fn waits(console: &Console, story: &Story) -> Result<Vec<Markup>, Problem> {
    let mut waits = Vec::new();
    for happening in &story.happenings {
        let (account, Wait { wanted, free, ahead }) = match &happening.what {
            What::StockParked(item, wait) => (Account::Item(item.clone()), *wait),
            What::PaymentParked(wait) => (Account::User(story.checkout.user.clone()), *wait),
            _ => continue,
        };
        let mut holders = console.history.holders(&account, story.at(happening)).await?;
        holders.retain(|order| *order != story.checkout.order);
        waits.push(html! {
            @match &account {
                Account::Item(item) => { "item " (item_link(item.as_str())) }
                Account::User(user) => { "credit of user " (user_link(user.as_str())) }
            }
            ": wanted " (wanted.get()) ", " (free.get()) " free, " (ahead) " before it"
            @if !holders.is_empty() {
                "; held then by " @for (place, order) in holders.iter().take(HOLDERS_MAX).enumerate() {
                    @if place > 0 { ", " } (order_link(order.as_str()))
                }
                @if holders.len() > HOLDERS_MAX { " and " (holders.len() - HOLDERS_MAX) " more" }
            }
        });
    }
    Ok(waits)
}
