//! What happens now.

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::State as Shared;
use maud::{Markup, html};

use super::{
    Console,
    layout::{Failed, NoPage, Page, badge, live, order_link, user_link, when},
    plot,
};
use crate::{
    filter::{Filter, State},
    page::{Story, What},
    query::{Entry, Span},
    reason::REASONS,
    shown::ShownCheckout,
    wanted::now,
};

/// Decided checkouts that are looked at: enough for a 99th percentile, few enough for a page that is asked for every second.
const DECIDED_MAX: u32 = 1000;

/// How far back they may be.
const WINDOW_MS: u64 = 60_000;

/// Checkouts that are listed of those that are not decided.
const UNDECIDED_SHOWN: usize = 10;

/// As far as parked ones are counted.
const PARKED_MAX: u32 = 200;

/// What was decided lately.
struct Lately {
    /// How long that is, in milliseconds.
    window_ms: u64,
    /// When each was decided, and whether for it.
    decided: Vec<(u64, bool)>,
    /// How long each took, the shortest first.
    took_ms: Vec<u64>,
    /// Refusals by the place of their reason.
    refused: BTreeMap<usize, usize>,
}

impl Lately {
    fn of(entries: &[Entry], is_all: bool, now: u64) -> Self {
        let decided_at = |story: &Story| story.decision().map_or(0, |decision| story.at(decision));
        let earliest = entries.iter().map(|entry| decided_at(&entry.story)).min().unwrap_or(now);
        // Before the earliest of so many there may have been more.
        let window_ms = if is_all { WINDOW_MS } else { now.saturating_sub(earliest).clamp(1, WINDOW_MS) };
        let mut lately = Self { window_ms, decided: Vec::new(), took_ms: Vec::new(), refused: BTreeMap::new() };
        let since = now.saturating_sub(window_ms);
        for entry in entries.iter().filter(|entry| decided_at(&entry.story) >= since) {
            let shown = ShownCheckout::from(&entry.story);
            let is_for = entry.story.decision().is_some_and(|decision| decision.what == What::Completed);
            lately.decided.push((decided_at(&entry.story), is_for));
            lately.took_ms.push(shown.took_ms.unwrap_or(0));
            if let Some(place) = shown.reason.and_then(|reason| REASONS.iter().position(|name| *name == reason)) {
                *lately.refused.entry(place).or_default() += 1;
            }
        }
        lately.took_ms.sort_unstable();
        lately
    }

    fn per_second(&self, is_for: bool) -> String {
        let count = self.decided.iter().filter(|(_, was_for)| *was_for == is_for).count() as u64;
        let tenths = count * 10_000 / self.window_ms;
        format!("{}.{}", tenths / 10, tenths % 10)
    }

    fn percentile(&self, percent: usize) -> Markup {
        let place = (self.took_ms.len() * percent).div_ceil(100).saturating_sub(1);
        html! { @match self.took_ms.get(place) { Some(took) => { (took) " ms" } None => "–" } }
    }
}

/// Shows what is decided, refused and open now.
#[utoipa::path(
    get, path = "/console", tag = "console", operation_id = "console_now",
    responses((status = 200, description = "A page for people.", body = String, content_type = "text/html"), NoPage),
)]
pub(super) async fn show(Shared(console): Shared<Arc<Console>>) -> Result<Page, Failed> {
    let history = &console.history;
    let (decided, rest) = history.checkouts(&Filter::default(), None, DECIDED_MAX).await?;
    let of = |state| Filter { state: Some(state), ..Filter::default() };
    let (open, _) = history.checkouts(&of(State::Open), None, UNDECIDED_SHOWN as u32).await?;
    let (parked, more_parked) = history.checkouts(&of(State::Parked), None, PARKED_MAX).await?;
    let span = history.span().await?;
    let now = now();
    let lately = Lately::of(&decided, rest.is_none(), now);
    let body = live(&html! {
        dl.figures {
            div { dt { "Completed / s" } dd.good { (lately.per_second(true)) } }
            div { dt { "Cancelled / s" } dd.bad { (lately.per_second(false)) } }
            div { dt { "p50" } dd { (lately.percentile(50)) } }
            div { dt { "p99" } dd { (lately.percentile(99)) } }
            div { dt { "Open" } dd { a href="/console/checkouts?state=open" { (span.undecided) } } }
            div { dt { "Of them parked" } dd { a href="/console/checkouts?state=parked" {
                (parked.len()) @if more_parked.is_some() { "+" }
            } } }
        }
        h2 { "Decided lately" }
        (plot::stacked(&lately.decided, now.saturating_sub(lately.window_ms), now))
        p.empty { (lately.decided.len()) " checkouts in the last " (lately.window_ms.div_ceil(1000)) " s, completed below and cancelled above." }
        h2 { "Cancelled, by reason" }
        (refusals(&lately))
        h2 { "Open for longest" }
        (undecided(&open, now))
        h2 { "The history" }
        (history_of(&span))
    });
    Ok(Page { title: "Now".to_owned(), place: "/console", body })
}

fn refusals(lately: &Lately) -> Markup {
    let most = lately.refused.values().copied().max().unwrap_or(1);
    html! {
        @if lately.refused.is_empty() { p.empty { "None of them." } }
        @else { table.bars { tbody { @for (place, count) in &lately.refused {
            @let name = REASONS.get(*place).copied().unwrap_or_default();
            tr {
                th scope="row" { a href={ "/console/checkouts?reason=" (name) } { (name) } }
                td.number { (count) }
                td { (plot::bar(*count, most)) }
            }
        } } } }
    }
}

fn undecided(open: &[Entry], now: u64) -> Markup {
    html! {
        @if open.is_empty() { p.empty { "None." } }
        @else { div.wide tabindex="0" role="region" aria-label="Open checkouts" { table.cells {
            thead { tr { th { "Begun (UTC)" } th { "State" } th.number { "For" } th { "Order" } th { "User" } } }
            tbody { @for Entry { story, .. } in open { tr {
                td { (when(story.checkout.started_at_ms)) }
                td { (badge(ShownCheckout::from(story).state)) }
                td.number { (now.saturating_sub(story.checkout.started_at_ms)) " ms" }
                td data-name="order" { (order_link(story.checkout.order.as_str())) }
                td data-name="user" { (user_link(story.checkout.user.as_str())) }
            } } }
        } } }
    }
}

fn history_of(span: &Span) -> Markup {
    html! { dl {
        div { dt { "From (UTC)" } dd { @match span.from { Some(from) => (when(from)), None => "–" } } }
        div { dt { "Takes" } dd { (span.bytes.div_ceil(1024)) " KiB on " (span.pages) " pages" } }
        div { dt { "Completed, ever" } dd { (span.completed) } }
        div { dt { "Cancelled, ever" } dd { (span.cancelled) } }
        div { dt { "Gaps" } dd {
            @if span.missed == 0 { "none" } @else { span.bad { (span.missed) " events were missed" } }
            @if span.is_doubtful { ", so some open checkouts may be decided" }
        } }
    } }
}
