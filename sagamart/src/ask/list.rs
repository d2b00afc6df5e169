//! `sagamart ls`: checkouts, one on a line.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Error, Origin, Rest, Source, duration, read, short, write_json};

/// Lists checkouts: those that are open, the oldest first, then those that are decided, the last first
#[derive(Args, Debug)]
#[command(name = "ls", visible_alias = "list")]
pub(crate) struct List {
    /// Only those that stand there
    #[arg(long)]
    state: Option<State>,

    /// Only those that were cancelled for this, such as out-of-stock
    #[arg(long)]
    reason: Option<String>,

    /// Only those that buy this item
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    item: Option<String>,

    /// Only those that this user pays
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    user: Option<String>,

    /// Only those of this order
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    order: Option<String>,

    /// Only those that took, or are taking, at least so long, such as 2s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    older: Option<Duration>,

    /// Only those that began no longer ago than this, such as 1h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<Duration>,

    /// No more than so many
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,

    /// As many as there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,

    /// One JSON object per line, with all that is known of each
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    origin: Origin,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Open,
    Parked,
    Completed,
    Cancelled,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Parked => "parked",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

#[derive(Deserialize)]
struct Checkout<'a> {
    started_at: &'a str,
    order_id: &'a str,
    state: &'a str,
    reason: Option<&'a str>,
    took_ms: Option<u64>,
    user_id: &'a str,
    amount: u64,
}

impl List {
    pub(super) async fn run(self) -> Result<ExitCode, Error> {
        let source = self.origin.open().await?;
        let mut out = Table { out: io::stdout().lock(), is_headed: self.json };
        let whole = if self.all { usize::MAX } else { self.limit };
        let rest = match (self.state, &self.reason) {
            (Some(state), _) => self.show(&source, &mut out, Some(state.name()), whole).await?,
            // A reason is given for what is decided.
            (None, Some(_)) => self.show(&source, &mut out, None, whole).await?,
            (None, None) => match self.show(&source, &mut out, Some("open"), whole).await? {
                Rest::Nothing(left) => self.show(&source, &mut out, None, left).await?,
                Rest::More => Rest::More,
            },
        };
        if rest == Rest::More && !self.json {
            writeln!(out.out, "… there may be more: --all shows them, --limit COUNT some")?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn show(
        &self,
        source: &Source,
        table: &mut Table<impl Write>,
        state: Option<&str>,
        left: usize,
    ) -> Result<Rest, Error> {
        let query = [
            ("state", state.map(str::to_owned)),
            ("reason", self.reason.clone()),
            ("item", self.item.clone()),
            ("user", self.user.clone()),
            ("order", self.order.clone()),
            ("within", self.since.map(|since| since.as_millis().div_ceil(1000).to_string())),
            ("at_least_ms", self.older.map(|older| older.as_millis().to_string())),
        ];
        let show = |page: &Value| {
            let checkouts = page.get("checkouts").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            table.head()?;
            for value in checkouts {
                if self.json {
                    write_json(&mut table.out, value)?;
                } else {
                    let row = read::<Checkout<'_>>(source, value)?.row();
                    writeln!(table.out, "{row}")?;
                }
            }
            Ok(checkouts.len())
        };
        source.pages("/checkouts", &query, left, show).await
    }
}

/// Lines below a head that comes with the first answer, not before an error.
struct Table<Out> {
    out: Out,
    is_headed: bool,
}

impl<Out: Write> Table<Out> {
    fn head(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.is_headed, true) {
            return Ok(());
        }
        let [begun, order, state, took, user] = ["begun (UTC)", "order", "state or reason", "took", "user"];
        writeln!(self.out, "{begun:<14}  {order:<22}  {state:<17}  {took:>8}  {user:<22}   amount")
    }
}

impl Checkout<'_> {
    /// A line of at most 100 columns, as long as the amount has no more than seven digits and the ids are the shop's own.
    fn row(&self) -> String {
        let took = self.took_ms.or_else(|| age_ms(self.started_at)).map_or_else(String::new, in_short);
        format!(
            "{:<14}  {:<22}  {:<17}  {took:>8}  {:<22}  {:>7}",
            short(self.started_at),
            self.order_id,
            self.reason.unwrap_or(self.state),
            self.user_id,
            self.amount
        )
    }
}

/// For how long something is going on that is not over.
fn age_ms(since: &str) -> Option<u64> {
    let since = OffsetDateTime::parse(since, &Rfc3339).ok()?;
    u64::try_from((OffsetDateTime::now_utc() - since).whole_milliseconds()).ok()
}

fn in_short(ms: u64) -> String {
    match ms {
        0..10_000 => format!("{ms} ms"),
        10_000..600_000 => format!("{} s", ms / 1000),
        600_000..36_000_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_no_more_than_a_hundred_columns() {
        let (id, amount) = ("Umby53dHtUoE_7g6bL9ebA", 9_999_999);
        for took_ms in [0, 9_999, 10_000, 599_999, 600_000, 35_999_999, 36_000_000, 87_600 * 3_600_000] {
            let (took_ms, reason) = (Some(took_ms), Some("not-enough-credit"));
            let started_at = "2026-01-02T03:04:05.678Z";
            let checkout =
                Checkout { started_at, order_id: id, state: "cancelled", reason, took_ms, user_id: id, amount };
            let row = checkout.row();
            assert!(row.chars().count() <= 100 && row.starts_with("01-02 03:04:05  Umby"), "{row}");
        }
    }
}
