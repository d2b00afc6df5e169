//! What happened to a checkout and why, in words.

use contract::{OrderId, Reason, Shortage, Wait};

use crate::{
    history::History,
    page::{Happening, Story, What},
    query::Account,
    shown::moment,
};
use web::Problem;

/// The story of one attempt, a line for each thing that happened, and what it comes to.
///
/// # Errors
/// The history does not answer.
pub async fn explain(history: &History, story: &Story) -> Result<Vec<String>, Problem> {
    let checkout = &story.checkout;
    let lines: Vec<_> = checkout.lines.iter().map(|line| format!("{} x {}", line.quantity.get(), line.item)).collect();
    let mut said = vec![format!(
        "order {}: user {} pays {} for {}, begun at {}",
        checkout.order,
        checkout.user,
        checkout.amount.get(),
        lines.join(", "),
        moment(checkout.started_at_ms)
    )];
    if !story.has_begun() {
        said.push("  its beginning is not in the history".to_owned());
    }
    for happening in &story.happenings {
        let what = line(history, story, happening).await?;
        let Happening { after_ms, partition, what: happened, .. } = happening;
        said.push(format!("  {after_ms:>6} ms  {:<11} {what}", format!("{}/{partition}", happened.service())));
    }
    said.push(outcome(history, story).await?);
    Ok(said)
}

async fn line(history: &History, story: &Story, happening: &Happening) -> Result<String, Problem> {
    Ok(match &happening.what {
        What::Started => "the checkout begins".to_owned(),
        What::Reserved => "holds the units".to_owned(),
        What::Authorized => format!("holds {} credit", story.checkout.amount.get()),
        What::Withdrawn => "holds nothing, and will not".to_owned(),
        What::Completed => "decided: paid".to_owned(),
        What::Cancelled(reason, _) => format!("decided: cancelled, {}", in_words(reason)),
        What::StockRefused(reason, short) | What::PaymentRefused(reason, short) => {
            format!("refuses: {}{}", in_words(reason), numbers(*short))
        }
        What::StockParked(item, wait) => {
            let account = Account::Item(item.clone());
            format!("waits for item {item}: {}", waiting(history, story, happening, &account, *wait).await?)
        }
        What::PaymentParked(wait) => {
            let account = Account::User(story.checkout.user.clone());
            format!("waits for credit: {}", waiting(history, story, happening, &account, *wait).await?)
        }
    })
}

async fn waiting(
    history: &History,
    story: &Story,
    happening: &Happening,
    account: &Account,
    Wait { wanted, free, ahead }: Wait,
) -> Result<String, Problem> {
    let mut holders = history.holders(account, story.at(happening)).await?;
    holders.retain(|order| *order != story.checkout.order);
    let before = if ahead == 0 { String::new() } else { format!(", {ahead} wait before it") };
    // Somebody held it, or it would not have waited.
    let held = match holders.as_slice() {
        [] => "; who held it then is not in the history".to_owned(),
        holders => format!("; held then by {}", orders(holders)),
    };
    Ok(format!("wants {}, {} are free{before}{held}", wanted.get(), free.get()))
}

async fn outcome(history: &History, story: &Story) -> Result<String, Problem> {
    let Some(decision) = story.decision() else {
        return Ok(match story.happenings.last().map(|last| &last.what) {
            Some(What::Started) => "not decided: stock has not answered".to_owned(),
            Some(What::Reserved) => "not decided: payment has not answered".to_owned(),
            Some(What::StockParked(item, _)) => format!("not decided: it waits for item {item}"),
            Some(What::PaymentParked(_)) => "not decided: it waits for credit that others hold".to_owned(),
            _ => "not decided: order has not been heard of".to_owned(),
        });
    };
    let took = format!("after {} ms", story.took_ms().unwrap_or(0));
    let waited = waited_for(story);
    let What::Cancelled(reason, short) = &decision.what else {
        return Ok(format!("paid {took}{waited}"));
    };
    let short = short.or_else(|| {
        story.happenings.iter().find_map(|happening| match &happening.what {
            What::StockRefused(_, short) | What::PaymentRefused(_, short) => *short,
            _ => None,
        })
    });
    let taken = match (reason, short) {
        (Reason::OutOfStock { item }, _) => takers(history, story, decision, &Account::Item(item.clone())).await?,
        (Reason::NotEnoughCredit, _) => {
            takers(history, story, decision, &Account::User(story.checkout.user.clone())).await?
        }
        _ => String::new(),
    };
    let held = story.happenings.iter().any(|happening| matches!(happening.what, What::Reserved | What::Authorized));
    let undone = if held { "; what it held was given back" } else { "; it held nothing" };
    Ok(format!("cancelled {took}{waited}: {}{}{taken}{undone}", in_words(reason), numbers(short)))
}

async fn takers(history: &History, story: &Story, decision: &Happening, account: &Account) -> Result<String, Problem> {
    let takers = history.takers(account, story.at(decision)).await?;
    let [(last, at), ..] = takers.as_slice() else { return Ok(String::new()) };
    Ok(format!("; the last that was taken of it went to order {last} at {}", moment(*at)))
}

/// How long it waited, if it did, before it went on.
fn waited_for(story: &Story) -> String {
    let parked = story
        .happenings
        .iter()
        .position(|happening| matches!(happening.what, What::StockParked(..) | What::PaymentParked(_)));
    let Some(parked) = parked else { return String::new() };
    let mut rest = story.happenings.iter().skip(parked);
    let (Some(from), Some(to)) = (rest.next(), rest.next()) else { return String::new() };
    format!(", of which it waited {} ms", (to.after_ms - from.after_ms).max(0))
}

fn in_words(reason: &Reason) -> String {
    match reason {
        Reason::OutOfStock { item } => format!("item {item} is out of stock"),
        Reason::UnknownItem { item } => format!("there is no item {item}"),
        Reason::NotEnoughCredit => "the user has not enough credit".to_owned(),
        Reason::UnknownUser => "there is no such user".to_owned(),
        Reason::Busy => "too many wait for the same item or credit".to_owned(),
        Reason::Timeout => "it was not decided in time".to_owned(),
        Reason::CancelledByOperator { by, because } => format!("{by} ended it: {because}"),
    }
}

fn numbers(short: Option<Shortage>) -> String {
    short.map_or_else(String::new, |Shortage { wanted, left }| {
        format!(" ({} wanted, {} there)", wanted.get(), left.get())
    })
}

fn orders(orders: &[OrderId]) -> String {
    let named: Vec<_> = orders.iter().take(5).map(|order| format!("order {order}")).collect();
    match orders.len().saturating_sub(5) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
