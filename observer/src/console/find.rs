//! Looking for checkouts.

use std::sync::Arc;

use axum::{
    extract::{Query, State as Shared, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use maud::{Markup, html};
use serde::Deserialize;
use utoipa::IntoParams;
use web::Problem;

use super::{
    Console,
    layout::{Failed, NoPage, Page, badge, item_link, order_link, user_link, when},
};
use crate::{
    history::LOOKING,
    query::{Cursor, Entry},
    reason::REASONS,
    shown::ShownCheckout,
    wanted::{Wanted, now, parameter},
};

/// Rows of one page.
const ROWS: u32 = 50;

const STATES: [(&str, &str); 5] =
    [("", "decided"), ("open", "open"), ("parked", "parked"), ("completed", "completed"), ("cancelled", "cancelled")];

/// What stands in the form: a field that was left empty asks for nothing.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct Form {
    /// `open`, `parked`, `completed` or `cancelled`; empty: those that are decided.
    #[param(required = false)]
    state: String,
    /// Why it was cancelled, such as `out-of-stock`.
    #[param(required = false)]
    reason: String,
    /// Buys this item.
    #[param(required = false)]
    item: String,
    /// Is paid by this user.
    #[param(required = false)]
    user: String,
    /// Is of this order.
    #[param(required = false)]
    order: String,
    /// Began no more than so many seconds ago.
    #[param(required = false)]
    within: String,
    /// Took, or is taking, at least so many milliseconds.
    #[param(required = false)]
    at_least_ms: String,
    /// What the address of the next page has.
    #[param(required = false)]
    cursor: String,
}

fn said(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl Form {
    fn wanted(&self) -> Result<Wanted, Problem> {
        let reason = said(&self.reason);
        if reason.as_deref().is_some_and(|reason| !REASONS.contains(&reason)) {
            return Err(Problem::malformed(format!("reason: it is one of {}", REASONS.join(", "))));
        }
        Ok(Wanted {
            state: said(&self.state),
            reason,
            item: said(&self.item),
            user: said(&self.user),
            order: said(&self.order),
            within: parameter("within", said(&self.within).as_ref())?,
            at_least_ms: parameter("at least", said(&self.at_least_ms).as_ref())?,
            limit: None,
            cursor: said(&self.cursor),
        })
    }

    /// The same question, further on.
    fn next(&self, cursor: Cursor) -> String {
        // All of it was found to be ids, numbers or names of ours, which stand in an address as they are.
        let fields = [
            ("state", &self.state),
            ("reason", &self.reason),
            ("item", &self.item),
            ("user", &self.user),
            ("order", &self.order),
            ("within", &self.within),
            ("at_least_ms", &self.at_least_ms),
        ];
        let fields = fields.iter().filter_map(|(name, text)| said(text).map(|text| format!("{name}={text}&")));
        format!("/console/checkouts?{}cursor={cursor}", fields.collect::<String>())
    }

    fn markup(&self) -> Markup {
        let select = |name: &str, label: &str, is: &str, options: &[(&str, &str)]| {
            html! { label { (label) select name=(name) {
                @for (value, shown) in options { option value=(value) selected[*value == is] { (shown) } }
            } } }
        };
        let input = |name: &str, label: &str, is: &str, is_number: bool| {
            html! { label { (label)
                input name=(name) value=(is) inputmode=[is_number.then_some("numeric")] autocomplete="off" spellcheck="false";
            } }
        };
        let reasons: Vec<_> = std::iter::once(("", "any")).chain(REASONS.iter().map(|name| (*name, *name))).collect();
        html! { form.filter method="get" action="/console/checkouts" role="search" {
            (select("state", "State", &self.state, &STATES))
            (select("reason", "Reason", &self.reason, &reasons))
            (input("item", "Item", &self.item, false))
            (input("user", "User", &self.user, false))
            (input("order", "Order", &self.order, false))
            (input("within", "Begun in the last … seconds", &self.within, true))
            (input("at_least_ms", "Took at least … ms", &self.at_least_ms, true))
            button { "Find" }
        } }
    }
}

/// Shows the form and what it finds.
#[utoipa::path(
    get, path = "/console/checkouts", tag = "console", operation_id = "console_checkouts",
    params(Form),
    responses((status = 200, description = "A page for people.", body = String, content_type = "text/html"), NoPage),
)]
pub(super) async fn show(
    Shared(console): Shared<Arc<Console>>,
    form: Result<Query<Form>, QueryRejection>,
) -> Result<Response, Failed> {
    let Query(form) = form.map_err(|rejection| Problem::malformed(rejection.body_text()))?;
    let page = |found: Markup| Page {
        title: "Checkouts".to_owned(),
        place: "/console/checkouts",
        body: html! { (form.markup()) (found) },
    };
    let asked = form.wanted().and_then(|wanted| {
        let after: Option<Cursor> = parameter("cursor", wanted.cursor.as_ref())?;
        Ok((wanted.filter(now())?, after))
    });
    // What was typed stays in the form, to be mended.
    let (filter, after) = match asked {
        Ok(asked) => asked,
        Err(problem) => {
            let wrong = html! { p.bad role="alert" { (problem.detail()) } };
            return Ok(page(wrong).with_status(StatusCode::BAD_REQUEST));
        }
    };
    let (entries, next) = console.history.checkouts_within(LOOKING, &filter, after, ROWS).await?;
    Ok(page(html! {
        @if entries.is_empty() && next.is_some() { p.empty { "None so far: there is more to look through." } } @else { (table(&entries)) }
        @if let Some(next) = next { p { a rel="next" href=(form.next(next)) {
            @if entries.len() < ROWS as usize { "Look on" } @else { "Next page" }
        } } }
    })
    .into_response())
}

fn table(entries: &[Entry]) -> Markup {
    if entries.is_empty() {
        return html! { p.empty { "The history has no such checkout." } };
    }
    html! { div.wide tabindex="0" role="region" aria-label="Checkouts that were found" { table.cells {
        thead { tr {
            th { "Begun (UTC)" } th { "State" } th.number { "Took" } th { "Order" } th { "User" } th.number { "Pays" } th { "Buys" }
        } }
        tbody { @for entry in entries { (row(entry)) } }
    } } }
}

fn row(entry: &Entry) -> Markup {
    let shown = ShownCheckout::from(&entry.story);
    html! { tr {
        td { (when(entry.story.checkout.started_at_ms)) }
        td { (badge(shown.state)) @if let Some(reason) = shown.reason { " " (reason) } }
        td.number { @match shown.took_ms { Some(took) => { (took) " ms" } None => "–" } }
        td data-name="order" { (order_link(&shown.order_id)) }
        td data-name="user" { (user_link(&shown.user_id)) }
        td.number data-name="pays" { (shown.amount) }
        td data-name="buys" {
            @if let Some(line) = shown.lines.first() { (line.quantity) " × " (item_link(&line.item_id)) }
            @if shown.lines.len() > 1 { " + " (shown.lines.len() - 1) }
        }
    } }
}
