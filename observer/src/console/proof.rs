//! Whether what there is is explained by what happened.

use std::sync::Arc;

use axum::extract::State as Shared;
use maud::{Markup, html};

use super::{
    Console,
    layout::{Failed, NoPage, Page, live, order_link, when},
};
use crate::{
    page::Act,
    proof::{Proof, Side, Verdict},
};

/// Shows the sums, and what they do not tell.
#[utoipa::path(
    get, path = "/console/proof", tag = "console", operation_id = "console_proof",
    responses((status = 200, description = "A page for people.", body = String, content_type = "text/html"), NoPage),
)]
pub(super) async fn show(Shared(console): Shared<Arc<Console>>) -> Result<Page, Failed> {
    let proof = console.prover.prove().await?;
    let acts = console.history.acts().await?;
    let body = live(&html! {
        (verdict(&proof))
        div.wide tabindex="0" role="region" aria-label="The sums" { (sums(&proof)) }
        p.empty {
            "“Should be” is added up from the events that the observer heard; “is” is what stock and payment count over all of their accounts with \
             every change of one. Neither knows of the other."
        }
        @if !proof.anomalies.is_empty() { h2 { "What must not be" } ul.bad { @for anomaly in &proof.anomalies { li { (anomaly) } } } }
        h2 { "What this does not tell" }
        ul { @for unproven in &proof.unproven { li { (unproven) } } }
        h2 { "What operators did" }
        (done(&acts))
    });
    Ok(Page { title: "Proof".to_owned(), place: "/console/proof", body })
}

fn verdict(proof: &Proof) -> Markup {
    html! { p.verdict {
        @match proof.verdict {
            Verdict::Agrees => { strong.good { "It adds up." } " What happened makes what there is." }
            Verdict::UnderWay => { strong.waits { "Under way." } " What is in the books and not heard of yet, or the other way round, is what the sides differ by." }
            Verdict::Differs => { strong.bad { "It does not add up." } " See below." }
            Verdict::Unknown => { strong.waits { "Not known." } " It is counted from what there is as soon as nothing has happened for some seconds." }
        }
        " "
        @match &proof.since { Some(since) => { "Counted since " time { (since) } "." } None => "Counted since the beginning." }
        @if let Some(agreed_at) = proof.agreed_at.as_ref().filter(|_| proof.verdict != Verdict::Agrees) {
            " Both sides last agreed at " time { (agreed_at) } "."
        }
    } }
}

fn sums(proof: &Proof) -> Markup {
    let row = |name: &str, sign: &str, of: fn(&Side) -> Option<i64>| {
        let cell = |side: &Side| html! { td.number { @match of(side) { Some(number) => { (sign) (grouped(number)) } None => "?" } } };
        html! { tr { th scope="row" { (name) } (cell(&proof.stock)) (cell(&proof.payment)) } }
    };
    html! { table.sums {
        thead { tr { th { "" } th.number scope="col" { "Units" } th.number scope="col" { "Credit" } } }
        tbody {
            (row("Before the first event", "", |side| side.began_with))
            (row("Set by bulk commands", "+ ", |side| Some(side.set)))
            (row("What those replaced", "− ", |side| Some(side.replaced)))
            (row("Added", "+ ", |side| Some(side.added)))
            (row("Taken", "− ", |side| Some(side.taken)))
            (row(&format!("Paid by {} checkouts", grouped_count(proof.completed)), "− ", |side| Some(side.paid)))
        }
        tbody.total {
            (row("Should be", "", |side| side.expected))
            (row("Is", "", |side| Some(side.now)))
            tr {
                th scope="row" { "Difference" }
                @for side in [&proof.stock, &proof.payment] { td.number { (difference(side)) } }
            }
        }
        tbody {
            (row(&format!("Held by {} open checkouts", grouped_count(proof.open)), "", |side| Some(side.held)))
            (row("Taken without being there", "", |side| Some(side.shortfall)))
            (row("Number of items; of users", "", |side| Some(side.accounts)))
        }
    } }
}

fn done(acts: &[Act]) -> Markup {
    html! {
        @if acts.is_empty() { p.empty { "Nothing that the history knows of." } }
        @else { div.wide tabindex="0" role="region" aria-label="What operators did" { table.cells {
            thead { tr { th { "When (UTC)" } th { "What" } th { "By" } th { "Because" } } }
            tbody { @for act in acts { tr {
                td { (when(act.at)) }
                td { @match &act.order {
                    Some(order) => { "ended the checkout of " (order_link(order.as_str())) }
                    None => { "had " (act.service) "/" (act.partition) " read its sources again" }
                } }
                td data-name="by" { (act.by) }
                td.said data-name="because" { (act.because) }
            } } }
        } } }
    }
}

fn difference(side: &Side) -> Markup {
    html! { @match side.difference {
        Some(0) => { span.good { "0" } }
        Some(other) => { span.bad { @if other > 0 { "+" } (grouped(other)) } }
        None => "?",
    } }
}

fn grouped_count(number: u64) -> String {
    grouped(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A number with a thin space between each three digits.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "−".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_threes() {
        let thin = |text: &str| text.replace(' ', "\u{202f}");
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (-1_234_567, "−1 234 567"), (10_000, "10 000")]
        {
            assert_eq!(grouped(number), thin(text));
        }
    }
}
