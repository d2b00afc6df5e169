//! `sagamart status`: whether a shop is well, on one screen.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde::Deserialize;
use tokio::time::sleep;

use super::{
    Error, Origin, Source,
    client::Address,
    exposition::sum_by,
    kept,
    process::{self, Health},
    read,
    servers::Servers,
};

/// Says how far the history goes and whether each server is well; exits with 0 if all is, 1 if not, 2 if one is not reached
#[derive(Args, Debug)]
pub(crate) struct Status {
    /// Where clients ask the shop; may be said several times, once for each replica
    #[arg(
        long = "shop",
        value_name = "URL",
        default_value = "http://127.0.0.1:8000",
        env = "SAGAMART_SHOP",
        value_delimiter = ','
    )]
    shops: Vec<Address>,

    #[command(flatten)]
    servers: Servers,

    /// Shows every partition, not only those that do not do all of their work
    #[arg(long)]
    partitions: bool,

    #[command(flatten)]
    origin: Origin,
}

#[derive(Deserialize)]
struct Span<'a> {
    from: Option<&'a str>,
    bytes: u64,
    completed: u64,
    cancelled: u64,
    missed: u64,
    undecided: u64,
    is_doubtful: bool,
}

#[derive(Deserialize)]
struct Proof<'a> {
    verdict: &'a str,
    since: Option<&'a str>,
    completed: u64,
    open: u64,
    stock: Side,
    payment: Side,
    #[serde(borrow)]
    anomalies: Vec<&'a str>,
}

#[derive(Deserialize)]
struct Side {
    now: i64,
    held: i64,
}

/// How often it is looked whether what is under way is over, and how soon again: longer than a shop has to rest until that is certain.
const LOOKS_MAX: usize = 12;
const LOOK_AGAIN: Duration = Duration::from_millis(250);

#[derive(Deserialize)]
struct Ready {
    #[serde(default)]
    reasons: Vec<String>,
    durability: Option<String>,
}

/// What is added up over the partitions of each service, and the heads of the columns.
const COUNTED: [(&str, &str); 6] = [
    ("sagamart_sagas_in_flight", "in flight"),
    ("sagamart_sagas_stuck", "stuck"),
    ("sagamart_sagas_held", "held"),
    ("sagamart_sagas_parked", "parked"),
    ("sagamart_log_lag_events", "lag"),
    ("sagamart_data_missing_events", "missing"),
];

/// The columns that are zero where all is well.
const BAD: [usize; 2] = [1, 5];

impl Status {
    pub(super) async fn run(self) -> Result<ExitCode, Error> {
        let source = self.origin.open().await?;
        let mut out = io::stdout().lock();
        let mut health = history(&mut out, &source).await?;
        if let Source::Directory(stopped) = &source {
            kept::show(&mut out, stopped, self.partitions)?;
            return Ok(ExitCode::from(health as u8));
        }
        for shop in &self.shops {
            health = health.max(shop_health(&mut out, shop).await?);
        }
        for process in self.servers.with(&self.origin.admin.address) {
            // It was said above if that is not reached.
            let was_said = process == self.origin.admin.address && health == Health::Unreached;
            health = health.max(self.process(&mut out, &process, was_said).await?);
        }
        Ok(ExitCode::from(health as u8))
    }

    async fn process(&self, out: &mut impl Write, address: &Address, was_said: bool) -> Result<Health, Error> {
        let said = match process::ask(address).await {
            Ok(Some(process)) => process.show(out, address, self.partitions)?,
            Ok(None) => {
                writeln!(out, "process at {address}: it says nothing of itself")?;
                return Ok(Health::Unwell);
            }
            Err(Error::Unreached(_) | Error::Foreign { .. }) if was_said => return Ok(Health::Unreached),
            Err(error @ (Error::Unreached(_) | Error::Foreign { .. })) => {
                writeln!(out, "process: {error}: say with --replica where it lets operators in")?;
                return Ok(Health::Unreached);
            }
            Err(other) => return Err(other),
        };
        Ok(said.max(counted(out, address).await?))
    }
}

async fn history(out: &mut impl Write, source: &Source) -> Result<Health, Error> {
    let answer = match source.get("/history", &[]).await {
        Err(error @ (Error::Unreached(_) | Error::Foreign { .. })) => {
            writeln!(out, "history: {error}")?;
            return Ok(Health::Unreached);
        }
        Err(Error::Stopped(error)) => {
            writeln!(out, "history: {error}")?;
            return Ok(Health::Unwell);
        }
        Err(Error::Refused(why)) => {
            writeln!(out, "history at {source}: {why}")?;
            return Ok(Health::Unwell);
        }
        other => other?,
    };
    let Span { from, bytes, completed, cancelled, missed, undecided, is_doubtful } = read(source, &answer)?;
    let from = from.map_or_else(|| "nothing yet".to_owned(), |from| format!("since {from}"));
    writeln!(out, "history at {source}: {from}, {} KiB", bytes.div_ceil(1024))?;
    writeln!(out, "  {completed} completed, {cancelled} cancelled, {undecided} open")?;
    if missed > 0 {
        writeln!(out, "  {missed} events were missed: some checkouts are not known, or not as a whole")?;
    }
    if is_doubtful {
        writeln!(out, "  some that are shown as open may be decided: events were missed since")?;
    }
    proof(out, source).await
}

/// Whether units and credit add up, on one line.
async fn proof(out: &mut impl Write, source: &Source) -> Result<Health, Error> {
    let mut looks = 1;
    let answer = loop {
        match source.get("/proof", &[]).await {
            // What it says while something is under way is known once that is over.
            Ok(answer) if looks < LOOKS_MAX && read::<Proof<'_>>(source, &answer)?.verdict == "under-way" => {
                sleep(LOOK_AGAIN).await;
                looks += 1;
            }
            Err(Error::Refused(why)) => {
                writeln!(out, "  proof: {why}")?;
                return Ok(Health::Unwell);
            }
            other => break other?,
        }
    };
    let proof: Proof<'_> = read(source, &answer)?;
    writeln!(out, "  proof: {proof}")?;
    for anomaly in &proof.anomalies {
        writeln!(out, "    {anomaly}")?;
    }
    Ok(if proof.verdict == "differs" { Health::Unwell } else { Health::Well })
}

impl fmt::Display for Proof<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = match self.verdict {
            "agrees" => "adds up",
            "under-way" => "does not add up at this moment, for something is under way",
            "differs" => "does NOT add up",
            "unknown" => "not known: it is counted from what there is once nothing happens for some seconds",
            other => other,
        };
        let [units, credit] = [self.stock.now, self.payment.now];
        let since = self.since.map_or_else(|| "the beginning".to_owned(), str::to_owned);
        let Self { completed, open, .. } = self;
        let [held_units, held_credit] = [self.stock.held, self.payment.held];
        write!(formatter, "{said}, since {since}: {units} units and {credit} credit after {completed} checkouts")?;
        if *open > 0 { write!(formatter, "; {open} open hold {held_units} and {held_credit}") } else { Ok(()) }
    }
}

async fn shop_health(out: &mut impl Write, shop: &Address) -> Result<Health, Error> {
    let ready = match shop.get("/readyz").await {
        Ok(ready) => ready,
        Err(error) => {
            writeln!(out, "shop: {error}: say with --shop where it is")?;
            return Ok(Health::Unreached);
        }
    };
    let Ready { reasons, durability } =
        serde_json::from_str(&ready.body).unwrap_or(Ready { reasons: vec![ready.body.clone()], durability: None });
    let is_ready = ready.status == 200;
    let said = if is_ready { "ready".to_owned() } else { format!("NOT ready: {}", reasons.join("; ")) };
    let kept = durability.map_or_else(String::new, |durability| format!(", {durability}"));
    writeln!(out, "shop at {shop}: {said}{kept}")?;
    Ok(if is_ready { Health::Well } else { Health::Unwell })
}

/// What a process counts, in a line for each of its services.
async fn counted(out: &mut impl Write, process: &Address) -> Result<Health, Error> {
    let metrics = process.get("/metrics").await?.body;
    let works = sum_by(&metrics, "sagamart_store_works", "service").values().all(|works| *works > 0.0);
    writeln!(out, "  store: {}", if works { "works" } else { "does NOT work" })?;
    let columns = COUNTED.map(|(name, _)| sum_by(&metrics, name, "service"));
    let heads: String = COUNTED.iter().map(|(_, head)| format!("{head:>11}")).collect();
    writeln!(out, "  {:<9}{heads}", "service")?;
    let names: std::collections::BTreeSet<_> = columns.iter().flat_map(BTreeMap::keys).collect();
    for name in names {
        let cells = columns.iter().map(|column| column.get(name).map_or_else(String::new, ToString::to_string));
        let cells: String = cells.map(|cell| format!("{cell:>11}")).collect();
        writeln!(out, "  {name:<9}{cells}")?;
    }
    let is_bad =
        BAD.iter().filter_map(|index| columns.get(*index)).any(|column| column.values().any(|value| *value > 0.0));
    Ok(if works && !is_bad { Health::Well } else { Health::Unwell })
}
