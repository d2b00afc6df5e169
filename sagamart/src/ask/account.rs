//! `sagamart account`: what was added to an item's units or a user's credit, and what was taken.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;

use super::{Error, Origin, Rest, escaped, read, short, write_json};

/// Shows what was added to an item's units or a user's credit and what was taken, the last first, with what there was after it
#[derive(Args, Debug)]
pub(crate) struct Statement {
    /// Of what
    kind: Kind,

    /// Which; ids may begin with a hyphen
    #[arg(allow_hyphen_values = true)]
    id: String,

    /// No more than so many lines
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,

    /// As many lines as there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,

    /// One JSON object per line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    origin: Origin,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// The units of an item
    Item,
    /// The credit of a user
    User,
}

#[derive(Deserialize)]
struct Page<'a> {
    balance: u64,
    #[serde(borrow)]
    rows: Vec<Row<'a>>,
    adds_up: Option<bool>,
}

#[derive(Deserialize)]
struct Row<'a> {
    at: &'a str,
    kind: &'a str,
    order_id: Option<&'a str>,
    change: Option<i64>,
    balance: Option<u64>,
}

impl Statement {
    pub(super) async fn run(self) -> Result<ExitCode, Error> {
        let source = self.origin.open().await?;
        let (items, name) = match self.kind {
            Kind::Item => ("items", "item"),
            Kind::User => ("users", "user"),
        };
        let path = format!("/{items}/{}/account", escaped(&self.id));
        let mut out = io::stdout().lock();
        let (mut is_first, mut adds_up) = (true, None);
        let show = |page: &Value| {
            let Page { balance, rows, adds_up: page_adds_up } = read(&source, page)?;
            adds_up = adds_up.or(page_adds_up);
            if self.json {
                let objects = page.get("rows").and_then(Value::as_array);
                objects.into_iter().flatten().try_for_each(|row| write_json(&mut out, row))?;
                return Ok(rows.len());
            }
            if is_first {
                writeln!(out, "{name} {}: {balance} now", self.id)?;
                writeln!(out, "{:<14}  {:<8}  {:>12}  {:>12}  order", "at (UTC)", "what", "change", "balance")?;
                is_first = false;
            }
            rows.iter().try_for_each(|row| writeln!(out, "{}", row.shown()))?;
            Ok(rows.len())
        };
        let rest = source.pages(&path, &[], if self.all { usize::MAX } else { self.limit }, show).await?;
        if !self.json {
            writeln!(out, "{}", verdict(adds_up, rest))?;
        }
        Ok(if adds_up == Some(false) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn verdict(adds_up: Option<bool>, rest: Rest) -> &'static str {
    match (adds_up, rest) {
        (Some(true), _) => "it adds up: all changes since it was created or set make what there is now",
        (Some(false), _) => {
            "it does NOT add up: the changes since it was created or set do not make what there is now (ask again if it is \
             being changed: what it is made of may not have been heard of yet)"
        }
        (None, Rest::More) => "there may be more: --all shows it, and whether it adds up",
        (None, Rest::Nothing(_)) => "the history does not go back to when it was created or set: it cannot be added up",
    }
}

impl Row<'_> {
    fn shown(&self) -> String {
        let number = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
        let change = self.change.map_or_else(String::new, |change| format!("{change:+}"));
        let (at, order) = (short(self.at), self.order_id.unwrap_or_default());
        let line = format!("{at:<14}  {:<8}  {change:>12}  {:>12}  {order}", self.kind, number(self.balance));
        line.trim_end().to_owned()
    }
}
